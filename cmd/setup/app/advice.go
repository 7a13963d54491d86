package app

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openirsa/openirsa/internal/registry"
	"github.com/openirsa/openirsa/internal/shell"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/doctor/gather"
	"github.com/openirsa/openirsa/pkg/export"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

// adviceError is an error with the command to run next. In it SETUP stands for the
// program's name, and ISSUER for that of the program issuer.
type adviceError struct {
	err  error
	next string
}

func (e *adviceError) Error() string { return e.err.Error() }
func (e *adviceError) Unwrap() error { return e.err }

func advise(err error, next string) error { return &adviceError{err, next} }

// advice adds the next command to what went wrong in a command, such as "up" or
// "keys rotate", if nobody has a better one.
func advice(command string, err error) error {
	if _, advised := errors.AsType[*adviceError](err); advised {
		return err
	}
	for _, next := range []func(string, error) string{
		chainNext, credentialsNext, ownerNext, awsNext, serviceAccountNext, apiServerNext, clusterNext,
	} {
		if n := next(command, err); n != "" {
			return advise(err, n)
		}
	}
	if e, ok := errors.AsType[*chain.OptionError](err); ok {
		flags := map[string]string{
			"KeepIssuer": "--keep-issuer", "PodIdentity": "--pod-identity", "Associations": "podIdentityAssociations",
		}
		if flag := flags[e.Option]; flag != "" {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	return otherIssuerAdvice(err)
}

// chainNext is what to do about a chain that is not as it was asked for.
func chainNext(command string, err error) string {
	if e, ok := errors.AsType[*chain.ExistingError](err); ok {
		switch e.Option {
		case "Name":
			return "SETUP up --name " + e.Is + ", or SETUP down first"
		case "IssuerURL":
			return "SETUP down first, or run SETUP up with the same flags as the first time"
		}
		return "SETUP down first"
	}
	if e, ok := errors.AsType[*chain.IssuerError](err); ok {
		switch {
		case e.Silent:
			return "make the CloudFront distribution first, or correct --issuer-url"
		case e.Bucket == "" && command == "keys rotate":
			return "serve at " + e.Issuer.JWKS() + " what `kubectl get --raw /openid/v1/jwks` prints, and run the same command again"
		case e.Bucket != "":
			return "check the distribution: its origin is bucket " + e.Bucket + " with origin access control, and the bucket's policy lets it in" +
				" (SETUP up --private-bucket --distribution-arn ARN); SETUP export terraform --private-bucket writes both"
		}
		return "serve the cluster's documents there, for example with `ISSUER serve`, then run this again"
	}
	if e, ok := errors.AsType[*chain.UnderWayError](err); ok {
		next := continueCommand(e.Change)
		if !e.Change.Rollback && e.Change.Stage != record.Prune {
			next += " to finish it, or with --rollback to undo it"
		}
		return next
	}
	if e, ok := errors.AsType[*chain.NamespaceError](err); ok {
		return "name " + e.Namespace + " in one of --ignore-namespaces and --exclude-namespaces, and give the other without it"
	}
	if e, ok := errors.AsType[*registry.DeniedError](err); ok {
		return "docker login " + e.Registry + ", then the same command again"
	}
	if e, ok := errors.AsType[*chain.UnreadyError](err); ok {
		return unreadyNext(e)
	}
	if e, ok := errors.AsType[*chain.UnverifiedError](err); ok {
		return unverifiedNext(e)
	}
	switch {
	case is[*chain.MissingError](err):
		return "SETUP up, or SETUP up --emulator"
	case is[*chain.NoEKSError](err):
		return "SETUP up --emulator --pod-identity; without an emulator a cluster that is not EKS's has roles by SETUP iamserviceaccount create"
	case is[*chain.NoPodsError](err):
		return "leave the role out, and one is made; or let pods.eks.amazonaws.com have sts:AssumeRole and sts:TagSession in its trust policy: " +
			"aws iam update-assume-role-policy"
	case is[*chain.AssociationsError](err):
		return "SETUP podidentityassociation delete each, or SETUP up --pod-identity=false --delete-associations"
	case is[*podidentity.OwnedError](err):
		return "change it with the add-on: aws eks update-addon"
	case is[*chain.EmulatorError](err):
		return "SETUP up --emulator"
	case is[*chain.NotInEmulatorError](err):
		return "SETUP up --emulator without --issuer-url, which makes a bucket for them"
	case is[*chain.KeepError](err):
		return "SETUP up --emulator --keep-issuer=false, and what SETUP apiserver print shows; or give the API servers an https " +
			"--service-account-issuer"
	case is[*chain.KeptError](err):
		return "SETUP down, then SETUP up --emulator --keep-issuer=false"
	case is[*noProgramError](err):
		return "name an image in a registry: SETUP up --image " + published() + "; or put the Linux program of the same version there"
	case is[imageError](err) && errors.Is(err, fs.ErrNotExist):
		return "put the Linux program there: that of a release, or one that is built with CGO_ENABLED=0 GOOS=linux"
	case is[imageError](err):
		return "use the program of a release, or build it without C (CGO_ENABLED=0 go install -tags grpcnotrace), or SETUP up --image REF"
	case is[*chain.ImageError](err):
		return "push the image to a registry and name it: SETUP up --image REF"
	case is[*chain.AcceptedError](err):
		return undoIssuer + "; then SETUP down again, or at once with --immediately"
	}
	return ""
}

// unreadyNext is what to do about the first association that has no effect.
func unreadyNext(e *chain.UnreadyError) string {
	namespace, name, _ := strings.Cut(e.Accounts[0], "/")
	switch why := e.Why[e.Accounts[0]]; {
	case errors.Is(why, chain.ErrNotAssociated):
		return "SETUP podidentityassociation create --namespace " + namespace + " --service-account-name " + name
	case errors.Is(why, chain.ErrNotInjected):
		return "SETUP doctor --service-account " + e.Accounts[0]
	case apierrors.IsForbidden(why) && strings.Contains(why.Error(), "error looking up service account"):
		return "kubectl --namespace " + namespace + " create serviceaccount " + name + ", then the same command again"
	}
	return "kubectl --namespace " + namespace + " describe resourcequota,limitrange shows what pods must be like; kubectl get " +
		"validatingwebhookconfigurations who else is asked"
}

// unverifiedNext is what to do about pods that do not get their role. The caller may have
// no part in EKS Auth, which then says nothing of the pods.
func unverifiedNext(e *chain.UnverifiedError) string {
	refused, ok := errors.AsType[*podidentity.RefusedError](e.Err)
	if ok && refused.Status == http.StatusForbidden && refused.Code == "AccessDeniedException" {
		return "SETUP export iam-policy --command migrate-to-pod-identity writes the IAM policy that this takes"
	}
	namespace, name, _ := strings.Cut(e.Account, "/")
	return "SETUP doctor --service-account " + e.Account + " finds the cause, then the same command again, which goes on; or back: " +
		"SETUP podidentityassociation delete --namespace " + namespace + " --service-account-name " + name
}

// is reports whether an error is of a type.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// ownerNext is what to do about what belongs to others.
func ownerNext(_ string, err error) string {
	e, ok := errors.AsType[*chain.ForeignError](err)
	switch {
	case !ok:
		return ""
	case e.Recorded:
		return "SETUP down, which leaves that alone and removes the record; then SETUP up. If that other cluster is gone and this one " +
			"replaces it: SETUP up --take-over"
	case e.Link == plan.Documents:
		return "SETUP up --bucket BUCKET/PREFIX with another bucket or prefix, or, if that cluster is gone, SETUP up --take-over"
	case e.SameName:
		return "SETUP up --name ANOTHER, or, if that cluster is gone, SETUP up --take-over"
	}
	return "SETUP up with another --bucket or --issuer-url" // only one of the same name can be taken over
}

// awsNext is what to do about what AWS has refused.
func awsNext(_ string, err error) string {
	if e, ok := errors.AsType[*chain.AccountError](err); ok {
		return "set AWS_PROFILE to a profile of account " + e.Account
	}
	if e, ok := errors.AsType[*bucketStaysError](err); ok {
		return "aws s3 ls --recursive s3://" + e.bucket + " shows it; aws s3 rb --force s3://" + e.bucket + " deletes it all"
	}
	switch {
	case errors.Is(err, publish.ErrForeignBucket):
		return "choose another bucket: SETUP up --bucket NAME"
	case errors.Is(err, publish.ErrWrongRegion):
		region := "with the bucket's region"
		if e, ok := errors.AsType[*publish.RegionError](err); ok && e.Is != "" {
			region = e.Is
		}
		return "SETUP up --region " + region + ", or another --bucket"
	}
	if e, ok := errors.AsType[*chain.BucketError](err); ok && errors.Is(err, publish.ErrAccountBlock) {
		return "aws s3control get-public-access-block --account-id " + e.Account +
			" shows it; open BlockPublicPolicy and RestrictPublicBuckets there, or serve the documents elsewhere: SETUP up --issuer-url URL"
	}
	return ""
}

// serviceAccountNext is what to do about a service account or its role.
func serviceAccountNext(_ string, err error) string {
	if e, ok := errors.AsType[*chain.PartitionError](err); ok {
		_, rest, _ := strings.Cut(e.ARN, ":iam::")
		return "name arn:" + e.Partition + ":iam::" + rest
	}
	if is[*cluster.ConflictError](err) {
		return "the same command with --override-existing-serviceaccounts"
	}
	if errors.Is(err, role.ErrNoPolicy) {
		return "aws iam list-policies shows the existing policies"
	}
	e, ok := errors.AsType[*role.ForeignError](err)
	switch {
	case !ok:
		return ""
	case e.Namesake():
		return "choose another --role-name, or, if pods of both clusters should have this role, add --share-role, or, if that cluster is " +
			"gone, SETUP up --take-over"
	case e.Sharable():
		return "choose another --role-name, or, if pods of both clusters should have this role, add --share-role (shareRole: true in a file)"
	}
	return "choose another --role-name, or use the role as it is with --attach-role-arn " + e.Role.ARN
}

// apiServerNext is what to do about API servers that could not be changed.
func apiServerNext(command string, err error) string {
	switch {
	case command == "keys rotate" || command == "issuer migrate":
		return stagedNext(err)
	case command == "up" && is[*controlplane.APIServerError](err):
		return "look at the log lines above; SETUP up tries again, SETUP down removes the rest"
	}
	return ""
}

// clusterNext is what to do about a cluster that is not found or not as it must
// be.
func clusterNext(_ string, err error) string {
	if e, ok := errors.AsType[*gather.PodError](err); ok {
		return "kubectl --namespace " + e.Namespace + " get pods"
	}
	switch {
	case is[*gather.ListError](err):
		return "use a kubeconfig of a cluster administrator: --kubeconfig FILE --context NAME"
	case is[*chain.ConnectError](err):
		return "name a cluster with --kubeconfig FILE --context NAME, or start what kind runs in"
	case errors.Is(err, config.ErrLongName):
		return "give a name with --name or a bucket with --bucket"
	case errors.Is(err, keys.ErrUnsupported):
		return "give the API server an RSA or EC key: --service-account-signing-key-file"
	case is[*cluster.UnnamedContextError](err):
		e, _ := errors.AsType[*cluster.UnnamedContextError](err)
		return "the same command with --context " + e.Context + ", if that cluster is meant, or kind create cluster"
	case is[*cluster.NoKindClusterError](err):
		e, _ := errors.AsType[*cluster.NoKindClusterError](err)
		return "kind create cluster --name " + shell.Quote(e.Name)
	case errors.Is(err, cluster.ErrNoState):
		return "SETUP up, or SETUP up --emulator"
	case errors.Is(err, cluster.ErrNoCluster):
		return "kind create cluster, or name one with --kubeconfig and --context"
	case errors.Is(err, cluster.ErrSeveralClusters):
		return "name one with --kind-name NAME"
	case errors.Is(err, cluster.ErrForbidden):
		return "use a kubeconfig of a cluster administrator: --kubeconfig FILE --context NAME"
	case errors.Is(err, cluster.ErrStateChanged):
		return "wait until the other run has ended, then run the same command again"
	case errors.Is(err, cluster.ErrUnreachable):
		if e, ok := errors.AsType[*cluster.UnreachableError](err); ok && e.Kind {
			return fmt.Sprintf("start the containers of the kind cluster, or recreate it: kind delete cluster --name %s && "+
				"kind create cluster --name %[1]s", e.Cluster)
		}
		return "kubectl cluster-info"
	case errors.Is(err, cluster.ErrNoNodeAccess):
		return "sudo SETUP apiserver on each control-plane node of kubeadm, or, for other clusters, what SETUP apiserver print shows; then " +
			"SETUP up again"
	}
	return ""
}

// otherIssuerAdvice adds the next command to an issuer that somebody else gave
// the API servers, and reports whether AWS takes it.
func otherIssuerAdvice(err error) error {
	e, ok := errors.AsType[*controlplane.OtherIssuerError](err)
	if !ok {
		return err
	}
	iss, bad := issuer.Parse(e.Issuer)
	if bad == nil {
		bad = iss.CheckPort()
	}
	if bad != nil {
		return advise(fmt.Errorf("%w, which AWS never takes: %w", err, bad),
			"give the API servers an issuer that AWS accepts, once whoever relies on this one has agreed: SETUP apiserver print --help")
	}
	return advise(err, "SETUP up --issuer-url "+e.Issuer+" keeps that issuer and publishes nothing")
}

// noted is what somebody must know, with what to do about it. In it SETUP
// stands for the program's name.
func noted(err error) string {
	if e, ok := errors.AsType[*chain.AcceptedError](err); ok {
		return "note: " + e.Error() + ". If SETUP gave it that issuer: " + undoIssuer
	}
	if e, ok := errors.AsType[*chain.NotAskedError](err); ok {
		return "warning: " + e.Error() + ". `SETUP doctor --service-account " + e.Account + "` says how they would"
	}
	if e, ok := errors.AsType[*chain.UntriedError](err); ok {
		return "note: " + e.Error() + ". Once one does: SETUP doctor --service-account " + e.Account
	}
	if e, ok := errors.AsType[*chain.HeldError](err); ok && errors.Is(e, chain.ErrNoAgent) {
		return e.Error() + ". SETUP doctor --service-account " + e.Account + " says how there would be one"
	}
	if e, ok := errors.AsType[*change.HeldError](err); ok {
		return e.Error() + ": " + newSecretToken(e.Token)
	}
	return err.Error()
}

// credentialsNext is what to do about credentials that are not there or not good.
func credentialsNext(_ string, err error) string {
	e, ok := errors.AsType[*account.CredentialsError](err)
	if !ok {
		return ""
	}
	from := ""
	if e.Profile != "" {
		from = " --profile " + e.Profile
	}
	profile := cmp.Or(e.Profile, "default")
	switch e.Problem {
	case account.NoRegion:
		return "SETUP up --region REGION, or set AWS_REGION"
	case account.NoProfile:
		return "aws configure list-profiles shows the existing profiles; set AWS_PROFILE to one"
	case account.NobodyToAsk:
		return `eval "$(aws configure export-credentials --profile ` + profile + ` --format env)" on a terminal, then the same command again`
	case account.NoLogin:
		return "aws sso login" + from
	case account.NoProcess:
		return "run the credential_process of profile " + profile + " by hand"
	case account.WrongCode:
		return "the same command again, with another code: each works once"
	case account.NoRole:
		return "aws sts get-caller-identity" + from + "; the role's trust policy must let in the source of profile " + profile
	case account.Expired:
		return "renew them the way you got them, for example with aws sso login" + from + "; aws configure list" + from + " shows where " +
			"they come from"
	case account.Unknown:
		return "aws configure list" + from + " shows where they come from; a clock that is wrong by minutes has the same effect"
	case account.Refused:
		return "aws sts get-caller-identity" + from
	case account.Absent:
		return "aws configure, or set AWS_PROFILE; without an AWS account: SETUP up --emulator"
	}
	return "aws sts get-caller-identity" + from + ", or without an AWS account: SETUP up --emulator"
}

// permissionAdvice adds the next command to a call that AWS did not permit, if
// nobody has a better one.
func permissionAdvice(command *cobra.Command, err error) error {
	if !account.Denied(err) || is[*adviceError](err) {
		return err
	}
	next := "SETUP export iam-policy"
	// As a plugin of kubectl the program's name has a space in it.
	verbs := strings.TrimPrefix(command.CommandPath(), command.Root().CommandPath()+" ")
	name := strings.ReplaceAll(verbs, " ", "-")
	if !slices.Contains(export.Commands(), name) { // some have one policy for all their verbs
		name, _, _ = strings.Cut(verbs, " ")
	}
	if slices.Contains(export.Commands(), name) {
		next += " --command " + name
		command.Flags().Visit(func(f *pflag.Flag) {
			if more := name + "-" + f.Name; slices.Contains(export.Commands(), more) {
				next += " --command " + more
			}
		})
	}
	return advise(err, next+" writes the IAM policy that this takes")
}

// undoIssuer is what to do about API servers that cannot be changed from here.
const undoIssuer = "sudo SETUP apiserver --undo on each control-plane node of kubeadm, or, for other clusters, undo what SETUP " +
	"apiserver print showed"

// continueCommand is what continues a change.
func continueCommand(c *record.Change) string {
	command := "SETUP keys rotate"
	if c.Kind == record.IssuerMigration {
		command = "SETUP issuer migrate --to " + c.Migration.Target()
	}
	if c.Rollback {
		command += " --rollback"
	}
	return command
}

// stagedNext is what to do when a staged change could not continue.
func stagedNext(err error) string {
	if e, ok := errors.AsType[*change.TurnError](err); ok {
		if e.Change.Rollback {
			return continueCommand(e.Change) + ", and then start again"
		}
		return continueCommand(e.Change)
	}
	if e, ok := errors.AsType[*change.TokensError](err); ok {
		if len(e.Secrets) > 0 {
			return "recreate each, and give the new token to whoever uses a copy: " + newSecretToken(e.Secrets[0])
		}
		return "delete these pods, or find out what keeps kubelet on node " + e.Pods[0].Node + ", then run the same command again"
	}
	if e, ok := errors.AsType[*change.OtherTargetError](err); ok {
		return continueCommand(e.Change) + ", or with --rollback first"
	}
	if e, ok := errors.AsType[*change.RolesError](err); ok {
		return "let each trust " + e.Other + " too, on the same conditions, or no longer the old one; then run the same command again"
	}
	switch {
	case is[*change.NoneError](err) || is[*change.SameIssuerError](err):
		return "SETUP status"
	case is[*change.TargetError](err):
		return "choose another --to"
	case is[*change.SilentError](err):
		return "run the same command again"
	case errors.Is(err, controlplane.ErrExternalSigner):
		return "rotate the key in the signer, without a restart of any API server: see 'ISSUER sign --help'"
	case errors.Is(err, controlplane.ErrJoinedWithOldKey):
		return "kubeadm reset on that node, kubectl delete node, and run the same command again; then let it join again"
	case is[*controlplane.OthersError](err) || errors.Is(err, cluster.ErrNoNodeAccess):
		return namesNodes
	case is[*controlplane.APIServerError](err):
		return "look at the log lines above; the same command tries again, with --rollback it undoes the change"
	}
	return ""
}

// namesNodes is what to do where a node cannot be reached.
const namesNodes = "run it on the only control-plane node as root, or name all of them: --ssh USER@NODE, repeated"

// newSecretToken is the command that has the controller manager make a new token.
func newSecretToken(t cluster.Token) string {
	namespace, name, _ := strings.Cut(t.Secret, "/")
	return fmt.Sprintf(`kubectl --namespace %s patch secret %s --type=json --patch='[{"op":"remove","path":"/data/token"}]'`, namespace, name)
}

// bucketStaysError is a bucket that was made for the chain and stays.
type bucketStaysError struct{ bucket string }

func (e *bucketStaysError) Error() string {
	return fmt.Sprintf("%s: bucket %s of the chain stays: it holds what this cluster did not put there", plan.Documents, e.bucket)
}
