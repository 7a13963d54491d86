package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/role"
)

// The versions that the configuration is written for: Terraform has import blocks
// with for_each since 1.7, and the provider accepts an OIDC provider without
// thumbprints since 6.0 at the latest.
const (
	terraformVersion = ">= 1.7.0"
	providerVersion  = ">= 6.0.0"
)

// Labels of the single resources. A bucket and a distribution are the issuer's.
const (
	issuerLabel  = "issuer"
	clusterLabel = "cluster"
)

// cachingOptimized is the id of CloudFront's managed cache policy of that name,
// which honours the documents' Cache-Control (Developer Guide, "Use managed cache
// policies").
const cachingOptimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"

// Terraform is the chain as a Terraform configuration (HCL) for the provider
// hashicorp/aws.
func (c *Resources) Terraform() ([]byte, error) {
	t := &terraform{Resources: c, file: hclwrite.NewEmptyFile(), refs: map[string]hcl.Traversal{
		c.Provider.ARN: reference("aws_iam_openid_connect_provider", clusterLabel, "arn"),
		madeHere:       reference("aws_cloudfront_distribution", issuerLabel, "arn"),
	}}
	t.comment("IAM roles for the service accounts of cluster %s: what OpenIRSA makes in AWS account %s.", c.Cluster, c.Account)
	t.preamble()
	for _, write := range []func() error{t.bucket, t.distribution, t.documents, t.provider, t.roles, t.associations, t.outputs} {
		if err := write(); err != nil {
			return nil, fmt.Errorf("writing Terraform: %w", err)
		}
	}
	return hclwrite.Format(bytes.TrimLeft(t.file.Bytes(), "\n")), nil
}

// terraform is a configuration being written.
type terraform struct {
	*Resources
	file *hclwrite.File
	refs map[string]hcl.Traversal // what stands for a string that has a name here
}

func reference(parts ...string) hcl.Traversal {
	t := hcl.Traversal{hcl.TraverseRoot{Name: parts[0]}}
	for _, part := range parts[1:] {
		t = append(t, hcl.TraverseAttr{Name: part})
	}
	return t
}

// comment writes lines of text, after an empty one.
func (t *terraform) comment(format string, args ...any) {
	t.file.Body().AppendNewline()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		comment(t.file.Body(), strings.TrimSpace(line))
	}
}

func comment(b *hclwrite.Body, line string) {
	b.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + line + "\n")}})
}

// block appends a block, after an empty line.
func (t *terraform) block(kind string, labels ...string) *hclwrite.Body {
	t.file.Body().AppendNewline()
	return t.file.Body().AppendNewBlock(kind, labels).Body()
}

// resource appends a resource, and the import block for the existing one with that
// id.
func (t *terraform) resource(kind, label, id string) *hclwrite.Body {
	if t.Import && id != "" {
		b := t.block("import")
		b.SetAttributeTraversal("to", reference(kind, label))
		b.SetAttributeValue("id", cty.StringVal(id))
	}
	return t.block("resource", kind, label)
}

func (t *terraform) preamble() {
	b := t.block("terraform")
	b.SetAttributeValue("required_version", cty.StringVal(terraformVersion))
	b.AppendNewline()
	b.AppendNewBlock("required_providers", nil).Body().SetAttributeValue("aws", cty.ObjectVal(map[string]cty.Value{
		"source": cty.StringVal("hashicorp/aws"), "version": cty.StringVal(providerVersion),
	}))
	b = t.block("provider", "aws")
	b.SetAttributeValue("region", cty.StringVal(t.Region))
	b.SetAttributeRaw("allowed_account_ids", texts(t.Account))
}

