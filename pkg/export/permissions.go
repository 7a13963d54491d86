package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// Permissions say what an IAM policy for an operator, or for a CI job, must allow.
type Permissions struct {
	// Commands are of [Commands].
	Commands []string
	// RoleARNs are further roles that the commands change, beside those below the
	// cluster's path and those of the chain, such as roles that several clusters
	// share. "*" and "?" are wildcards.
	RoleARNs []string
	// To is the chain at the issuer to which "issuer-migrate" goes, and from
	// which it may go back. Only its place matters.
	To *Resources
	// Boundary, if set, is the ARN of a permissions boundary that every created or
	// changed role must have. Whoever has the policy can then give pods no more
	// than the boundary allows; without it, they can make themselves administrators
	// through a pod.
	Boundary string
}

// what is the object of an action: the Sid of its statement.
type what string

const (
	theBucket    what = "Bucket"
	theDocuments what = "Documents"
	theProvider  what = "Provider"
	// IAM looks up a role by its name, which does not say its path, and which may
	// not exist; and lists roles to find who else trusts the provider.
	anyRole     what = "ReadRoles"
	theRoles    what = "Roles"
	makingRoles what = "MakeRoles" // with the boundary only
	thePolicies what = "ReadPolicies"
	attaching   what = "AttachPolicies"
	theAccount  what = "Account" // what IAM grants on no resource in particular

	// Of EKS Pod Identity.
	theCluster      what = "Cluster"
	theAssociations what = "Associations"
	passing         what = "PassRoles" // to EKS alone

	// What the account's clusters have left; this chain's cluster is one of them.
	// The tag says what is ours. S3 has no such condition for buckets, so their name
	// does.
	anyProvider        what = "ReadProviders"
	abandonedProviders what = "AbandonedProviders"
	abandonedRoles     what = "AbandonedRoles"
	abandonedBuckets   what = "AbandonedBuckets"
	abandonedDocuments what = "AbandonedDocuments"
	// Of EKS Pod Identity, in all regions.
	anyCluster            what = "ReadClusters"
	anyAssociation        what = "ReadAssociations"
	abandonedAssociations what = "AbandonedAssociations"
)

// actions that a command needs, by their object.
type actions map[what][]string

func together(all ...actions) actions {
	sum := actions{}
	for _, a := range all {
		for on, names := range a {
			sum[on] = append(sum[on], names...)
		}
	}
	return sum
}

