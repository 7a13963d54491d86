// Package owner marks what this project has made, so that it finds and removes
// that again, and nothing else. The operator's machine keeps no state.
package owner

// Tags of every AWS resource that was made here.
const (
	// Tag is "true" on a resource that `setup down` may delete.
	Tag = "openirsa.dev/owned"
	// ClusterTag is the name of the cluster for which it was made.
	ClusterTag = "openirsa.dev/cluster"
	// UIDTag is the uid of that cluster's kube-system namespace, which tells
	// two clusters of the same name apart.
	UIDTag = "openirsa.dev/cluster-uid"
	// ServiceAccountTag is NAMESPACE/NAME of a role's service account.
	ServiceAccountTag = "openirsa.dev/service-account"
)

// Tags mark a resource as made for a cluster.
func Tags(cluster, uid string) map[string]string {
	return map[string]string{Tag: "true", ClusterTag: cluster, UIDTag: uid}
}

// Owns reports whether a resource with these tags was made for the cluster of
// that name.
func Owns(tags map[string]string, cluster string) bool {
	return tags[Tag] == "true" && tags[ClusterTag] == cluster
}
