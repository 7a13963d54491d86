// Package deploy holds what runs in a cluster as Kubernetes objects.
//
// There is one source, the Helm chart in chart/. Its templates use only what
// text/template has without calling methods, and two functions that Helm has too
// (toYaml and nindent), so that this package can render them without Helm; the
// kustomize base in base/ is such a rendering, which a test keeps equal.
//
//	objects, err := deploy.Webhook(deploy.WebhookParams{Image: image, Region: "eu-west-1"})
package deploy

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	template "github.com/DataDog/datadog-agent/pkg/template/text" // the standard one keeps the linker from dropping methods
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/pkg/record"
)

//go:embed chart/Chart.yaml chart/values.yaml chart/templates/_helpers.tpl
//go:embed chart/templates/webhook.yaml chart/templates/emulator.yaml chart/templates/agent.yaml
//go:embed chart/templates/issuer.yaml chart/templates/issuer-publish.yaml chart/templates/namespace.yaml
var embedded embed.FS

// Programs have of the chart what they apply themselves.
var (
	chart     fs.FS = embedded
	templated       = []string{"chart/templates/*.tpl", "chart/templates/*.yaml"}
)

// Where things are, unless parameters say otherwise.
const (
	// Namespace is where the objects live.
	Namespace = record.Namespace
	// ManagedBy is the value of the label app.kubernetes.io/managed-by.
	ManagedBy = "openirsa"
	// WebhookName is the name of the webhook's Deployment, Service and service
	// account, and WebhookConfiguration that of its
	// MutatingWebhookConfiguration.
	WebhookName          = "webhook"
	WebhookConfiguration = "openirsa"
	// PodWebhook is the one in WebhookConfiguration that is asked about the pods of workloads.
	PodWebhook = "pod-identity.openirsa.dev"
	// EmulatorName is the name of the emulator's Deployment and Service, and
	// EmulatorPort the Service's port.
	EmulatorName = "emulator"
	EmulatorPort = 4566
)

// WebhookParams are the settings of a cluster. Empty fields take the chart's values.
type WebhookParams struct {
	Namespace string // [Namespace]
	Image     string // required: the image with the program /webhook
	Replicas  int    // 2

	AnnotationPrefix string // eks.amazonaws.com
	TokenAudience    string // sts.amazonaws.com
	TokenExpiration  int64  // seconds; 86400
	Region           string // of AWS_REGION and AWS_DEFAULT_REGION; "" adds neither
	EndpointURL      string // of AWS_ENDPOINT_URL; "" adds none
	RegionalSTS      bool   // add AWS_STS_REGIONAL_ENDPOINTS=regional
	RoleSessionName  bool   // add AWS_ROLE_SESSION_NAME, the pod's name
	ForeignRoleARNs  bool   // take role ARNs of other STS than AWS's too
	WatchConfigMap   bool   // read roles from the ConfigMap pod-identity-webhook too

	// FailurePolicy is what happens to pods of workloads while the webhook does not
	// answer: Fail or Ignore; default Fail. Pods of the chart's systemNamespaces, of
	// IgnoreNamespaces, and pods on their node's network never wait for it. It is not
	// called for those of Namespace and ExcludeNamespaces.
	FailurePolicy     string
	IgnoreNamespaces  []string
	ExcludeNamespaces []string
	// NoMatchConditions is for API servers before Kubernetes 1.28, which select pods
	// only by namespaces and labels.
	NoMatchConditions bool

	// PodIdentity are EKS Pod Identity associations; by default there are none.
	PodIdentity PodIdentity

	APIServers []string // CIDRs that alone may reach the webhook; none: everybody may
	ExtraArgs  []string // further flags of the program
}

