package export

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/role"
)

// madeHereARN is the ARN of the stack's own distribution.
const madeHereARN = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}"

// CloudFormation is the chain as a CloudFormation template in YAML. The
// documents are not in it, since CloudFormation has no resource for an object in
// S3; the template says so.
func (c *Resources) CloudFormation() ([]byte, error) {
	f := &formation{Resources: c, resources: map[string]any{}, outputs: map[string]any{}, refs: map[string]any{
		c.Provider.ARN: ref("Provider"),
		madeHere:       map[string]any{"Fn::Sub": madeHereARN},
	}}
	for _, write := range []func() error{f.bucket, f.distribution, f.provider, f.roles, f.associations} {
		if err := write(); err != nil {
			return nil, fmt.Errorf("writing CloudFormation: %w", err)
		}
	}
	if len(f.resources) == 0 {
		return nil, fmt.Errorf("writing CloudFormation: it would be empty: the bucket is not ours, and the issuer is not known")
	}
	template := map[string]any{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              f.description(),
		"Resources":                f.resources,
		"Outputs":                  f.outputs,
	}
	if f.parameters != nil {
		template["Parameters"] = f.parameters
	}
	return yaml.Marshal(template)
}

// formation is a template being written.
type formation struct {
	*Resources
	resources, outputs, parameters map[string]any
	refs                           map[string]any // what stands for a string that has a name here
}

func ref(name string) any { return map[string]any{"Ref": name} }

func (f *formation) description() string {
	s := fmt.Sprintf("IAM roles for the service accounts of cluster %s: what OpenIRSA makes in account %s, region %s.",
		f.Cluster, f.Account, f.Region)
	if f.Bucket.Bucket != "" {
		s += " The issuer's documents are not part of it, since CloudFormation makes no S3 objects: " +
			"openirsa up or openirsa issuer publish writes them."
	}
	return s
}

// resource adds a resource that is retained when the stack drops it by mistake:
// tokens are verified against it.
func (f *formation) resource(name, kind string, properties map[string]any) map[string]any {
	r := map[string]any{"Type": kind, "Properties": properties}
	if f.Import {
		r["DeletionPolicy"] = "Retain" // without which nothing can be imported
		r["UpdateReplacePolicy"] = "Retain"
	}
	f.resources[name] = r
	return r
}

func (f *formation) output(name, description string, value any) {
	f.outputs[name] = map[string]any{"Description": description, "Value": value}
}

func tagList(tags map[string]string) []any {
	var list []any
	for _, key := range sortedKeys(tags) {
		list = append(list, map[string]any{"Key": key, "Value": tags[key]})
	}
	return list
}

// document is a policy document, with references to what the template names.
func (f *formation) document(body []byte) (any, error) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("reading a policy document: %w", err)
	}
	return f.named(v), nil
}

