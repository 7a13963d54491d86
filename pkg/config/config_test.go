package config

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/pkg/emulator/managed"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/role"
)

const header = "apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\n"

// eksctlSection is iam.serviceAccounts of eksctl's example 13-iamserviceaccounts.yaml.
const eksctlSection = `
iam:
  withOIDC: true
  serviceAccounts:
  - metadata:
      name: s3-reader
      namespace: backend-apps
      labels: {aws-usage: "application"}
    attachPolicyARNs:
    - "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    tags:
      Owner: "John Doe"
      Team: "Some Team"
  - metadata:
      name: cache-access
      namespace: backend-apps
      labels: {aws-usage: "application"}
    attachPolicyARNs:
    - "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess"
    - "arn:aws:iam::aws:policy/AmazonElastiCacheFullAccess"
  - metadata:
      name: ebs-csi-controller-sa
      namespace: kube-system
    wellKnownPolicies:
      ebsCSIController: true
      autoScaler: true
      awsLoadBalancerController: true
      externalDNS: true
      certManager: true
  - metadata:
      name: autoscaler-service
      namespace: kube-system
    attachPolicy:
      Version: "2012-10-17"
      Statement:
      - Effect: Allow
        Action:
        - "autoscaling:DescribeAutoScalingGroups"
        - "autoscaling:SetDesiredCapacity"
        Resource: '*'
  - metadata:
      name: some-app
    roleName: some-app-role
    roleOnly: true
`

func TestConfigTakesEksctlsSection(t *testing.T) {
	file, err := parseConfig([]byte(header + eksctlSection))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, sa := range file.IAMServiceAccounts {
		names = append(names, sa.String())
	}
	if want := []string{"backend-apps/s3-reader", "backend-apps/cache-access", "kube-system/ebs-csi-controller-sa", "kube-system/autoscaler-service", "default/some-app"}; !slices.Equal(names, want) {
		t.Errorf("service accounts %q, want %q", names, want)
	}
	var inline map[string]any
	if err := json.Unmarshal(file.IAMServiceAccounts[3].AttachPolicy, &inline); err != nil || inline["Version"] != "2012-10-17" {
		t.Errorf("inline policy %s, %v", file.IAMServiceAccounts[3].AttachPolicy, err)
	}
	if sa := file.IAMServiceAccounts[4]; sa.RoleName != "some-app-role" || !sa.RoleOnly {
		t.Errorf("%+v", sa)
	}
}

