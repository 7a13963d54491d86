package deploy

import (
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// AgentName is the name of the agent's DaemonSet and service account, and AgentNamespace
// where they are unless parameters say otherwise. The restricted Pod Security profile of
// [Namespace] has no pods on their node's network.
const (
	AgentName      = "openirsa-agent"
	AgentNamespace = "kube-system"
)

// AgentParams are the settings of a cluster. Empty fields take the chart's values.
type AgentParams struct {
	Namespace string // [AgentNamespace]; it must exist
	Image     string // required: the image with the program /agent

	// ClusterName is the cluster's name, as EKS Auth knows it, and Region EKS Auth's. Both
	// are required.
	ClusterName, Region string
	EndpointURL         string // of AWS_ENDPOINT_URL; "" adds none
	// Secret has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and is in the same namespace.
	// RoleARN is the agent's own role, by IRSA. Without either the agent finds credentials
	// where the AWS SDK does.
	Secret, RoleARN string
	// NoInitialize leaves the addresses of the node to others.
	NoInitialize bool
	ExtraArgs    []string // further flags of the program
}

// Agent is the agent of EKS Pod Identity in the order in which to apply it.
func Agent(p AgentParams) ([]*unstructured.Unstructured, error) {
	switch {
	case p.Image == "":
		return nil, errors.New("rendering the agent: no image given")
	case p.ClusterName == "" || p.Region == "":
		return nil, errors.New("rendering the agent: no name of the cluster or no region given")
	case p.Secret != "" && p.RoleARN != "":
		return nil, errors.New("rendering the agent: a Secret and a role given, of which it would use the Secret")
	}
	values, err := defaults()
	if err != nil {
		return nil, err
	}
	values["image"] = p.Image
	v := values["agent"].(map[string]any)
	v["enabled"] = true
	set(v, "namespace", p.Namespace)
	set(v, "clusterName", p.ClusterName)
	set(v, "region", p.Region)
	set(v, "endpointURL", p.EndpointURL)
	set(v, "secret", p.Secret)
	set(v, "roleARN", p.RoleARN)
	if p.NoInitialize {
		v["initialize"] = false
	}
	if p.ExtraArgs != nil {
		v["extraArgs"] = p.ExtraArgs
	}
	return objects(values, p.Namespace, "agent.yaml")
}
