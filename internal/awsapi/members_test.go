package awsapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// onWire spells a member as a request does, by the way to it: names of members,
// and [] and {} for what is in a list and in a map.
func onWire(t *testing.T, model, operation, way string) string {
	t.Helper()
	var m *awsapi.Member
	members := awsapi.ByName(model).Operation(operation).Members
	var said []string
	for step := range strings.SplitSeq(way, ".") {
		name := strings.TrimRight(step, "[]{}")
		if name != "" {
			m = nil
			for i := range members {
				if members[i].Name == name {
					m = &members[i]
				}
			}
			if m == nil {
				return fmt.Sprint(strings.Join(said, "."), " has no ", name)
			}
			said = append(said, m.WireName)
		}
		for range strings.Count(step, "[]") {
			if !m.Flattened {
				said = append(said, m.Item().WireName)
			}
			said = append(said, "N")
			m = m.Item()
		}
		for range strings.Count(step, "{}") {
			if !m.Flattened {
				said = append(said, "entry")
			}
			said = append(said, "N", m.Key().WireName+"|"+m.Item().WireName)
			m = m.Item()
		}
		members = m.Members()
	}
	place := ""
	if m.In != "" && m.In != awsapi.InBody {
		place = " in " + m.In
	}
	return strings.Join(said, ".") + ": " + m.Shape + place
}

// TestMembers holds names on the wire to those that botocore sends.
func TestMembers(t *testing.T) {
	for _, c := range []struct{ model, operation, way, want string }{
		// EC2: every list is flat, and names are those that the model has for queries.
		{"ec2", "RunInstances", "BlockDeviceMappings[].Ebs.VolumeSize", "BlockDeviceMapping.N.Ebs.VolumeSize: number"},
		{"ec2", "RunInstances", "TagSpecifications[].Tags[].Key", "TagSpecification.N.Tag.N.Key: string"},
		{"ec2", "RunInstances", "SecurityGroupIds[]", "SecurityGroupId.N: string"},
		{"ec2", "DescribeInstances", "Filters[].Values[]", "Filter.N.Value.N: string"},
		{"ec2", "CreateTags", "Resources[]", "ResourceId.N: string"},
		{"ec2", "AttachVolume", "InstanceId", "InstanceId: string"},
		// Query.
		{"sns", "CreateTopic", "Tags[].Key", "Tags.member.N.Key: string"},
		{"sns", "CreateTopic", "Attributes{}", "Attributes.entry.N.key|value: string"},
		{"sns", "Publish", "MessageAttributes{}.BinaryValue", "MessageAttributes.entry.N.Name|Value.BinaryValue: blob"},
		{"elbv2", "CreateRule", "Conditions[].HostHeaderConfig.Values[]", "Conditions.member.N.HostHeaderConfig.Values.member.N: string"},
		{"rds", "CreateDBInstance", "VpcSecurityGroupIds[]", "VpcSecurityGroupIds.VpcSecurityGroupId.N: string"},
		{"rds", "CreateDBInstance", "Tags[].Value", "Tags.Tag.N.Value: string"},
		{"cloudformation", "CreateStack", "NotificationARNs[]", "NotificationARNs.member.N: string"},
		{"sdb", "GetAttributes", "AttributeNames[]", "AttributeName.N: string"},
		// Query of old clients.
		{"cloudwatch", "PutMetricData", "MetricData[].Dimensions[].Name", "MetricData.member.N.Dimensions.member.N.Name: string"},
		// XML.
		{"route53", "ChangeResourceRecordSets", "ChangeBatch.Changes[].ResourceRecordSet.Type",
			"ChangeBatch.Changes.Change.N.ResourceRecordSet.Type: string"},
		{"s3", "PutObject", "Key", "Key: string in path"},
		{"s3", "PutObject", "Metadata", "x-amz-meta-: map in headers"},
		{"s3", "PutObject", "Body", "Body: blob in payload"},
		{"s3", "PutBucketTagging", "Tagging.TagSet[].Key", "Tagging.TagSet.Tag.N.Key: string"},
		{"s3", "DeleteObjects", "Delete.Objects[].Key", "Delete.Object.N.Key: string"},
		// JSON: names that differ, tags and roles wherever they are.
		{"lambda", "Invoke", "InvocationType", "X-Amz-Invocation-Type: string in header"},
		{"lambda", "ListFunctions", "MaxItems", "MaxItems: number in query"},
		{"lambda", "CreateFunction", "Role", "Role: string"},
		{"eks", "CreateNodegroup", "nodeRole", "nodeRole: string"},
		{"mediaconvert", "CreateJob", "Queue", "queue: string"},
		{"apigateway", "CreateRestApi", "endpointConfiguration.vpcEndpointIds", "endpointConfiguration has no vpcEndpointIds"},
		{"scheduler", "CreateSchedule", "Target.RoleArn", "Target.RoleArn: string"},
		{"events", "PutTargets", "Targets[].RoleArn", "Targets.member.N.RoleArn: string"},
		{"backup", "UntagResource", "TagKeyList[]", "TagKeyList.member.N: string"},
	} {
		if got := onWire(t, c.model, c.operation, c.way); got != c.want {
			t.Errorf("%s %s %s: %q, want %q", c.model, c.operation, c.way, got, c.want)
		}
	}
}

// TestTags holds that the tags of an input can be read in every shape that AWS
// has for them.
func TestTags(t *testing.T) {
	forms := map[string]int{}
	for _, m := range awsapi.Models() {
		for _, name := range m.Operations() {
			for _, member := range m.Operation(name).Members {
				if strings.EqualFold(member.Name, "tags") || strings.EqualFold(member.Name, "tagspecifications") {
					forms[tagForm(&member)]++
				}
			}
		}
	}
	for _, form := range []string{"map", "list of Key Value", "list of key value", "list of TagKey TagValue", "list of tagKey tagValue",
		"list of ResourceType Tags"} {
		if forms[form] == 0 {
			t.Errorf("no tags are a %s: %v", form, forms)
		}
	}
	if unread := forms["list of "]; unread > 0 {
		t.Errorf("%d lists of tags have nothing in their elements", unread)
	}
	t.Log(forms)
}

func tagForm(m *awsapi.Member) string {
	if m.Shape != awsapi.List || m.Item().Shape != awsapi.Struct {
		return m.Shape
	}
	var names []string
	for _, inner := range m.Item().Members() {
		names = append(names, inner.Name)
	}
	return "list of " + strings.Join(names, " ")
}