// YAML takes some texts for dates, IAM none.
func TestConfigDatesAreTexts(t *testing.T) {
	file, err := parseConfig([]byte(header + `
iamServiceAccounts:
- metadata: {name: a, labels: {since: 2012-10-17}}
  tags: {since: 2012-10-17}
  attachPolicy:
    Version: 2012-10-17
    Statement: &statement
    - Effect: Allow
      Action: s3:GetObject
      Resource: "*"
      Condition: {DateLessThan: {aws:CurrentTime: 2027-01-01T00:00:00Z}, Bool: {aws:SecureTransport: true}}
- metadata: {name: b}
  attachPolicy: {Version: !!timestamp 2012-10-17, Statement: *statement}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Statement":[{"Action":"s3:GetObject","Condition":{"Bool":{"aws:SecureTransport":true},"DateLessThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"}},"Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}`
	for _, sa := range file.IAMServiceAccounts {
		if string(sa.AttachPolicy) != want {
			t.Errorf("%s: %s", &sa, sa.AttachPolicy)
		}
	}
	if a := file.IAMServiceAccounts[0]; a.Tags["since"] != "2012-10-17" || a.Metadata.Labels["since"] != "2012-10-17" {
		t.Errorf("%+v", a)
	}
}

func TestConfigRejects(t *testing.T) {
	reject := func(body, why string) {
		t.Helper()
		file, err := parseConfig([]byte(body))
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error %v, want one with %q", err, why)
		}
		if !cmp.Equal(file, File{}) {
			t.Error("a configuration beside an error")
		}
	}
	reject("", "EOF")
	reject("apiVersion: v1\nkind: Pod\n", "v1 Pod, not openirsa.dev/v1alpha1 Cluster")
	reject(header+"emulatr: true\n", "line 3: field emulatr not found")
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  attachPolicyArn: x\n", "line 5: field attachPolicyArn not found")
	reject(header+"iam:\n  serviceAccounts:\n  - metadata: {name: a, namspace: b}\n", "line 5: field namspace not found")
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n- metadata: {name: B}\n", `line 5: service account: name "B"`)
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n- metadata: {name: a, namespace: default}\n", "line 5: service account default/a is already on line 4")
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  attachPolicyARNs: [ReadOnly]\n", `line 4: role: policy "ReadOnly" is not the ARN`)
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  wellKnownPolicies: {nope: true}\n", `line 4: role: well-known policy "nope"`)
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  attachPolicy: {Version: \"2012-10-17\", Statement: []}\n", "line 4: role: the inline policy: MalformedPolicyDocument: Syntax errors in policy.")
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  attachPolicy: &p {Version: 2012-10-17, Statement: *p}\n", "contains itself")
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  attachRoleARN: arn:aws:iam::123456789012:role/r\n  roleName: r\n", "line 4: role: a role that is attached")
	reject(header+"iam:\n  serviceAccounts: &list\n  - metadata: {name: a}\niamServiceAccounts: *list\n", "line 5: service account default/a is already on line 5")
	reject(header+"<<: {iamServiceAccounts: [{metadata: {name: B}}]}\n", `line 3: service account: name "B"`)
	reject(header+"iamServiceAccounts:\n- ~\n- metadata: {name: B}\n", `line 5: service account: name "B"`)
	for _, field := range []string{
		"permissionsBoundary: arn:aws:iam::123456789012:policy/b", "tags: {team: a}", "rolePath: /jobs/", "wellKnownPolicies: {certManager: true}",
		"attachPolicyARNs: [arn:aws:iam::aws:policy/ReadOnlyAccess]", "attachPolicy: {}", "roleName: r", "roleOnly: true", "subjectPattern: x", "shareRole: true",
	} {
		name, _, _ := strings.Cut(field, ":")
		reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  attachRoleARN: arn:aws:iam::123456789012:role/r\n  "+field+"\n", "line 4: role: a role that is attached as it is takes no "+name)
	}
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  tags: {OpenIRSA.dev/Service-Account: b/c}\n", "line 4: role: tag OpenIRSA.dev/Service-Account")
	reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  subjectPattern: 'team-*'\n", `line 4: role: subject pattern "team-*" does not begin`)
	for _, field := range []string{
		"permissionsBoundary: arn:aws:iam::123456789012:policy/b", "rolePath: /jobs/", "shareRole: true", "subjectPattern: 'system:serviceaccount:*'",
		`attachPolicy: {Version: "2012-10-17", Statement: {Effect: Deny, Action: "*", Resource: "*"}}`, "tags: {team: b}",
	} {
		name, _, _ := strings.Cut(field, ":")
		reject(header+"iamServiceAccounts:\n- metadata: {name: a}\n  roleName: r\n  tags: {team: a}\n- metadata: {name: other}\n- metadata: {name: b}\n  roleName: r\n  "+field+"\n",
			"line 8: role: default/b and default/a on line 4 share role r and ask for different "+name)
	}
	reject(header+"iamServiceAccounts:\n- {metadata: {name: a}, roleName: r}\n- {metadata: {name: b}, roleName: R}\n", "line 5: role: default/b and default/a on line 4 share role R and ask for different roleName")
	reject(header+"bucket: b\nissuerURL: https://i.example\n", "line 3: bucket and issuerURL exclude each other, unless CloudFront serves the documents of a privateBucket")
	reject(header+"emulator: true\nissuerURL: https://i.example\nprivateBucket: true\n", "line 5: privateBucket and emulator exclude each other")
	reject(header+"distributionARN: arn:aws:cloudfront::123456789012:distribution/E1\n", "line 3: distributionARN is for a privateBucket")
	reject(header+"kindName: dev\nissuerURL: http://i.example\n", "line 4: issuerURL: ")
	reject(header+"kindName: dev\nbucket: my.bucket/dev\n", `line 4: bucket "my.bucket" has a dot`)
	reject(header+"bucket: my-bucket/a//b\n", `line 3: prefix "a//b"`)
	reject(header+"emulator: true\npodEndpointURL: http://aws.example\n", "line 4: podEndpointURL and emulator exclude each other")
	const one = "- {namespace: a, serviceAccountName: b, roleARN: 'arn:aws:iam::123456789012:role/r'}\n"
	reject(header+"podIdentity: false\npodIdentityAssociations:\n"+one, "line 3: podIdentity is false, and podIdentityAssociations need it")
	reject(header+"iam:\n  podIdentityAssociations:\n  "+one+"podIdentity: false\n", "line 6: podIdentity is false, and iam.podIdentityAssociations need it")
	reject(header+"podIdentity: yes please\n", "line 3: ")
	reject(header+"context: prod\nkindName: dev\n", "line 4: kindName and context exclude each other")
	reject(header+"<<: {kindName: dev}\nkubeconfig: f\n", "line 3: kindName and kubeconfig exclude each other")
	reject(header+"---\nkind: Cluster\n", "more than one document")
}

// Whether there is to be EKS Pod Identity is said, or left as it is.
func TestConfigPodIdentity(t *testing.T) {
	for text, want := range map[string]*bool{"": nil, "podIdentity: true\n": new(true), "podIdentity: false\npodIdentityAssociations: []\n": new(false)} {
		file, err := parseConfig([]byte(header + text))
		if err != nil || (file.PodIdentity == nil) != (want == nil) || want != nil && *file.PodIdentity != *want {
			t.Errorf("%q: %v, %v", text, file.PodIdentity, err)
		}
	}
}

// parseConfig reads a file, whatever of it is ignored.
func parseConfig(body []byte) (File, error) {
	file, _, err := Parse(body)
	return file, err
}

// addWellKnown gives a role a well-known policy.
func addWellKnown(name string, s Surroundings, want *role.Role) error {
	arn, document, err := WellKnown(name, s)
	switch {
	case err != nil:
	case arn != "":
		want.PolicyARNs = append(want.PolicyARNs, arn)
	default:
		if want.Inline == nil {
			want.Inline = map[string][]byte{}
		}
		want.Inline[name] = document
	}
	return err
}

// Every well-known policy is one that IAM takes, in every partition, and the
// schema knows them all.
func TestWellKnownPolicies(t *testing.T) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov", "aws-eusc"} {
		want := role.Role{Name: "all"}
		around := Surroundings{partition, "123456789012", "xx-east-1", "prod"}
		for _, name := range WellKnownNames() {
			if err := addWellKnown(name, around, &want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, document := range want.Inline {
			if _, err := policy.Parse(policy.Identity, document); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, arn := range regexp.MustCompile(`arn:[^:]*:`).FindAllString(string(document), -1) {
				if arn != "arn:"+partition+":" {
					t.Errorf("%s in %s names %s", name, partition, arn)
				}
			}
			if strings.Contains(string(document), "${") {
				t.Errorf("%s has a place that is not filled", name)
			}
			if err := CheckInline(map[string][]byte{name: document}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := want.Check(); err != nil || len(want.PolicyARNs) != 3 || len(want.Inline) != 5 {
			t.Errorf("%q, %d inline, %v", want.PolicyARNs, len(want.Inline), err)
		}
		if err := CheckInline(want.Inline); err == nil || !strings.Contains(err.Error(), "10240") {
			t.Errorf("all inline policies together: %v", err)
		}
		delete(want.Inline, "karpenter")
		if err := CheckInline(want.Inline); err != nil {
			t.Error(err)
		}
		for _, arn := range want.PolicyARNs {
			if p, ok := managed.Get(arn); !ok || p.ARN != arn {
				t.Errorf("AWS has no policy %s", arn)
			}
		}
	}
	for _, name := range []string{"nope", "../serviceaccount", "sources"} {
		if err := addWellKnown(name, Surroundings{Partition: "aws"}, &role.Role{}); err == nil {
			t.Errorf("%s is known", name)
		}
	}
	if err := addWellKnown("karpenter", Surroundings{"aws", "123456789012", "", "prod"}, &role.Role{}); err == nil || !strings.Contains(err.Error(), "the Region") {
		t.Errorf("without a region: %v", err)
	}
	schema, err := os.ReadFile("../../docs/cluster.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	enum, err := json.Marshal(WellKnownNames())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(schema)), ""), `"propertyNames":{"enum":`+string(enum)) {
		t.Errorf("the schema does not have the names %s", enum)
	}
}

// The policies allow what the newest release of each program needs: the names are
// from the programs' own documentation.
func TestWellKnownPoliciesAreNew(t *testing.T) {
	around := Surroundings{"aws", "123456789012", "eu-west-1", "prod"}
	for name, needed := range map[string][]string{
		"awsLoadBalancerController": {
			"elasticloadbalancing:DescribeListenerAttributes", "elasticloadbalancing:ModifyListenerAttributes", "elasticloadbalancing:SetRulePriorities",
			"elasticloadbalancing:DescribeTrustStores", "elasticloadbalancing:DescribeCapacityReservation", "elasticloadbalancing:ModifyCapacityReservation",
			"elasticloadbalancing:ModifyIpPools", "ec2:GetSecurityGroupsForVpc", "ec2:DescribeIpamPools", "ec2:DescribeRouteTables",
		},
		"externalDNS": {"route53:ListTagsForResources", "route53:ListHostedZones", "route53:ListResourceRecordSets", "route53:ChangeResourceRecordSets"},
		"autoScaler":  {"autoscaling:DescribeScalingActivities", "ec2:GetInstanceTypesFromInstanceRequirements", "eks:DescribeNodegroup"},
		"certManager": {"route53:GetChange", "route53:ChangeResourceRecordSets", "route53:ListHostedZonesByName"},
		"karpenter":   {"ec2:CreateFleet", "ec2:DescribeInstanceStatus", "ec2:DescribePlacementGroups", "iam:ListInstanceProfiles", "arc-zonal-shift:GetManagedResource"},
	} {
		var want role.Role
		if err := addWellKnown(name, around, &want); err != nil {
			t.Fatal(err)
		}
		for _, action := range needed {
			if !strings.Contains(string(want.Inline[name]), `"`+action+`"`) {
				t.Errorf("%s does not allow %s", name, action)
			}
		}
	}
	var karpenter role.Role
	if err := addWellKnown("karpenter", around, &karpenter); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"arn:aws:iam::123456789012:role/KarpenterNodeRole-prod", "arn:aws:sqs:eu-west-1:123456789012:prod", "kubernetes.io/cluster/prod"} {
		if !strings.Contains(string(karpenter.Inline["karpenter"]), part) {
			t.Errorf("karpenter's policy does not name %s", part)
		}
	}
}

// What a parser says of broken YAML has the line too.
func TestConfigSyntax(t *testing.T) {
	if _, err := parseConfig([]byte(header + "a: [\n")); err == nil || !strings.Contains(err.Error(), "line") {
		t.Errorf("error %v", err)
	}
}

// The published schema and the type have the same fields.
func TestConfigSchema(t *testing.T) {
	body, err := os.ReadFile("../../docs/cluster.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(body, &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["$defs"].(map[string]any)
	var compare func(where string, typ reflect.Type, node map[string]any)
	compare = func(where string, typ reflect.Type, node map[string]any) {
		if ref, ok := node["$ref"].(string); ok {
			node = definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		if typ.Kind() == reflect.Pointer { // nil where the file does not say
			typ = typ.Elem()
		}
		switch {
		case typ == reflect.TypeFor[InlinePolicy]():
			if !reflect.DeepEqual(node["type"], []any{"object", "string"}) {
				t.Errorf("%s: %v", where, node["type"])
			}
		case typ == reflect.TypeFor[ignored](): // whatever it is
			if node["type"] != nil {
				t.Errorf("%s: %v", where, node["type"])
			}
		case typ.Kind() == reflect.Struct:
			if node["additionalProperties"] != false {
				t.Errorf("%s lets unknown fields pass", where)
			}
			properties := node["properties"].(map[string]any)
			seen := map[string]bool{}
			for field := range typ.Fields() {
				name := field.Tag.Get("yaml")
				if name == "-" {
					continue
				}
				seen[name] = true
				property, ok := properties[name].(map[string]any)
				if !ok {
					t.Errorf("%s.%s is not in the schema", where, name)
					continue
				}
				compare(where+"."+name, field.Type, property)
			}
			for name := range properties {
				if !seen[name] {
					t.Errorf("%s.%s is in the schema alone", where, name)
				}
			}
		case typ.Kind() == reflect.Slice:
			compare(where+"[]", typ.Elem(), node["items"].(map[string]any))
		default:
			want := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Map: "object"}[typ.Kind()]
			if node["type"] != want {
				t.Errorf("%s is %v, want %s", where, node["type"], want)
			}
		}
		if typ.Kind() != reflect.Slice && node["description"] == nil && where != "" {
			t.Errorf("%s has no description", where)
		}
	}
	compare("", reflect.TypeFor[File](), schema)
}

// What the published schema tells editors is what the program does.
func TestConfigSchemaAgrees(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/cluster.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(body string) error {
		t.Helper()
		text, err := yaml.YAMLToJSON([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(document)
	}
	account := func(fields string) string {
		return header + "iamServiceAccounts:\n- {metadata: {name: a}, " + fields + "}\n"
	}
	association := func(fields string) string {
		return header + "podIdentityAssociations:\n- {namespace: a, serviceAccountName: a, " + fields + "}\n"
	}
	attached := func(field string) string {
		return account("attachRoleARN: 'arn:aws:iam::123456789012:role/r', " + field)
	}
	for _, right := range []string{
		header, header + eksctlSection, example(t),
		header + "emulator: false\npodEndpointURL: http://aws.example\ncontext: dev\nkubeconfig: f\n",
		header + "privateBucket: true\nissuerURL: https://d1.cloudfront.net\nbucket: my-bucket\n",
		account("attachPolicy: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 's3:GetObject', Resource: '*'}}"),
		account(`attachPolicy: '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}'`),
		association("permissionPolicy: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 's3:GetObject', Resource: '*'}}, permissionPolicyName: p-1"),
		association("roleARN: 'arn:aws:iam::123456789012:role/r', disableSessionTags: true, policy: '{}'"),
		header + "failurePolicy: Ignore\nignoreNamespaces: [policies]\nexcludeNamespaces: []\n",
		account("shareRole: false"), attached("shareRole: false, roleOnly: false"),
		account("roleName: r, shareRole: true, rolePath: /jobs/, tags: {team: a}, wellKnownPolicies: {certManager: false}"),
		header + "iamServiceAccounts:\n- {metadata: {name: a, namespace: b, labels: {c: d}, annotations: {e: f}}, attachRoleARN: 'arn:aws:iam::123456789012:role/r', status: {roleARN: x}}\n",
	} {
		if err := valid(right); err != nil {
			t.Errorf("%v\n%s", err, right)
		}
		if _, err := parseConfig([]byte(right)); err != nil {
			t.Errorf("%v\n%s", err, right)
		}
	}
	for _, wrong := range []string{
		"kind: Cluster\n", "apiVersion: openirsa.dev/v1\nkind: Cluster\n", "apiVersion: openirsa.dev/v1alpha1\nkind: ClusterConfig\n",
		header + "emulatr: true\n", header + "emulator: maybe\n", header + "metadata: {nam: dev}\n", header + "iamServiceAccounts: {metadata: {name: a}}\n",
		header + "iam: {serviceAccount: []}\n", header + "failurePolicy: ignore\n", header + "excludeNamespaces: [Team]\n", header + "ignoreNamespaces: policies\n",
		header + "emulator: true\npodEndpointURL: http://aws.example\n", header + "kindName: dev\ncontext: prod\n", header + "kindName: dev\nkubeconfig: f\n",
		header + "privateBucket: true\n", header + "privateBucket: true\nissuerURL: https://d1.cloudfront.net\nemulator: true\n",
		header + "distributionARN: arn:aws:cloudfront::123456789012:distribution/E1\n", header + "bucket: my-bucket\nissuerURL: https://i.example\n",
		header + "iamServiceAccounts:\n- roleName: r\n", header + "iamServiceAccounts:\n- metadata: {namespace: a}\n",
		association("permissionPolicyARNs: ['arn:aws:iam::aws:policy/ReadOnlyAccess'], permissionPolicyName: p"),
		association("permissionPolicy: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 's3:GetObject', Resource: '*'}}, permissionPolicyName: --"),
		association("permissionPolicy: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 's3:GetObject', Resource: '*'}}, permissionPolicyName: a b"),
		account("attachPolicyArn: x"), account("attachPolicy: []"), account("attachPolicyARNs: x"), account("wellKnownPolicies: {nope: true}"), account("wellKnownPolicies: {certManager: yes please}"),
		account("roleOnly: perhaps"), account("tags: [a]"), account("shareRole: true"), account("subjectPattern: app-*"), account("tags: {OpenIRSA.dev/owned: 'false'}"),
		attached("permissionsBoundary: 'arn:aws:iam::123456789012:policy/b'"), attached("tags: {team: a}"), attached("rolePath: /jobs/"), attached("wellKnownPolicies: {certManager: true}"),
		attached("attachPolicyARNs: ['arn:aws:iam::aws:policy/ReadOnlyAccess']"), attached("attachPolicy: {}"), attached("roleName: r"), attached("roleOnly: true"),
		attached("subjectPattern: 'system:serviceaccount:*'"), attached("shareRole: true"),
	} {
		if valid(wrong) == nil {
			t.Errorf("the schema takes\n%s", wrong)
		}
		if _, err := parseConfig([]byte(wrong)); err == nil {
			t.Errorf("setup takes\n%s", wrong)
		}
	}
}

// example is the one in the documentation.
func example(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(body), "```yaml\n")
	example, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("no example")
	}
	return example
}

// The example in the documentation is valid.
func TestConfigExample(t *testing.T) {
	if file, err := parseConfig([]byte(example(t))); err != nil || len(file.IAMServiceAccounts) < 2 {
		t.Errorf("%v, %d service accounts", err, len(file.IAMServiceAccounts))
	}
}

// Associations are those of eksctl's section and of ours, and each mistake names line and
// field (A51).
func TestConfigTakesAssociations(t *testing.T) {
	const ours = "apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\n"
	file, unread, err := Parse([]byte(ours + `podIdentityAssociations:
- namespace: team-a
  serviceAccountName: app
  permissionPolicyARNs: [arn:aws:iam::aws:policy/IAMReadOnlyAccess]
  createServiceAccount: true
iam:
  podIdentityAssociations:
  - {namespace: b, serviceAccountName: app, roleARN: "arn:aws:iam::111122223333:role/app", disableSessionTags: true, policy: {Version: "2012-10-17"}}
  - {namespace: c, serviceAccountName: app, roleARN: "arn:aws:iam::111122223333:role/app", disableSessionTags: true, policy: '{"Version": "2012-10-17"}'}
  - {namespace: d, serviceAccountName: app, permissionPolicy: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 's3:GetObject', Resource: '*'}}, permissionPolicyName: pod-logs}
`))
	if err != nil || len(unread) > 0 || len(file.PodIdentityAssociations) != 4 {
		t.Fatalf("%v, %v, %+v", err, unread, file.PodIdentityAssociations)
	}
	if a := file.PodIdentityAssociations[0]; a.String() != "team-a/app" || !a.CreateServiceAccount || a.Account().AttachPolicyARNs == nil {
		t.Errorf("%+v", a)
	}
	if a := file.PodIdentityAssociations[1]; string(a.Policy) != `{"Version":"2012-10-17"}` {
		t.Errorf("policy %s", a.Policy)
	}
	if a := file.PodIdentityAssociations[2]; string(a.Policy) != `{"Version": "2012-10-17"}` { // a text, as in eksctl
		t.Errorf("policy %s", a.Policy)
	}
	if sa := file.PodIdentityAssociations[3].Account(); sa.PolicyName() != "pod-logs" {
		t.Errorf("the inline policy is %s", sa.PolicyName())
	}
	const app, document = "{namespace: a, serviceAccountName: app, ", "permissionPolicy: {Version: 2012-10-17, Statement: {Effect: Allow, Action: 's3:GetObject', Resource: '*'}}, "
	for list, want := range map[string]string{
		app + "roleARN: \"arn:aws:iam::111122223333:role/r\", permissionPolicyARNs: [x]}": "line 3: iam.podIdentityAssociations[0].permissionPolicyARNs " +
			"cannot be specified when iam.podIdentityAssociations[0].roleARN is set",
		app + "permissionPolicy: {}, policy: {}}":                "line 3: iam.podIdentityAssociations[0].disableSessionTags must be set to true",
		app + "disableSessionTags: true}":                        "at least one of the following must be specified: iam.podIdentityAssociations[0].roleARN",
		"{serviceAccountName: app}":                              "iam.podIdentityAssociations[0].namespace is required",
		"{namespace: a}":                                         "iam.podIdentityAssociations[0].serviceAccountName is required",
		app + "roleARN: no}":                                     `"no" is not the ARN of a role`,
		app + "wellKnownPolicies: {none: true}}":                 `well-known policy "none"`,
		app + "wellKnownPolicies: {autoScaler: true}, extra: 1}": "extra",
		app + "permissionPolicyARNs: [x]}":                       `policy "x" is not the ARN`,
		"{namespace: A, serviceAccountName: app}":                `namespace "A"`,
		app + "wellKnownPolicies: {autoScaler: true}, permissionPolicyName: p}": "line 3: iam.podIdentityAssociations[0].permissionPolicyName can be " +
			"specified only with iam.podIdentityAssociations[0].permissionPolicy",
		app + document + "permissionPolicyName: _-.}":                                               `the name "_-." of the inline policy has neither a letter nor a digit`,
		app + document + "permissionPolicyName: a/b}":                                               `the name "a/b" of an inline policy is not 1 to 128`,
		app + document + "permissionPolicynames: a}":                                                "did you mean permissionPolicyName?",
		app + document + "wellKnownPolicies: {autoScaler: true}, permissionPolicyName: autoScaler}": "well-known policy autoScaler beside the inline policy of that name",
		app + "roleARN: \"arn:aws:iam::111122223333:role/r\", permissionPolicyName: p}": "iam.podIdentityAssociations[0].permissionPolicyName cannot be " +
			"specified when iam.podIdentityAssociations[0].roleARN is set",
		app + "roleARN: \"arn:aws:iam::111122223333:role/r\", disableSessionTags: true, policy: 'no'}":    "line 3: iam.podIdentityAssociations[0].policy: expected a policy, as fields or as a text of JSON",
		app + "wellKnownPolicies: {autoScaler: true}}, " + app + "wellKnownPolicies: {autoScaler: true}}": "a/app is already on line 3",
	} {
		if _, _, err := Parse([]byte(ours + "iam: {podIdentityAssociations: [" + list + "]}\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", list, err, want)
		}
	}
}
