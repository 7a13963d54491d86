package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// algorithms are those of keys that kube-apiserver signs with and STS takes.
var algorithms = []string{keys.RS256, keys.ES256, keys.ES384, keys.ES512}

func (a *app) keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make, show and replace the cluster's signing keys",
		Long:  "Link 1 of the chain: the keys with which the cluster signs the tokens of service accounts.",
	}
	c.AddCommand(a.generateKeyCommand(), a.listKeysCommand(), a.rotateKeysCommand())
	return c
}

// generateOptions are the flags of `keys generate`.
type generateOptions struct {
	file, publicFile, jwksFile string
	algorithm                  string
}

func (a *app) generateKeyCommand() *cobra.Command {
	var o generateOptions
	c := &cobra.Command{
		Use:   "generate",
		Short: "Make a key pair in files, for a cluster that is created with its own key",
		Long: `Make a signing key in a file that only its owner can read, its public half in
another, and, if asked for, a key set to publish. Nothing is overwritten.

The files are for a cluster that is yet to be created (kubeadm takes sa.key and
sa.pub in its certificates directory), for 'issuer sign', and for 'issuer serve'.
To replace the keys of a running cluster use 'keys rotate', which makes the new
ones itself, on the nodes.`,
		Example: `  setup keys generate --file sa.key
  setup keys generate --file signer.key --algorithm ES256 --jwks-file jwks.json`,
		RunE: func(*cobra.Command, []string) error { return a.generateKey(o) },
	}
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&o.file, "file", "", "file for the private key, PKCS #8 in PEM, mode 0600 (required)")
	f.StringVar(&o.publicFile, "public-file", "", "file for the public key (default: that of the private key, ending in .pub)")
	f.StringVar(&o.jwksFile, "jwks-file", "", "file for a JSON Web Key Set with the public key (default: none is written)")
	f.StringVar(&o.algorithm, "algorithm", keys.RS256, "what the key signs with: "+strings.Join(algorithms, ", "))
	c.MarkFlagRequired("file")
	c.RegisterFlagCompletionFunc("algorithm", cobra.FixedCompletions(algorithms, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) generateKey(o generateOptions) error {
	if !slices.Contains(algorithms, o.algorithm) {
		return cli.Usagef("--algorithm %q is not one of %s", o.algorithm, strings.Join(algorithms, ", "))
	}
	if o.publicFile == "" {
		o.publicFile = strings.TrimSuffix(o.file, ".key") + ".pub"
	}
	for _, file := range []string{o.file, o.publicFile, o.jwksFile} {
		if _, err := os.Lstat(file); file != "" && err == nil {
			return advise(fmt.Errorf("%s: %s exists, and is not overwritten", plan.SigningKey, file), "choose another --file")
		}
	}
	private, err := keys.Generate(o.algorithm)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	public, err := private.Public().PEM()
	if err != nil {
		return err
	}
	set, err := keys.NewSet(private.Public())
	if err != nil {
		return err
	}
	if err := keys.WritePrivate(o.file, private); err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	if err := writeNew(o.publicFile, public); err != nil {
		return err
	}
	if o.jwksFile != "" {
		if err := writeNew(o.jwksFile, set.JWKS()); err != nil {
			return err
		}
	}
	if a.output == "json" {
		return printJSON(a.out, struct {
			KID            string `json:"kid"`
			Algorithm      string `json:"algorithm"`
			PrivateKeyFile string `json:"privateKeyFile"`
			PublicKeyFile  string `json:"publicKeyFile"`
			JWKSFile       string `json:"jwksFile,omitempty"`
		}{private.Public().KID, o.algorithm, o.file, o.publicFile, o.jwksFile})
	}
	plain.Fprintf(a.out, "%s %s\n  private key  %s\n  public key   %s\n", o.algorithm, private.Public().KID, o.file, o.publicFile)
	if o.jwksFile != "" {
		plain.Fprintf(a.out, "  key set      %s\n", o.jwksFile)
	}
	return nil
}

// writeNew writes a file for everybody to read that must not be there yet.
func writeNew(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func (a *app) listKeysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "Show each signing key: what signs with it, accepts it and still needs it",
		Long: `Show every key of the cluster: which nodes sign with it, how many API servers
accept it, whether it is published, and how many live tokens it has signed: those
that kubelet keeps for pods, and those in Secrets. Nodes are read if they can be
reached. A rotation in progress is shown with its stage. Nothing is changed, and no
token is printed.`,
		Example: `  setup keys list
  setup keys list -o json`,
		RunE: func(c *cobra.Command, _ []string) error { return a.listKeys(c.Context()) },
	}
	a.clusterFlags(c)
	a.nodeFlags(c)
	a.outputFlag(c, "text", "json", "yaml")
	c.Flags().StringVar(&a.region, "region", "", "AWS region (default: the chain's)")
	return c
}

