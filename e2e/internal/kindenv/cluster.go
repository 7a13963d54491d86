package kindenv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
)

// Cluster is a kind cluster whose nodes are control planes, one unless asked for more.
type Cluster struct {
	Name       string // as kind knows it; the kubeconfig's context is "kind-" + Name
	kubeconfig string // that it shares with others, of which
	current    string // is the current one
	provider   *cluster.Provider
	log        *logger

	mu    sync.Mutex
	nodes []nodes.Node // once there are any
}

func (e *Env) newCluster(name string) *Cluster {
	return &Cluster{
		Name: name, kubeconfig: e.Kubeconfig, current: e.opts.Clusters[0], log: e.log,
		provider: cluster.NewProvider(cluster.ProviderWithLogger(e.log), cluster.ProviderWithDocker()),
	}
}

// kubeconfigs is held while kind works on the kubeconfig that the clusters share: kind's own lock does not wait for
// another holder, it fails.
var kubeconfigs sync.Mutex

const firstPort = 6443

// configuration is kind's default one, but for what a node image without kindnet, iptables and CoreDNS needs. The
// issuer of service-account tokens stays what kubeadm makes it: the product is to change it.
func configuration(route Route, instance, index int, shape Shape) *v1alpha4.Cluster {
	c := &v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Nodes:    slices.Repeat([]v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole}}, shape.ControlPlanes),
	}
	if route == Built {
		c.Networking = v1alpha4.Networking{
			APIServerAddress: address(instance), APIServerPort: int32(firstPort + index),
			DisableDefaultCNI: true, KubeProxyMode: v1alpha4.NFTablesProxyMode, PodSubnet: "10.244.0.0/16",
		}
		c.KubeadmConfigPatches = []string{
			"kind: InitConfiguration\nskipPhases: [preflight, addon/coredns]\n",
			"kind: JoinConfiguration\nskipPhases: [preflight]\n",
			"kind: KubeletConfiguration\nfailCgroupV1: false\n",
		}
	}
	if shape.Tuned {
		c.KubeadmConfigPatches = append(c.KubeadmConfigPatches,
			"kind: KubeletConfiguration\nsyncFrequency: 10s\ncrashLoopBackOff: {maxContainerRestartPeriod: 3s}\n",
			tunedControlPlane(shape.ControlPlanes))
		if route == Built { // nodeimage.sh makes the folder
			const probes = "patches: {directory: /kind/patches}\n"
			c.KubeadmConfigPatches = append(c.KubeadmConfigPatches, "kind: InitConfiguration\n"+probes, "kind: JoinConfiguration\n"+probes)
		}
	}
	return c
}

// tunedControlPlane is a patch of kubeadm's configuration of a cluster. A list in it takes the place of kind's. Its programs
// collect their garbage less often, and use one processor each: with two they wake each other.
func tunedControlPlane(nodes int) string {
	const env = "  extraEnvs: [{name: GOGC, value: \"400\"}, {name: GOMAXPROCS, value: \"1\"}]\n"
	elect := "{name: leader-elect, value: \"" + strconv.FormatBool(nodes > 1) + "\"}"
	return "kind: ClusterConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\n" +
		"apiServer:\n" + env +
		"controllerManager:\n  extraArgs: [{name: enable-hostpath-provisioner, value: \"true\"}, " + elect + "]\n" + env +
		"scheduler:\n  extraArgs: [" + elect + "]\n" + env +
		"etcd:\n local:\n  extraArgs: [{name: unsafe-no-fsync, value: \"true\"}, " +
		"{name: heartbeat-interval, value: \"500\"}, {name: election-timeout, value: \"5000\"}]\n" + env
}

func (c *Cluster) create(ctx context.Context, e *Env, index int, shape Shape) error {
	defer c.log.step("created cluster " + c.Name)()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	// On the route Kind a cluster of this name may be left from a run that was killed.
	if err := c.delete(); err != nil {
		return err
	}
	config := configuration(e.Route, e.opts.Instance, index, shape)
	own := c.kubeconfig + "." + c.Name // Create takes too long for the others to wait
	defer os.Remove(own)
	err := c.provider.Create(c.Name,
		cluster.CreateWithV1Alpha4Config(config), cluster.CreateWithNodeImage(e.node),
		cluster.CreateWithKubeconfigPath(own), cluster.CreateWithRetain(true),
		cluster.CreateWithWaitForReady(3*time.Minute),
		cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false))
	if err != nil {
		logs := filepath.Join(os.TempDir(), "openirsa-e2e-"+c.Name)
		if c.provider.CollectLogs(c.Name, logs) == nil {
			return fmt.Errorf("creating the cluster %s (its logs: %s): %w", c.Name, logs, err)
		}
		return fmt.Errorf("creating the cluster %s: %w", c.Name, err)
	}
	if !c.healthy() {
		return fmt.Errorf("creating the cluster %s: its nodes are not ready after 3 minutes", c.Name)
	}
	if err := c.settle(ctx, e.Route); err != nil {
		return err
	}
	return c.exportKubeconfig()
}

