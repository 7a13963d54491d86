package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
)

// grantHeaders are the headers that grant a permission.
var grantHeaders = map[string]string{
	"x-amz-grant-read": aclRead, "x-amz-grant-write": aclWrite, "x-amz-grant-read-acp": aclReadACP,
	"x-amz-grant-write-acp": aclWriteACP, "x-amz-grant-full-control": aclFullControl,
}

// asksACL reports whether a request has an access control list in its headers.
func asksACL(h http.Header) bool {
	if h.Get("X-Amz-Acl") != "" {
		return true
	}
	for name := range grantHeaders {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// cannedACL is the list that a name stands for, which is nil for the owner
// alone.
func cannedACL(name, owner string, bucket bool) (*acl, *failure) {
	with := func(grants ...grant) (*acl, *failure) {
		l := ownerOnly(owner)
		l.Grants = append(l.Grants, grants...)
		return l, nil
	}
	switch {
	// The owner of a bucket owns whatever is in it, as no other account gets
	// to write here.
	case name == "private", name == "bucket-owner-read", name == "bucket-owner-full-control":
		return nil, nil
	case name == "public-read":
		return with(grant{URI: groupEveryone, Permission: aclRead})
	case name == "public-read-write":
		return with(grant{URI: groupEveryone, Permission: aclRead}, grant{URI: groupEveryone, Permission: aclWrite})
	case name == "authenticated-read":
		return with(grant{URI: groupAuthenticated, Permission: aclRead})
	case name == "aws-exec-read":
		return with(grant{ID: ec2User, Permission: aclRead})
	case name == "log-delivery-write" && bucket:
		return with(grant{URI: groupLogs, Permission: aclWrite}, grant{URI: groupLogs, Permission: aclReadACP})
	}
	return nil, errInvalidArgument("", "x-amz-acl", name)
}

// headerACL is the list in the headers of a request.
func headerACL(h http.Header, owner string, bucket bool) (*acl, *failure) {
	canned := h.Get("X-Amz-Acl")
	l := new(acl)
	for _, name := range []string{
		"x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp", "x-amz-grant-write-acp",
	} {
		for part := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if canned != "" {
				return nil, errInvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
			}
			kind, value, _ := strings.Cut(part, "=")
			g, e := newGrant(strings.TrimSpace(kind), strings.Trim(strings.TrimSpace(value), `"`), "id", "uri")
			if e == nil && g == (grant{}) {
				e = errInvalidArgument("Argument format not recognized", name, part)
			}
			if e != nil {
				return nil, e
			}
			g.Permission = grantHeaders[name]
			l.Grants = append(l.Grants, g)
		}
	}
	if canned != "" {
		var e *failure
		if l, e = cannedACL(canned, owner, bucket); l == nil {
			return nil, e
		}
	}
	return l.check(bucket)
}

// newGrant is a grant to an id, a group's uri or an emailAddress, without its
// permission; of any other kind it is none. Errors call the argument by the
// names given.
func newGrant(kind, value, idName, uriName string) (grant, *failure) {
	switch kind {
	case "id":
		if len(value) != 64 || strings.Trim(value, "0123456789abcdef") != "" {
			return grant{}, errInvalidArgument("Invalid id", idName, value)
		}
		return grant{ID: value}, nil
	case "uri":
		if value != groupEveryone && value != groupAuthenticated && value != groupLogs {
			return grant{}, errInvalidArgument("Invalid group uri", uriName, value)
		}
		return grant{URI: value}, nil
	case "emailAddress":
		return grant{}, failf(http.StatusBadRequest, "UnresolvableGrantByEmailAddress",
			"The e-mail address you provided does not match any account on record.")
	}
	return grant{}, nil
}

func errMalformedACL() *failure {
	return failf(http.StatusBadRequest, "MalformedACLError",
		"The XML you provided was not well-formed or did not validate against our published schema")
}

// check refuses a list that is too long, and buckets that everyone may write
// to: what strangers write would be theirs, and objects of others are not to be
// had here.
func (l *acl) check(bucket bool) (*acl, *failure) {
	if len(l.Grants) > maxGrants {
		return nil, errMalformedACL()
	}
	if bucket && slices.ContainsFunc(l.Grants, func(g grant) bool {
		return g.URI == groupEveryone && (g.Permission == aclWrite || g.Permission == aclFullControl)
	}) {
		return nil, errNotImplemented("a bucket that everyone may write to")
	}
	return l, nil
}

// documentACL is the list in the body of a request about something of owner.
func documentACL(data []byte, owner string, bucket bool) (*acl, *failure) {
	var body struct {
		XMLName           xml.Name `xml:"AccessControlPolicy"`
		Owner             *struct{ ID string }
		AccessControlList *struct {
			Grant []struct {
				Grantee struct {
					Type                  string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
					ID, URI, EmailAddress string
				}
				Permission string
			}
		}
	}
	if parseXML(data, &body) != nil || body.Owner == nil || body.Owner.ID == "" || body.AccessControlList == nil {
		return nil, errMalformedACL()
	}
	if body.Owner.ID != owner {
		return nil, errAccessDenied()
	}
	l := new(acl)
	for _, entry := range body.AccessControlList.Grant {
		g, e := grant{}, (*failure)(nil)
		switch entry.Grantee.Type {
		case "CanonicalUser":
			g, e = newGrant("id", entry.Grantee.ID, "CanonicalUser/ID", "")
		case "Group":
			g, e = newGrant("uri", entry.Grantee.URI, "", "Group/URI")
		case "AmazonCustomerByEmail":
			g, e = newGrant("emailAddress", entry.Grantee.EmailAddress, "", "")
		default:
			return nil, errMalformedACL()
		}
		if e != nil {
			return nil, e
		}
		if !slices.Contains([]string{aclRead, aclWrite, aclReadACP, aclWriteACP, aclFullControl}, entry.Permission) {
			return nil, errMalformedACL()
		}
		g.Permission = entry.Permission
		l.Grants = append(l.Grants, g)
	}
	return l.check(bucket)
}
