package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/role"
)

// Permissions is what an IAM policy for an operator, or for a CI job, is to
// suffice for.
type Permissions struct {
	// Commands are of [Commands].
	Commands []string
	// RoleARNs are roles that the commands change beside those below the
	// cluster's path and those of the chain, such as roles that several
	// clusters share. "*" and "?" are wildcards.
	RoleARNs []string
	// To is the chain at the issuer to which "issuer-migrate" goes, and from
	// which it may go back. Only its place matters.
	To *Chain
	// Boundary, if set, is the ARN of a permissions boundary that every role
	// must have which is made or changed. Who has the policy can then give to
	// pods no more than the boundary allows; without it, they can make
	// themselves administrators by way of a pod.
	Boundary string
}

// what an action is done to: the Sid of its statement.
type what string

const (
	theBucket    what = "Bucket"
	theDocuments what = "Documents"
	theProvider  what = "Provider"
	// IAM is asked for a role by its name, which tells nothing of its path, and
	// may not be there; and for whoever else trusts the provider.
	anyRole     what = "ReadRoles"
	theRoles    what = "Roles"
	makingRoles what = "MakeRoles" // with the boundary only
	thePolicies what = "ReadPolicies"
	attaching   what = "AttachPolicies"
	theAccount  what = "Account" // what IAM grants on no resource in particular

	// What clusters of the account have left, of which this chain's is one. The
	// tag tells what is ours; buckets have none that S3 heeds, but a name.
	anyProvider        what = "ReadProviders"
	abandonedProviders what = "AbandonedProviders"
	abandonedRoles     what = "AbandonedRoles"
	abandonedBuckets   what = "AbandonedBuckets"
	abandonedDocuments what = "AbandonedDocuments"
)

// actions that a command needs, by what they are done to.
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
		// Tags that something is made with take the permission to tag it (IAM
		// User Guide, "Tags for IAM resources").
		makingRoles: {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"},
		theRoles:    {"iam:TagRole", "iam:UpdateAssumeRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRolePermissionsBoundary"},
		theAccount:  {"iam:ListRoles", "iam:GetAccountSummary"}, // for many roles, and for long trust policies
	})
	deleteRoles = together(readRoles, actions{
		theAccount: {"iam:ListRoles"},
		theRoles:   {"iam:UpdateAssumeRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole"},
	})
	readProvider   = actions{theProvider: {"iam:GetOpenIDConnectProvider"}}
	makeProvider   = together(readProvider, actions{theProvider: {"iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider", "iam:AddClientIDToOpenIDConnectProvider"}})
	deleteProvider = together(readProvider, actions{theProvider: {"iam:DeleteOpenIDConnectProvider"}})

	writeDocuments = actions{theDocuments: {"s3:GetObject", "s3:PutObject"}}
)

