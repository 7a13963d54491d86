package app

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	template "github.com/DataDog/datadog-agent/pkg/template/text" // the standard one keeps the linker from dropping methods
	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// The changes as each kind of cluster takes them. What a file says of a kind is
// from its documentation and code:
//
//   - kubeadm: cmd/kubeadm/app/apis/kubeadm/v1beta4 (extraArgs), app/util/arguments.go
//     (order), app/util/patches (file names) in kubernetes/kubernetes
//   - k3s and RKE2: docs.k3s.io/installation/configuration (config.yaml.d, "+"),
//     pkg/util/args.go (GetArgs) and pkg/daemons/control/server.go in k3s-io/k3s
//   - Talos: docs.siderolabs.com on KubeAPIServerConfig, siderolabs/talos#12475, #12607 and #13700
//   - kOps: docs/operations/service_account_issuer_migration.md and
//     pkg/model/components/discovery.go in kubernetes/kops
//   - OpenShift: docs.redhat.com on bound service account tokens, openshift/api#1313
//   - Cluster API: bootstrap/kubeadm/api (files, patches) in kubernetes-sigs/cluster-api
//   - kubespray: roles/kubernetes/kubeadm_common (kubeadm_patches) in kubernetes-sigs/kubespray
//   - k3d: k3d-io/k3d#1187; k0s: docs.k0sproject.io/stable/configuration (spec.api.extraArgs)
//   - MicroK8s: microk8s-resources/default-args/kube-apiserver in canonical/microk8s
//   - minikube: minikube.sigs.k8s.io/docs/handbook/config (--extra-config)
//   - EKS Anywhere: anywhere.eks.amazonaws.com on podIamConfig
//   - Talos up to 1.13: siderolabs/talos#12607 and #13213
//
//go:embed controlplane
var controlPlaneFiles embed.FS

// controlPlane is a kind of cluster for which the change can be printed.
type controlPlane struct {
	file, short string
	// former is the issuer that such a cluster has by default; "" if
	// that differs from cluster to cluster.
	former string
	// single says that it takes one issuer at a time, or changes all API servers
	// by itself: there is no first round.
	single bool
	// general says that the text is the same for every cluster.
	general bool
}

// defaultIssuer is that of a cluster with the default domain.
const defaultIssuer = "https://kubernetes.default.svc.cluster.local"

// shortIssuer is what OpenShift, k0s and MicroK8s use instead.
const shortIssuer = "https://kubernetes.default.svc"

var controlPlanes = []controlPlane{
	{file: "kubeadm.yaml", short: "ClusterConfiguration of kubeadm 1.31 and newer (v1beta4)", former: defaultIssuer},
	{file: "kubeadm-v1beta3.yaml", short: "Patch for kubeadm 1.22 to 1.36, and for any other", former: defaultIssuer},
	{file: "cluster-api.yaml", short: "KubeadmControlPlane of Cluster API", former: defaultIssuer},
	{file: "kubespray.yaml", short: "Variables of kubespray", former: defaultIssuer},
	{file: "k3s.yaml", short: "Configuration file of k3s", former: defaultIssuer},
	{file: "rke2.yaml", short: "Configuration file of RKE2", former: defaultIssuer},
	{file: "k3d.yaml", short: "Configuration file of k3d", former: defaultIssuer, single: true},
	{file: "k0s.yaml", short: "Configuration file of k0s", former: shortIssuer, single: true},
	{file: "microk8s.sh", short: "Commands for MicroK8s", former: shortIssuer},
	{file: "minikube.sh", short: "Command for minikube", former: defaultIssuer, single: true},
	{file: "talos.yaml", short: "Machine configuration patch of Talos 1.14 and newer"},
	{file: "talos-1.13.yaml", short: "Machine configuration patch of Talos up to 1.13", single: true},
	{file: "kops.yaml", short: "Cluster specification of kOps"},
	{file: "openshift.yaml", short: "Authentication of OpenShift", former: shortIssuer, single: true},
	{file: "eks-anywhere.yaml", short: "Cluster specification of EKS Anywhere", former: defaultIssuer, single: true},
	{file: "managed.sh", short: "What to do on GKE, AKS, EKS and other managed control planes", general: true},
}

func (p controlPlane) name() string { return strings.TrimSuffix(p.file, path.Ext(p.file)) }

// printOptions are the flags of `apiserver print`.
type printOptions struct {
	documentFlags
	former []string
	accept bool
}

func (a *app) printCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "print",
		Short: "Print what to change where 'setup apiserver' cannot",
		Long: `Print the exact change of the control plane's configuration, for kubeadm's own
configuration and for clusters that are not kubeadm's. Nothing is changed.

The issuer is that of --issuer-url, the one that 'setup up' recorded in the cluster,
or, before there is a cluster, that of the bucket that 'setup up' will make in an
account. The previous issuer, whose tokens must still be accepted, is read from the
cluster, or given with --former-issuer.

kind has 'setup kind-config'.`,
	}
	for _, p := range controlPlanes {
		var o printOptions
		sub := &cobra.Command{
			Use: p.name(), Short: p.short,
			Long: p.short + ".",
			RunE: func(c *cobra.Command, _ []string) error { return a.printControlPlane(c.Context(), p, o) },
		}
		if !p.general {
			sub.Example = fmt.Sprintf(`  setup apiserver print %[1]s --context prod > openirsa%[3]s
  setup apiserver print %[1]s --issuer-url https://oidc.example.com/prod --former-issuer %[2]s`,
				p.name(), cmp.Or(p.former, "https://10.0.0.1:6443"), path.Ext(p.file))
			o.flags(sub)
			a.clusterFlags(sub)
			f := sub.Flags()
			f.StringVar(&o.account, "account", "", "AWS account id in which the bucket will be")
			f.StringVar(&a.region, "region", "", "AWS region in which the bucket will be")
			f.StringArrayVar(&o.former, "former-issuer", nil, "issuer whose tokens are accepted already; repeat for several (default: those of "+
				"the cluster)")
			if !p.single {
				f.BoolVar(&o.accept, "accept", false, "the first round: accept tokens of the issuer, and sign as before")
			}
		}
		c.AddCommand(sub)
	}
	return c
}

