package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	roleAnnotation     = "eks.amazonaws.com/role-arn"
	audienceAnnotation = "eks.amazonaws.com/audience"
	readOnly           = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
)

// testYardstick is the task that everything else serves: AWS's own command line, in a pod, lists IAM groups if and
// only if its service account was given a role for it.
func testYardstick(t *testing.T) {
	needChain(t)
	const ns, sa = "blogpost-demo", "list-iam-groups"
	primary.namespace(t, ns)
	for _, g := range []string{"admins", "developers"} {
		if !strings.Contains(rootCLI(t, "iam", "list-groups"), `"`+g+`"`) {
			rootCLI(t, "iam", "create-group", "--group-name", g)
		}
	}
	listGroups := []string{"aws", "iam", "list-groups"}

	// Without a role: there are no credentials to be had, and without credentials there is no list.
	r := primary.run(t, podSpec{namespace: ns, name: "without-role", image: awscli, args: listGroups, env: noIdentity(t)})
	if r.code == 0 || !strings.Contains(r.stdout, "Unable to locate credentials") {
		t.Errorf("without a role: exit %d: %s", r.code, r.stdout)
	}
	at := mark(t)
	r = primary.run(t, podSpec{namespace: ns, name: "unsigned", image: awscli, args: append(listGroups, "--no-sign-request"),
		env: noIdentity(t)})
	if r.code == 0 || strings.Contains(r.stdout, "admins") {
		t.Errorf("unsigned: exit %d: %s", r.code, r.stdout)
	}
	denied(t, at, "iam:ListGroups", "signature", "anonymous")

	// Without --approve nothing happens.
	at = mark(t)
	args := []string{"iamserviceaccount", "create", "--name", sa, "--namespace", ns, "--attach-policy-arn", readOnly}
	dry := setup(t, args...).ok(t)
	for _, e := range since(t, at) {
		if strings.Contains(e.Action, ":Create") || strings.Contains(e.Action, ":Attach") || strings.Contains(e.Action, ":Put") {
			t.Errorf("without --approve: %s", e)
		}
	}
	if !strings.Contains(dry.stdout, "--approve") {
		t.Errorf("the plan does not say how to approve it:\n%s", dry.stdout)
	}

	setup(t, append(args, "--approve")...).ok(t)
	role := primary.annotations(t, ns, sa)[roleAnnotation]
	if !strings.HasPrefix(role, "arn:aws:iam::"+account+":role/") {
		t.Fatalf("the service account's role is %q", role)
	}

	// The pod says nothing about AWS. Everything it needs comes from its service account.
	r = primary.run(t, podSpec{namespace: ns, name: "with-role", serviceAccount: sa, image: awscli, args: listGroups})
	var groups struct{ Groups []struct{ GroupName string } }
	if err := json.Unmarshal([]byte(r.stdout), &groups); r.code != 0 || err != nil {
		t.Fatalf("with the role: exit %d: %v: %s", r.code, err, r.stdout)
	}
	for _, want := range []string{"admins", "developers"} {
		if !slices.ContainsFunc(groups.Groups, func(g struct{ GroupName string }) bool { return g.GroupName == want }) {
			t.Errorf("the list lacks %q: %s", want, r.stdout)
		}
	}
	r = primary.run(t, podSpec{namespace: ns, name: "who", serviceAccount: sa, image: awscli,
		args: []string{"aws", "sts", "get-caller-identity"}})
	var who struct{ Account, Arn, UserId string }
	if err := json.Unmarshal([]byte(r.stdout), &who); r.code != 0 || err != nil {
		t.Fatalf("who: exit %d: %v: %s", r.code, err, r.stdout)
	}
	name := role[strings.LastIndex(role, "/")+1:]
	if want := regexp.MustCompile(`^arn:aws:sts::` + account + `:assumed-role/` + regexp.QuoteMeta(name) +
		`/.+$`); !want.MatchString(who.Arn) || who.Account != account {
		t.Errorf("the pod is %+v, want an ARN like %s", who, want)
	}
	t.Logf("the pod is %s", who.Arn)

	// The role may read IAM and do nothing else.
	at = mark(t)
	r = primary.run(t, podSpec{namespace: ns, name: "too-much", serviceAccount: sa, image: awscli,
		args: []string{"aws", "iam", "create-group", "--group-name", "intruders"}})
	if r.code == 0 || !strings.Contains(r.stdout, "AccessDenied") {
		t.Errorf("creating a group with a reader's role: exit %d: %s", r.code, r.stdout)
	}
	denied(t, at, "iam:CreateGroup", "permission", name)

	// The same with boto3 and the SDK for Go.
	r = primary.run(t, podSpec{namespace: ns, name: "boto3", serviceAccount: sa, image: awscli,
		args: []string{"python3", "-c", "import boto3; print([g['GroupName'] for g in boto3.client('iam').list_groups()['Groups']])"}})
	if r.code != 0 || !strings.Contains(r.stdout, "'admins'") {
		t.Errorf("boto3: exit %d: %s", r.code, r.stdout)
	}
	r = primary.run(t, podSpec{namespace: ns, name: "go", serviceAccount: sa, image: client, args: []string{"/client", "groups"}})
	if r.code != 0 || !strings.Contains(r.stdout, "admins\n") {
		t.Errorf("SDK for Go: exit %d: %s", r.code, r.stdout)
	}

	// Again: nothing to do.
	again := setup(t, append(args, "--approve", "-o", "json")...).ok(t).report(t)
	for _, l := range again.Links {
		if l.Result != "unchanged" {
			t.Errorf("the same command again: %s: %s", l.Link, l.Result)
		}
	}
	if again.Writes != 0 {
		t.Errorf("the same command again: %d writes", again.Writes)
	}
	if list := setup(t, "iamserviceaccount", "get").ok(t); !strings.Contains(list.stdout, role) {
		t.Errorf("the list of service accounts lacks %s:\n%s", role, list.stdout)
	}
}