func (t *terraform) bucket() error {
	b := t.Resources.bucket()
	if b.Bucket == "" {
		t.comment("The documents are served at %s, not by S3.", t.Issuer)
		return nil
	}
	if !b.Owned {
		t.comment("Bucket %s already existed, and stays as it is. Its policy needs the statement\nin the output bucket_policy.", b.Bucket)
		return nil
	}
	bucket := reference("aws_s3_bucket", issuerLabel, "id")

	r := t.resource("aws_s3_bucket", issuerLabel, b.Bucket)
	r.SetAttributeValue("bucket", cty.StringVal(b.Bucket))
	t.tags(r, b.Tags)

	r = t.resource("aws_s3_bucket_public_access_block", issuerLabel, b.Bucket)
	r.SetAttributeTraversal("bucket", bucket)
	r.SetAttributeValue("block_public_acls", cty.True)
	r.SetAttributeValue("ignore_public_acls", cty.True)
	r.SetAttributeValue("block_public_policy", cty.BoolVal(b.Private))
	r.SetAttributeValue("restrict_public_buckets", cty.BoolVal(b.Private))

	document, err := b.PolicyDocument(discovery.Paths)
	if err != nil {
		return err
	}
	r = t.resource("aws_s3_bucket_policy", issuerLabel, b.Bucket)
	if b.Private {
		comment(r, "The distribution may read the documents, and nothing else.")
	} else {
		comment(r, "Anybody may read the documents, and nothing else.")
	}
	r.SetAttributeTraversal("bucket", bucket)
	if err := t.policy(r, "policy", document); err != nil {
		return err
	}
	r.AppendNewline()
	r.SetAttributeRaw("depends_on", list(hclwrite.TokensForTraversal(reference("aws_s3_bucket_public_access_block", issuerLabel))))
	return nil
}

// distribution serves a private bucket.
func (t *terraform) distribution() error {
	if !t.distributes() {
		return nil
	}
	r := t.resource("aws_cloudfront_origin_access_control", issuerLabel, "")
	r.SetAttributeValue("name", cty.StringVal("openirsa-"+t.Cluster))
	r.SetAttributeValue("description", cty.StringVal("Issuer documents of cluster "+t.Cluster))
	r.SetAttributeValue("origin_access_control_origin_type", cty.StringVal("s3"))
	r.SetAttributeValue("signing_behavior", cty.StringVal("always"))
	r.SetAttributeValue("signing_protocol", cty.StringVal("sigv4"))

	alias := t.alias()
	if alias != "" {
		v := t.block("variable", "certificate_arn")
		v.SetAttributeRaw("type", hclwrite.TokensForIdentifier("string"))
		v.SetAttributeValue("description", cty.StringVal("ARN of the certificate of "+alias+" in ACM, in us-east-1"))
	}
	if !t.Bucket.Owned {
		b := t.block("data", "aws_s3_bucket", issuerLabel)
		b.SetAttributeValue("bucket", cty.StringVal(t.Bucket.Bucket))
	}
	r = t.resource("aws_cloudfront_distribution", issuerLabel, "")
	r.SetAttributeValue("enabled", cty.True)
	r.SetAttributeValue("is_ipv6_enabled", cty.True)
	r.SetAttributeValue("comment", cty.StringVal("Issuer documents of cluster "+t.Cluster))
	if alias != "" {
		r.SetAttributeRaw("aliases", texts(alias))
	}
	r.AppendNewline()
	o := r.AppendNewBlock("origin", nil).Body()
	domain := reference("aws_s3_bucket", issuerLabel, "bucket_regional_domain_name")
	if !t.Bucket.Owned {
		domain = reference("data", "aws_s3_bucket", issuerLabel, "bucket_regional_domain_name")
	}
	o.SetAttributeTraversal("domain_name", domain)
	o.SetAttributeValue("origin_id", cty.StringVal("bucket"))
	o.SetAttributeTraversal("origin_access_control_id", reference("aws_cloudfront_origin_access_control", issuerLabel, "id"))
	r.AppendNewline()
	b := r.AppendNewBlock("default_cache_behavior", nil).Body()
	b.SetAttributeValue("target_origin_id", cty.StringVal("bucket"))
	b.SetAttributeValue("viewer_protocol_policy", cty.StringVal("https-only"))
	b.SetAttributeRaw("allowed_methods", texts("GET", "HEAD"))
	b.SetAttributeRaw("cached_methods", texts("GET", "HEAD"))
	b.SetAttributeValue("cache_policy_id", cty.StringVal(cachingOptimized))
	r.AppendNewline()
	restriction := r.AppendNewBlock("restrictions", nil).Body().AppendNewBlock("geo_restriction", nil).Body()
	restriction.SetAttributeValue("restriction_type", cty.StringVal("none"))
	r.AppendNewline()
	v := r.AppendNewBlock("viewer_certificate", nil).Body()
	if alias == "" {
		v.SetAttributeValue("cloudfront_default_certificate", cty.True)
	} else {
		v.SetAttributeTraversal("acm_certificate_arn", reference("var", "certificate_arn"))
		v.SetAttributeValue("ssl_support_method", cty.StringVal("sni-only"))
		v.SetAttributeValue("minimum_protocol_version", cty.StringVal("TLSv1.2_2021"))
	}
	t.tags(r, t.Bucket.Tags)
	return nil
}

