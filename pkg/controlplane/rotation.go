package controlplane

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// KeyFlags are the files of keys that the programs on a control-plane node are
// given. All are paths on the node, which the programs' containers see under
// the same names.
type KeyFlags struct {
	// KeyFiles are the files of public keys that the API server accepts.
	KeyFiles []string `json:"keyFiles"`
	// PublicKeyFile is the one of KeyFiles that holds the public half of the
	// signing key: kubeadm's sa.pub.
	PublicKeyFile string `json:"publicKeyFile"`
	// SigningKeyFile is the private key with which the API server signs:
	// kubeadm's sa.key.
	SigningKeyFile string `json:"signingKeyFile"`
	// PrivateKeyFile is the private key with which the controller manager
	// signs the tokens in Secrets. Empty where it signs none, or with a key
	// that is not to be replaced.
	PrivateKeyFile string `json:"privateKeyFile,omitempty"`
}

// NodeKeys are the keys of one control-plane node, as its files and the
// running API server have them.
type NodeKeys struct {
	Node string
	// Files are the files that the manifests name. Their PublicKeyFile is
	// empty if no file holds the public half of the signing key.
	Files KeyFlags
	// Signs is the public half of the key in the SigningKeyFile.
	Signs keys.Public
	// Controller is that of the controller manager's key, zero for none.
	Controller keys.Public
	// PublicKeys are the keys in the PublicKeyFile, the generation to which
	// the signing key belongs.
	PublicKeys []keys.Public
	// Accepts are the keys that the running API server serves, nil while it
	// does not answer.
	Accepts []keys.Public
	// SigningEndpoint is the socket of an external signer, which then has the
	// keys and everything above is empty.
	SigningEndpoint string
	// MaxTokenLifetime is --service-account-max-token-expiration, 0 if the
	// API server has no limit of its own.
	MaxTokenLifetime time.Duration
}

// Rotation is the replacement of the keys on all control-plane nodes: what its
// steps need to know. Every node gets a key of its own, made there, and every
// API server accepts all of them, so that no private key ever leaves its node.
//
// While it is under way a node has, beside the files that the flags named
// before, a directory "openirsa" with the new private key ID.key, the public
// keys of all nodes new.pub, those of before former.pub, and both together
// accepted-HASH.pub. The PublicKeyFile holds both together too: a manifest that
// kubeadm writes anew in the middle of it accepts every key. In the end the
// files of before have the new content, and the manifests are as they were.
type Rotation struct {
	// ID names the new keys' files. It is a valid file name.
	ID string
	// Algorithm is that of the new keys, such as [keys.RS256]. Empty: that of
	// the node's present key, and for RSA its size.
	Algorithm string
	// Nodes are the control-plane nodes with their files of before.
	Nodes map[string]KeyFlags
	// New are the ids of the new keys, as far as they are made, also those of
	// nodes that have left: a node that joins late has them in its files of
	// before, copied from another node.
	New []string
	// Wait is how long one API server may take to come up with new flags; 0 is
	// [DefaultWait].
	Wait time.Duration
}

func (r Rotation) wait() time.Duration { return cmp.Or(r.Wait, DefaultWait) }

// rotationDir is the directory of a rotation's files on a node.
func (f KeyFlags) rotationDir() string { return path.Join(path.Dir(f.SigningKeyFile), "openirsa") }

func (r Rotation) newKeyFile(f KeyFlags) string { return path.Join(f.rotationDir(), r.ID+".key") }

// generations are keys of before and new ones, apart.
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

// publicScript prints the public keys in its arguments, files of keys. Of a
// private key only the public half leaves the node. Files that are not there
// are passed over.
const publicScript = `set -eu
for f; do
  [ -e "$f" ] || continue
  if grep -q 'PRIVATE KEY' -- "$f"; then
    command -v openssl >/dev/null || { echo "openssl, which is needed to read the public half of $f, is not installed" >&2; exit 1; }
    openssl pkey -in "$f" -pubout
  else
    cat -- "$f"; echo
  fi
done`

