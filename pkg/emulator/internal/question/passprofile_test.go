package question_test

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

const roleX = "arn:aws:iam::123456789012:role/x"

// TestPassProfiles: the role in an instance profile is handed over by whoever launches
// instances with it.
func TestPassProfiles(t *testing.T) {
	const profile = "arn:aws:iam::123456789012:instance-profile/nodes"
	w := &question.Memory{Facts: map[question.Fact]question.Known{
		{Kind: question.ProfileRole, Name: profile}:               {Text: roleX},
		{Kind: question.ProfileRole, Name: "nodes"}:               {Text: roleX},
		{Kind: question.ProfileRole, Name: "empty"}:               {},
		{Kind: question.ProfileRole, Name: "mine"}:                {Text: "arn:aws:iam::123456789012:role/mine"},
		{Kind: question.TemplateProfile, Name: "lt-1 $Default"}:   {Text: "nodes"},
		{Kind: question.TemplateProfile, Name: "plain 3"}:         {},
		{Kind: question.TemplateProfile, Name: "workers $Latest"}: {Text: profile},
	}}
	for _, c := range []struct{ operation, input, want string }{
		{"ec2.RunInstances", `{"ImageId":"ami-1","IamInstanceProfile":{"Name":"nodes"}}`, roleX},
		{"ec2.RunInstances", `{"ImageId":"ami-1","IamInstanceProfile":{"Arn":"` + profile + `"}}`, roleX},
		{"ec2.RunInstances", `{"ImageId":"ami-1","IamInstanceProfile":{"Name":"empty"}}`, ""},
		{"ec2.RunInstances", `{"ImageId":"ami-1","IamInstanceProfile":{"Name":"unheard"}}`, "arn:aws:iam::123456789012:role/*"},
		{"ec2.RunInstances", `{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"IamInstanceProfile","Value":"nodes"}]}]}`, ""},
		{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-1"}}`, roleX},
		{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateName":"plain","Version":"3"}}`, ""},
		{"ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-1"},"IamInstanceProfile":{"Name":"mine"}}`, "arn:aws:iam::123456789012:role/mine"},
		{"ec2.AssociateIamInstanceProfile", `{"InstanceId":"i-1","IamInstanceProfile":{"Name":"nodes"}}`, roleX},
		{"ec2.ReplaceIamInstanceProfileAssociation", `{"AssociationId":"iip-assoc-1","IamInstanceProfile":{"Name":"nodes"}}`, roleX},
		{"ec2.RequestSpotInstances", `{"LaunchSpecification":{"ImageId":"ami-1","IamInstanceProfile":{"Name":"nodes"}}}`, roleX},
		{"ec2.CreateFleet", `{"LaunchTemplateConfigs":[{"LaunchTemplateSpecification":{"LaunchTemplateName":"workers","Version":"$Latest"}}]}`, roleX},
		{"ec2.CreateLaunchTemplate", `{"LaunchTemplateName":"t","LaunchTemplateData":{"IamInstanceProfile":{"Name":"nodes"}}}`, ""},
		{"ec2.DeleteLaunchTemplate", `{"LaunchTemplateId":"lt-1"}`, ""},
		{"autoscaling.CreateLaunchConfiguration", `{"LaunchConfigurationName":"l","IamInstanceProfile":"nodes"}`, roleX},
		{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","LaunchTemplate":{"LaunchTemplateId":"lt-1"}}`, roleX},
		{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"g","MixedInstancesPolicy":{"LaunchTemplate":{"LaunchTemplateSpecification":
			{"LaunchTemplateName":"workers","Version":"$Latest"},"Overrides":[{"LaunchTemplateSpecification":{"LaunchTemplateId":"lt-1"}}]}}}`, roleX},
	} {
		questions := ask(t, call(t, c.operation, c.input), w)
		var passed []string
		for i := range questions {
			q := &questions[i]
			if q.Action != "iam:PassRole" {
				continue
			}
			passed = append(passed, q.Shown())
			if got := keyText(q, "iam:PassedToService"); got != "iam:PassedToService=ec2.amazonaws.com" {
				t.Errorf("%s %s: %s", c.operation, c.input, got)
			}
			if q.Known != !strings.HasSuffix(c.want, "*") {
				t.Errorf("%s %s: known %t", c.operation, c.input, q.Known)
			}
		}
		passed = unique(passed)
		if got := strings.Join(passed, " "); got != c.want {
			t.Errorf("%s %s passes %q, not %q", c.operation, c.input, got, c.want)
		}
	}
	questions := ask(t, call(t, "ec2.AssociateIamInstanceProfile", `{"InstanceId":"i-1","IamInstanceProfile":{"Name":"nodes"}}`), w)
	wantKeys(t, questions, "1 iam:AssociatedResourceArn=~ec2:instance/i-1")
	questions = ask(t, call(t, "ec2.RunInstances", `{"LaunchTemplate":{"LaunchTemplateId":"lt-unheard"}}`), w)
	if len(questions[0].Warnings) == 0 || !strings.Contains(strings.Join(questions[0].Warnings, " "), "iam:PassRole was not asked for launch template lt-unheard $Default") {
		t.Errorf("warnings %q", questions[0].Warnings)
	}
}

// unique are texts without those that came before.
func unique(texts []string) []string {
	seen := map[string]bool{}
	var kept []string
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			kept = append(kept, text)
		}
	}
	return kept
}

// TestPassTaskRoles: who runs a task hands over the roles of its definition, or those that it
// names in their place.
func TestPassTaskRoles(t *testing.T) {
	w := &question.Memory{Facts: map[question.Fact]question.Known{
		{Kind: question.TaskRoles, Name: "web:1"}: {Pairs: map[string]string{"taskRoleArn": roleX, "executionRoleArn": "ecs/execution"}},
		{Kind: question.TaskRoles, Name: "plain"}: {Pairs: map[string]string{"taskRoleArn": ""}},
	}}
	for _, c := range []struct{ operation, input, want string }{
		{"ecs.RunTask", `{"taskDefinition":"web:1"}`, "ecs:RunTask ~ecs:task-definition/web:1; iam:PassRole " + roleX +
			"; iam:PassRole arn:aws:iam::123456789012:role/ecs/execution"},
		{"ecs.StartTask", `{"taskDefinition":"web:1","containerInstances":["i"],"overrides":{"executionRoleArn":"arn:aws:iam::123456789012:role/other"}}`,
			"ecs:StartTask ~ecs:task-definition/web:1; iam:PassRole " + roleX + "; iam:PassRole arn:aws:iam::123456789012:role/other"},
		{"ecs.RunTask", `{"taskDefinition":"plain"}`, "ecs:RunTask ~ecs:task-definition/plain:*"},
	} {
		questions := ask(t, call(t, c.operation, c.input), w)
		wantShown(t, questions, strings.Split(c.want, "; ")...)
		for i := range questions {
			if q := &questions[i]; q.Action == "iam:PassRole" && keyText(q, "iam:PassedToService") != "iam:PassedToService=ecs-tasks.amazonaws.com" {
				t.Errorf("%s: %s", c.operation, keyText(q, "iam:PassedToService"))
			}
		}
	}
	questions := ask(t, call(t, "ecs.RunTask", `{"taskDefinition":"unheard"}`), w)
	if !strings.Contains(strings.Join(questions[0].Warnings, " "), "the roles of task definition unheard, which are not known") {
		t.Errorf("warnings %q", questions[0].Warnings)
	}
}
