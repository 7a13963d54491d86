package controlplane

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/record"
)

// NodeKeys are the keys of one control-plane node, as its files and the
// running API server have them.
type NodeKeys struct {
	Node string
	// Files are the files that the manifests name. Their PublicKeyFile is
	// empty if no file holds the public half of the signing key.
	Files record.KeyFiles
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
	k.Files = record.KeyFiles{KeyFiles: server.Flags.KeyFiles, SigningKeyFile: server.Flags.SigningKeyFile}
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

// sortKeys is a list sorted by id, each key once.
func sortKeys(list []keys.Public) []keys.Public {
	order.By(list, func(a, b keys.Public) int { return cmp.Compare(a.KID, b.KID) })
	return slices.CompactFunc(list, func(a, b keys.Public) bool { return a.KID == b.KID })
}
