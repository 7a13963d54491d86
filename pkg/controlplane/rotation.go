package controlplane

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// Rotation is the replacement of the keys on all control-plane nodes: what its
// steps need to know. Every node gets a key of its own, made there, and every
// API server accepts all of them, so that no private key ever leaves its node.
//
// While it is under way a node has, beside the files that the flags named
// before, a directory "openirsa" with the new private key ID.key, the public
// keys of all nodes new.pub, the previous ones former.pub, and both together
// accepted-HASH.pub. The PublicKeyFile holds both together too: a manifest that
// kubeadm writes again in the middle of it accepts every key. In the end the
// previous files have the new content, and the manifests are as they were.
type Rotation struct {
	// ID names the new keys' files. It is a valid file name.
	ID string
	// Algorithm is that of the new keys, such as [keys.RS256]. Empty: that of
	// the node's present key, and for RSA its size.
	Algorithm string
	// Nodes are the control-plane nodes with their previous files.
	Nodes map[string]record.KeyFiles
	// New are the ids of the new keys, as far as they are made, also those of
	// nodes that have left: a node that joins late has them in its previous
	// files, copied from another node.
	New []string
	// Wait is how long one API server may take to come up with new flags; 0 is
	// [DefaultWait].
	Wait time.Duration
}

func (r Rotation) wait() time.Duration { return cmp.Or(r.Wait, DefaultWait) }

// rotationDir is the directory of a rotation's files on a node.
func rotationDir(f record.KeyFiles) string { return path.Join(path.Dir(f.SigningKeyFile), "openirsa") }

// nodeRotation is the part of a rotation that happens on one node.
type nodeRotation struct {
	Rotation
	node node.Node
	was  record.KeyFiles // the files that the flags named before
}

// file is the path of a file of the rotation on the node.
func (r nodeRotation) file(name string) string { return path.Join(rotationDir(r.was), name) }

// newKeyFile is the path of the node's new private key.
func (r nodeRotation) newKeyFile() string { return r.file(r.ID + ".key") }

// generations are previous keys and new ones, apart.
func (r Rotation) generations(all []keys.Public) (former, added []keys.Public) {
	for _, key := range all {
		if slices.Contains(r.New, key.KID) {
			added = append(added, key)
		} else {
			former = append(former, key)
		}
	}
	return former, added
}

// The files of a rotation in its directory.
const (
	newPublicFile    = "new.pub"
	formerPublicFile = "former.pub"
)

// ErrExternalSigner says that the API servers hold no key: whoever signs for
// them rotates.
var ErrExternalSigner = errors.New("an external signer holds the keys")

// PlanRotation checks that the keys of all control-plane nodes can be replaced,
// and returns the rotation with every node among its Nodes: r has its ID and
// Algorithm, and the nodes that are part of it already. The old keys are those
// that go, of the nodes that r did not have, sorted by id. It changes nothing in
// the cluster. The error is that of [ControlPlane.AllReached], or wraps
// [ErrExternalSigner], where that is the reason.
func (c *ControlPlane) PlanRotation(ctx context.Context, r Rotation) (_ Rotation, old []keys.Public, err error) {
	if err := c.AllReached(ctx); err != nil {
		return Rotation{}, nil, err
	}
	all, err := c.NodeKeys(ctx)
	if err != nil {
		return Rotation{}, nil, err
	}
	known := maps.Clone(r.Nodes)
	if known == nil {
		known = make(map[string]record.KeyFiles)
	}
	for i, n := range node.ControlPlanes(c.nodes) {
		if _, ok := known[n.Name]; ok {
			continue
		}
		if known[n.Name], err = all[i].rotatable(ctx, n); err != nil {
			return Rotation{}, nil, err
		}
		if _, err := keyArguments(r.Algorithm, all[i].Signs); err != nil {
			return Rotation{}, nil, err
		}
		former, _ := r.generations(all[i].PublicKeys)
		old = append(old, former...)
	}
	r.Nodes = known
	return r, sortKeys(old), nil
}

