package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

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
	t := &terraform{Resources: c, refs: map[string]expression{
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
	return []byte(strings.TrimLeft(t.file.String(), "\n")), nil
}

// terraform is a configuration being written.
type terraform struct {
	*Resources
	file body
	refs map[string]expression // what stands for a string that has a name here
}

// comment writes lines of text, after an empty one.
func (t *terraform) comment(format string, args ...any) {
	t.file.newline()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		t.file.comment(strings.TrimSpace(line))
	}
}

// block appends a block, after an empty line.
func (t *terraform) block(kind string, labels ...string) *body {
	t.file.newline()
	return t.file.block(kind, labels...)
}

// resource appends a resource, and the import block for the existing one with that
// id.
func (t *terraform) resource(kind, label, id string) *body {
	if t.Import && id != "" {
		b := t.block("import")
		b.set("to", reference(kind, label))
		b.setText("id", id)
	}
	return t.block("resource", kind, label)
}

func (t *terraform) preamble() {
	b := t.block("terraform")
	b.setText("required_version", terraformVersion)
	b.newline()
	b.block("required_providers").set("aws", object([]member{
		{"source", quoted("hashicorp/aws")}, {"version", quoted(providerVersion)},
	}))
	b = t.block("provider", "aws")
	b.setText("region", t.Region)
	b.set("allowed_account_ids", texts(t.Account))
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
	r.setText("bucket", b.Bucket)
	t.tags(r, b.Tags)

	r = t.resource("aws_s3_bucket_public_access_block", issuerLabel, b.Bucket)
	r.set("bucket", bucket)
	r.setBool("block_public_acls", true)
	r.setBool("ignore_public_acls", true)
	r.setBool("block_public_policy", b.Private)
	r.setBool("restrict_public_buckets", b.Private)

	document, err := b.PolicyDocument(discovery.Paths)
	if err != nil {
		return err
	}
	r = t.resource("aws_s3_bucket_policy", issuerLabel, b.Bucket)
	if b.Private {
		r.comment("The distribution may read the documents, and nothing else.")
	} else {
		r.comment("Anybody may read the documents, and nothing else.")
	}
	r.set("bucket", bucket)
	if err := t.policy(r, "policy", document); err != nil {
		return err
	}
	r.newline()
	r.set("depends_on", list(reference("aws_s3_bucket_public_access_block", issuerLabel)))
	return nil
}

// distribution serves a private bucket.
func (t *terraform) distribution() error {
	if !t.distributes() {
		return nil
	}
	r := t.resource("aws_cloudfront_origin_access_control", issuerLabel, "")
	r.setText("name", "openirsa-"+t.Cluster)
	r.setText("description", "Issuer documents of cluster "+t.Cluster)
	r.setText("origin_access_control_origin_type", "s3")
	r.setText("signing_behavior", "always")
	r.setText("signing_protocol", "sigv4")

	alias := t.alias()
	if alias != "" {
		v := t.block("variable", "certificate_arn")
		v.set("type", "string")
		v.setText("description", "ARN of the certificate of "+alias+" in ACM, in us-east-1")
	}
	if !t.Bucket.Owned {
		b := t.block("data", "aws_s3_bucket", issuerLabel)
		b.setText("bucket", t.Bucket.Bucket)
	}
	r = t.resource("aws_cloudfront_distribution", issuerLabel, "")
	r.setBool("enabled", true)
	r.setBool("is_ipv6_enabled", true)
	r.setText("comment", "Issuer documents of cluster "+t.Cluster)
	if alias != "" {
		r.set("aliases", texts(alias))
	}
	r.newline()
	o := r.block("origin")
	domain := reference("aws_s3_bucket", issuerLabel, "bucket_regional_domain_name")
	if !t.Bucket.Owned {
		domain = reference("data", "aws_s3_bucket", issuerLabel, "bucket_regional_domain_name")
	}
	o.set("domain_name", domain)
	o.setText("origin_id", "bucket")
	o.set("origin_access_control_id", reference("aws_cloudfront_origin_access_control", issuerLabel, "id"))
	r.newline()
	b := r.block("default_cache_behavior")
	b.setText("target_origin_id", "bucket")
	b.setText("viewer_protocol_policy", "https-only")
	b.set("allowed_methods", texts("GET", "HEAD"))
	b.set("cached_methods", texts("GET", "HEAD"))
	b.setText("cache_policy_id", cachingOptimized)
	r.newline()
	restriction := r.block("restrictions").block("geo_restriction")
	restriction.setText("restriction_type", "none")
	r.newline()
	v := r.block("viewer_certificate")
	if alias == "" {
		v.setBool("cloudfront_default_certificate", true)
	} else {
		v.set("acm_certificate_arn", reference("var", "certificate_arn"))
		v.setText("ssl_support_method", "sni-only")
		v.setText("minimum_protocol_version", "TLSv1.2_2021")
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
			r.set("bucket", reference("aws_s3_bucket", issuerLabel, "id"))
		} else {
			r.setText("bucket", t.Bucket.Bucket)
		}
		r.setText("key", key)
		r.setText("content", string(doc.Body))
		r.setText("content_type", doc.ContentType)
		r.setText("cache_control", discovery.CacheControl)
		r.newline()
		r.comment("Whoever rotates the cluster's keys writes it.")
		r.block("lifecycle").set("ignore_changes", list("content"))
	}
	return nil
}

