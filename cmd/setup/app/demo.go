package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/token"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the chain at work, with no cluster, no Docker and no AWS account",
		Long: `Make the chain with everything that 'setup up' uses, on an emulator in this
process: a signing key, its documents in S3, an IAM OIDC provider and a role. Then
sign tokens as a kube-apiserver does and let the unmodified AWS SDK find and use
them, as it would in a pod: refused with the wrong service account and without
the permission, and let in with both.

Nothing is left behind.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context()) },
	}
}

// The demo's actors.
const (
	demoCluster   = "demo"
	demoNamespace = "blogpost-demo"
	demoName      = "list-iam-groups"
	demoPolicy    = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
)

var demoGroups = []string{"admins", "developers"}

func (a *app) demo(ctx context.Context) error {
	// The machine's AWS settings have no part in this.
	defer setEnvironment(map[string]string{})()
	server, err := emulator.New(emulator.Config{})
	if err != nil {
		return err
	}
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting the emulator: %w", err)
	}
	web := &http.Server{Handler: server}
	go web.Serve(listener)
	defer web.Close()

	d := &demo{app: a, server: server, endpoint: "http://" + listener.Addr().String()}
	if d.home, err = os.MkdirTemp("", "openirsa-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.home)

	d.say("OpenIRSA: IAM roles for service accounts, with no cluster and no AWS account.\n")
	d.line("emulator", "AWS STS, IAM and S3 at %s", d.endpoint)
	if err := d.chain(ctx); err != nil {
		return err
	}
	return d.pods(ctx)
}

type demo struct {
	*app
	server   *emulator.Server
	endpoint string
	home     string

	acct    *account.Account
	key     keys.Private
	aws     *federation.Federation
	roleARN string
}

func (d *demo) say(format string, args ...any) { plain.Fprintf(d.out, format+"\n", args...) }
func (d *demo) line(link, format string, args ...any) {
	d.say("  %-16s %s", link, fmt.Sprintf(format, args...))
}

// chain makes links 1 to 6.
func (d *demo) chain(ctx context.Context) (err error) {
	d.region = account.EmulatorRegion
	if d.acct, err = d.connectAWS(ctx, d.endpoint, nil); err != nil {
		return err
	}
	for _, group := range demoGroups {
		if _, err := d.acct.IAM.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &group}); err != nil {
			return fmt.Errorf("creating group %s: %w", group, err)
		}
	}

	if d.key, err = keys.Generate(keys.RS256); err != nil {
		return err
	}
	set, err := keys.NewSet(d.key.Public())
	if err != nil {
		return err
	}
	d.line("signing key", "%s, kid %s", d.key.Public().Algorithm, d.key.Public().KID)

	bucket, err := config.BucketFor(demoCluster, d.acct.ID)
	if err != nil {
		return err
	}
	if d.aws, err = federation.InS3(ctx, d.acct, bucket); err != nil {
		return err
	}
	d.aws.Mark(owner.Tags(demoCluster, "demo"))
	docs, err := discovery.Documents(d.aws.Issuer, set)
	if err != nil {
		return err
	}
	if err := d.aws.Publish(ctx, nil, docs, federation.Patience); err != nil {
		return err
	}
	for _, doc := range docs {
		d.line("documents", "s3://%s%s (%d bytes)", bucket, doc.Path, len(doc.Body))
	}
	d.line("issuer", "%s, read back by a stranger: equal", d.aws.Issuer)
	if err := d.aws.Trust(ctx, nil); err != nil {
		return err
	}
	d.line("provider", "%s", d.aws.Provider().ARN)
	if err := d.grant(ctx); err != nil {
		return err
	}
	d.line("role", "%s", d.roleARN)
	d.line("", "trusts %s, may do nothing yet", token.Subject(demoNamespace, demoName))
	d.line("service account", "%s/%s  %s: %s", demoNamespace, demoName, irsa.DefaultPrefix.RoleARN(), d.roleARN)
	return nil
}

// grant makes the demo's role, with policies.
func (d *demo) grant(ctx context.Context, policies ...string) error {
	r, err := d.aws.Role(demoCluster, demoNamespace, demoName, policies...)
	if err != nil {
		return err
	}
	r.Name = demoName
	d.roleARN = d.aws.RoleARN(r)
	return d.aws.Grant(ctx, nil, r)
}

// pods runs the AWS SDK as three pods would.
func (d *demo) pods(ctx context.Context) error {
	d.say("\nThe AWS SDK for Go, unmodified, with a pod's environment and its token:\n")

	if err := d.refused(ctx, "default/another", "AccessDenied"); err != nil {
		return err
	}
	if err := d.refused(ctx, demoNamespace+"/"+demoName, "AccessDenied"); err != nil {
		return err
	}

	if err := d.grant(ctx, demoPolicy); err != nil {
		return err
	}
	d.say("  role             %s attached\n", demoPolicy)

	groups, who, err := d.listGroups(ctx, demoNamespace+"/"+demoName)
	if err != nil {
		return fmt.Errorf("listing groups as %s/%s: %w", demoNamespace, demoName, err)
	}
	d.pod(demoNamespace + "/" + demoName)
	d.say("    listed         %s", strings.Join(groups, ", "))
	d.say("    identity       %s", who)
	d.say("\nThe same on a kind cluster: `%s up --emulator`", d.Name)
	return nil
}

func (d *demo) pod(serviceAccount string) {
	d.say("  pod of %s: iam list-groups", serviceAccount)
}

// refused runs a pod that must be refused, and shows what AWS says and what the
// emulator knows.
func (d *demo) refused(ctx context.Context, serviceAccount, want string) error {
	since := time.Now()
	_, _, err := d.listGroups(ctx, serviceAccount)
	if err == nil {
		return fmt.Errorf("the pod of %s was let in", serviceAccount)
	}
	cause := account.Cause(err)
	if !strings.HasPrefix(cause.Error(), want+":") {
		return fmt.Errorf("the pod of %s was refused with %w, expected %s", serviceAccount, cause, want)
	}
	d.pod(serviceAccount)
	d.say("    refused        %v", cause)
	events := d.server.Events(emulator.EventFilter{Decision: emulator.Deny, Since: since})
	if len(events) == 0 {
		return errors.New("the emulator has no event for the refusal")
	}
	d.say("    why            %s\n", events[len(events)-1].Reason)
	return nil
}

// listGroups is what runs in the pod of NAMESPACE/NAME: it knows nothing but its
// environment and its token.
func (d *demo) listGroups(ctx context.Context, serviceAccount string) (groups []string, who string, err error) {
	namespace, name, _ := strings.Cut(serviceAccount, "/")
	now := time.Now()
	raw, err := token.Mint(d.key, token.Claims{
		Issuer: d.aws.Issuer.String(), Subject: token.Subject(namespace, name), Audience: token.Strings{irsa.Audience},
		IssuedAt: token.At(now), NotBefore: token.At(now), Expiry: token.At(now.Add(irsa.ExpirationSeconds * time.Second)),
		Kubernetes: token.Kubernetes{Namespace: namespace, ServiceAccount: &token.Ref{Name: name, UID: "demo"}},
	})
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(d.home, "token")
	if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
		return nil, "", err
	}
	restore := setEnvironment(map[string]string{
		irsa.EnvRoleARN: d.roleARN, irsa.EnvTokenFile: file,
		irsa.EnvRegion: d.acct.Region, irsa.EnvDefaultRegion: d.acct.Region, irsa.EnvEndpointURL: d.endpoint, irsa.EnvEndpointURLSTS: d.endpoint,
	})
	defer restore()
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRetryMaxAttempts(1))
	if err != nil {
		return nil, "", err
	}
	out, err := iam.NewFromConfig(cfg, func(o *iam.Options) { o.Retryer = aws.NopRetryer{} }).ListGroups(ctx, &iam.ListGroupsInput{})
	if err != nil {
		return nil, "", err
	}
	for _, g := range out.Groups {
		groups = append(groups, *g.GroupName)
	}
	id, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, "", err
	}
	return groups, *id.Arn, nil
}

// setEnvironment makes vars the only AWS settings of this process, as they are
// in a pod, and returns what undoes it. HOME has no ~/.aws meanwhile.
func setEnvironment(vars map[string]string) (restore func()) {
	former := map[string]string{}
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			former[name] = value
			os.Unsetenv(name)
		}
	}
	vars["AWS_CONFIG_FILE"], vars["AWS_SHARED_CREDENTIALS_FILE"] = os.DevNull, os.DevNull
	for name, value := range vars {
		os.Setenv(name, value)
	}
	return func() {
		for name := range vars {
			os.Unsetenv(name)
		}
		for name, value := range former {
			os.Setenv(name, value)
		}
	}
}