// rotatable checks that a rotation can replace the node's keys, and returns
// the files to be kept in [Rotation.Nodes]. It changes nothing.
func (k NodeKeys) rotatable(ctx context.Context, n node.Node) (record.KeyFiles, error) {
	f := k.Files
	switch {
	case k.SigningEndpoint != "":
		return record.KeyFiles{}, fmt.Errorf("%w: the API server on node %s has --service-account-signing-endpoint=%s",
			ErrExternalSigner, n.Name, k.SigningEndpoint)
	case strings.Contains(f.SigningKeyFile, "/openirsa/"):
		return record.KeyFiles{}, fmt.Errorf("the API server on node %s signs with %s, the file of a rotation that is not recorded",
			n.Name, f.SigningKeyFile)
	case f.PublicKeyFile == "":
		return record.KeyFiles{}, fmt.Errorf("the API server on node %s does not accept its own tokens: none of %s holds the public half of %s",
			n.Name, strings.Join(f.KeyFiles, ", "), f.SigningKeyFile)
	case slices.Contains(f.KeyFiles, f.SigningKeyFile):
		return record.KeyFiles{}, fmt.Errorf("the API server on node %s reads the keys that it accepts from its private key %s, "+
			"which has room for one; give it a file of public keys with --%s, as kubeadm does", n.Name, f.SigningKeyFile, keyFilesFlag)
	}
	server, err := readAPIServer(ctx, n)
	if err != nil {
		return record.KeyFiles{}, err
	}
	pods := []*podOnNode{server}
	// A controller manager with a key of its own, or none, is none of this
	// rotation's business.
	if !hasKey(k.PublicKeys, k.Controller) {
		f.PrivateKeyFile = ""
	} else {
		controller, err := readPod(ctx, n, controllerPod)
		if err != nil {
			return record.KeyFiles{}, err
		}
		pods = append(pods, controller)
	}
	for _, p := range pods {
		if !p.sees(rotationDir(f)) {
			return record.KeyFiles{}, fmt.Errorf("the %s on node %s does not see directory %s, where the new key would be: "+
				"its manifest mounts the files of keys one by one or under other names", p.pod, n.Name, path.Dir(rotationDir(f)))
		}
	}
	return f, nil
}

// eachNode calls do for every control-plane node, one after the other, and joins
// the steps.
func (c *ControlPlane) eachNode(r Rotation, do func(nodeRotation) ([]plan.Step, error)) ([]plan.Step, error) {
	var steps []plan.Step
	for _, n := range node.ControlPlanes(c.nodes) {
		was, ok := r.Nodes[n.Name]
		if !ok {
			return nil, fmt.Errorf("control-plane node %s is not part of the rotation", n.Name)
		}
		more, err := do(nodeRotation{r, n, was})
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// withFiles are the flags of a program with these files instead of its own.
func withFiles(f record.KeyFiles, pod staticPod, have Flags) Flags {
	if pod == controllerPod {
		have.PrivateKeyFile = f.PrivateKeyFile
		return have
	}
	have.KeyFiles, have.SigningKeyFile = f.KeyFiles, f.SigningKeyFile
	return have
}

// keyArguments are the arguments of `openssl genpkey` for a key like the
// present one, unless another algorithm is asked for.
func keyArguments(algorithm string, present keys.Public) ([]string, error) {
	ec := func(curve string) []string {
		return []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve, "-pkeyopt", "ec_param_enc:named_curve"}
	}
	switch cmp.Or(algorithm, present.Algorithm) {
	case keys.RS256:
		bits := 2048
		if key, ok := present.Key.(*rsa.PublicKey); ok {
			bits = max(bits, key.N.BitLen())
		}
		return []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:" + strconv.Itoa(bits)}, nil
	case keys.ES256:
		return ec("P-256"), nil
	case keys.ES384:
		return ec("P-384"), nil
	case keys.ES512:
		return ec("P-521"), nil
	}
	return nil, fmt.Errorf("algorithm %q is not one that kube-apiserver signs with: %s, %s, %s or %s",
		algorithm, keys.RS256, keys.ES256, keys.ES384, keys.ES512)
}
