package guard

import (
	"cmp"
	"encoding/xml"
	"net/url"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// tag is a tag as services spell it in JSON: they differ in case.
type tag struct{ Key, Value, TagKey, TagValue string }

// pairsOf are tags by their keys.
func pairsOf(tags []tag) map[string]string {
	pairs := make(map[string]string, len(tags))
	for _, t := range tags {
		pairs[cmp.Or(t.Key, t.TagKey)] = cmp.Or(t.Value, t.TagValue)
	}
	return pairs
}

// tagReaders read tags of resources by the service in their ARNs. Those of other
// services are read with the tagging API, if it has a backend.
var tagReaders = map[string]func(*asking) (map[string]string, error){
	"dynamodb":       tagList("dynamodb", "ListTagsOfResource", "ResourceArn"),
	"secretsmanager": tagList("secretsmanager", "DescribeSecret", "SecretId"),
	"ecr":            tagList("ecr", "ListTagsForResource", "resourceArn"),
	"kms":            tagList("kms", "ListResourceTags", "KeyId"),
	"events":         tagList("events", "ListTagsForResource", "ResourceARN"),
	"states":         tagList("stepfunctions", "ListTagsForResource", "resourceArn"),
	"ecs":            tagList("ecs", "ListTagsForResource", "resourceArn"),
	"athena":         tagList("athena", "ListTagsForResource", "ResourceARN"),
	"logs": func(q *asking) (map[string]string, error) {
		var out struct{ Tags map[string]string }
		err := q.json("logs", "ListTagsForResource", m{"resourceArn": strings.TrimSuffix(q.Name, ":*")}, &out)
		return out.Tags, err
	},
	"kinesis": func(q *asking) (map[string]string, error) {
		var out struct{ Tags []tag }
		err := q.json("kinesis", "ListTagsForStream", m{"StreamName": named(q.Name)}, &out)
		return pairsOf(out.Tags), err
	},
	"ssm": func(q *asking) (map[string]string, error) {
		_, name, found := strings.Cut(q.Name, ":parameter")
		if !found {
			return nil, errUnknown
		}
		if strings.Count(name, "/") == 1 {
			name = name[1:]
		}
		var out struct{ TagList []tag }
		err := q.json("ssm", "ListTagsForResource", m{"ResourceType": "Parameter", "ResourceId": name}, &out)
		return pairsOf(out.TagList), err
	},
	"sqs": func(q *asking) (map[string]string, error) {
		address, err := q.queueURL()
		if err != nil {
			return nil, err
		}
		var out struct{ Tags map[string]string }
		err = q.json("sqs", "ListQueueTags", m{"QueueUrl": address}, &out)
		return out.Tags, err
	},
	"lambda": func(q *asking) (map[string]string, error) {
		var out struct{ Tags map[string]string }
		arn := strings.Split(q.Name, ":")
		err := q.get("lambda", "/2017-03-31/tags/"+url.PathEscape(strings.Join(arn[:min(len(arn), 7)], ":")), &out)
		return out.Tags, err
	},
	"eks": func(q *asking) (map[string]string, error) {
		var out struct {
			Tags map[string]string `json:"tags"`
		}
		err := q.get("eks", "/tags/"+url.PathEscape(q.Name), &out)
		return out.Tags, err
	},
	"s3": func(q *asking) (map[string]string, error) {
		address := objectPath(q.Name)
		path, version, found := strings.Cut(address, "?")
		if address = path + "?tagging"; found {
			address += "&" + version
		}
		text, err := q.fetch("s3", address)
		if err != nil {
			return nil, err
		}
		var out struct {
			Tags []tag `xml:"TagSet>Tag"`
		}
		err = understood(xml.Unmarshal(text, &out))
		return pairsOf(out.Tags), err
	},
	"sns": func(q *asking) (map[string]string, error) {
		var out struct {
			Tags []tag `xml:"ListTagsForResourceResult>Tags>member"`
		}
		err := q.query("sns", url.Values{"Action": {"ListTagsForResource"}, "ResourceArn": {topicOf(q.Name)}}, &out)
		return pairsOf(out.Tags), err
	},
	"ec2": func(q *asking) (map[string]string, error) {
		var out struct {
			Tags []struct {
				Key   string `xml:"key"`
				Value string `xml:"value"`
			} `xml:"tagSet>item"`
		}
		err := q.query("ec2", url.Values{"Action": {"DescribeTags"}, "Filter.1.Name": {"resource-id"}, "Filter.1.Value.1": {named(q.Name)}}, &out)
		pairs := map[string]string{}
		for _, t := range out.Tags {
			pairs[t.Key] = t.Value
		}
		return pairs, err
	},
	"autoscaling": func(q *asking) (map[string]string, error) {
		_, group, found := strings.Cut(q.Name, ":autoScalingGroupName/")
		if !found {
			return nil, errUnknown
		}
		var out struct {
			Tags []tag `xml:"DescribeTagsResult>Tags>member"`
		}
		err := q.query("autoscaling", url.Values{
			"Action": {"DescribeTags"}, "Filters.member.1.Name": {"auto-scaling-group"}, "Filters.member.1.Values.member.1": {group},
		}, &out)
		return pairsOf(out.Tags), err
	},
	"elasticloadbalancing": func(q *asking) (map[string]string, error) {
		var out struct {
			Tags []tag `xml:"DescribeTagsResult>TagDescriptions>member>Tags>member"`
		}
		service, member, name := "elbv2", "ResourceArns.member.1", q.Name
		if _, classic, found := strings.Cut(q.Name, ":loadbalancer/"); found && !strings.Contains(classic, "/") {
			service, member, name = "elb", "LoadBalancerNames.member.1", classic
		}
		err := q.query(service, url.Values{"Action": {"DescribeTags"}, member: {name}}, &out)
		return pairsOf(out.Tags), err
	},
	"rds": func(q *asking) (map[string]string, error) {
		var out struct {
			Tags []tag `xml:"ListTagsForResourceResult>TagList>Tag"`
		}
		err := q.query("rds", url.Values{"Action": {"ListTagsForResource"}, "ResourceName": {q.Name}}, &out)
		return pairsOf(out.Tags), err
	},
}

// objectPath is the path of an object at S3, of an ARN and, behind a zero byte, a version;
// "" if it is a bucket's.
func objectPath(name string) string {
	object, version, _ := strings.Cut(name, "\x00")
	_, path, _ := strings.Cut(object, ":::")
	bucket, key, found := strings.Cut(path, "/")
	if !found {
		return ""
	}
	address := "/" + url.PathEscape(bucket) + "/" + escapedKey(key)
	if version != "" {
		address += "?versionId=" + url.QueryEscape(version)
	}
	return address
}

// escapedKey is the key of an object in a path, whose slashes stay.
func escapedKey(key string) string {
	segments := strings.Split(key, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}

// tagList reads tags with an operation that takes the ARN and answers with a list.
//
//go:noinline // so that what it makes is there once, not again at each call
func tagList(service, operation, member string) func(*asking) (map[string]string, error) {
	return func(q *asking) (map[string]string, error) {
		arn := q.Name
		if service == "kms" {
			arn = named(arn)
		}
		var out struct{ Tags []tag }
		err := q.json(service, operation, m{member: arn}, &out)
		return pairsOf(out.Tags), err
	}
}

func askTags(q *asking) (question.Known, bool, error) {
	part := strings.SplitN(q.Name, ":", 6)
	if len(part) < 6 {
		return none(errUnknown)
	}
	read := tagReaders[part[2]]
	if read == nil {
		read = func(q *asking) (map[string]string, error) {
			var out struct{ ResourceTagMappingList []struct{ Tags []tag } }
			err := q.json("resourcegroupstaggingapi", "GetResources", m{"ResourceARNList": []string{q.Name}}, &out)
			if err != nil || len(out.ResourceTagMappingList) == 0 {
				return nil, err
			}
			return pairsOf(out.ResourceTagMappingList[0].Tags), nil
		}
	}
	pairs, err := read(q)
	if err != nil {
		return none(err)
	}
	return question.Known{Pairs: pairs}, true, nil
}