// testS3: a role for one prefix of a bucket opens that prefix and no other, to the SDK for Go.
func testS3(t *testing.T) {
	needChain(t)
	const ns, sa, bucket = "e2e-s3", "reader", "e2e-app-data"
	primary.namespace(t, ns)
	if !strings.Contains(rootCLI(t, "s3api", "list-buckets"), `"`+bucket+`"`) {
		rootCLI(t, "s3api", "create-bucket", "--bucket", bucket)
	}
	for key, body := range map[string]string{"allowed/hello.txt": "hello from S3", "other/secret.txt": "not for you"} {
		if r := root(t).exec(t, body, "aws", "s3", "cp", "-", "s3://"+bucket+"/"+key); r.code != 0 {
			t.Fatalf("putting %s: exit %d: %s", key, r.code, r.stderr)
		}
	}
	arn := "arn:aws:iam::" + account + ":policy/e2e-read-allowed"
	if !strings.Contains(rootCLI(t, "iam", "list-policies", "--scope", "Local"), arn) {
		rootCLI(t, "iam", "create-policy", "--policy-name", "e2e-read-allowed", "--policy-document",
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::`+bucket+`/allowed/*"}]}`)
	}
	setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", sa, "--attach-policy-arn", arn, "--approve").ok(t)

	p := primary.pod(t, podSpec{namespace: ns, name: "reader", serviceAccount: sa, image: client,
		args: []string{"/client", "sleep"}}).running(t)
	if r := p.exec(t, "", "/client", "get", "s3://"+bucket+"/allowed/hello.txt"); r.code != 0 || r.stdout != "hello from S3" {
		t.Errorf("the allowed key: exit %d: %q %s", r.code, r.stdout, r.stderr)
	}
	at := mark(t)
	if r := p.exec(t, "", "/client", "get", "s3://"+bucket+"/other/secret.txt"); r.code == 0 ||
		!strings.Contains(r.stderr, "AccessDenied") || strings.Contains(r.stdout, "not for you") {
		t.Errorf("the other key: exit %d: %q %s", r.code, r.stdout, r.stderr)
	}
	denied(t, at, "s3:GetObject", "permission", bucket+"/other/secret.txt", "allowed/*")
	r := p.exec(t, "", "/client", "claims")
	for _, want := range []string{`"sts.amazonaws.com"`, `"system:serviceaccount:` + ns + `:` + sa + `"`, `"` + primary.issuer(t) + `"`} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the pod's token lacks %s: %s", want, r.stdout)
		}
	}

	setup(t, "iamserviceaccount", "delete", "--namespace", ns, "--name", sa).ok(t)
	if list := setup(t, "iamserviceaccount", "get").ok(t); strings.Contains(list.stdout, ns) {
		t.Errorf("after the delete it is still listed:\n%s", list.stdout)
	}
	if roles := rootCLI(t, "iam", "list-roles"); strings.Contains(roles, ns) {
		t.Errorf("after the delete the role is still there: %s", roles)
	}
}
