package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/export"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
)

// exportOptions are the flags of `export`.
type exportOptions struct {
	upOptions
	existingBucket bool
	jwksFile       string
	disown         bool
	outputDir      string
	adopt          bool // write what adopts existing resources
	adoptSet       bool
	associations   []config.PodIdentityAssociation // of the configuration file

	permissions export.Permissions
	to          string
}

// exported is the chain to export: as it is recorded in the cluster, or, with an
// account, as the flags and the configuration file say.
func (a *app) exported(ctx context.Context, o *exportOptions) (*chain.Chain, error) {
	if o.config != "" {
		file, err := a.readConfig(o.config)
		if err != nil {
			return nil, err
		}
		applyFile(file, a, &o.upOptions)
		o.accounts, o.associations = file.IAMServiceAccounts, file.PodIdentityAssociations
	}
	// Of a distribution that is only to be made the address is not known.
	if first := o.private && o.issuerURL == ""; !first {
		if err := o.documentFlags.check(); err != nil {
			return nil, err
		}
	}
	o.allowPrivate = o.allowPrivate || o.endpoint != ""
	if err := a.checkPort(o.documentFlags); err != nil {
		return nil, err
	}
	if err := o.checkKeep(); err != nil {
		return nil, err
	}
	if o.account == "" && o.emulator {
		o.account, a.region = emulatorAccount, cmp.Or(a.region, account.EmulatorRegion)
	}
	if o.account != "" {
		return a.imagined(ctx, o)
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	if !ch.Installed {
		return nil, advise(fmt.Errorf("cluster %s has no chain yet", ch.Cluster.Name), "SETUP up, or export what it would be: --name NAME "+
			"--account ID --region REGION")
	}
	ch.Account = &account.Account{ID: ch.Record.Account, Partition: ch.Record.Partition, Region: ch.Record.Region}
	ch.Record.Image, ch.Record.Endpoint = cmp.Or(o.image, ch.Record.Image), cmp.Or(o.endpoint, ch.Record.Endpoint)
	return ch, nil
}

// imagined is the chain that `up` would make in an account, without a look at
// it.
func (a *app) imagined(ctx context.Context, o *exportOptions) (*chain.Chain, error) {
	region := cmp.Or(a.region, cmp.Or(a.Getenv("AWS_REGION"), a.Getenv("AWS_DEFAULT_REGION")))
	switch {
	case o.name == "":
		return nil, cli.Usagef("--name is needed beside --account: the name of the cluster in AWS")
	case region == "":
		return nil, cli.Usagef("--region is needed beside --account")
	case len(o.account) != 12 || strings.Trim(o.account, "0123456789") != "":
		return nil, cli.Usagef("--account %q is not 12 digits", o.account)
	}
	partition, err := publish.Partition(region)
	if err != nil {
		return nil, err
	}
	ch := &chain.Chain{Account: &account.Account{ID: o.account, Partition: partition, Region: region}}
	ch.Record = record.Record{
		Cluster:    o.name,
		Account:    o.account,
		Partition:  partition,
		Region:     region,
		Image:      o.image,
		Endpoint:   o.endpoint,
		Emulator:   o.emulator,
		KeepIssuer: o.keep,
		Location:   record.Location{PrivateBucket: o.private, Distribution: o.distribution},
		// AWS's own EKS has its clusters alone.
		PodIdentity: o.podIdentity || len(o.associations) > 0 && (o.emulator || o.endpoint != ""),
	}
	switch {
	case o.private && o.issuerURL == "":
		if ch.Record.Bucket, _, _ = strings.Cut(o.bucket, "/"); ch.Record.Bucket == "" {
			ch.Record.Bucket, err = config.BucketFor(o.name, o.account)
		}
		if err != nil {
			return nil, err
		}
	case o.issuerURL != "":
		if ch.Issuer, err = o.parseIssuer(); err != nil {
			return nil, err
		}
		if o.private {
			if ch.Record.Bucket, ch.Record.Prefix, err = o.documents().InS3(o.name, o.account); err != nil {
				return nil, err
			}
		}
	default:
		if ch.Issuer, err = o.issuer(ctx, o.account, region); err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Issuer, err)
		}
		if ch.Record.Bucket, ch.Record.Prefix, err = o.documents().InS3(o.name, o.account); err != nil {
			return nil, err
		}
	}
	if ch.Record.Bucket != "" && !o.existingBucket {
		ch.Record.BucketOwned = true
	}
	if !ch.Issuer.IsZero() {
		ch.Record.Issuer, ch.Record.Provider = ch.Issuer.String(), ch.Issuer.ProviderARN(partition, o.account)
	}
	return ch, nil
}

// bareResources are the chain without its documents and its roles.
func bareResources(ctx context.Context, ch *chain.Chain, o *exportOptions) (*export.Resources, error) {
	tags, err := ch.Tags(ctx)
	if err != nil {
		return nil, err
	}
	if o.disown {
		delete(tags, owner.Tag)
	}
	e := &export.Resources{
		Cluster: ch.Record.Cluster, Account: ch.Record.Account, Partition: ch.Record.Partition, Region: ch.Record.Region,
		Issuer: ch.Issuer, Bucket: ch.Bucket(tags),
		PodIdentity: ch.Record.PodIdentity,
		Import:      ch.Installed,
	}
	if o.adoptSet {
		e.Import = o.adopt
	}
	if !ch.Issuer.IsZero() {
		e.Provider = ch.Provider(tags)
	}
	return e, nil
}

