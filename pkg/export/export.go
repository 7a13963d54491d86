// Package export writes the chain as input for other tools: as Terraform, as a
// CloudFormation template, and as the IAM policy that a command of openirsa needs.
//
// Nothing is read and nothing is changed; the same chain always gives the same
// bytes.
//
//	chain := export.Resources{Cluster: "dev", Account: "123456789012", Partition: "aws", Region: "eu-west-1", ...}
//	hcl, err := chain.Terraform()
//	template, err := chain.CloudFormation()
//	document, err := chain.Policy(export.Permissions{Commands: []string{"up", "down"}})
package export

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
)

// Resources are the AWS half of a cluster's chain: links 2 to 5.
type Resources struct {
	Cluster   string
	Account   string
	Partition string
	Region    string

	// Issuer is zero while only the distribution of a private bucket is to be
	// made, since AWS assigns its address.
	Issuer issuer.URL
	// Bucket is where the documents are; its Bucket is empty if others serve them.
	// Unless it is Owned, it and its policy stay as they are, and an output says
	// what to add to the policy.
	Bucket publish.S3
	// Documents are the contents of the bucket; none if the keys are not known.
	Documents []discovery.Document
	Provider  provider.Provider
	Roles     []role.Role // sorted by name
	// PodIdentity says that the chain has EKS Pod Identity: EKS knows the cluster, and the
	// agent and the webhook have roles.
	PodIdentity bool
	// Associations of EKS Pod Identity, sorted by service account. EKS must know the
	// cluster; their roles are among the Roles, or others'.
	Associations []podidentity.Association

	// Import adopts existing resources instead of creating them.
	Import bool
}

// madeHere stands in a private bucket's policy for a distribution that is exported
// with it, and so has no ARN yet.
const madeHere = "the distribution that is exported here"

// bucket is the bucket as needed to write its policy.
func (c *Resources) bucket() publish.S3 {
	b := c.Bucket
	if c.distributes() {
		b.Distribution = madeHere
	}
	return b
}

// distributes reports whether the distribution is exported too.
func (c *Resources) distributes() bool {
	return c.Bucket.Bucket != "" && c.Bucket.Private && c.Bucket.Distribution == ""
}

// alias is the host of the distribution, unless that is CloudFront's own name for
// it, for which CloudFront has a certificate.
func (c *Resources) alias() string {
	host := c.Issuer.Host()
	if strings.HasSuffix(host, ".cloudfront.net") || strings.HasSuffix(host, ".cloudfront.cn") {
		return ""
	}
	return host
}

// At is the chain moved to BUCKET or BUCKET/PREFIX in S3, or to the https URL of
// documents that others serve, without its documents and its roles.
func (c *Resources) At(ctx context.Context, place string) (*Resources, error) {
	to := *c
	to.Documents, to.Roles, to.Bucket = nil, nil, publish.S3{}
	at, err := publish.ParseLocation(ctx, place, c.Region)
	if err != nil {
		return nil, err
	}
	to.Issuer = at.Issuer
	if at.Bucket != "" {
		to.Bucket = publish.S3{Account: c.Account, Partition: c.Partition, Region: c.Region, Tags: c.Bucket.Tags,
			Bucket: at.Bucket, Prefix: at.Prefix, Owned: c.Bucket.Owned || at.Bucket != c.Bucket.Bucket}
	}
	to.Provider.Issuer, to.Provider.ARN = to.Issuer, to.Issuer.ProviderARN(c.Partition, c.Account)
	return &to, nil
}

// tagsGrow reports whether setup will add a tag that is not known yet: the uid of
// a cluster that has not been read.
func tagsGrow(tags map[string]string) bool {
	_, known := tags[owner.UIDTag]
	return !known && owner.Claimed(tags)
}

// labels are the labels of resources by their names. If two would have the same
// label, each gets the hash of its name too.
func labels(names, wanted []string) map[string]string {
	taken := map[string]int{}
	for _, label := range wanted {
		taken[strings.ToLower(label)]++
	}
	m := map[string]string{}
	for i, name := range names {
		m[name] = wanted[i]
		if taken[strings.ToLower(wanted[i])] > 1 {
			m[name] += fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:8]
		}
	}
	return m
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func roleNames(roles []role.Role) []string {
	var names []string
	for _, r := range roles {
		names = append(names, r.Name)
	}
	return names
}

// associationNames are NAMESPACE/NAME of the service accounts.
func associationNames(all []podidentity.Association) []string {
	var names []string
	for _, a := range all {
		names = append(names, a.String())
	}
	return names
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