func (f *formation) named(v any) any {
	switch v := v.(type) {
	case string:
		if to, ok := f.refs[v]; ok {
			return to
		}
	case []any:
		for i := range v {
			v[i] = f.named(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = f.named(v[key])
		}
	}
	return v
}

func (f *formation) bucket() error {
	b := f.Resources.bucket()
	if b.Bucket == "" {
		return nil
	}
	body, err := b.PolicyDocument(discovery.Paths)
	if err != nil {
		return err
	}
	if !f.Issuer.IsZero() {
		var objects []string
		for _, p := range discovery.Paths {
			objects = append(objects, "s3://"+b.Bucket+"/"+b.Key(p))
		}
		f.output("Documents", "Not made by this stack: openirsa up or openirsa issuer publish writes them", strings.Join(objects, " "))
	}
	if !b.Owned {
		if b.Private && b.Distribution == madeHere {
			body = []byte(strings.ReplaceAll(string(body), madeHere, madeHereARN))
			f.output("BucketPolicy", "The statement that the policy of bucket "+b.Bucket+" needs", map[string]any{"Fn::Sub": string(body)})
			return nil
		}
		f.output("BucketPolicy", "The statement that the policy of bucket "+b.Bucket+" needs", string(body))
		return nil
	}
	document, err := f.document(body)
	if err != nil {
		return err
	}
	// It is not empty when the stack is deleted, and CloudFormation empties no bucket.
	r := f.resource("Bucket", "AWS::S3::Bucket", map[string]any{
		"BucketName": b.Bucket,
		"PublicAccessBlockConfiguration": map[string]any{
			"BlockPublicAcls": true, "IgnorePublicAcls": true, "BlockPublicPolicy": b.Private, "RestrictPublicBuckets": b.Private,
		},
		"Tags": tagList(b.Tags),
	})
	r["DeletionPolicy"], r["UpdateReplacePolicy"] = "Retain", "Retain"
	f.resource("BucketPolicy", "AWS::S3::BucketPolicy", map[string]any{"Bucket": ref("Bucket"), "PolicyDocument": document})
	return nil
}

func (f *formation) distribution() error {
	if !f.distributes() {
		return nil
	}
	f.resource("OriginAccess", "AWS::CloudFront::OriginAccessControl", map[string]any{"OriginAccessControlConfig": map[string]any{
		"Name": "openirsa-" + f.Cluster, "Description": "Issuer documents of cluster " + f.Cluster,
		"OriginAccessControlOriginType": "s3", "SigningBehavior": "always", "SigningProtocol": "sigv4",
	}})
	var domain any = map[string]any{"Fn::GetAtt": []any{"Bucket", "RegionalDomainName"}}
	if !f.Bucket.Owned {
		domain = map[string]any{"Fn::Sub": f.Bucket.Bucket + ".s3." + f.Region + ".${AWS::URLSuffix}"}
	}
	config := map[string]any{
		"Enabled": true, "IPV6Enabled": true, "Comment": "Issuer documents of cluster " + f.Cluster,
		"Origins": []any{map[string]any{
			"Id": "bucket", "DomainName": domain, "OriginAccessControlId": map[string]any{"Fn::GetAtt": []any{"OriginAccess", "Id"}},
			"S3OriginConfig": map[string]any{"OriginAccessIdentity": ""}, // required, and empty where there is origin access control
		}},
		"DefaultCacheBehavior": map[string]any{
			"TargetOriginId": "bucket", "ViewerProtocolPolicy": "https-only", "CachePolicyId": cachingOptimized,
			"AllowedMethods": []any{"GET", "HEAD"}, "CachedMethods": []any{"GET", "HEAD"},
		},
	}
	if alias := f.alias(); alias != "" {
		f.parameters = map[string]any{"CertificateArn": map[string]any{
			"Type": "String", "Description": "ARN of the certificate of " + alias + " in ACM, in us-east-1",
		}}
		config["Aliases"] = []any{alias}
		config["ViewerCertificate"] = map[string]any{
			"AcmCertificateArn": ref("CertificateArn"), "SslSupportMethod": "sni-only", "MinimumProtocolVersion": "TLSv1.2_2021",
		}
	}
	f.resource("Distribution", "AWS::CloudFront::Distribution", map[string]any{"DistributionConfig": config, "Tags": tagList(f.Bucket.Tags)})
	f.output("DistributionArn", "The distribution that the bucket's policy lets in, for openirsa where it writes the policy", f.refs[madeHere])
	if f.Issuer.IsZero() {
		f.output("IssuerUrl", "The address of the distribution, which is the issuer URL of the chain",
			map[string]any{"Fn::Sub": "https://${Distribution.DomainName}"})
	}
	return nil
}

func (f *formation) provider() error {
	if f.Issuer.IsZero() {
		return nil
	}
	p := f.Provider
	properties := map[string]any{"Url": p.Issuer.String(), "ClientIdList": p.ClientIDs, "Tags": tagList(p.Tags)}
	if len(p.Thumbprints) > 0 {
		properties["ThumbprintList"] = p.Thumbprints
	}
	f.resource("Provider", "AWS::IAM::OIDCProvider", properties)
	f.output("IssuerUrl", "The API server's --service-account-issuer", p.Issuer.String())
	f.output("ProviderArn", "The provider that trust policies name", ref("Provider"))
	return nil
}

func (f *formation) roles() error {
	labels := logicalIDs(f.Roles)
	for _, want := range f.Roles {
		if err := f.role(labels[want.Name], want); err != nil {
			return fmt.Errorf("role %s: %w", want.Name, err)
		}
	}
	return nil
}

// logicalIDs are the names of roles in a template, which hold letters and digits
// only: RoleOpenirsaDevDefaultApp.
func logicalIDs(roles []role.Role) map[string]string { return beginning("Role", roleNames(roles)) }

// associationIDs are the names of associations in a template:
// AssociationDefaultApp.
func associationIDs(all []podidentity.Association) map[string]string {
	return beginning("Association", associationNames(all))
}

// beginning are names in a template that begin with a word.
func beginning(kind string, names []string) map[string]string {
	var ids []string
	for _, name := range names {
		var id strings.Builder
		id.WriteString(kind)
		for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return !isAlphanumeric(r) }) {
			id.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
		ids = append(ids, id.String())
	}
	return labels(names, ids)
}

