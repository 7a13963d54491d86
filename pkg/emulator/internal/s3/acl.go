package s3

import (
	"slices"

	"github.com/openirsa/openirsa/pkg/policy"
)

// Groups of grantees ("Access control list (ACL) overview" in the S3 User
// Guide, which this file follows).
const (
	groupEveryone      = "http://acs.amazonaws.com/groups/global/AllUsers"
	groupAuthenticated = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
	groupLogs          = "http://acs.amazonaws.com/groups/s3/LogDelivery"
)

// ec2User is the canonical user for which aws-exec-read is.
const ec2User = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"

// Permissions of a grant.
const (
	aclRead        = "READ"
	aclWrite       = "WRITE"
	aclReadACP     = "READ_ACP"
	aclWriteACP    = "WRITE_ACP"
	aclFullControl = "FULL_CONTROL"
)

// maxGrants is how many grants a list may have.
const maxGrants = 100

// acl is an access control list. A nil one is that of whatever got none: full
// control for its owner.
type acl struct {
	Grants []grant
}

// grant is one entry of a list.
type grant struct {
	ID         string `json:",omitempty"` // of a canonical user
	URI        string `json:",omitempty"` // of a group
	Permission string
}

// ownerOnly is the list that a nil one stands for.
func ownerOnly(owner string) *acl { return &acl{[]grant{{ID: owner, Permission: aclFullControl}}} }

// public reports whether a list grants anything to everyone, or to everyone with
// an account somewhere.
func (l *acl) public() bool {
	return l != nil && slices.ContainsFunc(l.Grants, func(g grant) bool { return g.URI == groupEveryone || g.URI == groupAuthenticated })
}

// beyond reports whether a list grants anything to anybody but the owner.
func (l *acl) beyond(owner string) bool {
	return l != nil && slices.ContainsFunc(l.Grants, func(g grant) bool { return g.ID != owner })
}

// bucketGrants and objectGrants are the permissions of the lists of buckets
// and of objects that allow an action.
var (
	bucketGrants = map[string]string{
		"s3:ListBucket": aclRead, "s3:ListBucketVersions": aclRead, "s3:ListBucketMultipartUploads": aclRead,
		"s3:PutObject": aclWrite, "s3:GetBucketAcl": aclReadACP, "s3:PutBucketAcl": aclWriteACP,
	}
	objectGrants = map[string]string{
		"s3:GetObject": aclRead, "s3:GetObjectVersion": aclRead,
		"s3:GetObjectAcl": aclReadACP, "s3:GetObjectVersionAcl": aclReadACP,
		"s3:PutObjectAcl": aclWriteACP, "s3:PutObjectVersionAcl": aclWriteACP,
	}
)

// grants says what a list grants of a permission to a caller.
func (l *acl) grants(permission string, who *policy.Principal) policy.Grant {
	found := policy.NoGrant
	if l == nil {
		return found
	}
	for _, g := range l.Grants {
		switch {
		case g.Permission != permission && g.Permission != aclFullControl:
		case g.URI == groupEveryone, g.URI == groupAuthenticated && who.Kind != policy.Anonymous:
			return policy.GrantEveryone
		case g.ID != "" && g.ID == who.CanonicalUser:
			found = policy.GrantAccount
		}
	}
	return found
}