// keyList is what `keys list` prints.
type keyList struct {
	Cluster string         `json:"cluster"`
	Issuer  string         `json:"issuer,omitempty"`
	Change  *record.Change `json:"change,omitempty"`
	Keys    []listKey      `json:"keys"`
}

// listKey is one of the cluster's keys. What cannot be known is null.
type listKey struct {
	KID       string `json:"kid"`
	Algorithm string `json:"algorithm"`
	// Signs are the nodes whose API servers sign with it.
	Signs []string `json:"signs"`
	// Files are the private keys, as NODE:FILE.
	Files []string `json:"files"`
	// Accepted are the nodes whose API servers accept it.
	Accepted  []string `json:"accepted"`
	Published *bool    `json:"published"`
	Tokens    *int     `json:"tokens"`
	Secrets   *int     `json:"secrets"`
	// Part is "old" or "new" in a rotation that is under way.
	Part string `json:"part,omitempty"`
}

func (a *app) listKeys(ctx context.Context) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	list := keyList{Cluster: ch.Cluster.Name, Keys: []listKey{}}
	list.Change = ch.Record.Change
	if err := ch.ReadKeys(ctx); err != nil {
		return err
	}
	row := func(key keys.Public) *listKey {
		i := slices.IndexFunc(list.Keys, func(k listKey) bool { return k.KID == key.KID })
		if i < 0 {
			i = len(list.Keys)
			list.Keys = append(list.Keys, listKey{
				KID: key.KID, Algorithm: key.Algorithm, Signs: []string{}, Files: []string{}, Accepted: []string{},
			})
		}
		return &list.Keys[i]
	}
	nodes, err := controlplane.Of(ch.Cluster).NodeKeys(ctx)
	if err != nil && !errors.Is(err, cluster.ErrNoNodeAccess) {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	servers := len(nodes)
	for _, key := range ch.Keys.All() {
		k := row(key)
		if servers == 0 {
			k.Accepted = append(k.Accepted, plan.APIServer)
		}
	}
	for _, n := range nodes {
		for _, key := range n.Accepts {
			k := row(key)
			k.Accepted = append(k.Accepted, n.Node)
		}
		if n.SigningEndpoint == "" {
			k := row(n.Signs)
			k.Signs = append(k.Signs, n.Node)
			k.Files = append(k.Files, n.Node+":"+n.Files.SigningKeyFile)
		}
	}
	if ch.Installed {
		list.Issuer = ch.Issuer.String()
		if err := ch.Connect(ctx); err != nil {
			return err
		}
		_, published, err := discovery.Read(ctx, ch.Stranger(), ch.Issuer)
		for _, key := range published.All() {
			row(key)
		}
		for i := range list.Keys {
			_, ok := published.Lookup(list.Keys[i].KID)
			list.Keys[i].Published = new(ok)
		}
		if err != nil {
			plain.Fprintf(a.err, "%s: %v\n", plan.Documents, err)
		}
	}
	if err := countTokens(ctx, ch, list.Keys); err != nil {
		return err
	}
	if c := list.Change; c != nil && c.Rotation != nil {
		for i := range list.Keys {
			switch k := &list.Keys[i]; {
			case slices.Contains(c.Rotation.New, k.KID):
				k.Part = "new"
			case slices.Contains(c.Rotation.Old, k.KID):
				k.Part = "old"
			}
		}
	}
	order.By(list.Keys, func(a, b listKey) int { return strings.Compare(a.KID, b.KID) })
	return a.printKeys(list, max(servers, 1))
}

