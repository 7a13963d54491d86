package export_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/export"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// publicKey is the P-256 key of RFC 7517, appendix A.1.
const publicKey = `{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
	"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1","alg":"ES256"}]}`

// chain is one with everything in it, in a partition.
func chain(t *testing.T, region string, change func(*export.Resources)) *export.Resources {
	t.Helper()
	partition, err := publish.Partition(region)
	check(t, err)
	c := &export.Resources{Cluster: "dev", Account: "123456789012", Partition: partition, Region: region}
	c.Bucket = publish.S3{Account: c.Account, Partition: partition, Region: region, Bucket: "openirsa-dev-123456789012", Owned: true, Tags: owner.Tags("dev", "42")}
	c.Issuer, err = publish.Issuer(t.Context(), c.Bucket.Bucket, "", region)
	check(t, err)
	if change != nil {
		change(c)
	}
	set, err := keys.ParseJWKS([]byte(publicKey))
	check(t, err)
	if c.Issuer.IsZero() {
		return c
	}
	c.Documents, err = discovery.Documents(c.Issuer, set)
	check(t, err)
	c.Provider = provider.Provider{ARN: c.Issuer.ProviderARN(partition, c.Account), Issuer: c.Issuer, ClientIDs: []string{irsa.Audience}, Tags: owner.Tags("dev", "42")}
	document, err := trust.Policy{Providers: []trust.Provider{{ARN: c.Provider.ARN, Issuer: c.Issuer, Audience: irsa.Audience,
		Subjects: []string{token.Subject("default", "app")}}}}.Document()
	check(t, err)
	c.Roles = []role.Role{
		{Name: "openirsa-dev-default-app", Path: role.PathFor("dev"), Description: "Service account default/app of cluster dev", Trust: document,
			PolicyARNs: []string{"arn:" + partition + ":iam::aws:policy/AmazonS3ReadOnlyAccess", "arn:" + partition + ":iam::aws:policy/IAMReadOnlyAccess"},
			Inline:     map[string][]byte{"inline": []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:` + partition + `:s3:::data/${aws:PrincipalTag/team}/*"}]}`)},
			Boundary:   "arn:" + partition + ":iam::123456789012:policy/boundary", Tags: owner.Tags("dev", "42")},
		{Name: "plain", Trust: document, Tags: map[string]string{owner.Tag: "true", owner.ClusterTag: "dev", "team": "a"}},
	}
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// associate gives the chain associations of EKS Pod Identity.
func associate(t *testing.T, c *export.Resources) *export.Resources {
	t.Helper()
	document, err := trust.WithPods(nil, trust.Pods{ClusterARN: "arn:aws:eks:eu-west-1:123456789012:cluster/dev", Namespace: "team-a", ServiceAccount: "app"})
	check(t, err)
	pods := role.Role{Name: "openirsa-pods-dev-team-a-app", Path: role.PathFor("dev"), Trust: document, Tags: owner.Tags("dev", "42")}
	c.Associations = []podidentity.Association{
		{Cluster: "dev", Namespace: "team-a", ServiceAccount: "app", RoleARN: pods.ARNIn(c.Partition, c.Account), Tags: owner.Tags("dev", "42"),
			ID: "a-dt1bedfjc72dlwp5n", ARN: "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/dev/a-dt1bedfjc72dlwp5n"},
		{Cluster: "dev", Namespace: "team-a", ServiceAccount: "web.v1", RoleARN: "arn:" + c.Partition + ":iam::123456789012:role/theirs",
			TargetRoleARN: "arn:aws:iam::444455556666:role/target", DisableSessionTags: true,
			ID: "a-8mvwvh57cu74mgcst", ARN: "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/dev/a-8mvwvh57cu74mgcst",
			Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`},
	}
	c.Roles = []role.Role{c.Roles[0], pods, c.Roles[1]}
	return c
}

var update = flag.Bool("update", false, "write the files of testdata again")

// chains are what is exported in the tests, by the name of their files.
func chains(t *testing.T) map[string]*export.Resources {
	parse := func(s string) issuer.URL {
		iss, err := issuer.Parse(s)
		check(t, err)
		return iss
	}
	return map[string]*export.Resources{
		"adopt": chain(t, "eu-west-1", func(c *export.Resources) { c.Import = true }),
		"china": chain(t, "cn-north-1", nil),
		"shared-bucket": chain(t, "us-gov-west-1", func(c *export.Resources) {
			c.Bucket.Owned, c.Bucket.Prefix = false, "clusters/dev"
			c.Issuer = parse(c.Issuer.String() + "/clusters/dev")
		}),
		"served-elsewhere":   chain(t, "eusc-de-east-1", func(c *export.Resources) { c.Bucket = publish.S3{}; c.Issuer = parse("https://oidc.example.com/dev") }),
		"distribution-first": chain(t, "eu-west-1", func(c *export.Resources) { c.Bucket.Private, c.Issuer = true, issuer.URL{} }),
		"private": chain(t, "eu-west-1", func(c *export.Resources) {
			c.Bucket.Private, c.Issuer = true, parse("https://d111111abcdef8.cloudfront.net")
		}),
		"private-own-name": chain(t, "eu-west-1", func(c *export.Resources) {
			c.Bucket.Private, c.Bucket.Prefix, c.Bucket.Owned, c.Issuer = true, "dev", false, parse("https://oidc.example.com/dev")
		}),
		"pod-identity": associate(t, chain(t, "eu-west-1", func(c *export.Resources) { c.Import = true })),
		"private-given-distribution": chain(t, "eu-west-1", func(c *export.Resources) {
			c.Bucket.Private, c.Issuer = true, parse("https://d111111abcdef8.cloudfront.net")
			c.Bucket.Distribution = "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE"
		}),
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		check(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	check(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestTerraform(t *testing.T) {
	for name, c := range chains(t) {
		got, err := c.Terraform()
		check(t, err)
		golden(t, name+".tf", got)
		file, diags := hclsyntax.ParseConfig(got, name+".tf", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", name, diags)
		}
		conform(t, name, file.Body.(*hclsyntax.Body))
		if diff := cmp.Diff(string(hclwrite.Format(got)), string(got)); diff != "" {
			t.Errorf("%s: not as terraform fmt has it (-want +got):\n%s", name, diff)
		}
	}
}

// Terraform reads what was written, whatever is in it.
func TestTerraformReadsTheSame(t *testing.T) {
	texts := []string{"", " ", "for", "null", "true", "in", "if", "a-b", "-", "9", "a.b", "a b", "é", "日本", "\u00ad", "\u200b", "\U0001f600", "\U000e0001",
		`"`, `\`, `\"`, `\n`, "\n", "\r\n", "\t", "\x00", "\x7f", "$", "%", "${", "%{", "${a}", "%{if a}", "$${a}", "$$", "%%{", "a${b}c%{d}", "#", "//", "/*", "<<EOT", "=", "{", "}"}
	c := chain(t, "eu-west-1", func(c *export.Resources) { c.Import = true })
	document := map[string]any{"Numbers": []any{json.Number("1"), json.Number("-2.5"), json.Number("1e3")}, "Others": []any{true, false, nil, []any{}, map[string]any{}},
		"Lists": []any{map[string]any{"a": "b"}, map[string]any{"long-name": []any{map[string]any{"c": "d"}}}}, "Texts": texts}
	tags := map[string]string{}
	for _, text := range texts {
		document["of "+text], tags[text] = map[string]any{text: text}, text
	}
	want, err := json.Marshal(document)
	check(t, err)
	c.Roles = []role.Role{{Name: "odd", Description: strings.Join(texts, " "), Trust: want, Tags: tags}}
	text, err := c.Terraform()
	check(t, err)
	if diff := cmp.Diff(string(hclwrite.Format(text)), string(text)); diff != "" {
		t.Errorf("not as terraform fmt has it (-want +got):\n%s", diff)
	}
	file, diags := hclsyntax.ParseConfig(text, "", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, text)
	}
	context := &hcl.EvalContext{Functions: map[string]function.Function{"jsonencode": stdlib.JSONEncodeFunc}}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		if block.Type != "resource" || block.Labels[0] != "aws_iam_role" {
			continue
		}
		read := func(name string) cty.Value {
			v, diags := block.Body.Attributes[name].Expr.Value(context)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			return v
		}
		var policy map[string]any
		check(t, json.Unmarshal([]byte(read("assume_role_policy").AsString()), &policy))
		var wanted map[string]any
		check(t, json.Unmarshal(want, &wanted))
		if diff := cmp.Diff(wanted, policy); diff != "" {
			t.Errorf("policy (-want +got):\n%s", diff)
		}
		got := map[string]string{}
		for k, v := range read("tags").AsValueMap() {
			got[k] = v.AsString()
		}
		if diff := cmp.Diff(tags, got); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
		if got := read("description").AsString(); got != c.Roles[0].Description {
			t.Errorf("description %q", got)
		}
		return
	}
	t.Fatal("no role")
}

// schema are the arguments of resources that the provider hashicorp/aws
// documents (website/docs/r of its repository), and their blocks; "!" marks
// what is required.
var schema = map[string]string{
	"aws_s3_bucket":                        "bucket tags",
	"aws_s3_bucket_public_access_block":    "bucket! block_public_acls ignore_public_acls block_public_policy restrict_public_buckets",
	"aws_s3_bucket_policy":                 "bucket! policy!",
	"aws_s3_object":                        "bucket! key! content content_type cache_control",
	"aws_iam_openid_connect_provider":      "url! client_id_list! thumbprint_list tags",
	"aws_iam_role":                         "name path description permissions_boundary assume_role_policy! tags",
	"aws_iam_role_policy":                  "name role! policy!",
	"aws_iam_role_policy_attachment":       "role! policy_arn!",
	"aws_eks_pod_identity_association":     "cluster_name! namespace! service_account! role_arn! target_role_arn disable_session_tags policy tags",
	"aws_cloudfront_origin_access_control": "name! description origin_access_control_origin_type! signing_behavior! signing_protocol!",
	"aws_cloudfront_distribution":          "enabled! is_ipv6_enabled comment aliases origin! default_cache_behavior! restrictions! viewer_certificate! tags",
	"origin":                               "domain_name! origin_id! origin_access_control_id",
	"default_cache_behavior":               "target_origin_id! viewer_protocol_policy! allowed_methods! cached_methods! cache_policy_id",
	"restrictions":                         "geo_restriction!",
	"geo_restriction":                      "restriction_type! locations",
	"viewer_certificate":                   "cloudfront_default_certificate acm_certificate_arn ssl_support_method minimum_protocol_version",
	"data.aws_s3_bucket":                   "bucket!",
}

// attributes are what other resources refer to.
var attributes = map[string]string{
	"aws_s3_bucket": "id bucket_regional_domain_name", "aws_iam_openid_connect_provider": "arn", "aws_iam_role": "name arn",
	"aws_cloudfront_origin_access_control": "id", "aws_cloudfront_distribution": "arn domain_name",
	"aws_s3_bucket_public_access_block": "",
}

// conform holds a configuration against the schema, its references against what
// it declares, and its policies against JSON.
func conform(t *testing.T, name string, body *hclsyntax.Body) {
	t.Helper()
	declared := map[string]bool{}
	for _, block := range body.Blocks {
		switch block.Type {
		case "resource":
			declared[strings.Join(block.Labels, ".")] = true
			arguments(t, name, block.Labels[0], block.Body)
		case "data":
			declared["data."+strings.Join(block.Labels, ".")] = true
			arguments(t, name, "data."+block.Labels[0], block.Body)
		case "variable":
			declared["var."+block.Labels[0]] = true
		}
	}
	hclsyntax.VisitAll(body, func(node hclsyntax.Node) hcl.Diagnostics {
		expr, ok := node.(*hclsyntax.ScopeTraversalExpr)
		if !ok {
			return nil
		}
		var parts []string
		for _, step := range expr.Traversal {
			switch step := step.(type) {
			case hcl.TraverseRoot:
				parts = append(parts, step.Name)
			case hcl.TraverseAttr:
				parts = append(parts, step.Name)
			}
		}
		to := strings.Join(parts, ".")
		switch {
		case slices.Contains([]string{"each.key", "tags", "content", "string"}, to), declared[to]:
			return nil
		case len(parts) > 2:
			kind, resource := parts[len(parts)-3], strings.Join(parts[:len(parts)-1], ".")
			if declared[resource] && slices.Contains(strings.Fields(attributes[kind]), parts[len(parts)-1]) {
				return nil
			}
		}
		t.Errorf("%s: %s refers to nothing", name, to)
		return nil
	})
}

func arguments(t *testing.T, file, kind string, body *hclsyntax.Body) {
	t.Helper()
	known, ok := schema[kind]
	if !ok {
		t.Errorf("%s: %s is not in the schema", file, kind)
	}
	given := map[string]bool{}
	for name := range body.Attributes {
		given[name] = true
	}
	for _, block := range body.Blocks {
		given[block.Type] = true
		if block.Type != "lifecycle" {
			arguments(t, file, block.Type, block.Body)
		}
	}
	for argument := range strings.FieldsSeq(known) {
		name, required := strings.CutSuffix(argument, "!")
		if required && !given[name] {
			t.Errorf("%s: %s lacks %s", file, kind, name)
		}
		delete(given, name)
	}
	for name := range given {
		if !slices.Contains([]string{"lifecycle", "for_each", "depends_on"}, name) {
			t.Errorf("%s: %s has no argument %s", file, kind, name)
		}
	}
}

// What Terraform will send to AWS is byte for byte what setup sends, or says the
// same: names of resources are for the reader only.
func TestTerraformSaysTheSame(t *testing.T) {
	c := chains(t)["adopt"]
	text, err := c.Terraform()
	check(t, err)
	file, diags := hclsyntax.ParseConfig(text, "", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	values := &hcl.EvalContext{
		Functions: map[string]function.Function{"jsonencode": stdlib.JSONEncodeFunc, "toset": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "v", Type: cty.DynamicPseudoType}}, Type: function.StaticReturnType(cty.DynamicPseudoType),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return args[0], nil },
		})},
		Variables: map[string]cty.Value{
			"aws_iam_openid_connect_provider": cty.ObjectVal(map[string]cty.Value{"cluster": cty.ObjectVal(map[string]cty.Value{"arn": cty.StringVal(c.Provider.ARN)})}),
		},
	}
	value := func(label, attribute string) cty.Value {
		t.Helper()
		for _, block := range file.Body.(*hclsyntax.Body).Blocks {
			if block.Type == "resource" && strings.Join(block.Labels, ".") == label {
				v, diags := block.Body.Attributes[attribute].Expr.Value(values)
				if diags.HasErrors() {
					t.Fatal(diags)
				}
				return v
			}
		}
		t.Fatalf("there is no %s", label)
		return cty.NilVal
	}
	same := func(label, attribute string, want []byte) {
		t.Helper()
		if got := value(label, attribute).AsString(); !trust.Equal([]byte(got), want) {
			t.Errorf("%s: %s is %s, want %s", label, attribute, got, want)
		}
	}
	app := c.Roles[0]
	same("aws_iam_role."+app.Name, "assume_role_policy", app.Trust)
	same("aws_iam_role_policy."+app.Name+"-inline", "policy", app.Inline["inline"])
	bucketPolicy, err := c.Bucket.PolicyDocument(discovery.Paths)
	check(t, err)
	same("aws_s3_bucket_policy.issuer", "policy", bucketPolicy)
	for i, label := range []string{"aws_s3_object.jwks", "aws_s3_object.discovery"} {
		if got := value(label, "content").AsString(); got != string(c.Documents[i].Body) {
			t.Errorf("%s: %s", label, got)
		}
		if got := value(label, "key").AsString(); got != c.Bucket.Key(c.Documents[i].Path) {
			t.Errorf("%s: key %s", label, got)
		}
	}
	pods := associate(t, chains(t)["adopt"])
	text, err = pods.Terraform()
	check(t, err)
	if file, diags = hclsyntax.ParseConfig(text, "", hcl.InitialPos); diags.HasErrors() {
		t.Fatal(diags)
	}
	same("aws_iam_role.openirsa-pods-dev-team-a-app", "assume_role_policy", pods.Roles[1].Trust)
	same("aws_eks_pod_identity_association.team-a_web_v1", "policy", []byte(pods.Associations[1].Policy))
	var attached []string
	for _, v := range value("aws_iam_role_policy_attachment."+app.Name, "for_each").AsValueSlice() {
		attached = append(attached, v.AsString())
	}
	if !slices.Equal(attached, app.PolicyARNs) {
		t.Errorf("attached %q", attached)
	}
}

func TestCloudFormation(t *testing.T) {
	for name, c := range chains(t) {
		got, err := c.CloudFormation()
		check(t, err)
		golden(t, name+".yaml", got)
		var template struct {
			Description string
			Resources   map[string]map[string]any
		}
		check(t, yaml.Unmarshal(got, &template))
		if len(template.Description) > 1024 || c.Bucket.Bucket != "" && !strings.Contains(template.Description, "issuer publish") {
			t.Errorf("%s: description %q", name, template.Description)
		}
		if !c.Import {
			continue
		}
		list, err := c.ResourcesToImport()
		check(t, err)
		golden(t, name+".resources-to-import.json", list)
		var imported []struct {
			ResourceType, LogicalResourceId string
			ResourceIdentifier              map[string]string
		}
		check(t, json.Unmarshal(list, &imported))
		if len(imported) != len(template.Resources) {
			t.Errorf("%s: %d of %d resources are imported", name, len(imported), len(template.Resources))
		}
		for _, r := range imported {
			there := template.Resources[r.LogicalResourceId]
			if there["Type"] != r.ResourceType || there["DeletionPolicy"] == nil {
				t.Errorf("%s: %s is %v", name, r.LogicalResourceId, there)
			}
		}
	}
}

// While the issuer is not known there is no provider, and none to adopt.
func TestNoProviderIsImportedWithoutAnIssuer(t *testing.T) {
	c := chain(t, "eu-west-1", func(c *export.Resources) { c.Bucket.Private, c.Issuer, c.Import = true, issuer.URL{}, true })
	list, err := c.ResourcesToImport()
	check(t, err)
	if !bytes.Contains(list, []byte("AWS::S3::Bucket")) || bytes.Contains(list, []byte("OIDCProvider")) {
		t.Errorf("%s", list)
	}
}

func TestLabelsDiffer(t *testing.T) {
	c := chain(t, "eu-west-1", func(c *export.Resources) { c.Import = true })
	c.Roles = nil
	for _, name := range []string{"a.b", "a@b", "9lives", "A_b"} {
		c.Roles = append(c.Roles, role.Role{Name: name, Trust: []byte("{}")})
	}
	text, err := c.Terraform()
	check(t, err)
	if diags := parse(text); diags.HasErrors() {
		t.Fatal(diags)
	}
	if n := bytes.Count(text, []byte(`resource "aws_iam_role" "_9lives"`)); n != 1 {
		t.Errorf("%s", text)
	}
	seen := map[string]bool{}
	list, err := c.ResourcesToImport()
	check(t, err)
	var imported []struct{ LogicalResourceId string }
	check(t, json.Unmarshal(list, &imported))
	for _, r := range imported {
		if key := strings.ToLower(r.LogicalResourceId); seen[key] {
			t.Errorf("two are called %s", r.LogicalResourceId)
		} else {
			seen[key] = true
		}
	}
	for label := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(label, `resource "aws_iam_role" `); ok {
			if key := strings.ToLower(rest); seen[key] {
				t.Errorf("two are called %s", rest)
			} else {
				seen[key] = true
			}
		}
	}
}

func parse(text []byte) hcl.Diagnostics {
	_, diags := hclsyntax.ParseConfig(text, "", hcl.InitialPos)
	return diags
}

// examples are the files of that name that users copy.
func examples(t *testing.T, file string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", file))
	check(t, err)
	if len(files) == 0 {
		t.Errorf("no example has a %s", file)
	}
	texts := map[string][]byte{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		check(t, err)
		texts["example-"+filepath.Base(filepath.Dir(f))] = text
	}
	return texts
}

// The tools themselves, where they are; `make e2e` wants them. The AWS provider is a download, so that
// Terraform goes no further than to look for it: by then it has read and
// checked all that is not the provider's.
func TestTheToolsAgree(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	t.Run("terraform", func(t *testing.T) {
		if err != nil {
			needs.Lacking(t, err)
		}
		all := t.TempDir()
		check(t, os.WriteFile(filepath.Join(all, "rc"), fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", filepath.Join(all, "none")), 0o644))
		run := func(args ...string) (string, error) {
			cmd := exec.CommandContext(t.Context(), terraform, append(args, "-no-color")...)
			cmd.Dir = all
			cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(all, "rc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		configurations := examples(t, "openirsa.tf")
		for name, c := range chains(t) {
			text, err := c.Terraform()
			check(t, err)
			configurations[name] = text
		}
		for name, text := range configurations {
			check(t, os.Mkdir(filepath.Join(all, name), 0o755))
			check(t, os.WriteFile(filepath.Join(all, name, "main.tf"), text, 0o644))
			out, _ := run("-chdir="+name, "init", "-backend=false", "-input=false")
			if !strings.Contains(out, "Failed to query available provider packages") || strings.Contains(out, "problems with the configuration") {
				t.Errorf("%s: terraform init: %s", name, out)
			}
		}
		if out, err := run("fmt", "-check", "-diff", "-recursive"); err != nil {
			t.Errorf("terraform fmt: %v\n%s", err, out)
		}
	})
	t.Run("cfn-lint", func(t *testing.T) {
		lint, err := exec.LookPath("cfn-lint")
		if err != nil {
			needs.Lacking(t, err)
		}
		dir := t.TempDir()
		args := []string{"--regions", "eu-west-1", "--template"}
		templates := examples(t, "openirsa.yaml")
		for name, c := range chains(t) {
			text, err := c.CloudFormation()
			check(t, err)
			templates[name] = text
		}
		for name, text := range templates {
			args = append(args, filepath.Join(dir, name+".yaml"))
			check(t, os.WriteFile(args[len(args)-1], text, 0o644))
		}
		if out, err := exec.CommandContext(t.Context(), lint, args...).CombinedOutput(); err != nil {
			t.Errorf("cfn-lint: %v\n%s", err, out)
		}
	})
}