func (t *terraform) provider() error {
	if t.Issuer.IsZero() {
		return nil
	}
	p := t.Provider
	r := t.resource("aws_iam_openid_connect_provider", clusterLabel, p.ARN)
	r.setText("url", p.Issuer.String())
	r.set("client_id_list", texts(p.ClientIDs...))
	if len(p.Thumbprints) > 0 {
		r.set("thumbprint_list", texts(p.Thumbprints...))
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
	r.setText("name", want.Name)
	if want.Path != "" {
		r.setText("path", want.Path)
	}
	if want.Description != "" {
		r.setText("description", want.Description)
	}
	if want.Boundary != "" {
		r.setText("permissions_boundary", want.Boundary)
	}
	r.newline()
	if err := t.policy(r, "assume_role_policy", want.Trust); err != nil {
		return err
	}
	t.tags(r, want.Tags)

	name := reference("aws_iam_role", label, "name")
	if len(want.PolicyARNs) > 0 {
		if t.Import {
			b := t.block("import")
			b.set("for_each", call("toset", texts(want.PolicyARNs...)))
			b.set("to", reference("aws_iam_role_policy_attachment", label)+"[each.key]")
			b.set("id", expression(`"`+want.Name+`/${each.key}"`))
		}
		r := t.block("resource", "aws_iam_role_policy_attachment", label)
		r.set("for_each", call("toset", texts(want.PolicyARNs...)))
		r.newline()
		r.set("role", name)
		r.set("policy_arn", "each.key")
	}
	inline := identifiers(sortedKeys(want.Inline))
	for _, policy := range sortedKeys(want.Inline) {
		r := t.resource("aws_iam_role_policy", label+"-"+inline[policy], want.Name+":"+policy)
		r.setText("name", policy)
		r.set("role", name)
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
	byARN := map[string]expression{}
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
		r.setText("cluster_name", a.Cluster)
		r.setText("namespace", a.Namespace)
		r.setText("service_account", a.ServiceAccount)
		for _, arn := range [][2]string{{"role_arn", a.RoleARN}, {"target_role_arn", a.TargetRoleARN}} {
			if to, ok := byARN[arn[1]]; ok {
				r.set(arn[0], to)
			} else if arn[1] != "" {
				r.setText(arn[0], arn[1])
			}
		}
		if a.DisableSessionTags {
			r.setBool("disable_session_tags", true)
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
	output := func(name, description string, value expression) {
		b := t.block("output", name)
		b.setText("description", description)
		b.set("value", value)
	}
	if t.distributes() {
		output("distribution_arn", "The distribution that the bucket's policy lets in, for openirsa where it writes the policy",
			reference("aws_cloudfront_distribution", issuerLabel, "arn"))
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
			call("jsonencode", value))
	}
	if t.Issuer.IsZero() {
		output("issuer_url", "The address of the distribution, which is the issuer URL of the chain",
			`"https://${aws_cloudfront_distribution.`+issuerLabel+`.domain_name}"`)
		return nil
	}
	output("issuer_url", "The API server's --service-account-issuer; keys are at "+issuer.JWKSPath+" below it",
		quoted(t.Issuer.String()))
	output("provider_arn", "The provider that trust policies name",
		reference("aws_iam_openid_connect_provider", clusterLabel, "arn"))
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
		if !isIdentifier(id) { // it begins with a digit
			id = "_" + id
		}
		ids = append(ids, id)
	}
	return labels(names, ids)
}

// tags sets the tags of a resource. One that setup will add stays.
func (t *terraform) tags(r *body, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	var values []member
	for _, k := range sortedKeys(tags) {
		values = append(values, member{key(k), quoted(tags[k])})
	}
	r.newline()
	r.set("tags", object(values))
	if tagsGrow(tags) {
		r.newline()
		r.block("lifecycle").set("ignore_changes", list(`tags["`+owner.UIDTag+`"]`))
	}
}

// policy sets an attribute to a policy document.
func (t *terraform) policy(r *body, name string, document []byte) error {
	value, err := t.json(document)
	if err != nil {
		return err
	}
	r.set(name, call("jsonencode", value))
	return nil
}

// json is a JSON document as an expression, its members in their order.
func (t *terraform) json(document []byte) (expression, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	value, err := t.value(d)
	if err != nil {
		return "", fmt.Errorf("reading a policy document: %w", err)
	}
	return value, nil
}

func (t *terraform) value(d *json.Decoder) (expression, error) {
	token, err := d.Token()
	if err != nil {
		return "", err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return t.array(d)
		}
		return t.object(d)
	case string:
		if to, ok := t.refs[v]; ok {
			return to, nil
		}
		return quoted(v), nil
	case nil:
		return "null", nil
	}
	return expression(fmt.Sprint(token)), nil // a number as it was written, true or false
}

func (t *terraform) array(d *json.Decoder) (expression, error) {
	var items []expression
	for d.More() {
		item, err := t.value(d)
		if err != nil {
			return "", err
		}
		items = append(items, item)
	}
	_, err := d.Token()
	return list(items...), err
}

func (t *terraform) object(d *json.Decoder) (expression, error) {
	var members []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", err
		}
		value, err := t.value(d)
		if err != nil {
			return "", err
		}
		members = append(members, member{key(name.(string)), value})
	}
	_, err := d.Token()
	return object(members), err
}