// repairBucket is what keeps a bucket and its documents as they should be.
func (c *Chain) repairBucket() actions {
	need := together(writeDocuments, actions{theBucket: {"s3:ListBucket", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock"}})
	if !c.Bucket.Private || c.Bucket.Distribution != "" {
		need = together(need, actions{theBucket: {"s3:PutBucketPolicy"}})
	}
	if !c.Bucket.Private || c.Bucket.Owned {
		need = together(need, actions{theBucket: {"s3:PutBucketPublicAccessBlock"}})
	}
	return need
}

func (c *Chain) makeBucket() actions {
	if c.Bucket.Owned {
		return together(c.repairBucket(), actions{theBucket: {"s3:CreateBucket", "s3:GetBucketTagging", "s3:PutBucketTagging"}})
	}
	return c.repairBucket()
}

func (c *Chain) emptyBucket() actions {
	need := actions{theDocuments: {"s3:DeleteObject"}, theBucket: {"s3:ListBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}}
	if c.Bucket.Private { // whose documents are is told by the keys in them where no tag tells it
		need = together(need, actions{theDocuments: {"s3:GetObject"}})
	}
	if c.Bucket.Owned {
		need = together(need, actions{theBucket: {"s3:GetBucketTagging", "s3:DeleteBucket"}})
	}
	return need
}

type command struct {
	name  string
	needs func(*Chain) actions
}

// commands are the commands of setup and issuer that call AWS, and what for.
// Who one is may always be asked (sts:GetCallerIdentity).
var commands = []command{
	{"up", func(c *Chain) actions {
		if len(c.Roles) > 0 {
			return together(c.makeBucket(), makeProvider, makeRoles)
		}
		return together(c.makeBucket(), makeProvider)
	}},
	{"up-prune", func(c *Chain) actions { return together(c.makeBucket(), makeProvider, makeRoles, deleteRoles) }},
	{"up-take-over", func(c *Chain) actions {
		need := together(c.makeBucket(), makeProvider, readRoles, actions{theAccount: {"iam:ListRoles"}, theRoles: {"iam:TagRole"}})
		if len(c.Roles) > 0 {
			return together(need, makeRoles)
		}
		return need
	}},
	{"down", func(c *Chain) actions { return together(deleteRoles, deleteProvider, c.emptyBucket()) }},
	{"gc", func(*Chain) actions {
		return together(readRoles, actions{
			theAccount:         {"iam:ListRoles", "iam:ListOpenIDConnectProviders", "s3:ListAllMyBuckets"},
			anyProvider:        {"iam:GetOpenIDConnectProvider"},
			abandonedProviders: {"iam:DeleteOpenIDConnectProvider"},
			abandonedRoles:     {"iam:UpdateAssumeRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy", "iam:DeleteRole"},
			abandonedBuckets:   {"s3:ListBucket", "s3:GetBucketTagging", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:DeleteBucket"},
			abandonedDocuments: {"s3:DeleteObject"},
		})
	}},
	{"status", func(*Chain) actions {
		return together(readProvider, readRoles, actions{theAccount: {"iam:ListRoles"}})
	}},
	{"doctor", func(*Chain) actions {
		return together(readProvider, readRoles, actions{theAccount: {"iam:ListOpenIDConnectProviders"}})
	}},
	{"iamserviceaccount", func(*Chain) actions { return together(readProvider, makeRoles, deleteRoles) }},
	{"iamserviceaccount-create", func(*Chain) actions { return together(readProvider, makeRoles) }},
	{"iamserviceaccount-delete", func(*Chain) actions { return together(readProvider, deleteRoles) }},
	{"keys-rotate", func(c *Chain) actions {
		if c.Bucket.Owned {
			return together(readProvider, c.repairBucket(), actions{theBucket: {"s3:GetBucketTagging", "s3:PutBucketTagging"}})
		}
		if c.Bucket.Bucket == "" {
			return nil // others publish the documents
		}
		return together(readProvider, c.repairBucket())
	}},
	{migrate, func(c *Chain) actions {
		return together(readRoles, deleteProvider, c.emptyBucket(), actions{
			theAccount: {"iam:ListRoles", "iam:GetAccountSummary"}, theRoles: {"iam:UpdateAssumeRolePolicy"},
		})
	}},
	{"issuer-publish", func(c *Chain) actions { return c.repairBucket() }},
	{"issuer-publish-documents-only", func(*Chain) actions { return writeDocuments }},
}

// migrate is the command that works at two places.
const migrate = "issuer-migrate"

// Commands are the names of commands of which [Chain.Policy] knows.
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

// Policy is the IAM policy document, as JSON, that lets its bearer run commands
// on this chain and no more: resources are this cluster's, and changes of roles
// are for those below the cluster's path, and those of the chain elsewhere.
func (c *Chain) Policy(p Permissions) ([]byte, error) {
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
			return nil, fmt.Errorf("command %q: where to is not said", migrate)
		}
		there := together(p.To.makeBucket(), p.To.emptyBucket(), makeProvider, deleteProvider)
		document.Statement = append(document.Statement, p.To.statements(there, p, "To")...)
	}
	if document.Statement == nil {
		return nil, fmt.Errorf("%s needs no permission on this chain, and IAM has no empty policies", strings.Join(p.Commands, ", "))
	}
	return json.MarshalIndent(document, "", "  ")
}

// statements allow what is needed. Their names end as told.
func (c *Chain) statements(needs actions, p Permissions, ending string) []statement {
	var list []statement
	for _, on := range []what{theBucket, theDocuments, theProvider, theAccount, anyRole, thePolicies, makingRoles, attaching, theRoles,
		anyProvider, abandonedProviders, abandonedRoles, abandonedBuckets, abandonedDocuments} {
		names := needs[on]
		if p.Boundary != "" { // it holds for as long as nobody takes it off
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

func (c *Chain) resources(on what, p Permissions) []string {
	iam := "arn:" + c.Partition + ":iam::" + c.Account + ":"
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
	case thePolicies:
		return []string{iam + "policy/*", "arn:" + c.Partition + ":iam::aws:policy/*"}
	case theAccount:
		return []string{"*"}
	}
	below := iam + "role" + role.PathFor(c.Cluster)
	roles := []string{below + "*"}
	for _, r := range c.Roles {
		if arn := iam + "role" + orSlash(r.Path) + r.Name; !strings.HasPrefix(arn, below) {
			roles = append(roles, arn)
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

func (c *Chain) condition(on what, p Permissions) map[string]map[string][]string {
	if p.Boundary != "" && (on == makingRoles || on == attaching) {
		return map[string]map[string][]string{"StringEquals": {"iam:PermissionsBoundary": {p.Boundary}}}
	}
	if on == abandonedProviders || on == abandonedRoles {
		return map[string]map[string][]string{"StringEquals": {"aws:ResourceTag/" + owner.Tag: {"true"}}}
	}
	return nil
}
