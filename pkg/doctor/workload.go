package doctor

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maker is what made a pod, and decides what it is like: the kind in lower case and the
// name. It is the pod itself if nothing did.
func maker(p *corev1.Pod) (kind, name string) {
	if len(p.OwnerReferences) == 0 {
		return "pod", p.Name
	}
	o := p.OwnerReferences[0]
	// A Deployment's ReplicaSet is called after it and the hash.
	hash := p.Labels["pod-template-hash"]
	if name, ok := strings.CutSuffix(o.Name, "-"+hash); ok && o.Kind == "ReplicaSet" && hash != "" {
		return "deployment", name
	}
	return strings.ToLower(o.Kind), o.Name
}

// template says where to change what a pod is like.
func template(p *corev1.Pod) string {
	kind, name := maker(p)
	if kind == "pod" {
		return "the pod itself"
	}
	return "the pod template of " + kind + " " + name
}

// removeAnnotation is the command that removes an annotation of a pod where it
// comes from.
func removeAnnotation(p *corev1.Pod, key string) Fix {
	switch kind, name := maker(p); kind {
	case "pod":
		return kubectl(p.Namespace, "annotate", "pod", name, key+"-")
	case "deployment", "statefulset", "daemonset", "replicaset":
		pointer := strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		return kubectl(p.Namespace, "patch", kind, name, "--type", "json", "--patch",
			fmt.Sprintf(`[{"op":"remove","path":"/spec/template/metadata/annotations/%s"}]`, pointer))
	default:
		return kubectl(p.Namespace, "get", kind, name, "--output", "yaml").noting("and remove the annotation where it is made")
	}
}

// restart is the command that has a pod recreated by what made it, or recreates it if
// nothing did.
func restart(p *corev1.Pod) Fix {
	remove := kubectl(p.Namespace, "delete", "pod", p.Name)
	switch kind, name := maker(p); kind {
	case "pod":
		save := kubectl(p.Namespace, "get", "pod", p.Name, "--output", "yaml").Commands[0]
		save.Stdout = p.Name + ".yaml"
		return Fix{Commands: append([]Command{save}, remove.Commands...), Note: "and make it again"}
	case "deployment", "statefulset", "daemonset":
		return kubectl(p.Namespace, "rollout", "restart", kind, name)
	default:
		return remove
	}
}
