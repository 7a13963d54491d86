package chain

import (
	"time"

	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
)

// UpOptions say how a chain is to be made. The zero UpOptions make it as it is
// recorded, or on AWS with everything named after the cluster. What only decides
// about the first run must be the same, or empty, in every later one.
type UpOptions struct {
	// Name is that of the cluster in AWS, in names and tags. Empty: the recorded
	// name, or that of the kind cluster or the context.
	Name string
	// Documents say where the documents are. Their Emulator is ignored: see
	// [Options].
	config.Documents
	// Admission says which pods wait for the webhook. What it does not say stays as
	// it is recorded. See [Admit].
	config.Admission
	// Endpoint is AWS_ENDPOINT_URL for pods, where AWS is an emulator outside the
	// cluster. Empty: what is recorded.
	Endpoint string
	// Forward are services that the emulator in the cluster is to forward, once they are
	// allowed, to other servers: each SERVICE=URL, see [emulator.ParseForward]. Nil: what
	// is recorded; empty: none.
	Forward []string
	// KeepIssuer, if true, leaves the API servers as they are: the emulator, without
	// which it is an [*OptionError], reads the documents of their own issuer from
	// them. Nil: as recorded, and in the first run with an emulator true where the
	// nodes cannot be reached.
	KeepIssuer *bool
	// PodIdentity, if true, installs EKS Pod Identity too, in an emulator whose EKS learns
	// of the cluster: the agent on each node, and a webhook that follows the associations.
	// False removes these, which is an [*AssociationsError] as long as there are
	// associations. Nil: as recorded.
	PodIdentity *bool
	// Dissociate has PodIdentity false delete the associations first, with the roles that
	// were made for them.
	Dissociate bool
	// Image is the reference of a container image with the webhook and the emulator,
	// in a registry. Empty: Build makes the image.
	Image string
	// Build makes the image for the nodes of a kind cluster, into which it is
	// loaded; [Programs] is one. It may be nil if Image is set.
	Build func(arch string) (Image, error)
	// Accounts are service accounts that get roles with the chain, as by
	// [Chain.Grant].
	Accounts []config.ServiceAccount
	// Associations are service accounts that get roles by EKS Pod Identity, as by
	// [Chain.Associate]. With any, EKS Pod Identity is installed too.
	Associations []config.PodIdentityAssociation
	// Override and Prune are those of [GrantOptions]. Prune also says that the
	// Associations are all: others that were made for the cluster are removed.
	Override, Prune bool
	// TakeOver uses the documents, the provider and the roles of an earlier cluster
	// of the same name.
	TakeOver bool
	// Expires is after how long, such as 6h, the cluster counts as abandoned for
	// package sweep; [owner.Never] removes that limit. Empty: it stays as it is. See
	// [Expiry].
	Expires string
	// DryRun decides about everything and changes nothing. See [Chain.Plan].
	DryRun bool
	// Wait is how long each API server and each Deployment may take to come up.
	// Zero is [controlplane.DefaultWait].
	Wait time.Duration
}

// upRun is one run of [Chain.Up]: first it prepares, which fills it, then it makes
// the links.
type upRun struct {
	*Chain
	o   UpOptions
	run *plan.Runner

	emulator              bool   // AWS is an emulator in the cluster
	id, partition, region string // of the account
	// keep says that the API servers keep their issuer, which is kept.
	keep    bool
	kept    issuer.URL
	img     *Image            // to be loaded into nodes; nil if it is in a registry
	mark    map[string]string // the tags of what is made
	docs    []discovery.Document
	wanted  map[string]role.Role // the roles of o.Accounts, by name
	planned grants               // what to do for o.Accounts, once AWS has been read

	// leaves says that EKS Pod Identity is to be removed.
	leaves bool

	// pending are API servers that somebody else has to give the issuer.
	pending *controlplane.PendingError
}
