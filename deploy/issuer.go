package deploy

import (
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// IssuerName is the name of the Deployment, Service and ConfigMap of `issuer
// serve`, and PublisherName that of the Deployment and the service account of
// `issuer publish`.
const (
	IssuerName    = "issuer"
	PublisherName = "issuer-publish"
)

// IssuerParams are the settings of a cluster. Empty fields take the chart's values.
type IssuerParams struct {
	Namespace string // [Namespace]
	Image     string // required: the image with the program /issuer
	Replicas  int    // 2

	// Config is the configuration file (docs/issuer.md). Files of the
	// ConfigMap KeysConfigMap are below keys/.
	Config        string
	KeysConfigMap string
	TLSSecret     string // with tls.crt and tls.key; "" is plain HTTP
	ServiceType   string // ClusterIP
	ExtraArgs     []string
}

// Issuer is `issuer serve` in the order in which to apply it.
func Issuer(p IssuerParams) ([]*unstructured.Unstructured, error) {
	if p.Image == "" {
		return nil, errors.New("rendering the issuer: no image given")
	}
	values, err := defaults()
	if err != nil {
		return nil, err
	}
	values["image"] = p.Image
	v := values["issuer"].(map[string]any)["serve"].(map[string]any)
	v["enabled"] = true
	set(v, "replicas", p.Replicas)
	set(v, "config", p.Config)
	set(v, "keysConfigMap", p.KeysConfigMap)
	set(v, "tlsSecret", p.TLSSecret)
	set(v, "serviceType", p.ServiceType)
	if p.ExtraArgs != nil {
		v["extraArgs"] = p.ExtraArgs
	}
	return objects(values, p.Namespace, "namespace.yaml", "issuer.yaml")
}

// PublisherParams are the settings of a cluster. Empty fields take the chart's values.
type PublisherParams struct {
	Namespace string // [Namespace]
	Image     string // required: the image with the program /issuer
	Replicas  int    // 2

	Bucket, Prefix, Region string // the Bucket and the Region are required
	RoleARN                string // with which to write; "" leaves credentials to others
	EndpointURL            string // of AWS_ENDPOINT_URL; "" adds none
	ExtraArgs              []string
}

// Publisher is `issuer publish` in the order in which to apply it.
func Publisher(p PublisherParams) ([]*unstructured.Unstructured, error) {
	switch {
	case p.Image == "":
		return nil, errors.New("rendering the publisher: no image given")
	case p.Bucket == "" || p.Region == "":
		return nil, errors.New("rendering the publisher: no bucket or no region given")
	}
	values, err := defaults()
	if err != nil {
		return nil, err
	}
	values["image"] = p.Image
	v := values["issuer"].(map[string]any)["publish"].(map[string]any)
	v["enabled"] = true
	set(v, "replicas", p.Replicas)
	set(v, "bucket", p.Bucket)
	set(v, "prefix", p.Prefix)
	set(v, "region", p.Region)
	set(v, "roleARN", p.RoleARN)
	set(v, "endpointURL", p.EndpointURL)
	if p.ExtraArgs != nil {
		v["extraArgs"] = p.ExtraArgs
	}
	return objects(values, p.Namespace, "namespace.yaml", "issuer-publish.yaml")
}