// documents are created once. From then on they follow the cluster's keys, and setup
// or the publisher writes them: Terraform would bring removed keys back.
func (t *terraform) documents() error {
	if t.Bucket.Bucket == "" || t.Issuer.IsZero() {
		return nil
	}
	if len(t.Documents) == 0 {
		t.comment("The documents hold the cluster's keys, which are not known here: `openirsa up`\n" +
			"or `openirsa issuer publish` writes them to the bucket.")
		return nil
	}
	for _, doc := range t.Documents {
		label := strings.NewReplacer("openid-configuration", "discovery").Replace(path.Base(doc.Path))
		key := t.Bucket.Key(doc.Path)
		r := t.resource("aws_s3_object", label, "s3://"+t.Bucket.Bucket+"/"+key)
		if t.Bucket.Owned {
			r.SetAttributeTraversal("bucket", reference("aws_s3_bucket", issuerLabel, "id"))
		} else {
			r.SetAttributeValue("bucket", cty.StringVal(t.Bucket.Bucket))
		}
		r.SetAttributeValue("key", cty.StringVal(key))
		r.SetAttributeValue("content", cty.StringVal(string(doc.Body)))
		r.SetAttributeValue("content_type", cty.StringVal(doc.ContentType))
		r.SetAttributeValue("cache_control", cty.StringVal(discovery.CacheControl))
		r.AppendNewline()
		comment(r, "Whoever rotates the cluster's keys writes it.")
		r.AppendNewBlock("lifecycle", nil).Body().SetAttributeRaw("ignore_changes", list(hclwrite.TokensForIdentifier("content")))
	}
	return nil
}

func (t *terraform) provider() error {
	if t.Issuer.IsZero() {
		return nil
	}
	p := t.Provider
	r := t.resource("aws_iam_openid_connect_provider", clusterLabel, p.ARN)
	r.SetAttributeValue("url", cty.StringVal(p.Issuer.String()))
	r.SetAttributeRaw("client_id_list", texts(p.ClientIDs...))
	if len(p.Thumbprints) > 0 {
		r.SetAttributeRaw("thumbprint_list", texts(p.Thumbprints...))
	}
	t.tags(r, p.Tags)
	return nil
}

func (t *terraform) roles() error {
	labels := identifiers(roleNames(t.Roles))
	for _, want := range t.Roles {
		if err := t.role(labels[want.Name], want); err != nil {
			return fmt.Errorf("role %s: %w", want.Name, err)
		}
	}
	return nil
}

func (t *terraform) role(label string, want role.Role) error {
	r := t.resource("aws_iam_role", label, want.Name)
	r.SetAttributeValue("name", cty.StringVal(want.Name))
	if want.Path != "" {
		r.SetAttributeValue("path", cty.StringVal(want.Path))
	}
	if want.Description != "" {
		r.SetAttributeValue("description", cty.StringVal(want.Description))
	}
	if want.Boundary != "" {
		r.SetAttributeValue("permissions_boundary", cty.StringVal(want.Boundary))
	}
	r.AppendNewline()
	if err := t.policy(r, "assume_role_policy", want.Trust); err != nil {
		return err
	}
	t.tags(r, want.Tags)

	name := reference("aws_iam_role", label, "name")
	if len(want.PolicyARNs) > 0 {
		if t.Import {
			b := t.block("import")
			b.SetAttributeRaw("for_each", hclwrite.TokensForFunctionCall("toset", texts(want.PolicyARNs...)))
			b.SetAttributeRaw("to", append(hclwrite.TokensForTraversal(reference("aws_iam_role_policy_attachment", label)), raw("[each.key]")...))
			b.SetAttributeRaw("id", raw(`"`+want.Name+`/${each.key}"`))
		}
		r := t.block("resource", "aws_iam_role_policy_attachment", label)
		r.SetAttributeRaw("for_each", hclwrite.TokensForFunctionCall("toset", texts(want.PolicyARNs...)))
		r.AppendNewline()
		r.SetAttributeTraversal("role", name)
		r.SetAttributeRaw("policy_arn", raw("each.key"))
	}
	inline := identifiers(sortedKeys(want.Inline))
	for _, policy := range sortedKeys(want.Inline) {
		r := t.resource("aws_iam_role_policy", label+"-"+inline[policy], want.Name+":"+policy)
		r.SetAttributeValue("name", cty.StringVal(policy))
		r.SetAttributeTraversal("role", name)
		if err := t.policy(r, "policy", want.Inline[policy]); err != nil {
			return err
		}
	}
	return nil
}