// publicKeys are the public keys in files on the node; none for files that are
// not there.
func publicKeys(ctx context.Context, n node.Node, files ...string) ([]keys.Public, error) {
	b, err := n.Output(ctx, "sh", append([]string{"-c", publicScript, "sh"}, files...)...)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	var public []keys.Public
	if err == nil {
		public, err = keys.ParsePEM(b)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the public keys of %s on node %s: %w", strings.Join(files, ", "), n.Name, err)
	}
	return public, nil
}

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
	return nil, fmt.Errorf("algorithm %q is not one that kube-apiserver signs with: %s, %s, %s or %s", algorithm, keys.RS256, keys.ES256, keys.ES384, keys.ES512)
}

// NodeKeys reads the keys of all control-plane nodes that can be reached. The
// error wraps [cluster.ErrNoNodeAccess] where none can.
func (c *ControlPlane) NodeKeys(ctx context.Context) ([]NodeKeys, error) {
	nodes := node.ControlPlanes(c.nodes)
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: the keys of cluster %s are on its control-plane nodes", cluster.ErrNoNodeAccess, c.name)
	}
	all := make([]NodeKeys, len(nodes))
	g, gctx := errgroup.WithContext(ctx)
	for i, n := range nodes {
		g.Go(func() (err error) {
			all[i], err = readNodeKeys(gctx, n)
			return err
		})
	}
	return all, g.Wait()
}

func readNodeKeys(ctx context.Context, n node.Node) (NodeKeys, error) {
	k := NodeKeys{Node: n.Name}
	server, err := readAPIServer(ctx, n)
	if err != nil {
		return NodeKeys{}, err
	}
	k.SigningEndpoint = flagValue(server.commandLine, "service-account-signing-endpoint")
	const lifetimeFlag = "service-account-max-token-expiration"
	if lifetime := flagValue(server.commandLine, lifetimeFlag); lifetime != "" {
		if k.MaxTokenLifetime, err = time.ParseDuration(lifetime); err != nil {
			return NodeKeys{}, fmt.Errorf("the API server on node %s: --%s: %w", n.Name, lifetimeFlag, err)
		}
	}
	if k.Accepts, err = acceptedKeys(ctx, n, restartGrace); err != nil {
		k.Accepts = nil // it is away
	}
	if k.SigningEndpoint != "" {
		return k, nil
	}
	if server.Flags.SigningKeyFile == "" || len(server.Flags.KeyFiles) == 0 {
		return NodeKeys{}, fmt.Errorf("the API server on node %s has no --%s or no --%s", n.Name, signingKeyFlag, keyFilesFlag)
	}
	k.Files = KeyFlags{KeyFiles: server.Flags.KeyFiles, SigningKeyFile: server.Flags.SigningKeyFile}
	if k.Signs, err = onePublicKey(ctx, n, k.Files.SigningKeyFile); err != nil {
		return NodeKeys{}, err
	}
	for _, file := range k.Files.KeyFiles {
		public, err := publicKeys(ctx, n, file)
		if err != nil {
			return NodeKeys{}, err
		}
		if k.Files.PublicKeyFile == "" && hasKey(public, k.Signs) {
			k.Files.PublicKeyFile, k.PublicKeys = file, public
		}
	}
	controller, err := readPod(ctx, n, controllerPod)
	if err != nil {
		return NodeKeys{}, err
	}
	if file := controller.Flags.PrivateKeyFile; file != "" {
		k.Files.PrivateKeyFile = file
		if k.Controller, err = onePublicKey(ctx, n, file); err != nil {
			return NodeKeys{}, err
		}
	}
	return k, nil
}

func onePublicKey(ctx context.Context, n node.Node, file string) (keys.Public, error) {
	public, err := publicKeys(ctx, n, file)
	if err != nil {
		return keys.Public{}, err
	}
	if len(public) == 0 {
		return keys.Public{}, fmt.Errorf("node %s has no file %s", n.Name, file)
	}
	return public[0], nil
}

func hasKey(all []keys.Public, key keys.Public) bool {
	return slices.ContainsFunc(all, func(k keys.Public) bool { return k.KID == key.KID })
}

// acceptedKeys are the keys that the API server on the node serves. One that
// restarts has so long to be back.
func acceptedKeys(ctx context.Context, n node.Node, within time.Duration) ([]keys.Public, error) {
	deadline := time.Now().Add(within)
	for {
		all, err := servedKeys(ctx, n)
		if err == nil || time.Now().After(deadline) {
			return all, err
		}
		if err := wait.Sleep(ctx, pollInterval); err != nil {
			return nil, err
		}
	}
}

