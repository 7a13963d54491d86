package chain

import (
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// OptionError is an option that makes no sense, alone or together with others.
type OptionError struct {
	// Option names the field, such as "KeepIssuer" of [UpOptions].
	Option string
	// Err says what is wrong with it.
	Err error
}

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// ConnectError is a cluster that could not be found or reached, for another
// reason than those that package cluster names.
type ConnectError struct{ Err error }

func (e *ConnectError) Error() string { return fmt.Sprintf("finding the cluster: %v", e.Err) }
func (e *ConnectError) Unwrap() error { return e.Err }

// MissingError is a cluster in which no chain is recorded. Cluster is its name.
type MissingError struct{ Cluster string }

func (e *MissingError) Error() string { return "cluster " + e.Cluster + " has no chain yet" }

// AccountError is credentials of another AWS account than the one in which the
// cluster's chain is.
type AccountError struct {
	// Cluster is the cluster's name.
	Cluster string
	// Account is where the chain is, Credentials whose the credentials are: ids of
	// twelve digits.
	Account, Credentials string
}

func (e *AccountError) Error() string {
	return fmt.Sprintf("the chain of cluster %s is in AWS account %s, but these credentials are of %s", e.Cluster, e.Account, e.Credentials)
}

// ExistingError is an existing chain that is not as requested, in
// something that cannot be changed: it must be removed first.
type ExistingError struct {
	// Option is the field of [UpOptions] that differs: "Emulator", "Name",
	// "KeepIssuer", or "IssuerURL" for what the issuer depends on.
	Option string
	// Is is what the chain has, "true" or "false" for KeepIssuer; Want is what was
	// asked for. Both are empty where the Option says it all.
	Is, Want string
}

func (e *ExistingError) Error() string {
	switch e.Option {
	case "Emulator":
		return "the chain of this cluster is in AWS, not in an emulator"
	case "Name":
		return fmt.Sprintf("the chain of this cluster is called %q", e.Is)
	case "KeepIssuer":
		if e.Is == "true" {
			return plan.Issuer + ": the chain of this cluster keeps the issuer that the API servers had"
		}
		return plan.Issuer + ": the chain of this cluster gave the API servers its own issuer"
	}
	return fmt.Sprintf("%s: the chain of this cluster has the issuer %s, not %s", plan.Issuer, e.Is, e.Want)
}

// UnderWayError is a change in stages that is under way in the cluster, and that would
// be disturbed: it must be finished or undone first. Change is what is recorded of it.
type UnderWayError struct{ Change *record.Change }

func (e *UnderWayError) Error() string {
	return fmt.Sprintf("a change of the cluster is under way (%s)", e.Change)
}

// ForeignError is something that was made for another cluster, as its tags say,
// and is not touched.
type ForeignError struct {
	// Link is [plan.Provider] or [plan.Documents].
	Link string
	// Recorded says that this cluster's own record names it: the record was
	// copied, restored or edited.
	Recorded bool
	// SameName says that the other cluster has the name of this one, which can
	// take over from it if it is gone.
	SameName bool
	// Err says whose it is.
	Err *owner.ForeignError
}

func (e *ForeignError) Error() string {
	switch {
	case e.Recorded:
		return fmt.Sprintf("%s: the record of this cluster names what is another's: %v", e.Link, e.Err)
	case e.Link == plan.Provider:
		return fmt.Sprintf("%s: %v, whose tokens would stop working", e.Link, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Link, e.Err)
}
func (e *ForeignError) Unwrap() error { return e.Err }

// BucketError is a bucket that cannot be made or used.
type BucketError struct {
	// Bucket is its name, Account the id of the account that wants to use it.
	Bucket, Account string
	// Err says why. It wraps [publish.ErrForeignBucket], [publish.ErrWrongRegion] or
	// [publish.ErrAccountBlock].
	Err error
}

func (e *BucketError) Error() string { return e.Err.Error() }
func (e *BucketError) Unwrap() error { return e.Err }

// IssuerError is an issuer at which a stranger does not find the documents that must be
// there.
type IssuerError struct {
	// Issuer is that of the chain.
	Issuer issuer.URL
	// Bucket is the private bucket behind the issuer. Empty where somebody else
	// serves the documents.
	Bucket string
	// Silent says that nobody answers there at all.
	Silent bool
	// Err says what was found instead.
	Err error
}

func (e *IssuerError) Error() string {
	if e.Silent {
		return fmt.Sprintf("%s: nobody answers at %s: %v", plan.Issuer, e.Issuer, e.Err)
	}
	return fmt.Sprintf("%s: %v", plan.Issuer, e.Err)
}
func (e *IssuerError) Unwrap() error { return e.Err }

// NotInEmulatorError is an issuer at an address of S3 that somebody else is to serve,
// although S3 is the emulator's here, which is not there yet.
type NotInEmulatorError struct{ Issuer issuer.URL }

func (e *NotInEmulatorError) Error() string {
	return fmt.Sprintf("%s: the documents of %s are in S3, which is the emulator's here, and that is not there yet", plan.Issuer, e.Issuer)
}

// KeepError is an issuer of API servers that cannot be kept, since it cannot be that
// of a provider: IAM takes https URLs only.
type KeepError struct {
	// Issuer is what the API servers have. Empty if it is no URL, or has no
	// discovery document.
	Issuer string
}

func (e *KeepError) Error() string {
	found := "is no https URL, or has no discovery document"
	if e.Issuer != "" {
		found = fmt.Sprintf("is %q", e.Issuer)
	}
	return fmt.Sprintf("%s: the cluster's issuer %s, and IAM takes none but https URLs: it cannot be kept", plan.Issuer, found)
}

// KeptError is the refusal to change an issuer that the API servers keep. Cluster is
// the cluster's name.
type KeptError struct{ Cluster, Issuer string }

func (e *KeptError) Error() string {
	return fmt.Sprintf("%s: the API servers of cluster %s keep their issuer %s", plan.Issuer, e.Cluster, e.Issuer)
}

// EmulatorError is an emulator in the cluster that is not reached. Err says why.
type EmulatorError struct{ Err error }

func (e *EmulatorError) Error() string {
	return fmt.Sprintf("%s: reaching it in the cluster: %v", plan.Emulator, e.Err)
}
func (e *EmulatorError) Unwrap() error { return e.Err }

// ImageError is a cluster into whose nodes no image can be loaded, since it is not
// kind's: it has to pull one from a registry. Cluster is its name.
type ImageError struct{ Cluster string }

func (e *ImageError) Error() string {
	return plan.Image + ": this is not a kind cluster, into whose nodes an image could be loaded"
}

// PartitionError is an ARN of another partition than that of the account, such as
// aws-cn; mostly it was copied from a page about that one.
type PartitionError struct{ ARN, Partition, Account string }

func (e *PartitionError) Error() string {
	return fmt.Sprintf("%s: %s is not of partition %s, in which account %s is", plan.Role, e.ARN, e.Partition, e.Account)
}

// NamespaceError is a namespace whose pods are both not to wait for the webhook and to
// be excluded from it: one of these was decided by an earlier run.
type NamespaceError struct{ Namespace string }

func (e *NamespaceError) Error() string {
	return fmt.Sprintf("%s: namespace %s is both to be served without waiting and excluded, the one of them by an earlier run",
		plan.Webhook, e.Namespace)
}

// AcceptedError is API servers that still accept tokens of the issuer that is to be
// removed, and that cannot be changed from here.
type AcceptedError struct {
	// Issuer is the one that is to be removed.
	Issuer issuer.URL
	// Nodes are those on which the API servers run, as far as that is known.
	Nodes []string
	// Documents says that ours are at the issuer, and would be removed. Where
	// somebody else serves them it is only noted.
	Documents bool
}

func (e *AcceptedError) Error() string {
	where := ""
	if names := strings.Join(e.Nodes, ", "); names != "" {
		where = " on node " + names
	}
	s := fmt.Sprintf("the API server%s still accepts tokens of %s", where, e.Issuer)
	if e.Documents {
		s += ", whose documents are about to go"
	}
	return s
}

// StaysError is a note about something that was made for another cluster and is
// therefore not removed. Err says whose it is. It is told to the observer, and never
// returned.
type StaysError struct{ Err *owner.ForeignError }

func (e *StaysError) Error() string { return fmt.Sprintf("note: %v, and stays", e.Err) }
func (e *StaysError) Unwrap() error { return e.Err }

// NotAskedError is a note about a namespace about whose pods the webhook is not asked:
// they do not get the roles of their service accounts. It is told to the observer, and
// never returned.
type NotAskedError struct {
	// Namespace is its name.
	Namespace string
	// Account is a service account that has a role there, as NAMESPACE/NAME.
	Account string
}

func (e *NotAskedError) Error() string {
	return fmt.Sprintf("the webhook is not asked about pods of namespace %s: they do not get the role", e.Namespace)
}