// associations are those of EKS Pod Identity. The provider calls an existing one
// CLUSTER,ID.
func (t *terraform) associations() error {
	if len(t.Associations) == 0 {
		return nil
	}
	t.comment("Associations of EKS Pod Identity. EKS must know cluster %s by the issuer of its tokens: AWS's own\nknows the clusters "+
		"alone that it has made.", t.Cluster)
	roles := identifiers(roleNames(t.Roles))
	byARN := map[string]hcl.Traversal{}
	for _, r := range t.Roles {
		byARN[r.ARNIn(t.Partition, t.Account)] = reference("aws_iam_role", roles[r.Name], "arn")
	}
	labels := identifiers(associationNames(t.Associations))
	for _, a := range t.Associations {
		id := ""
		if a.ID != "" {
			id = a.Cluster + "," + a.ID
		}
		r := t.resource("aws_eks_pod_identity_association", labels[a.String()], id)
		r.SetAttributeValue("cluster_name", cty.StringVal(a.Cluster))
		r.SetAttributeValue("namespace", cty.StringVal(a.Namespace))
		r.SetAttributeValue("service_account", cty.StringVal(a.ServiceAccount))
		for _, arn := range [][2]string{{"role_arn", a.RoleARN}, {"target_role_arn", a.TargetRoleARN}} {
			if to, ok := byARN[arn[1]]; ok {
				r.SetAttributeTraversal(arn[0], to)
			} else if arn[1] != "" {
				r.SetAttributeValue(arn[0], cty.StringVal(arn[1]))
			}
		}
		if a.DisableSessionTags {
			r.SetAttributeValue("disable_session_tags", cty.True)
		}
		if a.Policy != "" {
			if err := t.policy(r, "policy", []byte(a.Policy)); err != nil {
				return fmt.Errorf("association of %s: %w", a, err)
			}
		}
		t.tags(r, a.Tags)
	}
	return nil
}

func (t *terraform) outputs() error {
	output := func(name, description string, value hclwrite.Tokens) {
		b := t.block("output", name)
		b.SetAttributeValue("description", cty.StringVal(description))
		b.SetAttributeRaw("value", value)
	}
	if t.distributes() {
		output("distribution_arn", "The distribution that the bucket's policy lets in, for openirsa where it writes the policy",
			hclwrite.TokensForTraversal(reference("aws_cloudfront_distribution", issuerLabel, "arn")))
	}
	if b := t.Resources.bucket(); b.Bucket != "" && !b.Owned {
		document, err := b.PolicyDocument(discovery.Paths)
		if err != nil {
			return err
		}
		value, err := t.json(document)
		if err != nil {
			return err
		}
		output("bucket_policy", "The statement that the policy of bucket "+b.Bucket+" needs",
			hclwrite.TokensForFunctionCall("jsonencode", value))
	}
	if t.Issuer.IsZero() {
		output("issuer_url", "The address of the distribution, which is the issuer URL of the chain",
			raw(`"https://${aws_cloudfront_distribution.`+issuerLabel+`.domain_name}"`))
		return nil
	}
	output("issuer_url", "The API server's --service-account-issuer; keys are at "+issuer.JWKSPath+" below it",
		hclwrite.TokensForValue(cty.StringVal(t.Issuer.String())))
	output("provider_arn", "The provider that trust policies name",
		hclwrite.TokensForTraversal(reference("aws_iam_openid_connect_provider", clusterLabel, "arn")))
	return nil
}

