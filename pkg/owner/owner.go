// Package owner marks what this project makes, so that it can find and remove
// exactly that. The operator's machine keeps no state.
package owner

import (
	"fmt"
	"strconv"
	"strings"
)

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
	// PodIdentityTag is NAMESPACE/NAME of the service account for whose association with
	// EKS Pod Identity a role was made.
	PodIdentityTag = "openirsa.dev/pod-identity"
	// SharedTag is "true" on a role that several clusters may assume. Its trust
	// policy says which: each has a statement for its provider. The role is deleted
	// with the last of these, whoever made it.
	SharedTag = "openirsa.dev/shared"
	// ExpiresTag is when a short-lived cluster counts as abandoned, as
	// RFC 3339 in UTC, or [Never]. A cluster without it lives until `down`.
	ExpiresTag = "openirsa.dev/expires"
	// EnforceTag is on a role, "deny" or "log": what the emulator does with a call of
	// the role that policies deny. AWS knows nothing of it.
	EnforceTag = "openirsa.dev/enforce"
)

// Never is the value of [ExpiresTag] that cancels an earlier one.
const Never = "never"

// Tags mark a resource as made for a cluster.
func Tags(cluster, uid string) map[string]string {
	return map[string]string{Tag: "true", ClusterTag: cluster, UIDTag: uid}
}

// Shared reports whether a role with these tags is one for several clusters.
func Shared(tags map[string]string) bool { return Claimed(tags) && tags[SharedTag] == "true" }

// Owns reports whether a resource with these tags was made for the cluster with
// the mark, which is its [Tags]. One without a uid belongs to the cluster of that
// name.
func Owns(tags, mark map[string]string) bool {
	uid := tags[UIDTag]
	return Named(tags, mark[ClusterTag]) && (uid == "" || uid == mark[UIDTag])
}

// Claimed reports whether this project made a resource with these tags, for any
// cluster.
func Claimed(tags map[string]string) bool { return tags[Tag] == "true" }

// Foreign reports whether a resource with these tags was made for a cluster other
// than the one with the mark.
func Foreign(tags, mark map[string]string) bool { return Claimed(tags) && !Owns(tags, mark) }

// ForeignError is a resource that a cluster leaves alone, since it was made for
// another cluster or not by this project at all.
type ForeignError struct {
	Thing string            // such as "provider ARN"
	Tags  map[string]string // that it has
	Mark  map[string]string // of the cluster, see [Tags]
}

// Error says whose the resource is. Tags, which others may write, are quoted.
func (e *ForeignError) Error() string {
	switch theirs, cluster := e.Tags[ClusterTag], e.Mark[ClusterTag]; {
	case !Claimed(e.Tags):
		return fmt.Sprintf("%s was not made for cluster %q", e.Thing, cluster)
	case theirs == cluster:
		return fmt.Sprintf("%s was made for another cluster called %q (uid %s, this one is %s)",
			e.Thing, theirs, escape(e.Tags[UIDTag]), e.Mark[UIDTag])
	default:
		return fmt.Sprintf("%s was made for another cluster, %q (uid %s)", e.Thing, theirs, escape(e.Tags[UIDTag]))
	}
}

// escape is %q without the quotation marks, which a uid does not need.
func escape(s string) string { return strings.Trim(strconv.Quote(s), `"`) }

// Check is asked before anything of any kind is deleted: a resource that was not
// made for the cluster with the mark is a [*ForeignError]. That a record names it
// proves nothing: a record can come from another cluster.
func Check(thing string, tags, mark map[string]string) error {
	if Owns(tags, mark) {
		return nil
	}
	return &ForeignError{Thing: thing, Tags: tags, Mark: mark}
}

// Named reports whether a resource with these tags was made for a cluster of
// that name, of which there may be several.
func Named(tags map[string]string, cluster string) bool {
	return Claimed(tags) && tags[ClusterTag] == cluster
}