var (
	readRoles = actions{anyRole: {"iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:GetRolePolicy"}}
	makeRoles = together(readRoles, actions{
		thePolicies: {"iam:GetPolicy"},
		attaching:   {"iam:AttachRolePolicy"},
		// Creating a resource with tags needs the permission to tag it (IAM User
		// Guide, "Tags for IAM resources").
		makingRoles: {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"},
		theRoles: {"iam:TagRole", "iam:UpdateAssumeRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy",
			"iam:DeleteRolePermissionsBoundary"},
		theAccount: {"iam:ListRoles", "iam:GetAccountSummary"}, // for many roles, and for long trust policies
	})
	deleteRoles = together(readRoles, actions{
		theAccount: {"iam:ListRoles"},
		theRoles:   {"iam:UpdateAssumeRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole"},
	})
	readProvider = actions{theProvider: {"iam:GetOpenIDConnectProvider"}}
	makeProvider = together(readProvider, actions{theProvider: {"iam:CreateOpenIDConnectProvider",
		"iam:TagOpenIDConnectProvider", "iam:AddClientIDToOpenIDConnectProvider"}})
	deleteProvider = together(readProvider, actions{theProvider: {"iam:DeleteOpenIDConnectProvider"}})

	// EKS learns of a cluster, and forgets it, by the root user of an emulator alone.
	findCluster       = actions{theCluster: {"eks:DescribeCluster"}}
	readAssociations  = actions{theCluster: {"eks:ListPodIdentityAssociations"}, theAssociations: {"eks:DescribePodIdentityAssociation"}}
	writeAssociations = together(readAssociations, makeRoles, actions{
		theCluster:      {"eks:CreatePodIdentityAssociation"},
		theAssociations: {"eks:UpdatePodIdentityAssociation", "eks:TagResource"},
		passing:         {"iam:PassRole"},
	})

	// EKS Auth is asked what it would give to an agent.
	askEKSAuth = actions{theCluster: {"eks-auth:AssumeRoleForPodIdentity"}}

	writeDocuments = actions{theDocuments: {"s3:GetObject", "s3:PutObject"}}
)

// repairBucket is what it takes to keep a bucket and its documents as they should be.
func (c *Resources) repairBucket() actions {
	need := together(writeDocuments, actions{theBucket: {"s3:ListBucket", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock"}})
	if !c.Bucket.Private || c.Bucket.Distribution != "" {
		need = together(need, actions{theBucket: {"s3:PutBucketPolicy"}})
	}
	if !c.Bucket.Private || c.Bucket.Owned {
		need = together(need, actions{theBucket: {"s3:PutBucketPublicAccessBlock"}})
	}
	return need
}

func (c *Resources) makeBucket() actions {
	if c.Bucket.Owned {
		return together(c.repairBucket(), actions{theBucket: {"s3:CreateBucket", "s3:GetBucketTagging", "s3:PutBucketTagging"}})
	}
	return c.repairBucket()
}

func (c *Resources) emptyBucket() actions {
	need := actions{theDocuments: {"s3:DeleteObject"}, theBucket: {"s3:ListBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy",
		"s3:DeleteBucketPolicy"}}
	if c.Bucket.Private { // without tags, the keys in the documents say whose they are
		need = together(need, actions{theDocuments: {"s3:GetObject"}})
	}
	if c.Bucket.Owned {
		need = together(need, actions{theBucket: {"s3:GetBucketTagging", "s3:DeleteBucket"}})
	}
	return need
}

// up is what `up` needs in every case.
func (c *Resources) up() actions {
	need := together(c.makeBucket(), makeProvider)
	if len(c.Roles) > 0 || c.PodIdentity { // with which agent and webhook have roles of their own
		need = together(need, makeRoles)
	}
	if c.PodIdentity {
		need = together(need, findCluster)
	}
	if len(c.Associations) > 0 {
		need = together(need, writeAssociations)
	}
	return need
}

// ifPodIdentity is what a chain needs that has EKS Pod Identity.
func (c *Resources) ifPodIdentity(all ...actions) actions {
	if !c.PodIdentity {
		return nil
	}
	return together(all...)
}

type command struct {
	name  string
	needs func(*Resources) actions
}

// commands are the commands of setup and issuer that call AWS, and what they need.
// sts:GetCallerIdentity is always allowed.
var commands = []command{
	{"up", (*Resources).up},
	{"up-prune", func(c *Resources) actions {
		return together(c.up(), makeRoles, deleteRoles,
			c.ifPodIdentity(readAssociations, actions{theAssociations: {"eks:DeletePodIdentityAssociation"}}))
	}},
	{"up-take-over", func(c *Resources) actions {
		return together(c.up(), readRoles, actions{theAccount: {"iam:ListRoles"}, theRoles: {"iam:TagRole"}})
	}},
	{"down", func(c *Resources) actions {
		return together(deleteRoles, deleteProvider, c.emptyBucket(), c.ifPodIdentity(findCluster))
	}},
	{"gc", func(*Resources) actions {
		return together(readRoles, actions{
			theAccount:         {"iam:ListRoles", "iam:ListOpenIDConnectProviders", "s3:ListAllMyBuckets"},
			anyProvider:        {"iam:GetOpenIDConnectProvider"},
			abandonedProviders: {"iam:DeleteOpenIDConnectProvider"},
			abandonedRoles:     {"iam:UpdateAssumeRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole"},
			abandonedBuckets: {"s3:ListBucket", "s3:GetBucketTagging", "s3:GetBucketPolicy", "s3:PutBucketPolicy",
				"s3:DeleteBucketPolicy", "s3:DeleteBucket"},
			abandonedDocuments:    {"s3:DeleteObject"},
			anyCluster:            {"eks:ListPodIdentityAssociations"},
			anyAssociation:        {"eks:DescribePodIdentityAssociation"},
			abandonedAssociations: {"eks:DeletePodIdentityAssociation"},
		})
	}},
	{"status", func(c *Resources) actions {
		return together(readProvider, readRoles, actions{theAccount: {"iam:ListRoles"}}, c.ifPodIdentity(readAssociations))
	}},
	{"doctor", func(c *Resources) actions {
		// What the agent's role may do is asked of IAM, and what EKS Auth answers to a pod's
		// token of EKS Auth.
		return together(readProvider, readRoles, actions{theAccount: {"iam:ListOpenIDConnectProviders"}},
			c.ifPodIdentity(findCluster, readAssociations, askEKSAuth, actions{
				theAccount: {"eks:ListClusters"}, anyRole: {"iam:SimulatePrincipalPolicy"},
			}))
	}},
	{"iamserviceaccount", func(*Resources) actions { return together(readProvider, makeRoles, deleteRoles) }},
	{"iamserviceaccount-create", func(*Resources) actions { return together(readProvider, makeRoles) }},
	{"iamserviceaccount-delete", func(*Resources) actions { return together(readProvider, deleteRoles) }},
	{"podidentityassociation", func(*Resources) actions {
		return together(readProvider, writeAssociations, deleteRoles, actions{theAssociations: {"eks:DeletePodIdentityAssociation"}})
	}},
	{"migrate-to-pod-identity", func(*Resources) actions {
		return together(readProvider, readRoles, readAssociations, askEKSAuth, actions{
			theRoles:        {"iam:UpdateAssumeRolePolicy", "iam:TagRole"},
			theAccount:      {"iam:ListRoles", "iam:GetAccountSummary"},
			theCluster:      {"eks:CreatePodIdentityAssociation"},
			theAssociations: {"eks:TagResource"},
			passing:         {"iam:PassRole"},
		})
	}},
	{"keys-rotate", func(c *Resources) actions {
		if c.Bucket.Owned {
			return together(readProvider, c.repairBucket(), actions{theBucket: {"s3:GetBucketTagging", "s3:PutBucketTagging"}})
		}
		if c.Bucket.Bucket == "" {
			return nil // others publish the documents
		}
		return together(readProvider, c.repairBucket())
	}},
	{migrate, func(c *Resources) actions {
		return together(readRoles, deleteProvider, c.emptyBucket(), c.ifPodIdentity(findCluster), actions{
			theAccount: {"iam:ListRoles", "iam:GetAccountSummary"}, theRoles: {"iam:UpdateAssumeRolePolicy"},
		})
	}},
	{"issuer-publish", func(c *Resources) actions { return c.repairBucket() }},
	{"issuer-publish-documents-only", func(*Resources) actions { return writeDocuments }},
}

// migrate is the command that works on two chains.
const migrate = "issuer-migrate"

// Commands are the names of the commands that [Resources.Policy] knows.
func Commands() []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

// statement of an identity policy.
type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Policy is the IAM policy document, as JSON, that lets its bearer run the commands
// on this chain and nothing else: resources are this cluster's, and only roles below
// the cluster's path and the chain's roles elsewhere can be changed.
func (c *Resources) Policy(p Permissions) ([]byte, error) {
	var needs actions
	for _, name := range p.Commands {
		i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("command %q is not one of %s", name, strings.Join(Commands(), ", "))
		}
		needs = together(needs, commands[i].needs(c))
	}
	document := struct {
		Version   string
		Statement []statement
	}{"2012-10-17", c.statements(needs, p, "")}
	if slices.Contains(p.Commands, migrate) {
		if p.To == nil {
			return nil, fmt.Errorf("command %q: the new issuer is missing", migrate)
		}
		there := together(p.To.makeBucket(), p.To.emptyBucket(), makeProvider, deleteProvider)
		document.Statement = append(document.Statement, p.To.statements(there, p, "To")...)
	}
	if document.Statement == nil {
		return nil, fmt.Errorf("%s needs no permission on this chain, and IAM has no empty policies", strings.Join(p.Commands, ", "))
	}
	return json.MarshalIndent(document, "", "  ")
}

// statements allow what is needed. Their names get the given ending.
func (c *Resources) statements(needs actions, p Permissions, ending string) []statement {
	var list []statement
	for _, on := range []what{theBucket, theDocuments, theProvider, theAccount, anyRole, thePolicies, makingRoles, attaching, theRoles,
		theCluster, theAssociations, passing, anyProvider, abandonedProviders, abandonedRoles, abandonedBuckets, abandonedDocuments,
		anyCluster, anyAssociation, abandonedAssociations} {
		names := needs[on]
		if p.Boundary != "" { // it must not be removable
			names = slices.DeleteFunc(slices.Clone(names), func(a string) bool { return a == "iam:DeleteRolePermissionsBoundary" })
		}
		if len(names) == 0 || (on == theBucket || on == theDocuments) && c.Bucket.Bucket == "" {
			continue
		}
		slices.Sort(names)
		list = append(list, statement{
			Sid: string(on) + ending, Effect: "Allow", Action: slices.Compact(names), Resource: c.resources(on, p), Condition: c.condition(on, p),
		})
	}
	return list
}

func (c *Resources) resources(on what, p Permissions) []string {
	iam := "arn:" + c.Partition + ":iam::" + c.Account + ":"
	eks := "arn:" + c.Partition + ":eks:" + c.Region + ":" + c.Account + ":"
	switch on {
	case theBucket:
		return []string{"arn:" + c.Partition + ":s3:::" + c.Bucket.Bucket}
	case theDocuments:
		var objects []string
		for _, path := range discovery.Paths {
			objects = append(objects, "arn:"+c.Partition+":s3:::"+c.Bucket.Bucket+"/"+c.Bucket.Key(path))
		}
		return objects
	case theProvider:
		return []string{c.Provider.ARN}
	case anyRole, abandonedRoles:
		return []string{iam + "role/*"}
	case anyProvider, abandonedProviders:
		return []string{iam + "oidc-provider/*"}
	case abandonedBuckets:
		return []string{"arn:" + c.Partition + ":s3:::openirsa-*"}
	case abandonedDocuments:
		var objects []string
		for _, path := range discovery.Paths {
			objects = append(objects, "arn:"+c.Partition+":s3:::openirsa-*"+path)
		}
		return objects
	case theCluster:
		return []string{eks + "cluster/" + c.Cluster}
	case theAssociations:
		return []string{eks + "podidentityassociation/" + c.Cluster + "/*"}
	case anyCluster:
		return []string{"arn:" + c.Partition + ":eks:*:" + c.Account + ":cluster/*"}
	case anyAssociation, abandonedAssociations:
		return []string{"arn:" + c.Partition + ":eks:*:" + c.Account + ":podidentityassociation/*"}
	case thePolicies:
		return []string{iam + "policy/*", "arn:" + c.Partition + ":iam::aws:policy/*"}
	case theAccount:
		return []string{"*"}
	}
	below := iam + "role" + role.PathFor(c.Cluster)
	roles := []string{below + "*"}
	add := func(arn string) {
		if !strings.HasPrefix(arn, below) {
			roles = append(roles, arn)
		}
	}
	if on == passing { // also roles of others, which EKS takes as they are
		for _, a := range c.Associations {
			add(a.RoleARN)
		}
	} else {
		for _, r := range c.Roles {
			add(iam + "role" + orSlash(r.Path) + r.Name)
		}
	}
	roles = append(roles, p.RoleARNs...)
	slices.Sort(roles)
	return slices.Compact(roles)
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

func (c *Resources) condition(on what, p Permissions) map[string]map[string][]string {
	if p.Boundary != "" && (on == makingRoles || on == attaching) {
		return map[string]map[string][]string{"StringEquals": {"iam:PermissionsBoundary": {p.Boundary}}}
	}
	if on == passing {
		return map[string]map[string][]string{"StringEquals": {"iam:PassedToService": {trust.PodIdentityPrincipal}}}
	}
	if on == abandonedProviders || on == abandonedRoles || on == abandonedAssociations {
		return map[string]map[string][]string{"StringEquals": {"aws:ResourceTag/" + owner.Tag: {"true"}}}
	}
	return nil
}