// identifiers are labels that name resources by what they are.
func identifiers(names []string) map[string]string {
	var ids []string
	for _, name := range names {
		id := strings.Map(func(r rune) rune {
			if isAlphanumeric(r) || r == '_' || r == '-' {
				return r
			}
			return '_'
		}, name)
		if !hclsyntax.ValidIdentifier(id) { // it begins with a digit
			id = "_" + id
		}
		ids = append(ids, id)
	}
	return labels(names, ids)
}

// tags sets the tags of a resource. One that setup will add stays.
func (t *terraform) tags(r *hclwrite.Body, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	values := map[string]cty.Value{}
	for k, v := range tags {
		values[k] = cty.StringVal(v)
	}
	r.AppendNewline()
	r.SetAttributeValue("tags", cty.ObjectVal(values))
	if tagsGrow(tags) {
		r.AppendNewline()
		r.AppendNewBlock("lifecycle", nil).Body().SetAttributeRaw("ignore_changes", list(raw(`tags["`+owner.UIDTag+`"]`)))
	}
}

// policy sets an attribute to a policy document.
func (t *terraform) policy(r *hclwrite.Body, name string, document []byte) error {
	value, err := t.json(document)
	if err != nil {
		return err
	}
	r.SetAttributeRaw(name, hclwrite.TokensForFunctionCall("jsonencode", value))
	return nil
}

// json is a JSON document as an expression, its members in their order.
func (t *terraform) json(document []byte) (hclwrite.Tokens, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	tokens, err := t.value(d)
	if err != nil {
		return nil, fmt.Errorf("reading a policy document: %w", err)
	}
	return tokens, nil
}

func (t *terraform) value(d *json.Decoder) (hclwrite.Tokens, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return t.array(d)
		}
		return t.object(d)
	case string:
		if to, ok := t.refs[v]; ok {
			return hclwrite.TokensForTraversal(to), nil
		}
		return hclwrite.TokensForValue(cty.StringVal(v)), nil
	case bool:
		return hclwrite.TokensForValue(cty.BoolVal(v)), nil
	case json.Number:
		n, err := cty.ParseNumberVal(v.String())
		if err != nil {
			return nil, err
		}
		return hclwrite.TokensForValue(n), nil
	}
	return hclwrite.TokensForValue(cty.NullVal(cty.DynamicPseudoType)), nil
}

func (t *terraform) array(d *json.Decoder) (hclwrite.Tokens, error) {
	var items []hclwrite.Tokens
	for d.More() {
		item, err := t.value(d)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := d.Token()
	return list(items...), err
}

func (t *terraform) object(d *json.Decoder) (hclwrite.Tokens, error) {
	var members []hclwrite.ObjectAttrTokens
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := hclwrite.TokensForValue(cty.StringVal(key.(string)))
		if hclsyntax.ValidIdentifier(key.(string)) {
			name = hclwrite.TokensForIdentifier(key.(string))
		}
		value, err := t.value(d)
		if err != nil {
			return nil, err
		}
		members = append(members, hclwrite.ObjectAttrTokens{Name: name, Value: value})
	}
	_, err := d.Token()
	return hclwrite.TokensForObject(members), err
}

// longLine is the length above which a list gets a line per item.
const longLine = 80

func list(items ...hclwrite.Tokens) hclwrite.Tokens {
	tuple := hclwrite.TokensForTuple(items)
	if len(items) < 2 || len(tuple.Bytes()) <= longLine {
		return tuple
	}
	lines := raw("[\n")
	for _, item := range items {
		lines = append(lines, item...)
		lines = append(lines, raw(",\n")...)
	}
	return append(lines, raw("]")...)
}

func texts(items ...string) hclwrite.Tokens {
	values := make([]hclwrite.Tokens, len(items))
	for i, s := range items {
		values[i] = hclwrite.TokensForValue(cty.StringVal(s))
	}
	return list(values...)
}

// raw is an expression written as it is.
func raw(expression string) hclwrite.Tokens {
	return hclwrite.Tokens{{Type: hclsyntax.TokenIdent, Bytes: []byte(expression)}}
}
