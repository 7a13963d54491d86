// Package owner marks what this project has made, so that it finds and removes
// that again, and nothing else. The operator's machine keeps no state.
package owner

// Prefix begins the keys of all these tags.
const Prefix = "openirsa.dev/"

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
	// SharedTag is "true" on a role that several clusters may assume. Which ones
	// do is told by its trust policy: each has a statement for its provider. The
	// role is deleted with the last of these, whoever made it.
	SharedTag = "openirsa.dev/shared"
	// ExpiresTag is when a short-lived cluster may be taken for abandoned, as
	// RFC 3339 in UTC, or [Never]. A cluster without it lives until `down`.
	ExpiresTag = "openirsa.dev/expires"
)

// Never is the value of [ExpiresTag] that takes an earlier one back.
const Never = "never"

// Tags mark a resource as made for a cluster.
func Tags(cluster, uid string) map[string]string {
	return map[string]string{Tag: "true", ClusterTag: cluster, UIDTag: uid}
}

// Shared reports whether a role with these tags is one for several clusters.
func Shared(tags map[string]string) bool { return tags[Tag] == "true" && tags[SharedTag] == "true" }

// Owns reports whether a resource with these tags was made for the cluster with
// the mark, which is [Tags] of it. One without a uid is the cluster's of that name.
func Owns(tags, mark map[string]string) bool {
	uid := tags[UIDTag]
	return Named(tags, mark[ClusterTag]) && (uid == "" || uid == mark[UIDTag])
}

// Named reports whether a resource with these tags was made for a cluster of
// that name, of which there may be several.
func Named(tags map[string]string, cluster string) bool {
	return tags[Tag] == "true" && tags[ClusterTag] == cluster
}