// PodIdentity is an EKS API whose associations the webhook follows, and how it calls it.
type PodIdentity struct {
	Cluster     string // the cluster's name there; "" follows none
	Region      string // "" is the Region of the parameters; one of the two is required
	EndpointURL string // of EKS and STS; "" is the EndpointURL of the parameters, or AWS's
	// RoleARN is a role that the webhook's service account may assume; KeysSecret, instead,
	// a Secret of the namespace with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Either
	// may eks:ListPodIdentityAssociations on the cluster.
	RoleARN, KeysSecret string
	// Refresh is how often all are listed, in whole seconds; 10 s.
	Refresh time.Duration
	// FullURI is where pods reach the agent; "" is its IPv4 address.
	FullURI string
	// ExcludeNamespaces are those, besides the webhook's, whose associations have no
	// effect, such as the agent's; nil is kube-system.
	ExcludeNamespaces []string
}

// Webhook is the webhook in the order in which to apply it: the namespace first, the
// MutatingWebhookConfiguration last. Once that exists, pods of workloads are refused
// until the webhook answers, so wait for the Deployment first if possible.
func Webhook(p WebhookParams) ([]*unstructured.Unstructured, error) {
	if p.Image == "" {
		return nil, errors.New("rendering the webhook: no image given")
	}
	values, err := defaults()
	if err != nil {
		return nil, err
	}
	values["image"] = p.Image
	w := values["webhook"].(map[string]any)
	if err := p.PodIdentity.set(w["podIdentity"].(map[string]any), p.Region); err != nil {
		return nil, err
	}
	set(w, "replicas", p.Replicas)
	set(w, "annotationPrefix", p.AnnotationPrefix)
	set(w, "tokenAudience", p.TokenAudience)
	set(w, "tokenExpiration", p.TokenExpiration)
	set(w, "region", p.Region)
	set(w, "endpointURL", p.EndpointURL)
	set(w, "stsRegionalEndpoint", p.RegionalSTS)
	set(w, "roleSessionName", p.RoleSessionName)
	set(w, "foreignRoleARNs", p.ForeignRoleARNs)
	set(w, "watchConfigMap", p.WatchConfigMap)
	set(w, "failurePolicy", p.FailurePolicy)
	if p.IgnoreNamespaces != nil {
		w["ignoreNamespaces"] = p.IgnoreNamespaces
	}
	if p.ExcludeNamespaces != nil {
		w["excludeNamespaces"] = p.ExcludeNamespaces
	}
	if p.NoMatchConditions {
		w["matchConditions"] = false
	}
	if p.APIServers != nil {
		w["apiServers"] = p.APIServers
	}
	if p.ExtraArgs != nil {
		w["extraArgs"] = p.ExtraArgs
	}
	return objects(values, p.Namespace, "namespace.yaml", "webhook.yaml")
}

// set puts the parameters into the chart's values.
func (p PodIdentity) set(values map[string]any, region string) error {
	if p.Cluster != "" && p.Region == "" && region == "" {
		return fmt.Errorf("rendering the webhook: cluster %s of EKS Pod Identity without a region", p.Cluster)
	}
	set(values, "cluster", p.Cluster)
	set(values, "region", p.Region)
	set(values, "endpointURL", p.EndpointURL)
	set(values, "roleARN", p.RoleARN)
	set(values, "keysSecret", p.KeysSecret)
	set(values, "fullURI", p.FullURI)
	if p.Refresh != 0 {
		values["refresh"] = fmt.Sprintf("%ds", int64(p.Refresh/time.Second))
	}
	if p.ExcludeNamespaces != nil {
		values["excludeNamespaces"] = p.ExcludeNamespaces
	}
	return nil
}

// EmulatorParams are the settings of a cluster. Empty fields take the chart's values.
type EmulatorParams struct {
	Namespace string // [Namespace]
	Image     string // required: the image with the program /emulator

	// Path is a directory on the node for the state file. It must exist; kubelet gives
	// it to the emulator's group. "" uses a volume of the cluster's default storage
	// class.
	Path string
	// Node is the label kubernetes.io/hostname of the node that the emulator
	// is pinned to; required with a Path.
	Node string
	// ClusterIssuer is the cluster's own issuer, if the emulator should read its
	// documents from the API server; with "" it cannot.
	ClusterIssuer string
	// Forward are services that the emulator forwards to other servers, each
	// SERVICE=URL.
	Forward   []string
	ExtraArgs []string // further flags of the program
}