func servedKeys(ctx context.Context, n node.Node) ([]keys.Public, error) {
	commandLines, err := apiServers(ctx, n)
	if err != nil {
		return nil, err
	}
	if len(commandLines) != 1 {
		return nil, fmt.Errorf("%d API servers run on node %s", len(commandLines), n.Name)
	}
	b, err := get(ctx, n, commandLines[0], issuer.JWKSPath)
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the API server on node %s: %w", n.Name, err)
	}
	set, err := keys.ParseJWKS(b)
	if err != nil {
		return nil, fmt.Errorf("the API server on node %s: %w", n.Name, err)
	}
	return set.All(), nil
}

// accepts fails unless the API server on the node serves all of the keys, and
// if only is set, no others. One that restarts has so long to be back.
func accepts(ctx context.Context, n node.Node, want []keys.Public, only bool, within time.Duration) error {
	have, err := acceptedKeys(ctx, n, within)
	if err != nil {
		return err
	}
	for _, key := range want {
		if !hasKey(have, key) {
			return fmt.Errorf("the API server on node %s does not accept key %s", n.Name, key.KID)
		}
	}
	if only {
		for _, key := range have {
			if !hasKey(want, key) {
				return fmt.Errorf("the API server on node %s still accepts key %s", n.Name, key.KID)
			}
		}
	}
	return nil
}

// restartGrace is how long an API server that restarts has to be back when its
// keys are read.
const restartGrace = 30 * time.Second

// ErrExternalSigner says that the API servers hold no key: whoever signs for
// them rotates.
var ErrExternalSigner = errors.New("an external signer holds the keys")

// rotatable checks that a rotation can replace the node's keys, and returns
// the files to be kept in [Rotation.Nodes]. It changes nothing.
func (k NodeKeys) rotatable(ctx context.Context, n node.Node) (KeyFlags, error) {
	f := k.Files
	switch {
	case k.SigningEndpoint != "":
		return KeyFlags{}, fmt.Errorf("%w: the API server on node %s has --service-account-signing-endpoint=%s", ErrExternalSigner, n.Name, k.SigningEndpoint)
	case strings.Contains(f.SigningKeyFile, "/openirsa/"):
		return KeyFlags{}, fmt.Errorf("the API server on node %s signs with %s, the file of a rotation that is not recorded", n.Name, f.SigningKeyFile)
	case f.PublicKeyFile == "":
		return KeyFlags{}, fmt.Errorf("the API server on node %s does not accept its own tokens: none of %s holds the public half of %s", n.Name, strings.Join(f.KeyFiles, ", "), f.SigningKeyFile)
	case slices.Contains(f.KeyFiles, f.SigningKeyFile):
		return KeyFlags{}, fmt.Errorf("the API server on node %s reads the keys that it accepts from its private key %s, which has room for one; give it a file of public keys with --%s, as kubeadm does", n.Name, f.SigningKeyFile, keyFilesFlag)
	}
	server, err := readAPIServer(ctx, n)
	if err != nil {
		return KeyFlags{}, err
	}
	pods := []*podOnNode{server}
	// A controller manager with a key of its own, or none, is none of this
	// rotation's business.
	if !hasKey(k.PublicKeys, k.Controller) {
		f.PrivateKeyFile = ""
	} else {
		controller, err := readPod(ctx, n, controllerPod)
		if err != nil {
			return KeyFlags{}, err
		}
		pods = append(pods, controller)
	}
	for _, p := range pods {
		if !p.sees(f.rotationDir()) {
			return KeyFlags{}, fmt.Errorf("the %s on node %s does not see directory %s, where the new key would be: its manifest mounts the files of keys one by one or under other names", p.pod, n.Name, path.Dir(f.rotationDir()))
		}
	}
	return f, nil
}

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
		known = make(map[string]KeyFlags)
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

// sortKeys is a list sorted by id, each key once.
func sortKeys(list []keys.Public) []keys.Public {
	slices.SortFunc(list, func(a, b keys.Public) int { return cmp.Compare(a.KID, b.KID) })
	return slices.CompactFunc(list, func(a, b keys.Public) bool { return a.KID == b.KID })
}