// resources are the whole AWS half.
func resources(ctx context.Context, ch *chain.Chain, o *exportOptions) (*export.Resources, error) {
	e, err := bareResources(ctx, ch, o)
	if err != nil || ch.Issuer.IsZero() {
		return e, err
	}
	if ch.Installed {
		if e.Import {
			if err := checkAdoption(ctx, ch); err != nil {
				return nil, err
			}
		}
		if err := ch.ReadKeys(ctx); err != nil {
			return nil, err
		}
	} else if o.jwksFile != "" {
		body, err := os.ReadFile(o.jwksFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.SigningKey, err)
		}
		if ch.Keys, err = keys.ParseJWKS(body); err != nil {
			return nil, fmt.Errorf("%s: reading %s: %w", plan.SigningKey, o.jwksFile, err)
		}
	}
	if ch.Keys.Len() > 0 {
		if e.Documents, err = discovery.Documents(ch.Issuer, ch.Keys); err != nil {
			return nil, err
		}
	}
	if ch.Installed && o.config == "" {
		e.Roles, err = rolesInAWS(ctx, ch)
		if err == nil && ch.Record.PodIdentity {
			e.Associations, err = associationsInAWS(ctx, ch)
		}
	} else {
		e.Roles, err = exportRoles(ctx, ch, o)
		if err == nil {
			err = exportAssociations(ctx, ch, o, e)
		}
		if err == nil {
			err = adoptAssociations(ctx, ch, e)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, r := range e.Roles {
		if r.Shared || owner.Shared(r.Tags) {
			return nil, advise(fmt.Errorf("%s: role %s is shared with other clusters, whose service accounts its trust policy lets in too: it "+
				"is not one cluster's to export", plan.Role, r.Name),
				"leave it out of the --config of this export")
		}
	}
	if o.disown {
		for i := range e.Roles {
			e.Roles[i].Tags = maps.Clone(e.Roles[i].Tags)
			delete(e.Roles[i].Tags, owner.Tag)
		}
		for i := range e.Associations {
			e.Associations[i].Tags = maps.Clone(e.Associations[i].Tags)
			delete(e.Associations[i].Tags, owner.Tag)
		}
	}
	return e, nil
}

// checkAdoption refuses to have another tool adopt, and one day delete, what is
// another cluster's.
func checkAdoption(ctx context.Context, ch *chain.Chain) error {
	if err := ch.Connect(ctx); err != nil {
		return err
	}
	if err := ch.CheckRecord(ctx); err != nil || !ch.Record.BucketOwned {
		return err
	}
	mark, err := ch.Tags(ctx)
	if err != nil {
		return err
	}
	err = ch.Bucket(mark).Whose(ctx)
	if errors.Is(err, publish.ErrOwnerUnknown) {
		return nil // Terraform will read them, or not
	}
	if e, foreign := errors.AsType[*owner.ForeignError](err); foreign {
		if !owner.Claimed(e.Tags) {
			return nil // lost its tags, which Terraform puts back
		}
		return advise(fmt.Errorf("%s: the record of this cluster names what is another's: %w", plan.Documents, e), "SETUP export terraform "+
			"--import=false writes it without adopting anything")
	}
	return err
}

// exportRoles are the roles of the configuration file.
func exportRoles(ctx context.Context, ch *chain.Chain, o *exportOptions) ([]role.Role, error) {
	roles, err := ch.WantRoles(ctx, o.accounts)
	if err != nil {
		return nil, err
	}
	var list []role.Role
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		list = append(list, roles[name])
	}
	return list, nil
}

// rolesInAWS are the roles that were made for the cluster, as they are.
func rolesInAWS(ctx context.Context, ch *chain.Chain) ([]role.Role, error) {
	if ch.Account.IAM == nil {
		if err := ch.Connect(ctx); err != nil {
			return nil, err
		}
	}
	mark, err := ch.Tags(ctx)
	if err != nil {
		return nil, err
	}
	list, err := ch.Roles(ctx, mark)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, account.Cause(err))
	}
	return slices.DeleteFunc(list, func(r role.Role) bool { return !owner.Owns(r.Tags, mark) }), nil
}

// associationsInAWS are the associations that were made for the cluster, as they are.
func associationsInAWS(ctx context.Context, ch *chain.Chain) ([]podidentity.Association, error) {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return nil, err
	}
	all, err := ch.Associations(ctx, podidentity.Filter{})
	if err != nil {
		return nil, account.Cause(err)
	}
	return slices.DeleteFunc(all, func(a podidentity.Association) bool { return !owner.Owns(a.Tags, mark) || a.OwnerARN != "" }), nil
}

