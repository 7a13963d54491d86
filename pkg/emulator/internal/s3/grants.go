package s3

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/policy"
)

// granted says what access control lists grant of an action to the caller.
// Those of a bucket whose owner owns all objects do not count, and grants to
// the public do not while Block Public Access ignores them; the note says so of
// a grant that does not count.
func (q *call) granted(config *bucketConfig, action, arn string) (grant policy.Grant, note string) {
	if config == nil {
		return policy.NoGrant, ""
	}
	list, permission := config.ACL, bucketGrants[action]
	if permission == "" {
		permission = objectGrants[action]
		key, _ := strings.CutPrefix(arn, q.service.bucketARN(config.Name)+"/")
		o := q.asked(config.Name, key)
		if permission == "" || o == nil {
			return policy.NoGrant, ""
		}
		list = o.ACL
	}
	if grant = list.grants(permission, &q.Caller.Principal); grant != policy.GrantEveryone {
		if config.Ownership == ownerEnforced {
			grant = policy.NoGrant
		}
		return grant, ""
	}
	const but = "an access control list grants it to everyone, but "
	switch {
	case config.Ownership == ownerEnforced:
		return policy.NoGrant, but + "the object ownership of the bucket, " + ownerEnforced + ", disables those"
	case q.state.blockOf(config).IgnorePublicAcls:
		return policy.NoGrant, but + "IgnorePublicAcls in S3 Block Public Access (" +
			q.state.blockedBy(config, func(b publicAccessBlock) bool { return b.IgnorePublicAcls }) + ") ignores that"
	}
	return grant, ""
}

// asked is the version of an object that the request is about, if it is about that
// object, and the visible one otherwise.
func (q *call) asked(bucket, key string) *object {
	v, e := q.version()
	if e != nil || bucket != q.bucket || key != q.key {
		v = versionRef{}
	}
	return q.state.pick(bucket, key, v)
}
