package controlplane

import "github.com/openirsa/openirsa/pkg/node"

// staticPod is a part of the control plane that kubelet runs from a manifest:
// the name of its container, and of its program.
type staticPod string

const (
	apiServerPod  staticPod = "kube-apiserver"
	controllerPod staticPod = "kube-controller-manager"
)

// Files on a control-plane node. The directory is outside of kubelet's
// manifest directory, where a copy would run as a second API server.
const (
	manifestFile = node.APIServerManifest
	nodeDir      = "/etc/kubernetes/openirsa"
	// formerFile is the manifest as it was before the first change of ours.
	formerFile = nodeDir + "/kube-apiserver.yaml"
	// provenFile is the last manifest with which the API server was healthy.
	// It is there while a newer one still has to prove itself.
	provenFile = nodeDir + "/kube-apiserver.proven.yaml"
	// tempFile is what WriteFile leaves behind in the manifest directory if
	// the node dies in the middle, and where a manifest waits in a swap.
	tempFile = "/etc/kubernetes/manifests/.kube-apiserver.yaml.openirsa"
	// controllerManifestFile and the others are those of the controller
	// manager, of which only a key rotation changes a flag, and back.
	controllerManifestFile = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
	controllerProvenFile   = nodeDir + "/kube-controller-manager.proven.yaml"
	controllerTempFile     = "/etc/kubernetes/manifests/.kube-controller-manager.yaml.openirsa"
)

func (p staticPod) manifestFile() string {
	if p == controllerPod {
		return controllerManifestFile
	}
	return manifestFile
}

// waitingFile is where a manifest waits until the previous pod has ended.
func (p staticPod) waitingFile() string {
	if p == controllerPod {
		return controllerTempFile
	}
	return tempFile
}

func (p staticPod) provenFile() string {
	if p == controllerPod {
		return controllerProvenFile
	}
	return provenFile
}

// String is what messages call it.
func (p staticPod) String() string {
	if p == controllerPod {
		return "controller manager"
	}
	return "API server"
}