// exportAssociations adds the associations of the configuration file, and the roles that
// are made for them.
func exportAssociations(ctx context.Context, ch *chain.Chain, o *exportOptions, e *export.Resources) error {
	wants, roles, err := ch.WantAssociations(ctx, o.associations)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		e.Roles = append(e.Roles, roles[name])
	}
	order.By(e.Roles, func(a, b role.Role) int { return strings.Compare(a.Name, b.Name) })
	e.Associations = wants
	return nil
}

// adoptAssociations adds by what existing associations are adopted.
func adoptAssociations(ctx context.Context, ch *chain.Chain, e *export.Resources) error {
	if !ch.Installed || !e.Import || len(e.Associations) == 0 {
		return nil
	}
	there, err := ch.Associations(ctx, podidentity.Filter{})
	if err != nil {
		return account.Cause(err)
	}
	for i := range e.Associations {
		want := &e.Associations[i]
		at := slices.IndexFunc(there, func(a podidentity.Association) bool { return a.String() == want.String() })
		if at >= 0 {
			want.ID, want.ARN = there[at].ID, there[at].ARN
		}
	}
	return nil
}

// manifests are the Kubernetes half, as a stream of YAML.
func manifests(ctx context.Context, ch *chain.Chain, o *exportOptions) ([]byte, error) {
	if ch.Issuer.IsZero() {
		return nil, cli.Usagef("--private-bucket needs the --issuer-url at which CloudFront serves its documents")
	}
	if ch.Record.Image == "" {
		return nil, cli.Usagef("--image is needed: the container image with the webhook, in a registry (see setup image)")
	}
	head := fmt.Sprintf("# The Kubernetes half of cluster %s; setup export terraform writes the AWS half.\n", ch.Record.Cluster)
	if ch.Keeps() {
		head += fmt.Sprintf("# The API server keeps its flags, and with them its issuer %s.\n", ch.Issuer)
	} else {
		head += fmt.Sprintf("# The API server needs these flags (see setup apiserver):\n#   --service-account-issuer=%s\n#   "+
			"--service-account-jwks-uri=%s\n", ch.Issuer, ch.Issuer.JWKS())
	}
	var objects []*unstructured.Unstructured
	if ch.Record.Emulator {
		if ch.Record.Endpoint == "" {
			ch.Record.Endpoint = fmt.Sprintf("http://%s.%s.svc:%d", deploy.EmulatorName, deploy.Namespace, deploy.EmulatorPort)
			head += "# Pods reach the emulator by its name. SDKs find its S3 only with path-style addresses then; where that\n" +
				"# matters, give its Service's cluster IP: --pod-endpoint-url http://IP:" + fmt.Sprint(deploy.EmulatorPort) + "\n"
		}
		emulator, err := deploy.Emulator(ch.EmulatorParams())
		if err != nil {
			return nil, err
		}
		objects = emulator
	}
	webhook, err := ch.WebhookObjects(ctx)
	if err != nil {
		return nil, err
	}
	last := len(webhook) - 1
	objects = slices.Concat(
		webhook[:1],
		[]*unstructured.Unstructured{cluster.RecordObject(ch.Record)},
		objects[min(1, len(objects)):],
		webhook[1:last],
	)
	if ch.Record.PodIdentity {
		agent, err := deploy.Agent(ch.AgentParams())
		if err != nil {
			return nil, err
		}
		objects = append(objects, agent...)
	}
	accounts, err := serviceAccountObjects(ctx, ch, o)
	if err != nil {
		return nil, err
	}
	// From the moment that it is there pods of workloads are refused until the
	// webhook answers.
	objects = append(append(objects, accounts...), webhook[last])

	var b strings.Builder
	b.WriteString(head)
	for _, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return []byte(b.String()), nil
}

// serviceAccountObjects are the annotated service accounts of the configuration
// file.
func serviceAccountObjects(ctx context.Context, ch *chain.Chain, o *exportOptions) ([]*unstructured.Unstructured, error) {
	roles, err := ch.WantRoles(ctx, o.accounts)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, sa := range o.accounts {
		if sa.RoleOnly {
			continue
		}
		labels := map[string]string{}
		maps.Copy(labels, sa.Metadata.Labels)
		// setup shows it, and takes nothing away that it has not added.
		labels[cluster.ServiceAccountLabel] = cluster.Annotated
		object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount"}}
		object.SetNamespace(sa.Metadata.Namespace)
		object.SetName(sa.Metadata.Name)
		object.SetAnnotations(ch.Annotations(&sa, roles))
		object.SetLabels(labels)
		objects = append(objects, object)
	}
	return objects, nil
}

// checkKeep refuses flags of an export that do not go together.
func (o *exportOptions) checkKeep() error {
	switch {
	case !o.keep:
		return nil
	case !o.emulator:
		return cli.Usagef("--keep-issuer needs --emulator: AWS cannot read the documents of an issuer in a cluster")
	case o.issuerURL == "":
		return cli.Usagef("--keep-issuer needs the --issuer-url that the cluster has: kubectl get --raw " +
			"/.well-known/openid-configuration shows it")
	}
	return nil
}
