package guard

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// What descriptions of resources tell that a call does not say.

// askTemplate finds the instance profile that a version of a launch template names.
func askTemplate(q *asking) (question.Known, bool, error) {
	var out struct {
		Versions []struct {
			ARN  string `xml:"launchTemplateData>iamInstanceProfile>arn"`
			Name string `xml:"launchTemplateData>iamInstanceProfile>name"`
		} `xml:"launchTemplateVersionSet>item"`
	}
	template, version, _ := strings.Cut(q.Name, " ")
	by := "LaunchTemplateName"
	if strings.HasPrefix(template, "lt-") {
		by = "LaunchTemplateId"
	}
	err := q.query("ec2", url.Values{"Action": {"DescribeLaunchTemplateVersions"}, by: {template}, "LaunchTemplateVersion.1": {version}}, &out)
	if err != nil || len(out.Versions) == 0 {
		return none(err)
	}
	return question.Known{Text: cmp.Or(out.Versions[0].ARN, out.Versions[0].Name)}, true, nil
}

// askTaskRoles finds the roles of a task definition.
func askTaskRoles(q *asking) (question.Known, bool, error) {
	var out struct {
		TaskDefinition struct{ TaskDefinitionArn, TaskRoleArn, ExecutionRoleArn string }
	}
	if err := q.json("ecs", "DescribeTaskDefinition", m{"taskDefinition": q.Name}, &out); err != nil {
		return none(err)
	}
	d := &out.TaskDefinition
	roles := map[string]string{"taskRoleArn": d.TaskRoleArn, "executionRoleArn": d.ExecutionRoleArn}
	return question.Known{Pairs: roles}, d.TaskDefinitionArn != "", nil
}

func askSubnet(q *asking) (question.Known, bool, error) {
	var out struct {
		VPCs []string `xml:"subnetSet>item>vpcId"`
	}
	err := q.query("ec2", url.Values{"Action": {"DescribeSubnets"}, "SubnetId.1": {q.Name}}, &out)
	if err != nil || len(out.VPCs) != 1 {
		return none(err)
	}
	return question.Known{Text: out.VPCs[0]}, true, nil
}

// askAliases finds the aliases of a key, of which there are 50 at most.
func askAliases(q *asking) (question.Known, bool, error) {
	var out struct {
		Aliases []struct{ AliasName, TargetKeyId string }
	}
	if err := q.json("kms", "ListAliases", m{"KeyId": q.Name, "Limit": 100}, &out); err != nil {
		return none(err)
	}
	known := question.Known{}
	for _, alias := range out.Aliases {
		if alias.TargetKeyId == q.Name { // backends may not heed KeyId
			known.List = append(known.List, alias.AliasName)
		}
	}
	return known, true, nil
}

// askRotation finds the function that rotates a secret.
func askRotation(q *asking) (question.Known, bool, error) {
	var out struct{ ARN, RotationLambdaARN string }
	if err := q.json("secretsmanager", "DescribeSecret", m{"SecretId": q.Name}, &out); err != nil {
		return none(err)
	}
	return question.Known{Text: out.RotationLambdaARN}, out.ARN != "", nil
}
