package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// eksctl's own examples, and files of the shapes that people publish, are taken as
// they are: testdata/eksctl has a file for each. Its first line says which
// service accounts there are and what is ignored.
func TestConfigTakesEksctlsFiles(t *testing.T) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "eksctl", "examples.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) < 20 {
		t.Errorf("only %d files", len(archive.Files))
	}
	for _, f := range archive.Files {
		first, _, _ := strings.Cut(string(f.Data), "\n")
		accounts, unread, ok := strings.Cut(strings.TrimPrefix(first, "# "), " ignored: ")
		if !ok {
			t.Fatalf("%s does not say what is right", f.Name)
		}
		for _, written := range map[string][]byte{
			"as it is":          f.Data,
			"in Windows":        bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n")),
			"with a BOM":        append([]byte("\xef\xbb\xbf"), f.Data...),
			"with other things": append(slices.Clone(f.Data), "\n---\n# nothing\n---\n"...),
		} {
			file, gotUnread, err := Parse(written)
			if err != nil {
				t.Errorf("%s: %v", f.Name, err)
				continue
			}
			var names []string
			for _, sa := range file.IAMServiceAccounts {
				names = append(names, sa.String())
			}
			if got := strings.Join(names, " "); got != strings.TrimSpace(accounts) {
				t.Errorf("%s: service accounts %q, want %q", f.Name, got, accounts)
			}
			if got := strings.Join(gotUnread, ", "); got != strings.TrimSpace(unread) {
				t.Errorf("%s: ignored %q, want %q", f.Name, got, unread)
			}
		}
	}
}

// The roles of eksctl's list are used as they are, unless it says of what they are
// made.
func TestConfigTakesEksctlsList(t *testing.T) {
	const list = `- metadata:
    creationTimestamp: null
    name: app
    namespace: default
  status:
    roleARN: arn:aws:iam::123456789012:role/eksctl-prod-addon-iamserviceaccount-default-Role1-1ABC
    stackName: eksctl-prod-addon-iamserviceaccount-default-app
  tags: {team: a}
  wellKnownPolicies: {autoScaler: false, imageBuilder: false}
- attachPolicyARNs: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
  metadata: {name: made, namespace: default}
  status: {roleARN: "arn:aws:iam::123456789012:role/other"}
- metadata: {name: of-its-role-only}
  roleOnly: true
  status: {roleARN: "arn:aws:iam::123456789012:role/other"}
`
	file, unread, err := Parse([]byte(list))
	if err != nil || len(file.IAMServiceAccounts) != 2 {
		t.Fatalf("%+v, %v", file, err)
	}
	app, made := file.IAMServiceAccounts[0], file.IAMServiceAccounts[1]
	if app.AttachRoleARN != "arn:aws:iam::123456789012:role/eksctl-prod-addon-iamserviceaccount-default-Role1-1ABC" || app.WellKnownPolicies != nil {
		t.Errorf("%+v", app)
	}
	if made.AttachRoleARN != "" || len(made.AttachPolicyARNs) != 1 {
		t.Errorf("%+v", made)
	}
	if got := strings.Join(unread, ", "); got != "[].metadata.creationTimestamp, [].status.stackName, [].tags" {
		t.Errorf("ignored %q", got)
	}
	if file, _, err := Parse([]byte("[]")); err != nil || len(file.IAMServiceAccounts) != 0 {
		t.Errorf("%+v, %v", file, err)
	}
	if _, _, err := Parse([]byte(`[{"metadata": {"name": "a"}, "status": {"roleARN": "arn:aws:iam::123456789012:role/r"}}]`)); err != nil {
		t.Error(err)
	}
}

