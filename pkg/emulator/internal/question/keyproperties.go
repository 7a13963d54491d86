package question

import (
	"slices"
	"strings"
)

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
	if slices.ContainsFunc([]string{"kms:KeySpec", "kms:KeyUsage", "kms:KeyOrigin", "kms:MultiRegion"}, a.mentions) {
		known, _ := a.find(Fact{Kind: KeyByID, Region: r.region, Account: r.account, Name: id})
		for _, name := range sortedPairs(known.Pairs) {
			q.Keys.Set(name, known.Pairs[name])
		}
	}
	if a.mentions("kms:ResourceAliases") {
		known, _ := a.find(Fact{Kind: KeyAliases, Region: r.region, Account: r.account, Name: id})
		if len(known.List) > 0 {
			q.Keys.SetMulti("kms:ResourceAliases", known.List...)
		}
	}
}