func (c *Cluster) delete() error {
	kubeconfigs.Lock()
	defer kubeconfigs.Unlock()
	c.mu.Lock()
	c.nodes = nil
	c.mu.Unlock()
	if err := c.provider.Delete(c.Name, c.kubeconfig); err != nil {
		return fmt.Errorf("deleting the cluster %s: %w", c.Name, err)
	}
	return nil
}

// settle gives each node of several its own range of pod addresses, and a route to those of the others: the network of
// the built node image knows of one node. No pod has an address of it yet. It may be done again.
func (c *Cluster) settle(ctx context.Context, route Route) error {
	list, err := c.Nodes()
	if err != nil || route != Built || len(list) == 1 {
		return err
	}
	if err := joinPodNetworks(ctx, list); err != nil {
		return fmt.Errorf("joining the pod networks of %s: %w", c.Name, err)
	}
	return nil
}

func joinPodNetworks(ctx context.Context, list []nodes.Node) error {
	type node struct{ name, address, pods string }
	var all []node
	var out bytes.Buffer
	const fields = `jsonpath={range .items[*]}{.metadata.name} ` +
		`{.status.addresses[?(@.type=="InternalIP")].address} {.spec.podCIDR}{"\n"}{end}`
	get := list[0].CommandContext(ctx, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "nodes", "-o", fields)
	err := get.SetStdout(&out).Run()
	if err != nil {
		return err
	}
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return fmt.Errorf("node %q has no address or no range of pod addresses", line)
		}
		all = append(all, node{f[0], f[1], f[2]})
	}
	for _, n := range list {
		var script strings.Builder
		for _, other := range all {
			if other.name == n.String() {
				fmt.Fprintf(&script, "sed -i 's#\"subnet\": \"[0-9./]*\"#\"subnet\": \"%s\"#' /etc/cni/net.d/10-ptp.conflist\n", other.pods)
			} else {
				fmt.Fprintf(&script, "ip route replace %s via %s\n", other.pods, other.address)
			}
		}
		if err := n.CommandContext(ctx, "bash", "-ec", script.String()).Run(); err != nil {
			return fmt.Errorf("on node %s: %w", n, err)
		}
	}
	return nil
}

// healthy reports whether the cluster is there with ready nodes.
func (c *Cluster) healthy() bool {
	names, err := c.provider.List()
	if err != nil || !slices.Contains(names, c.Name) {
		return false
	}
	n, err := c.Node()
	if err != nil {
		return false
	}
	wait := n.Command("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf",
		"wait", "--for=condition=Ready", "node", "--all", "--timeout=20s")
	return wait.Run() == nil
}

// exportKubeconfig adds this cluster to the kubeconfig, whose current context is always the first cluster's. Kind's own
// export makes every cluster the current one for a moment, and who reads the file then works on it.
func (c *Cluster) exportKubeconfig() error {
	data, err := c.KubeconfigData()
	if err != nil {
		return err
	}
	own, err := clientcmd.Load(data)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
	}
	kubeconfigs.Lock()
	defer kubeconfigs.Unlock()
	all, err := clientcmd.LoadFromFile(c.kubeconfig)
	if errors.Is(err, fs.ErrNotExist) {
		all, err = clientcmdapi.NewConfig(), nil
	}
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	maps.Copy(all.Clusters, own.Clusters)
	maps.Copy(all.AuthInfos, own.AuthInfos)
	maps.Copy(all.Contexts, own.Contexts)
	all.CurrentContext = "kind-" + c.current
	next := c.kubeconfig + ".next"
	if err := clientcmd.WriteToFile(*all, next); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return os.Rename(next, c.kubeconfig)
}

// KubeconfigData is a kubeconfig with this cluster alone.
func (c *Cluster) KubeconfigData() ([]byte, error) {
	s, err := c.provider.KubeConfig(c.Name, false)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
	}
	return []byte(s), nil
}

// Nodes are the cluster's nodes, the one that was made first at the front.
func (c *Cluster) Nodes() ([]nodes.Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.nodes) > 0 {
		return slices.Clone(c.nodes), nil
	}
	list, err := c.provider.ListInternalNodes(c.Name)
	if err == nil && len(list) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of %s: %w", c.Name, err)
	}
	slices.SortFunc(list, func(a, b nodes.Node) int {
		return cmp.Or(cmp.Compare(len(a.String()), len(b.String())), cmp.Compare(a.String(), b.String()))
	})
	c.nodes = list
	return slices.Clone(list), nil
}

// Node is the first of Nodes.
func (c *Cluster) Node() (nodes.Node, error) {
	list, err := c.Nodes()
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Load loads images into the nodes.
func (c *Cluster) Load(ctx context.Context, images ...Image) error {
	list, err := c.Nodes()
	if err != nil {
		return err
	}
	for _, im := range images {
		for _, n := range list {
			if id, err := nodeutils.ImageID(n, im.Ref); err == nil && id != "" {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := c.load(n, im); err != nil {
				return fmt.Errorf("loading %s into %s: %w", im.Ref, c.Name, err)
			}
		}
	}
	return nil
}

func (c *Cluster) load(n nodes.Node, im Image) error {
	defer c.log.step("loaded " + filepath.Base(im.Ref))()
	f, err := os.Open(im.Archive)
	if err != nil {
		return err
	}
	defer f.Close()
	return nodeutils.LoadImageArchive(n, f)
}