// Every error names the line and the field, in the words of a file.
func TestConfigErrorsNameLineAndField(t *testing.T) {
	reject := func(body, want string) {
		t.Helper()
		file, unread, err := Parse([]byte(body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
			return
		}
		if file.Kind != "" || file.IAMServiceAccounts != nil || unread != nil {
			t.Error("a configuration beside an error")
		}
		for _, goish := range []string{"!!", "main.", "struct", "[]string", "map[", "interface", "unmarshal", "cannot decode", "yaml:", "json:", "uint", "bool"} {
			if strings.Contains(err.Error(), goish) {
				t.Errorf("%v says %q", err, goish)
			}
		}
		if !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%v does not begin with the line", err)
		}
	}
	account := header + "iamServiceAccounts:\n- metadata: {name: a}\n  "
	reject(header+"emulator: maybe\n", "line 3: emulator: expected true or false, found a text")
	reject(header+"emulator: 'true'\n", "line 3: emulator: expected true or false")
	reject(header+"emulator: [true]\n", "line 3: emulator: expected true or false, found a list")
	reject(header+"bucket: {a: b}\n", "line 3: bucket: expected a text, found a set of fields")
	reject(header+"metadata: dev\n", "line 3: metadata: expected fields, found a text")
	reject(header+"iamServiceAccounts: {metadata: {name: a}}\n", "line 3: iamServiceAccounts: expected a list, found a set of fields")
	reject(header+"iamServiceAccounts:\n- a\n", "line 4: iamServiceAccounts[0]: expected fields, found a text")
	reject(header+"ignoreNamespaces: kube-system\n", "line 3: ignoreNamespaces: expected a list, found a text")
	reject(account+"attachPolicyARNs: arn:aws:iam::aws:policy/ReadOnlyAccess\n", "line 5: iamServiceAccounts[0].attachPolicyARNs: expected a list")
	reject(account+"attachPolicyARNs:\n  - [a]\n", "line 6: iamServiceAccounts[0].attachPolicyARNs[0]: expected a text, found a list")
	reject(account+"wellKnownPolicies: {certManager: 1}\n", "line 5: iamServiceAccounts[0].wellKnownPolicies.certManager: expected true or false, found a number")
	reject(account+"wellKnownPolicies: [certManager]\n", "line 5: iamServiceAccounts[0].wellKnownPolicies: expected fields, found a list")
	reject(account+"tags:\n    a: {b: c}\n", "line 6: iamServiceAccounts[0].tags.a: expected a text")
	reject(account+"? [a]\n  : b\n", "line 5: iamServiceAccounts[0]: expected the name of a field, found a list")
	reject(account+"attachPolicyArn: x\n", "line 5: field attachPolicyArn not found in iamServiceAccounts[0]; did you mean attachPolicyARNs?")
	reject(account+"attachPolicyARNs:\n  - ReadOnly\n", `line 4: role: policy "ReadOnly" is not the ARN`)
	reject(account+"attachPolicyARNs:\n  - ReadOnly\n", "(iamServiceAccounts[0].attachPolicyARNs, line 5)")
	reject(account+"rolePath: jobs\n", "(iamServiceAccounts[0].rolePath, line 5)")
	reject(account+"permissionsBoundary: b\n", "(iamServiceAccounts[0].permissionsBoundary, line 5)")
	reject(account+"tags: {openirsa.dev/x: y}\n", "(iamServiceAccounts[0].tags.openirsa.dev/x, line 5)")
	reject(account+"attachPolicy: {Version: 2012-10-17, Statement: [{Effect: Perhaps}]}\n", "(iamServiceAccounts[0].attachPolicy, line 5)")
	reject(account+"attachPolicy:\n    Version: 2012-10-17\n    Version: 2012-10-17\n", "line 7: iamServiceAccounts[0].attachPolicy.Version: it is already on line 6")
	reject(header+"bucket: a\nbucket: b\n", "line 4: bucket: it is already on line 3")
	reject(`{"apiVersion": "openirsa.dev/v1alpha1", "kind": "Cluster",
"bucket": "a", "bucket": "b"}`, "line 2: bucket: it is already on line 2")
	reject(header+"iam:\n  serviceAccounts:\n  - metadata: {name: B}\n", "(iam.serviceAccounts[0].metadata.name, line 5)")
	reject("", "the file is empty")
	reject("# only words\n---\n", "the file is empty")
	reject("words\n", "line 1: expected fields")
	reject("a: [\n", "line ")
	reject(header+"bucket: *b\n", "line 3: alias *b stands for nothing")
	reject(header+"bucket: \"a\x07\"\n", "line 3: control character U+0007")
	reject(header+"bucket: a\xff\n", "line 3: byte 0xff")
	reject("\tapiVersion: x\n", "line 1")
	reject(header+"---\n"+header, "line 4: it holds more than one document")
	reject(header+"---\n"+eksctlHeader, "line 4: it holds more than one document")
	reject("apiVersion: eksctl.io/v1alpha4\nkind: ClusterConfig\n", "eksctl.io/v1alpha4 ClusterConfig, not openirsa.dev/v1alpha1 Cluster, nor eksctl's eksctl.io/v1alpha5 ClusterConfig")
	// What is used of eksctl's files is not guessed at.
	reject(eksctlHeader+"iam:\n  serviceAccounts:\n  - metadata: {name: a, namspace: b}\n", "line 6: field namspace not found in iam.serviceAccounts[0].metadata; did you mean namespace?")
	reject(eksctlHeader+"iam:\n  serviceAccount: []\n", "line 5: field serviceAccount not found in iam; did you mean serviceAccounts?")
	reject(eksctlHeader+"iam:\n  serviceAccounts: {metadata: {name: a}}\n", "line 5: iam.serviceAccounts: expected a list")
	reject("- metadata: {name: A}\n", "([0].metadata.name, line 1)")
	reject("- metadata: {name: a}\n  attachPolicyArns: []\n", "line 2: field attachPolicyArns not found in [0]; did you mean attachPolicyARNs?")
	// Aliases that stand for ever more of themselves.
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		bomb.WriteString(fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10)))
	}
	reject(account+"attachPolicy:\n    "+strings.ReplaceAll(bomb.String(), "\n", "\n    ")+"\n", "its aliases expand to more than can be read")
}

// One file may keep manifests too, which are named.
func TestConfigAmongManifests(t *testing.T) {
	file, unread, err := Parse([]byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n" + eksctlHeader + "iam: {serviceAccounts: [{metadata: {name: a}}]}\n---\napiVersion: v1\nkind: ConfigMap\n"))
	if err != nil || len(file.IAMServiceAccounts) != 1 || strings.Join(unread, ", ") != "v1 Namespace (line 1), v1 ConfigMap (line 10)" {
		t.Errorf("%+v, %q, %v", file, unread, err)
	}
}

const eksctlHeader = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: c, region: eu-west-1}\n"
