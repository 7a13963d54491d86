package question

import (
	"slices"
	"strings"
)

// keyProperties are the condition keys that a description of a key tells.
var keyProperties = []string{
	"kms:KeySpec", "kms:KeyUsage", "kms:KeyOrigin", "kms:MultiRegion", "kms:MultiRegionKeyType", "kms:CustomerMasterKeySpec",
	"kms:CustomerMasterKeyUsage",
}

// setDeprecated sets the condition keys that were the names of two others, and still work.
func setDeprecated(q *Question) {
	for was, is := range map[string]string{"kms:CustomerMasterKeySpec": "kms:KeySpec", "kms:CustomerMasterKeyUsage": "kms:KeyUsage"} {
		if values, set := q.Keys.Values(is); set {
			q.Keys.Set(was, values[0])
		}
	}
}

// setKeyProperties sets the condition keys that say what the key of KMS is that a
// question is about (AWS Key Management Service Developer Guide, "AWS KMS condition
// keys", of those for KMS keys used in API operations). They are asked of the world only
// if a policy mentions one.
func (a *asker) setKeyProperties(q *Question) {
	r, is := parseARN(q.Resource)
	id, found := strings.CutPrefix(r.resource, "key/")
	if !is || !found || !q.Known || q.created {
		return
	}
	if slices.ContainsFunc(keyProperties, a.mentions) {
		known, _ := a.find(Fact{Kind: KeyByID, Region: r.region, Account: r.account, Name: id})
		for _, name := range sortedPairs(known.Pairs) {
			q.Keys.Set(name, known.Pairs[name])
		}
		setDeprecated(q)
	}
	if a.mentions("kms:ResourceAliases") {
		known, _ := a.find(Fact{Kind: KeyAliases, Region: r.region, Account: r.account, Name: id})
		if len(known.List) > 0 {
			q.Keys.SetMulti("kms:ResourceAliases", known.List...)
		}
	}
}
