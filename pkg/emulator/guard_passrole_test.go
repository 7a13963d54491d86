package emulator_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// described answers what the guard asks: by X-Amz-Target, by the Action of a form, or by
// method and path. Of anything else there is no such thing. It notes the bodies.
func described(bodies *[]string, answers map[string]string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, body string) {
		operation := r.Header.Get("X-Amz-Target")
		if form, err := url.ParseQuery(body); operation == "" && err == nil {
			operation = form.Get("Action")
		}
		if operation == "" {
			operation = r.Method + " " + r.URL.EscapedPath()
		}
		*bodies = append(*bodies, operation+" "+scopeForm.FindString(r.Header.Get("Authorization"))+" "+body)
		answer, ok := answers[operation]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
			return
		}
		io.WriteString(w, answer)
	}
}

// has reports whether one of some texts has all of some parts.
func has(texts []string, parts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	})
}

// TestGuardInstanceProfile: who gives instances a profile must be allowed to hand over the
// role in it, which the emulator's own IAM knows.
func TestGuardInstanceProfile(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const (
		trust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`
		role  = "arn:aws:iam::123456789012:role/nodes"
		path  = "arn:aws:iam::123456789012:instance-profile/kube/nodes"
	)
	g.iam("Action", "CreateRole", "RoleName", "nodes", "AssumeRolePolicyDocument", trust)
	g.iam("Action", "CreateInstanceProfile", "InstanceProfileName", "Nodes", "Path", "/kube/")
	g.iam("Action", "AddRoleToInstanceProfile", "InstanceProfileName", "Nodes", "RoleName", "nodes")
	g.iam("Action", "CreateInstanceProfile", "InstanceProfileName", "empty")
	var bodies []string
	g.stub.ask = described(&bodies, map[string]string{"DescribeLaunchTemplateVersions": `<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item>
		<launchTemplateData><iamInstanceProfile><name>Nodes</name></iamInstanceProfile></launchTemplateData></item></launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>`})
	run := func(more string) *http.Request {
		return g.query("ec2", "/", "Action=RunInstances&Version=2016-11-15&ImageId=ami-9&MinCount=1&MaxCount=1&"+more)
	}
	by := func(name, value string) string { return url.Values{name: {value}}.Encode() }
	both := func(passed, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:*","autoscaling:*"],"Resource":"*"},
			{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + passed + `"` + condition + `}]}`
	}
	calls := map[string]func() *http.Request{
		"by name": func() *http.Request { return run(by("IamInstanceProfile.Name", "nodes")) },
		"by ARN": func() *http.Request {
			return run(by("IamInstanceProfile.Arn", strings.Replace(path, "nodes", "Nodes", 1)))
		},
		"by a template": func() *http.Request { return run("LaunchTemplate.LaunchTemplateId=lt-1&LaunchTemplate.Version=2") },
		"to one that runs": func() *http.Request {
			return g.query("ec2", "/", "Action=AssociateIamInstanceProfile&Version=2016-11-15&InstanceId=i-1&"+by("IamInstanceProfile.Name", "Nodes"))
		},
		"to a launch configuration": func() *http.Request {
			return g.query("autoscaling", "/", "Action=CreateLaunchConfiguration&Version=2011-01-01&LaunchConfigurationName=l&IamInstanceProfile=Nodes")
		},
	}
	sendAll := func(document string, allowed bool) {
		t.Helper()
		g.policy(document)
		for name, r := range calls {
			rec, got, events := g.send(r())
			if allowed != (rec.Code == http.StatusOK && len(got) == 1) {
				t.Errorf("%s with %s: %s, events %+v", name, document, raw(rec), events)
			}
			if !allowed && !strings.Contains(rec.Body.String(), "iam:PassRole on resource: "+role) {
				t.Errorf("%s is denied: %s", name, raw(rec))
			}
		}
	}
	sendAll(both("arn:aws:iam::123456789012:role/other", ""), false)
	sendAll(both(role, `,"Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}`), false)
	sendAll(both(role, `,"Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}`), true)
	if !has(bodies, "DescribeLaunchTemplateVersions", "LaunchTemplateId=lt-1", "LaunchTemplateVersion.1=2") {
		t.Errorf("the backend was asked %q", bodies)
	}
	g.policy(both("arn:aws:iam::123456789012:role/other", ""))
	for more, allowed := range map[string]bool{
		by("IamInstanceProfile.Name", "empty"):   true, // nothing is handed over
		by("IamInstanceProfile.Name", "unheard"): false,
		by("IamInstanceProfile.Arn", path):       false, // names are in any case, ARNs are not
	} {
		rec, got, _ := g.send(run(more))
		if allowed != (len(got) == 1) || !allowed && !strings.Contains(rec.Body.String(), "iam:PassRole on resource: arn:aws:iam::123456789012:role/*") {
			t.Errorf("%s: %s", more, raw(rec))
		}
	}
}

// TestGuardTaskRoles: who runs a task must be allowed to hand over the roles that its
// definition names, which the backend knows.
func TestGuardTaskRoles(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const task, execution = "arn:aws:iam::123456789012:role/task", "arn:aws:iam::123456789012:role/execution"
	var bodies []string
	g.stub.ask = described(&bodies, map[string]string{"AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition": `{"taskDefinition":{
		"taskDefinitionArn":"arn:aws:ecs:us-east-1:123456789012:task-definition/web:3","taskRoleArn":"` + task + `","executionRoleArn":"` + execution + `"}}`})
	run := func() *http.Request {
		return g.json("ecs", json11, "AmazonEC2ContainerServiceV20141113.RunTask", `{"taskDefinition":"web:3"}`)
	}
	g.policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:RunTask","Resource":"*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"` + task + `"}]}`)
	if rec, got, _ := g.send(run()); len(got) != 0 || !strings.Contains(rec.Body.String(), "iam:PassRole on resource: "+execution) {
		t.Error(raw(rec))
	}
	g.policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:RunTask","Resource":"*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":["` + task + `","` + execution + `"],
		"Condition":{"StringEquals":{"iam:PassedToService":"ecs-tasks.amazonaws.com"}}}]}`)
	if rec, got, events := g.send(run()); len(got) != 1 || len(events) != 3 {
		t.Errorf("%s, events %+v", raw(rec), events)
	}
	if len(bodies) != 1 || !has(bodies, `"taskDefinition":"web:3"`) {
		t.Errorf("the backend was asked %q", bodies)
	}
}