// countTokens counts the live tokens of each key, as far as they can be seen.
func countTokens(ctx context.Context, ch *chain.Chain, list []listKey) error {
	secrets, err := ch.Cluster.SecretTokens(ctx)
	if err != nil {
		return err
	}
	pods, err := ch.Cluster.ProjectedTokens(ctx)
	if err != nil {
		return err
	}
	count := func(tokens []cluster.Token, kid string) *int {
		n := 0
		for _, t := range tokens {
			if t.KID == kid {
				n++
			}
		}
		return &n
	}
	for i := range list {
		list[i].Secrets = count(secrets, list[i].KID)
		if len(ch.Cluster.Nodes()) > 0 {
			list[i].Tokens = count(pods, list[i].KID)
		}
	}
	return nil
}

func (a *app) printKeys(list keyList, servers int) error {
	switch a.output {
	case "json":
		return printJSON(a.out, list)
	case "yaml":
		return printYAML(a.out, list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KID\tALGORITHM\tSIGNS\tACCEPTED\tPUBLISHED\tTOKENS\tSECRETS\t")
	known := func(n *int) string {
		if n == nil {
			return "?"
		}
		return fmt.Sprint(*n)
	}
	for _, k := range list.Keys {
		published := "?"
		if k.Published != nil {
			published = map[bool]string{true: "yes", false: "no"}[*k.Published]
		}
		signs := strings.Join(k.Signs, ",")
		if signs == "" {
			signs = "-"
		}
		plain.Fprintf(w, "%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", k.KID, k.Algorithm, signs, len(k.Accepted), servers,
			published, known(k.Tokens), known(k.Secrets), k.Part)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if c := list.Change; c != nil {
		plain.Fprintf(a.out, "\n%s\n", c)
	}
	return nil
}

func (a *app) rotateKeysCommand() *cobra.Command {
	var o stagedOptions
	var algorithm string
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the signing keys, without one failed token",
		Long: `Replace the keys that sign the tokens of the cluster's service accounts. No valid
token fails at any moment, at the API servers or at AWS:

  prepare      a new key is made on every control-plane node, accepted by every
               API server, and published beside the old ones
  wait-caches  until no cache has the previous key set (--cache-wait)
  sign         every API server signs with its new key, and the controller
               managers too, for tokens in Secrets
  wait-tokens  until no live token is signed with an old key: kubelet renews those
               of pods; for tokens that cannot be seen, --token-lifetime
  prune        the API servers drop the old keys, then the key set does; the nodes'
               files and manifests have their previous names, with the new keys

Private keys never leave the node on which they are made. The command continues by
itself and waits where it must; if it is stopped, run it again. The stage is
recorded in the cluster: 'keys list' and 'status' show it. Until the stage prune
--rollback undoes the rotation, as carefully.

The API servers of kubeadm and kind clusters restart three times, one after the
other, and kubelet once. See docs/rotation.md.`,
		Example: `  setup keys rotate --dry-run
  setup keys rotate
  setup keys rotate --ssh admin@10.0.0.1 --ssh admin@10.0.0.2 --ssh admin@10.0.0.3
  setup keys rotate --no-wait         from a job that runs every hour
  setup keys rotate --until sign      and check it before continuing
  setup keys rotate --rollback`,
		RunE: func(c *cobra.Command, _ []string) error {
			if algorithm != "" && !slices.Contains(algorithms, algorithm) {
				return cli.Usagef("--algorithm %q is not one of %s", algorithm, strings.Join(algorithms, ", "))
			}
			return a.rotateKeys(c.Context(), o, algorithm)
		},
	}
	o.flags(a, c)
	f := c.Flags()
	f.StringVar(&algorithm, "algorithm", "", "what the new keys sign with: "+strings.Join(algorithms, ", ")+" (default: as the current "+
		"key, with its size)")
	c.RegisterFlagCompletionFunc("algorithm", cobra.FixedCompletions(algorithms, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) rotateKeys(ctx context.Context, o stagedOptions, algorithm string) error {
	return a.changeChain(ctx, o, func(ch *chain.Chain, r *report) (change.Outcome, error) {
		return change.Rotate(ctx, ch, change.RotateOptions{Options: o.options(), Algorithm: algorithm}, r)
	})
}