// eachNode calls do with every control-plane node, one after the other, and joins the
// steps.
func (c *ControlPlane) eachNode(r Rotation, do func(n node.Node, was KeyFlags) ([]plan.Step, error)) ([]plan.Step, error) {
	var steps []plan.Step
	for _, n := range node.ControlPlanes(c.nodes) {
		was, ok := r.Nodes[n.Name]
		if !ok {
			return nil, fmt.Errorf("control-plane node %s is not part of the rotation", n.Name)
		}
		more, err := do(n, was)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// MakeKeys makes the new private key on every node that has none yet.
func (c *ControlPlane) MakeKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.eachNode(r, func(n node.Node, was KeyFlags) ([]plan.Step, error) {
		file := r.newKeyFile(was)
		there, err := n.Existing(ctx, file)
		if err != nil || len(there) > 0 {
			return nil, err
		}
		return []plan.Step{{
			Link: plan.SigningKey, Action: plan.Create, Summary: "private key " + file + " on node " + n.Name,
			Do: func(ctx context.Context) error {
				present, err := onePublicKey(ctx, n, was.SigningKeyFile)
				if err != nil {
					return err
				}
				args, err := keyArguments(r.Algorithm, present)
				if err != nil {
					return err
				}
				err = n.Exec(ctx, nil, io.Discard, "sh", append([]string{"-c", makeKeyScript, "sh", file, was.SigningKeyFile}, args...)...)
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
		public, err := publicKeys(ctx, n, r.newKeyFile(was), path.Join(was.rotationDir(), newPublicFile))
		if err != nil {
			return nil, err
		}
		all = append(all, public...)
	}
	return sortKeys(all), nil
}

// acceptedFiles are the contents of a rotation's files of public keys on a
// node.
func (r Rotation) acceptedFiles(ctx context.Context, n node.Node, was KeyFlags, added []keys.Public) (former, both, newOnly []byte, err error) {
	former, ok, err := n.ReadFile(ctx, path.Join(was.rotationDir(), formerPublicFile))
	if err == nil && !ok {
		former, ok, err = n.ReadFile(ctx, was.PublicKeyFile)
		if err == nil && ok {
			former, err = r.withoutNew(former)
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if !ok {
		return nil, nil, nil, fmt.Errorf("node %s has no file %s", n.Name, was.PublicKeyFile)
	}
	if newOnly, err = pemFile(added); err != nil {
		return nil, nil, nil, err
	}
	both = slices.Concat(former, newOnly)
	if len(former) > 0 && !bytes.HasSuffix(former, []byte("\n")) {
		both = slices.Concat(former, []byte("\n"), newOnly)
	}
	return former, both, newOnly, nil
}

// withoutNew is a file of public keys without the new ones, which a node that
// joined late has in it.
func (r Rotation) withoutNew(file []byte) ([]byte, error) {
	all, err := keys.ParsePEM(file)
	if err != nil {
		return nil, err
	}
	former, added := r.generations(all)
	if added == nil {
		return file, nil
	}
	return pemFile(former)
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

// acceptedFlags are the flags with which an API server accepts the keys of
// both generations. The file's name tells its content, so that a running
// process that has the flag has read it.
func acceptedFlags(have Flags, was KeyFlags, both []byte) (want Flags, file string) {
	want = have
	sum := sha256.Sum256(both)
	file = path.Join(was.rotationDir(), fmt.Sprintf("accepted-%x.pub", sum[:6]))
	want.KeyFiles = slices.Clone(was.KeyFiles)
	want.KeyFiles[slices.Index(want.KeyFiles, was.PublicKeyFile)] = file
	return want, file
}

// AcceptKeys has every API server accept the tokens of every new key, and of
// the old ones as before. The keys must have been made.
func (c *ControlPlane) AcceptKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	added, err := c.NewKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.eachNode(r, func(n node.Node, was KeyFlags) ([]plan.Step, error) {
		server, err := readAPIServer(ctx, n)
		if err != nil {
			return nil, err
		}
		_, both, _, err := r.acceptedFiles(ctx, n, was, added)
		if err != nil {
			return nil, err
		}
		want, file := acceptedFlags(server.Flags, was, both)
		if len(added) == 0 { // a dry run, in which no key is made
			want.KeyFiles[slices.Index(want.KeyFiles, file)] = path.Join(was.rotationDir(), "accepted-HASH.pub")
		}
		if server.has(want) && accepts(ctx, n, added, false, 0) == nil {
			return nil, nil
		}
		return []plan.Step{{
			Link: plan.SigningKey, Action: plan.Update, Summary: "API server on node " + n.Name + ": accept the new keys",
			Diff: diffLines(server.Flags.lines(), want.lines()),
			Do:   func(ctx context.Context) error { return c.acceptKeys(ctx, r, n, was) },
		}}, nil
	})
}

func (c *ControlPlane) acceptKeys(ctx context.Context, r Rotation, n node.Node, was KeyFlags) error {
	added, err := c.NewKeys(ctx, r)
	if err != nil {
		return err
	}
	if _, err := onePublicKey(ctx, n, r.newKeyFile(was)); err != nil {
		return err
	}
	both, err := r.writeAccepted(ctx, n, was, added)
	if err != nil {
		return err
	}
	err = replaceManifest(ctx, n, apiServerPod, r.wait(), func(now *podOnNode) ([]byte, error) {
		want, _ := acceptedFlags(now.Flags, was, both)
		return now.With(want)
	})
	if err != nil {
		return err
	}
	return accepts(ctx, n, added, false, r.wait())
}

// writeAccepted writes a rotation's files of public keys, and returns what is
// in the one with all of them.
func (r Rotation) writeAccepted(ctx context.Context, n node.Node, was KeyFlags, added []keys.Public) (both []byte, err error) {
	former, both, newOnly, err := r.acceptedFiles(ctx, n, was, added)
	if err != nil {
		return nil, err
	}
	_, accepted := acceptedFlags(Flags{}, was, both)
	// What is read later is written first: the way back, then what the flags
	// will name, then the file of before, which a manifest that is written
	// anew by others would name.
	for _, f := range []struct {
		name string
		data []byte
	}{
		{path.Join(was.rotationDir(), formerPublicFile), former},
		{path.Join(was.rotationDir(), newPublicFile), newOnly},
		{accepted, both},
		{was.PublicKeyFile, both},
	} {
		if there, ok, err := n.ReadFile(ctx, f.name); err != nil {
			return nil, err
		} else if ok && bytes.Equal(there, f.data) {
			continue
		}
		if err := n.WriteFile(ctx, f.name, f.data, "0644"); err != nil {
			return nil, err
		}
	}
	return both, nil
}

// SignWithNewKeys has every API server, and then every controller manager,
// sign with its node's new key. All API servers must accept all of them.
func (c *ControlPlane) SignWithNewKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.sign(ctx, r, "sign with the new key", func(was KeyFlags) KeyFlags {
		was.SigningKeyFile = r.newKeyFile(was)
		if was.PrivateKeyFile != "" {
			was.PrivateKeyFile = was.SigningKeyFile
		}
		return was
	})
}

// SignWithFormerKeys has everything sign with the keys of before again. The
// new ones are still accepted.
func (c *ControlPlane) SignWithFormerKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.sign(ctx, r, "sign with the former key", func(was KeyFlags) KeyFlags { return was })
}

func (c *ControlPlane) sign(ctx context.Context, r Rotation, what string, with func(was KeyFlags) KeyFlags) ([]plan.Step, error) {
	added, err := c.NewKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	for _, pod := range []staticPod{apiServerPod, controllerPod} {
		more, err := c.eachNode(r, func(n node.Node, was KeyFlags) ([]plan.Step, error) {
			files := with(was)
			flags := func(have Flags) Flags {
				if pod == controllerPod {
					have.PrivateKeyFile = files.PrivateKeyFile
				} else {
					have.SigningKeyFile = files.SigningKeyFile
				}
				return have
			}
			if pod == controllerPod && was.PrivateKeyFile == "" {
				return nil, nil
			}
			p, err := readPod(ctx, n, pod)
			if err != nil || p.has(flags(p.Flags)) {
				return nil, err
			}
			return []plan.Step{{
				Link: plan.SigningKey, Action: plan.Update, Summary: fmt.Sprintf("%s on node %s: %s", pod, n.Name, what),
				Diff: diffLines(p.Flags.lines(), flags(p.Flags).lines()),
				Do: func(ctx context.Context) error {
					// Whatever has happened since the plan was made: nothing signs with
					// a key that somebody does not accept.
					if files.SigningKeyFile != was.SigningKeyFile {
						for _, other := range node.ControlPlanes(c.nodes) {
							if err := accepts(ctx, other, added, false, r.wait()); err != nil {
								return err
							}
						}
					}
					return replaceManifest(ctx, n, pod, r.wait(), func(now *podOnNode) ([]byte, error) { return now.With(flags(now.Flags)) })
				},
			}}, nil
		})
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// in are the flags of a program with the files about keys of before.
func (f KeyFlags) in(pod staticPod, have Flags) Flags {
	if pod == controllerPod {
		have.PrivateKeyFile = f.PrivateKeyFile
		return have
	}
	have.KeyFiles, have.SigningKeyFile = f.KeyFiles, f.SigningKeyFile
	return have
}

// SettleKeys ends a rotation: the new keys take the place of the old ones in
// the files of before, whose flags come back, and every old key is gone. There
// is no way back. Everything must sign with the new keys. The error wraps
// [ErrJoinedWithOldKey] where something does not.
func (c *ControlPlane) SettleKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	// First every private key, whose public half the PublicKeyFile has already,
	// then the files of public keys: at any moment the files of before fit each
	// other, on all nodes.
	private, err := c.eachNode(r, func(n node.Node, was KeyFlags) ([]plan.Step, error) {
		there, err := n.Existing(ctx, r.newKeyFile(was))
		if err != nil {
			return nil, err
		}
		if len(there) == 0 { // it has taken its place, or the node joined late
			signs, err := onePublicKey(ctx, n, was.SigningKeyFile)
			if err == nil && !slices.Contains(r.New, signs.KID) {
				err = fmt.Errorf("%w: the API server on node %s signs with %s", ErrJoinedWithOldKey, n.Name, signs.KID)
			}
			return nil, err
		}
		var steps []plan.Step
		for _, file := range slices.Compact([]string{was.SigningKeyFile, cmp.Or(was.PrivateKeyFile, was.SigningKeyFile)}) {
			steps = append(steps, plan.Step{
				Link: plan.SigningKey, Action: plan.Update, Summary: "private key " + file + " on node " + n.Name + ": the new one",
				Do: func(ctx context.Context) error { return n.CopyFile(ctx, r.newKeyFile(was), file) },
			})
		}
		return steps, nil
	})
	if err != nil {
		return nil, err
	}
	rest, err := c.eachNode(r, func(n node.Node, was KeyFlags) ([]plan.Step, error) {
		there, err := n.Existing(ctx, was.rotationDir())
		if err != nil {
			return nil, err
		}
		if former, _, err := r.inFile(ctx, n, was); err != nil || len(there)+len(former) == 0 {
			return nil, err
		}
		server, err := readAPIServer(ctx, n)
		if err != nil {
			return nil, err
		}
		return []plan.Step{{
			Link: plan.SigningKey, Action: plan.Update, Summary: "API server on node " + n.Name + ": the new keys alone",
			Diff: diffLines(server.Flags.lines(), was.in(apiServerPod, server.Flags).lines()),
			Do:   func(ctx context.Context) error { return settle(ctx, r, n, was) },
		}}, nil
	})
	return append(private, rest...), err
}

// ErrJoinedWithOldKey says that a node joined while the old keys were being
// removed, and signs with one of them.
var ErrJoinedWithOldKey = errors.New("a node joined with a key that is being removed")

// inFile are the keys in a node's PublicKeyFile, by generation.
func (r Rotation) inFile(ctx context.Context, n node.Node, was KeyFlags) (former, added []keys.Public, err error) {
	all, err := publicKeys(ctx, n, was.PublicKeyFile)
	former, added = r.generations(all)
	return former, added, err
}

func settle(ctx context.Context, r Rotation, n node.Node, was KeyFlags) error {
	signingKeyFile := r.newKeyFile(was)
	there, err := n.Existing(ctx, signingKeyFile)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		signingKeyFile = was.SigningKeyFile
		former, added, err := r.inFile(ctx, n, was)
		if err != nil {
			return err
		}
		if len(former) > 0 { // it joined late, and has none of the files
			if _, err := r.writeAccepted(ctx, n, was, added); err != nil {
				return err
			}
		}
	}
	rest := []string{path.Join(was.rotationDir(), newPublicFile), r.newKeyFile(was), was.rotationDir(), controllerTempFile} // removed in this order
	if there, err := n.Existing(ctx, rest[0]); err != nil {
		return err
	} else if len(there) == 0 {
		return n.Remove(ctx, rest...) // a run before this one came as far as this
	}
	if err := putBack(ctx, r, n, was, newPublicFile, signingKeyFile); err != nil {
		return err
	}
	return n.Remove(ctx, rest...)
}

// putBack gives both programs the flags about keys of before, after it has put
// the keys in a file of the rotation into the PublicKeyFile, and proves that
// the API server accepts those and no others. SigningKeyFile is with what it
// signs until then.
func putBack(ctx context.Context, r Rotation, n node.Node, was KeyFlags, file, signingKeyFile string) error {
	file = path.Join(was.rotationDir(), file)
	public, err := publicKeys(ctx, n, file)
	if err != nil {
		return err
	}
	if err := n.CopyFile(ctx, file, was.PublicKeyFile); err != nil {
		return err
	}
	if err := reread(ctx, r, n, was, signingKeyFile, public); err != nil {
		return err
	}
	if err := restoreFlags(ctx, r, n, was); err != nil {
		return err
	}
	return accepts(ctx, n, public, len(was.KeyFiles) == 1, r.wait())
}

// reread has an API server that has the flags of before, and so will not be
// restarted to get them, read the files of before anew, if it accepts other keys
// than those in them: something else has put the flags back meanwhile, such as a
// kubeadm upgrade. Other flags in between make it restart.
func reread(ctx context.Context, r Rotation, n node.Node, was KeyFlags, signingKeyFile string, want []keys.Public) error {
	server, err := readAPIServer(ctx, n)
	if err != nil {
		return err
	}
	if !was.in(apiServerPod, server.Flags).equal(server.Flags) || accepts(ctx, n, want, len(was.KeyFiles) == 1, 0) == nil {
		return nil
	}
	added, err := publicKeys(ctx, n, path.Join(was.rotationDir(), newPublicFile))
	if err != nil {
		return err
	}
	_, both, _, err := r.acceptedFiles(ctx, n, was, added)
	if err != nil {
		return err
	}
	return replaceManifest(ctx, n, apiServerPod, r.wait(), func(now *podOnNode) ([]byte, error) {
		want, _ := acceptedFlags(now.Flags, was, both)
		want.SigningKeyFile = signingKeyFile
		return now.With(want)
	})
}

// restoreFlags gives both programs the flags about keys of before.
func restoreFlags(ctx context.Context, r Rotation, n node.Node, was KeyFlags) error {
	for _, pod := range []staticPod{apiServerPod, controllerPod} {
		if pod == controllerPod && was.PrivateKeyFile == "" {
			continue
		}
		err := replaceManifest(ctx, n, pod, r.wait(), func(now *podOnNode) ([]byte, error) { return now.With(was.in(pod, now.Flags)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// DropNewKeys undoes AcceptKeys and MakeKeys: the API servers accept the keys
// of before and no others, and the new ones are gone. Nothing may sign with
// them.
func (c *ControlPlane) DropNewKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.eachNode(r, func(n node.Node, was KeyFlags) ([]plan.Step, error) {
		there, err := n.Existing(ctx, was.rotationDir())
		if err != nil {
			return nil, err
		}
		if _, added, err := r.inFile(ctx, n, was); err != nil || len(there)+len(added) == 0 {
			return nil, err
		}
		server, err := readAPIServer(ctx, n)
		if err != nil {
			return nil, err
		}
		return []plan.Step{{
			Link: plan.SigningKey, Action: plan.Update, Summary: "API server on node " + n.Name + ": the former key alone",
			Diff: diffLines(server.Flags.lines(), was.in(apiServerPod, server.Flags).lines()),
			Do: func(ctx context.Context) error {
				if _, added, err := r.inFile(ctx, n, was); err != nil {
					return err
				} else if len(added) > 0 { // it may have joined late, and have none of the files
					if _, err := r.writeAccepted(ctx, n, was, added); err != nil {
						return err
					}
				}
				// Without the way back, which is written first, nothing has changed yet.
				if there, err := n.Existing(ctx, path.Join(was.rotationDir(), formerPublicFile)); err != nil {
					return err
				} else if len(there) > 0 {
					if err := putBack(ctx, r, n, was, formerPublicFile, was.SigningKeyFile); err != nil {
						return err
					}
				}
				return n.Remove(ctx, was.rotationDir(), controllerTempFile)
			},
		}}, nil
	})
}
