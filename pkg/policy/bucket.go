package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// CheckBucket refuses a bucket policy that names another bucket, actions without a
// resource they apply to, or condition keys that the actions do not have, as
// PutBucketPolicy does. The error is an [*Error]. Actions with
// wildcards apply to anything.
func (p *Policy) CheckBucket(bucket string) error {
	for i := range p.statements {
		s := &p.statements[i]
		var onBucket, onObjects bool
		for _, raw := range s.rawResources {
			if raw == "*" {
				onBucket, onObjects = true, true
				continue
			}
			name := raw[strings.LastIndex(raw, ":::")+1:]
			name = strings.TrimLeft(name, ":")
			bucketPart, _, hasKey := strings.Cut(name, "/")
			if !compileGlob(bucketPart, globSyntax{wildcards: true}).match(bucket, false) {
				return &Error{Code: "MalformedPolicy", Message: "Policy has invalid resource"}
			}
			onObjects = onObjects || hasKey || strings.Contains(bucketPart, "*")
			onBucket = onBucket || !hasKey
		}
		for _, a := range s.actions.raw {
			if s.notAction || s.notResource || strings.ContainsAny(a, "*?") {
				continue
			}
			if object := isObjectAction(a); object && !onObjects || !object && !onBucket {
				return &Error{Code: "MalformedPolicy", Message: "Action does not apply to any resource(s) in statement"}
			}
		}
		if err := s.checkConditions(onBucket, onObjects); err != nil {
			return err
		}
	}
	return nil
}

// fixing are the condition keys that make a statement for everyone one for
// somebody, if it demands values without wildcards and variables.
var fixing = []string{
	"aws:SourceArn", "aws:SourceVpc", "aws:SourceVpce", "aws:SourceOwner", "aws:SourceAccount", "aws:userid",
	"aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths",
	"s3:DataAccessPointArn", "s3:DataAccessPointAccount", "s3:x-amz-server-side-encryption-aws-kms-key-id",
}

// Public reports whether S3 counts a bucket policy as public: whether some
// Allow is neither for fixed principals nor, by its conditions, for a fixed
// source or a network that is not too wide. Source: S3 User Guide, "Blocking
// public access to your Amazon S3 storage", "The meaning of public".
func (p *Policy) Public() bool {
	return slices.ContainsFunc(p.statements, func(s statement) bool {
		return !s.deny &&
			slices.ContainsFunc(s.principals, func(q principal) bool { return q.kind == everyone || q.kind == federatedEntry }) &&
			!slices.ContainsFunc(s.conditions, func(c condition) bool { return c.fixesSource() })
	})
}

// fixesSource reports whether a condition cannot be met by just anybody.
func (c *condition) fixesSource() bool {
	if c.op.negate || c.ifExists || c.quantifier == forAllValues || len(c.raw) == 0 {
		return false
	}
	switch c.op.class {
	case ipAddress:
		return sameKey(c.key, "aws:SourceIp") &&
			!slices.ContainsFunc(c.operands, func(o operand) bool { return isWide(o.network) })
	case stringEquals, stringEqualsFold, stringLike, arnLike:
	default:
		return false
	}
	if !slices.ContainsFunc(fixing, func(k string) bool { return sameKey(k, c.key) }) {
		return false
	}
	return !slices.ContainsFunc(c.raw, func(v string) bool {
		if sameKey(c.key, "s3:DataAccessPointArn") {
			// If the account is fixed, any name of an access point will do.
			parts := strings.SplitN(v, ":", arnColons+1)
			return len(parts) <= arnColons || !isAccount(parts[4])
		}
		return strings.Contains(v, "${") || strings.ContainsAny(v, "*?") && c.op.class != stringEquals && c.op.class != stringEqualsFold
	})
}

// isWide reports whether S3 counts a network as the public: wider than /8, or /32
// for IPv6.
func isWide(n netip.Prefix) bool {
	if n.Addr().Is4() {
		return n.Bits() < 8
	}
	return n.Bits() < 32
}
