package controlplane

import (
	"context"
	"fmt"
	"io"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// makeKeyScript makes a private key in file $1, unless it is there, with the
// arguments of `openssl genpkey` from $3 on, and with the owner and the mode of
// key $2: whoever may read that one needs to read this one.
const makeKeyScript = `set -eu
[ ! -e "$1" ] || exit 0
command -v openssl >/dev/null || { echo "openssl, which makes the key on the node, is not installed there" >&2; exit 1; }
f=$1; r=$2; shift 2
d=$(dirname -- "$f"); t="$d/.$(basename -- "$f").openirsa"
umask 077
mkdir -p -- "$d"
chmod --reference="$(dirname -- "$r")" -- "$d"; chown --reference="$(dirname -- "$r")" -- "$d"
rm -f -- "$t"
openssl genpkey "$@" -out "$t" 2>/dev/null
chown --reference="$r" -- "$t"; chmod --reference="$r" -- "$t"
sync -- "$t"
mv -f -T -- "$t" "$f"
sync -- "$d"`

// MakeKeys makes the new private key on every node that has none yet.
func (c *ControlPlane) MakeKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.eachNode(r, func(r nodeRotation) ([]plan.Step, error) {
		n, file := r.node, r.newKeyFile()
		there, err := n.Existing(ctx, file)
		if err != nil || len(there) > 0 {
			return nil, err
		}
		return []plan.Step{{
			Link: plan.SigningKey, Action: plan.Create, Summary: "private key " + file + " on node " + n.Name,
			Do: func(ctx context.Context) error {
				present, err := onePublicKey(ctx, n, r.was.SigningKeyFile)
				if err != nil {
					return err
				}
				args, err := keyArguments(r.Algorithm, present)
				if err != nil {
					return err
				}
				err = n.Exec(ctx, nil, io.Discard, "sh", append([]string{"-c", makeKeyScript, "sh", file, r.was.SigningKeyFile}, args...)...)
				if err != nil {
					return fmt.Errorf("making a key on node %s: %w", n.Name, err)
				}
				return nil
			},
		}}, nil
	})
}

// NewKeys are the public halves of the new keys of all nodes, those that have
// left meanwhile included, sorted by id. Fewer than there are nodes if some
// are not made yet.
func (c *ControlPlane) NewKeys(ctx context.Context, r Rotation) ([]keys.Public, error) {
	var all []keys.Public
	for _, n := range node.ControlPlanes(c.nodes) {
		was, ok := r.Nodes[n.Name]
		if !ok {
			continue
		}
		on := nodeRotation{r, n, was}
		public, err := publicKeys(ctx, n, on.newKeyFile(), on.file(newPublicFile))
		if err != nil {
			return nil, err
		}
		all = append(all, public...)
	}
	return sortKeys(all), nil
}

func pemFile(list []keys.Public) (file []byte, err error) {
	for _, key := range list {
		block, err := key.PEM()
		if err != nil {
			return nil, err
		}
		file = append(file, block...)
	}
	return file, nil
}
