// Package record is what a cluster remembers of its chain: where the documents
// are, who trusts them, how the webhook and the emulator were installed, and how
// far a change of the keys or of the issuer has come. Commands read it first and
// write it before they make anything else, so that whatever happens then, the
// next one knows where to look. It holds no secrets.
//
// A [Record] is data: reading and writing it is the business of whoever has the
// cluster. In Kubernetes it is the data of a ConfigMap, and [Record.Encode] and
// [Parse] are the only places that know its form.
//
// The record says where to look, and not whose it is what is found there: it may
// have been copied from another cluster, restored from a backup or edited. Whose
// a thing is, its tags say (see package owner).
package record

import (
	"fmt"
	"strings"
)

// Record is what is remembered of the chain of a cluster. The zero Record is that
// of a cluster without one.
type Record struct {
	// Cluster is the name that the chain goes by in AWS tags.
	Cluster string
	// Location is where the cluster's tokens are verified. It is that of the
	// issuer that signs now; of a migration that is under way, the Change has
	// both.
	Location
	// FormerIssuers are the issuer URLs that this project has set before and that
	// the API servers may still accept.
	FormerIssuers []string
	// Account is the AWS account, Partition its partition, and Region that of the
	// Bucket and of pods that say nothing else.
	Account, Partition, Region string
	// Endpoint is where pods reach AWS's services; empty for AWS itself.
	Endpoint string
	// Emulator says that AWS is an emulator in this cluster.
	Emulator bool
	// Forward are the services that the emulator in the cluster forwards to others, each
	// SERVICE=URL.
	Forward []string
	// KeepIssuer says that the API servers keep the issuer that they had, whose
	// documents the emulator in the cluster reads from them.
	KeepIssuer bool
	// PodIdentity says that the agent of EKS Pod Identity runs in this cluster, and that
	// the webhook knows the associations.
	PodIdentity bool
	// Image is the container image of the webhook and the emulator.
	Image string
	// FailurePolicy is the webhook's for workloads; empty for Fail.
	FailurePolicy string
	// IgnoreNamespaces are those, besides the system's, whose pods never wait for
	// the webhook; ExcludeNamespaces those of whose pods it is not asked.
	IgnoreNamespaces, ExcludeNamespaces []string
	// Change is the key rotation or the issuer migration that is under way; nil
	// for none.
	Change *Change
}

// yes is how a true bool is written; a false one is left out.
// Namespace holds everything that is installed in a cluster, the record too.
const Namespace = "openirsa-system"

// Encode is the record as the data of a ConfigMap. What is empty is left out, but
// for "cluster" and "issuer". Records with the same data are the same record.
func (r Record) Encode() map[string]string {
	data := map[string]string{
		"formerIssuers":     strings.Join(r.FormerIssuers, " "),
		"provider":          r.Provider,
		"bucket":            r.Bucket,
		"prefix":            r.Prefix,
		"region":            r.Region,
		"bucketOwned":       truth(r.BucketOwned),
		"privateBucket":     truth(r.PrivateBucket),
		"distribution":      r.Distribution,
		"account":           r.Account,
		"partition":         r.Partition,
		"endpoint":          r.Endpoint,
		"emulator":          truth(r.Emulator),
		"forward":           strings.Join(r.Forward, " "),
		"keepIssuer":        truth(r.KeepIssuer),
		"podIdentity":       truth(r.PodIdentity),
		"image":             r.Image,
		"failurePolicy":     r.FailurePolicy,
		"ignoreNamespaces":  strings.Join(r.IgnoreNamespaces, " "),
		"excludeNamespaces": strings.Join(r.ExcludeNamespaces, " "),
		"change":            r.Change.encode(),
	}
	for key, value := range data {
		if value == "" {
			delete(data, key)
		}
	}
	data["cluster"], data["issuer"] = r.Cluster, r.Issuer
	return data
}

// Parse reads the data of a ConfigMap. Keys that it does not know are left out.
// The error is about the change, if that is not one that this version of the
// project has written.
func Parse(data map[string]string) (Record, error) {
	r := Record{
		Cluster: data["cluster"],
		Location: Location{
			Issuer: data["issuer"], Provider: data["provider"], Bucket: data["bucket"], Prefix: data["prefix"],
			BucketOwned: data["bucketOwned"] == yes, PrivateBucket: data["privateBucket"] == yes, Distribution: data["distribution"],
		},
		FormerIssuers: list(data["formerIssuers"]),
		Account:       data["account"], Partition: data["partition"], Region: data["region"],
		Endpoint: data["endpoint"], Emulator: data["emulator"] == yes, KeepIssuer: data["keepIssuer"] == yes, Image: data["image"],
		PodIdentity:      data["podIdentity"] == yes,
		Forward:          list(data["forward"]),
		FailurePolicy:    data["failurePolicy"],
		IgnoreNamespaces: list(data["ignoreNamespaces"]), ExcludeNamespaces: list(data["excludeNamespaces"]),
	}
	if data["change"] == "" {
		return r, nil
	}
	change, err := parseChange(data["change"])
	if err != nil {
		return Record{}, fmt.Errorf("the change that is under way: %w", err)
	}
	r.Change = change
	return r, nil
}