// Emulator is the emulator in the order in which to apply it.
func Emulator(p EmulatorParams) ([]*unstructured.Unstructured, error) {
	switch {
	case p.Image == "":
		return nil, errors.New("rendering the emulator: no image given")
	case p.Path != "" && p.Node == "":
		return nil, fmt.Errorf("rendering the emulator: path %q without the node that it is on", p.Path)
	}
	values, err := defaults()
	if err != nil {
		return nil, err
	}
	values["image"] = p.Image
	e := values["emulator"].(map[string]any)
	e["enabled"] = true
	set(e, "path", p.Path)
	set(e, "node", p.Node)
	set(e, "clusterIssuer", p.ClusterIssuer)
	if p.Forward != nil {
		e["forward"] = p.Forward
	}
	if p.ExtraArgs != nil {
		e["extraArgs"] = p.ExtraArgs
	}
	return objects(values, p.Namespace, "namespace.yaml", "emulator.yaml")
}

// defaults are the chart's own values, fresh at each call, and the namespace, which
// Helm would create.
func defaults() (map[string]any, error) {
	raw, err := fs.ReadFile(chart, "chart/values.yaml")
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := sigsyaml.Unmarshal(raw, &values); err != nil {
		return nil, fmt.Errorf("reading the chart's values: %w", err)
	}
	values["createNamespace"] = true
	return values, nil
}

func set[T comparable](values map[string]any, key string, v T) {
	if v != *new(T) {
		values[key] = v
	}
}

func objects(values map[string]any, namespace string, files ...string) ([]*unstructured.Unstructured, error) {
	if namespace == "" {
		namespace = Namespace
	}
	var all []*unstructured.Unstructured
	for _, file := range files {
		text, err := render(file, values, namespace, ManagedBy)
		if err != nil {
			return nil, err
		}
		some, err := decode(file, text)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func decode(file, text string) (all []*unstructured.Unstructured, err error) {
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var u unstructured.Unstructured
		if err := d.Decode(&u); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading %s as rendered: %w", file, err)
		}
		if u.Object != nil {
			all = append(all, &u)
		}
	}
}

// templates are those of the chart, by the names of their files.
var templates = sync.OnceValues(func() (*template.Template, error) {
	t, err := template.New("chart").Option("missingkey=error").Funcs(template.FuncMap{"toYaml": toYAML, "nindent": nindent}).
		ParseFS(chart, templated...)
	if err != nil {
		return nil, fmt.Errorf("reading the chart: %w", err)
	}
	return t, nil
})

// render is the text of one template of the chart, as Helm would render it.
func render(file string, values map[string]any, namespace, managedBy string) (string, error) {
	t, err := templates()
	if err != nil {
		return "", err
	}
	about, err := fs.ReadFile(chart, "chart/Chart.yaml")
	if err != nil {
		return "", err
	}
	var chartYAML struct{ AppVersion string }
	if err := sigsyaml.Unmarshal(about, &chartYAML); err != nil {
		return "", fmt.Errorf("reading Chart.yaml: %w", err)
	}
	var b strings.Builder
	err = t.ExecuteTemplate(&b, file, map[string]any{
		"Values":  values,
		"Chart":   map[string]any{"AppVersion": chartYAML.AppVersion},
		"Release": map[string]any{"Namespace": namespace, "Service": managedBy},
	})
	if err != nil {
		return "", fmt.Errorf("rendering the chart: %w", err)
	}
	return strings.TrimLeft(b.String(), "\n"), nil
}

// toYAML and nindent are as in Helm.
func toYAML(v any) (string, error) {
	b, err := sigsyaml.Marshal(v)
	return strings.TrimSuffix(string(b), "\n"), err
}

func nindent(spaces int, text string) string {
	pad := "\n" + strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(text, "\n", pad)
}