// associations are those of EKS Pod Identity.
func (f *formation) associations() error {
	roles := logicalIDs(f.Roles)
	byARN := map[string]any{}
	for _, r := range f.Roles {
		byARN[r.ARNIn(f.Partition, f.Account)] = map[string]any{"Fn::GetAtt": []any{roles[r.Name], "Arn"}}
	}
	ids := associationIDs(f.Associations)
	for _, a := range f.Associations {
		properties := map[string]any{"ClusterName": a.Cluster, "Namespace": a.Namespace, "ServiceAccount": a.ServiceAccount}
		if len(a.Tags) > 0 {
			properties["Tags"] = tagList(a.Tags)
		}
		for key, arn := range map[string]string{"RoleArn": a.RoleARN, "TargetRoleArn": a.TargetRoleARN} {
			if to, ok := byARN[arn]; ok {
				properties[key] = to
			} else if arn != "" {
				properties[key] = arn
			}
		}
		if a.DisableSessionTags {
			properties["DisableSessionTags"] = true
		}
		if a.Policy != "" {
			properties["Policy"] = a.Policy
		}
		f.resource(ids[a.String()], "AWS::EKS::PodIdentityAssociation", properties)
	}
	return nil
}

func (f *formation) role(name string, want role.Role) error {
	trust, err := f.document(want.Trust)
	if err != nil {
		return err
	}
	properties := map[string]any{"RoleName": want.Name, "AssumeRolePolicyDocument": trust, "Tags": tagList(want.Tags)}
	if want.Path != "" {
		properties["Path"] = want.Path
	}
	if want.Description != "" {
		properties["Description"] = want.Description
	}
	if want.Boundary != "" {
		properties["PermissionsBoundary"] = want.Boundary
	}
	if len(want.PolicyARNs) > 0 {
		properties["ManagedPolicyArns"] = want.PolicyARNs
	}
	var inline []any
	for _, policy := range sortedKeys(want.Inline) {
		document, err := f.document(want.Inline[policy])
		if err != nil {
			return err
		}
		inline = append(inline, map[string]any{"PolicyName": policy, "PolicyDocument": document})
	}
	if inline != nil {
		properties["Policies"] = inline
	}
	f.resource(name, "AWS::IAM::Role", properties)
	return nil
}

// ResourcesToImport is the list with which CloudFormation adopts existing resources
// (`aws cloudformation create-change-set --change-set-type IMPORT
// --resources-to-import`), as JSON: each resource by its primary identifier in
// CloudFormation's registry.
func (c *Resources) ResourcesToImport() ([]byte, error) {
	type resource struct {
		ResourceType       string
		LogicalResourceId  string
		ResourceIdentifier map[string]string
	}
	list := []resource{}
	add := func(name, kind, key, id string) {
		list = append(list, resource{kind, name, map[string]string{key: id}})
	}
	if b := c.Bucket; b.Bucket != "" && b.Owned {
		add("Bucket", "AWS::S3::Bucket", "BucketName", b.Bucket)
		add("BucketPolicy", "AWS::S3::BucketPolicy", "Bucket", b.Bucket)
	}
	if !c.Issuer.IsZero() {
		add("Provider", "AWS::IAM::OIDCProvider", "Arn", c.Provider.ARN)
	}
	labels := logicalIDs(c.Roles)
	for _, r := range c.Roles {
		add(labels[r.Name], "AWS::IAM::Role", "RoleName", r.Name)
	}
	ids := associationIDs(c.Associations)
	for _, a := range c.Associations {
		if a.ARN != "" {
			add(ids[a.String()], "AWS::EKS::PodIdentityAssociation", "AssociationArn", a.ARN)
		}
	}
	return json.MarshalIndent(list, "", "  ")
}