func (a *app) printControlPlane(ctx context.Context, p controlPlane, o printOptions) error {
	change := controlPlaneChange{Setup: a.Name, Sign: !o.accept}
	if !p.general {
		iss, have, err := a.printedIssuer(ctx, p, o)
		if err != nil {
			return err
		}
		change.fill(iss, have)
	}
	return change.print(a, p)
}

// printedIssuer is the issuer to print, and the flags that the API servers have.
func (a *app) printedIssuer(ctx context.Context, p controlPlane, o printOptions) (iss issuer.URL, have controlplane.Flags, err error) {
	if err := o.check(); err != nil {
		return iss, have, err
	}
	if err := a.checkPort(o.documentFlags); err != nil {
		return iss, have, err
	}
	have.Issuers = o.former
	known := o.issuerURL != "" || o.account != "" || o.emulator
	if known {
		if iss, err = a.plannedIssuer(ctx, o.documentFlags); err != nil {
			return iss, have, err
		}
	}
	if named := a.context != "" || a.kubeconfig != "" || a.kindName != ""; !known || named {
		ch, err := a.connect(ctx)
		if err != nil {
			return iss, have, err
		}
		if !known {
			if !ch.Installed {
				return iss, have, advise(errors.New("which issuer? None is recorded in cluster "+ch.Cluster.Name), "SETUP up first, or name it: "+
					"--issuer-url URL, or --account ID --region REGION --name CLUSTER")
			}
			if ch.Keeps() {
				return iss, have, &chain.KeptError{Cluster: ch.Record.Cluster, Issuer: ch.Record.Issuer}
			}
			iss = ch.Issuer
		}
		if have.Issuers == nil {
			if have, err = currentFlags(ctx, ch.Cluster, iss); err != nil {
				return iss, have, err
			}
		}
	}
	for _, word := range slices.Concat(have.Issuers, have.APIAudiences) {
		if !plainWord.MatchString(word) {
			return iss, have, cli.Usagef("--former-issuer: %q cannot be written into a file or a command", word)
		}
	}
	if len(have.Issuers) > 0 {
		return iss, have, nil
	}
	if p.former == "" {
		return iss, have, cli.Usagef("which issuer does the cluster have now? Name the cluster with --context, or the issuer with "+
			"--former-issuer: %s has no default", p.name())
	}
	have.Issuers = []string{p.former}
	return iss, have, nil
}

// plainWord is what can stand in YAML and in a shell's quotes without a change.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:/_%~@?&=+,-]*$`)

// currentFlags are those of an API server without an issuer that is already
// given to it. They have no issuer where the cluster does not show any other.
func currentFlags(ctx context.Context, c *cluster.Cluster, iss issuer.URL) (controlplane.Flags, error) {
	all, err := controlplane.Of(c).APIServerFlags(ctx)
	if err != nil {
		return controlplane.Flags{}, err
	}
	var have controlplane.Flags
	if len(all) > 0 {
		have = all[0].Flags
	} else {
		one, err := c.Issuer(ctx)
		if err != nil {
			return have, err
		}
		have.Issuers = slices.DeleteFunc([]string{one}, func(s string) bool { return s == "" })
	}
	have.Issuers = slices.DeleteFunc(slices.Clone(have.Issuers), func(s string) bool { return s == iss.String() })
	return have, nil
}

// controlPlaneChange is what the files are filled with.
type controlPlaneChange struct {
	Setup     string   // the name of this program
	Sign      bool     // the second round
	Issuers   []string // in their order
	Sort      []string // as an older kubeadm orders them
	Sorted    bool     // that is the right order
	Audiences []string
	JWKS      string // "" in the first round
	// Front are the flags to insert before all others, each before those that
	// were inserted already, and Back those to append.
	Front, Back []string
}

// fill has exactly the flags that `setup apiserver` gives to an API server.
func (c *controlPlaneChange) fill(iss issuer.URL, have controlplane.Flags) {
	want := have.AlsoAccepting(iss)
	if c.Sign {
		want = have.SignedBy(iss)
		c.JWKS = want.JWKSURI
	}
	c.Issuers, c.Audiences = want.Issuers, want.APIAudiences
	c.Sort = slices.Sorted(slices.Values(c.Issuers))
	c.Sorted = slices.Equal(c.Sort, c.Issuers)
	if c.Audiences == nil {
		c.Audiences = have.Issuers
	}
	// kubeadm writes the previous issuer itself.
	if c.Sign {
		c.Front = []string{"--service-account-jwks-uri=" + c.JWKS, "--service-account-issuer=" + iss.String()}
	} else {
		c.Back = []string{"--service-account-issuer=" + iss.String()}
	}
	// Those that the API servers have may be in their manifests alone, where
	// `setup apiserver` has put them.
	c.Front = append(c.Front, "--api-audiences="+strings.Join(c.Audiences, ","))
}

func (c *controlPlaneChange) print(a *app, p controlPlane) error {
	t, err := template.New(p.file).
		Funcs(template.FuncMap{"join": strings.Join}).
		ParseFS(controlPlaneFiles, "controlplane/rounds.txt", "controlplane/"+p.file)
	if err != nil {
		return err
	}
	return t.Execute(a.out, c)
}
