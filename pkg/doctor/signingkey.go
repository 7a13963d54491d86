package doctor

import (
	"errors"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
)

// signingKey is link 1: that the API server has the key with which it signs, and that
// STS knows its kind.
func (d *diagnosis) signingKey() {
	const check = "signing key"
	switch {
	case errors.Is(d.KeysErr, keys.ErrUnsupported):
		d.unsupported(d.KeysErr)
		return
	case d.KeysErr != nil:
		d.unknown(plan.SigningKey, check, "reading the API server's keys: %v", d.KeysErr)
		return
	case d.Keys.Len() == 0:
		d.broken(Finding{
			Link: plan.SigningKey, Check: check,
			Summary:  "the API server publishes no keys",
			Expected: "at least one key", Found: "none", Fix: setup("status"),
		})
		return
	}
	if d.decoded {
		_, there := d.Keys.Find(d.header.KID)
		if why := omitted(d.Keys, d.header.KID); !there && errors.Is(why, keys.ErrUnsupported) {
			d.unsupported(why)
			return
		}
		if !there {
			d.broken(Finding{
				Link: plan.SigningKey, Check: check,
				Summary: "tokens are signed with a key that the API server does not have in its own set: " +
					"the control-plane nodes have different keys, or one was changed without a restart",
				Expected: "kid " + d.header.KID, Found: "kid " + kids(d.Keys),
				Fix: kubectl("kube-system", "delete", "pod", "--selector", "component=kube-apiserver").
					noting("after the same sa.key and sa.pub are on all control-plane nodes"),
			})
			return
		}
	}
	d.ok(plan.SigningKey, check, "%s", describe(d.Keys))
}

// unsupported reports a signing key of a kind that STS does not know.
func (d *diagnosis) unsupported(why error) {
	d.broken(Finding{
		Link: plan.SigningKey, Check: "signing key",
		Summary:  "the API server signs with a key that STS cannot verify",
		Expected: "RSA of 2048 bits or more, or EC P-256, P-384, P-521", Found: why.Error(),
		Fix: run("openssl", "genrsa", "-out", "sa.key", "2048").
			noting("and give it to the API server: --service-account-signing-key-file, --service-account-key-file"),
	})
}

// omitted is why a key that a set has under an id is one that STS does not use; nil
// if there is no such key.
func omitted(set keys.Set, kid string) error {
	for _, o := range set.Omitted() {
		if o.KID == kid && kid != "" {
			return o.Err
		}
	}
	return nil
}

// kids are the ids of the keys in a set.
func kids(set keys.Set) string {
	var all []string
	for _, k := range set.All() {
		all = append(all, k.KID)
	}
	return join(all)
}

// describe is a set as findings show it: its keys, and those that STS does not use.
func describe(set keys.Set) string {
	var all []string
	for _, k := range set.All() {
		all = append(all, k.Algorithm+" "+k.KID)
	}
	for _, o := range set.Omitted() {
		all = append(all, "without "+o.String())
	}
	return join(all)
}
