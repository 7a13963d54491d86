package kms

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

const (
	maxKeyPolicy = 32768     // bytes (PutKeyPolicy)
	policyName   = "default" // the one name that a key policy can have
)

// stranger is how AccessDenied ends for callers of other accounts, who do not learn
// whether there is a key.
const stranger = "on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a " +
	"resource-based policy explicitly denies access"

// defaultPolicy is the policy of a key that was made without one: it leaves it to IAM
// who of the account may use the key ("Default key policy").
func (r *keyRing) defaultPolicy(account string) string {
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:%s:iam::%s:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`, r.account.Partition, account)
}

// parse makes what follows from the policy of a key.
func (r *keyRing) parse(k *key) error {
	p, err := policy.Parse(policy.Resource, []byte(cmp.Or(k.Policy, r.defaultPolicy(k.Account))))
	if err != nil {
		return fmt.Errorf("policy of key %q: %w", k.ID, err)
	}
	k.parsed = p.Bind(k.Principals)
	return nil
}

// setPolicy gives a key a policy, or refuses it: one that would let nobody who calls
// change it afterwards, unless that is intended.
func (r *keyRing) setPolicy(c *api.Call, k *key, document string, bypass bool) *wire.Failure {
	if len(document) > maxKeyPolicy {
		return failure("LimitExceededException", "The key policy has more than %d bytes.", maxKeyPolicy)
	}
	p, err := policy.Parse(policy.Resource, []byte(document))
	if err == nil {
		err = p.CheckNew(r.account.Partition)
	}
	if err != nil {
		return failure("MalformedPolicyDocumentException", "%s", strings.TrimPrefix(err.Error(), "MalformedPolicy: "))
	}
	ids, unknown := r.account.Principals(p.AWSPrincipals())
	if unknown != "" {
		return failure("MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals.")
	}
	k.Policy, k.Principals, k.parsed = document, ids, p.Bind(ids)
	if bypass {
		return nil
	}
	if v := r.account.Gate.Ask(c, r.question("kms:PutKeyPolicy", r.arn(k), k)); v.Failure != nil {
		return failure("MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	}
	return nil
}

// findOwn is find for operations that no other account may call.
func (r *keyRing) findOwn(c *api.Call, id, name string) (*key, *wire.Failure) {
	if name != "" && name != policyName {
		return nil, failure("NotFoundException", "No such policy exists")
	}
	k, e := r.find(c, id, nil)
	if e == nil && k.Account != c.Caller.Account {
		d := api.Decision{Step: "permission", Code: "AccessDeniedException", Resource: r.arn(k)}
		d.Reason = "the operation is for callers of account " + k.Account + " alone, and the caller is of " + c.Caller.Account
		r.account.Gate.Record(c, d)
		return nil, failure(d.Code, "User: %s is not authorized to perform: kms:%s %s", c.Caller.ARN, c.Operation, stranger)
	}
	return k, e
}

type policyInput struct {
	KeyId, PolicyName, Policy      string
	BypassPolicyLockoutSafetyCheck bool
}

type policyOutput struct{ Policy, PolicyName string }

func (r *keyRing) getKeyPolicy(c *api.Call, in *policyInput) (out policyOutput, e *wire.Failure) {
	k, e := r.findOwn(c, in.KeyId, in.PolicyName)
	if e != nil {
		return out, e
	}
	return policyOutput{cmp.Or(k.Policy, r.defaultPolicy(k.Account)), policyName}, nil
}

type nothing struct{}

func (r *keyRing) putKeyPolicy(c *api.Call, in *policyInput) (out nothing, e *wire.Failure) {
	old, e := r.findOwn(c, in.KeyId, in.PolicyName)
	if e != nil {
		return out, e
	}
	k := *old
	if e := r.setPolicy(c, &k, in.Policy, in.BypassPolicyLockoutSafetyCheck); e != nil {
		return out, e
	}
	return out, r.keep(&k)
}

type policiesOutput struct {
	PolicyNames []string
	Truncated   bool
}

func (r *keyRing) listKeyPolicies(c *api.Call, in *policyInput) (out policiesOutput, e *wire.Failure) {
	if _, e := r.findOwn(c, in.KeyId, ""); e != nil {
		return out, e
	}
	return policiesOutput{[]string{policyName}, false}, nil
}

// KeyPolicy is the policy of the key with an ARN, and whether there is such a key.
func (r *keyRing) KeyPolicy(arn string) (document string, found bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k := r.named(arn)
	if k == nil {
		return "", false
	}
	return cmp.Or(k.Policy, r.defaultPolicy(k.Account)), true
}

// KeyTags are the tags of the key with an ARN.
func (r *keyRing) KeyTags(arn string) map[string]string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k := r.named(arn)
	if k == nil {
		return nil
	}
	tags := make(map[string]string, len(k.Tags))
	for _, t := range k.Tags {
		tags[t.Key] = t.Value
	}
	return tags
}

// named is the key with an ARN, nil if there is none. The caller holds mu.
func (r *keyRing) named(arn string) *key {
	if k := r.keys[arn[strings.LastIndexByte(arn, '/')+1:]]; k != nil && r.arn(k) == arn {
		return k
	}
	return nil
}
