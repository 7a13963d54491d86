package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/source"
)

// publisher are the flags of `issuer publish`.
type publisher struct {
	*app
	cluster                clusterFlags
	keyFiles               []string
	bucket, prefix, region string
	issuerURL              string
	documentsOnly          bool
	once, dryRun           bool
	interval, repair, keep time.Duration
	patience               time.Duration
	lease                  leaseFlags
	admin                  adminFlags

	to        publish.S3
	iss       issuer.URL
	anonymous *s3.Client
	omitted   []string // the keys left out, as last logged
	written   prometheus.Counter
	failed    prometheus.Counter

	mu     sync.Mutex // guards status
	status publishStatus
}

// publishStatus is the state of the publisher.
type publishStatus struct {
	Issuer issuer.URL `json:"issuer"`
	// Leader says that this replica is the one that publishes.
	Leader bool `json:"leader"`
	// Checked is when the documents were last found, by a stranger, to be
	// those of the cluster's keys.
	Checked time.Time `json:"checked,omitzero"`
	Error   string    `json:"error,omitempty"`
}

func (a *app) publishCommand() *cobra.Command {
	p := &publisher{app: a}
	c := &cobra.Command{
		Use:   "publish",
		Short: "Keep the documents of a cluster in an S3 bucket",
		Long: `Keep the documents in an S3 bucket in step with the keys of a cluster. Only what
differs is written: a new key into the key set first and then into the discovery
document, a removed one the other way round. Changes that others make in the
documents, the bucket's policy or its public access block are repaired. Every write
is verified by reading it back as an anonymous stranger.

Without --once it runs until a signal to stop. With several replicas one publishes,
elected by a Lease. AWS is configured as for the AWS CLI, so the IAM role of a
service account works too.`,
		Example: `  issuer publish --bucket openirsa-dev --once --kubeconfig ~/.kube/config
  issuer publish --bucket issuers --prefix dev --documents-only`,
		RunE: func(c *cobra.Command, _ []string) error { return p.run(c.Context()) },
	}
	f := c.Flags()
	p.cluster.add(f)
	f.StringSliceVar(&p.keyFiles, "key-file", nil, "`file` or pattern of public keys, PEM or JSON; may be repeated. Without: "+
		"the API server's")
	f.StringVar(&p.bucket, "bucket", "", "S3 bucket (required)")
	f.StringVar(&p.prefix, "prefix", "", "prefix of this cluster's documents in the bucket")
	f.StringVar(&p.region, "region", "", "region of the bucket. Without: AWS's configuration")
	f.StringVar(&p.issuerURL, "issuer-url", "", "issuer whose documents CloudFront serves from the bucket, which stays private: "+
		"they are written below its path, and read back there. Implies --documents-only")
	f.BoolVar(&p.documentsOnly, "documents-only", false, "leave the bucket, its policy and its public access block to others; "+
		"needs only s3:GetObject and s3:PutObject")
	f.BoolVar(&p.once, "once", false, "publish once and exit, with status 1 if that failed")
	f.BoolVar(&p.dryRun, "dry-run", false, "print what would be written, and write nothing")
	f.DurationVar(&p.interval, "interval", 10*time.Second, "how often to check the keys")
	f.DurationVar(&p.repair, "repair-interval", 5*time.Minute, "how often to check the published documents")
	f.DurationVar(&p.keep, "keep", time.Minute, "how long a key stays published that the API server no longer returns; several "+
		"API servers behind one address differ while they restart")
	f.DurationVar(&p.patience, "patience", time.Minute, "how long AWS may take to answer, and a stranger to see a change")
	p.lease.add(f)
	p.admin.add(f, ":9090")
	return c
}

func (p *publisher) run(ctx context.Context) error {
	switch {
	case p.bucket == "":
		return cli.Usagef("--bucket is needed")
	case p.prefix != "" && p.issuerURL != "":
		return cli.Usagef("--prefix and --issuer-url exclude each other: the documents are below the path of the issuer")
	case p.interval < time.Second:
		return cli.Usagef("--interval %s is less than a second", p.interval)
	}
	read := source.Files(p.keyFiles...)
	if len(p.keyFiles) == 0 {
		read = source.Keep(source.API(p.cluster.config), p.keep, nil)
	}
	read = source.Within(read, source.ReadTimeout) // whatever it hangs on
	p.written = prometheus.NewCounter(prometheus.CounterOpts{Name: "openirsa_publish_writes_total", Help: "Changes made in the bucket."})
	p.failed = prometheus.NewCounter(prometheus.CounterOpts{Name: "openirsa_publish_failures_total",
		Help: "Attempts to publish that failed."})
	if p.once || p.dryRun {
		if err := p.open(ctx); err != nil {
			return err
		}
		set, err := read(ctx)
		if err != nil {
			return err
		}
		p.sayOmitted(set)
		return p.publish(ctx, set)
	}

	gauge := func(name, help string, value func(publishStatus) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(p.current()) })
	}
	admin := &admin{
		ready: func() (any, bool) { s := p.current(); return s, s.Error == "" },
		metrics: []prometheus.Collector{
			p.written, p.failed,
			gauge("openirsa_publish_leader", "1 for the replica that publishes.", func(s publishStatus) float64 {
				if s.Leader {
					return 1
				}
				return 0
			}),
			gauge("openirsa_publish_checked_timestamp_seconds", "When the documents were last found to be right by a stranger; 0 for "+
				"never.", func(s publishStatus) float64 {
				if s.Checked.IsZero() {
					return 0
				}
				return float64(s.Checked.Unix())
			}),
		},
	}
	servers, err := p.admin.listen(admin)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	serveUntil(ctx, group, p.log, servers...)
	group.Go(func() error {
		return p.lease.lead(ctx, p.log, p.cluster.config, func(ctx context.Context) error {
			p.update(func(s *publishStatus) { s.Leader = true })
			defer p.update(func(s *publishStatus) { s.Leader, s.Error = false, "" })
			return p.loop(ctx, read)
		})
	})
	return group.Wait()
}

func (p *publisher) current() publishStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *publisher) update(change func(*publishStatus)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.status)
}

// loop publishes until ctx ends. Failures are retried.
func (p *publisher) loop(ctx context.Context, read source.Read) error {
	var published keys.Set
	var checked time.Time
	said := ""
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := func() error {
			if p.iss.IsZero() {
				if err := p.open(ctx); err != nil {
					return err
				}
			}
			set, err := read(ctx)
			if err != nil {
				return err
			}
			p.sayOmitted(set)
			if set.Equal(published) && time.Since(checked) < p.repair {
				return nil
			}
			published = keys.Set{} // unknown while publishing
			if err := p.publish(ctx, set); err != nil {
				return err
			}
			published, checked = set, time.Now()
			p.update(func(s *publishStatus) { s.Checked, s.Issuer = checked, p.iss })
			return nil
		}()
		wait = p.interval
		text := ""
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			p.failed.Inc()
			if text = err.Error(); text != said {
				p.log.Error("publishing fails; the documents stay as they are", "issuer", p.iss, "error", err)
			}
		} else if said != "" {
			p.log.Info("publishing works again", "issuer", p.iss)
		}
		said = text
		p.update(func(s *publishStatus) { s.Error = text })
	}
}

// sayOmitted logs, once, which keys of the source are not published.
func (p *publisher) sayOmitted(set keys.Set) {
	var omitted []string
	for _, o := range set.Omitted() {
		omitted = append(omitted, o.String())
	}
	if !slices.Equal(omitted, p.omitted) && len(omitted) > 0 {
		p.log.Warn("keys that AWS STS would not use are left out", "keys", omitted)
	}
	p.omitted = omitted
}

// open finds the bucket and the issuer that its documents are of.
func (p *publisher) open(ctx context.Context) error {
	var options []func(*config.LoadOptions) error
	if p.region != "" {
		options = append(options, config.WithRegion(p.region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cli.Usagef("no region is set: give --region, or set AWS_REGION")
	}
	// The SDK would silently try for minutes to reach an STS that does not answer.
	ctx, cancel := context.WithTimeoutCause(ctx, p.patience, fmt.Errorf("no answer within %s", p.patience))
	defer cancel()
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil {
		return fmt.Errorf("asking AWS who we are (sts:GetCallerIdentity): %w", err)
	}
	self, err := arn.Parse(aws.ToString(who.Arn))
	if err != nil {
		return fmt.Errorf("reading the caller's ARN %q: %w", aws.ToString(who.Arn), err)
	}
	var iss issuer.URL
	if p.issuerURL == "" {
		iss, err = publish.Issuer(ctx, p.bucket, p.prefix, cfg.Region)
	} else if iss, err = issuer.Parse(p.issuerURL); err == nil {
		if err = iss.CheckPrefix(); err == nil && cfg.BaseEndpoint == nil { // an emulator's AWS may take a port
			err = iss.CheckPort()
		}
		p.prefix = iss.Prefix()
		p.documentsOnly = true
	}
	if err != nil {
		return err
	}
	p.to = publish.S3{
		Client: s3.NewFromConfig(cfg, publish.PathStyle), Account: aws.ToString(who.Account), Partition: self.Partition,
		Region: cfg.Region, Bucket: p.bucket, Prefix: p.prefix, DocumentsOnly: p.documentsOnly, Private: p.issuerURL != "",
	}
	p.anonymous = s3.NewFromConfig(cfg, publish.PathStyle, func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	p.iss = iss
	return nil
}

// publish publishes the documents of the keys.
func (p *publisher) publish(ctx context.Context, set keys.Set) error {
	// The order of writing depends on what is published now. If that is missing,
	// unreadable or wrong, everything is written.
	_, published, err := discovery.Read(ctx, p.to.Stranger(p.to.Client), p.iss)
	if err != nil {
		published = keys.Set{}
	}
	phases, err := discovery.Transition(p.iss, published, set)
	if err != nil {
		return err
	}
	for _, docs := range phases {
		steps, err := p.to.Plan(ctx, docs)
		if err != nil {
			return err
		}
		if p.dryRun {
			plan.Print(p.in.Stdout, steps)
			continue
		}
		err = plan.Run(ctx, steps, func(s plan.Step) {
			p.written.Inc()
			p.log.Info(plan.Past(s.Action), "what", s.Summary, "issuer", p.iss)
		})
		if err != nil {
			return err
		}
		get, patience := p.to.Stranger(p.anonymous), p.patience
		if p.to.Private {
			get = discovery.HTTP(&http.Client{Timeout: 10 * time.Second})
			if len(steps) > 0 {
				patience += discovery.MaxAge // CloudFront may keep the previous ones that long
			}
		}
		if err := p.to.Check(ctx, get, p.iss, docs, patience); err != nil {
			if errors.Is(err, publish.ErrAccountBlock) && p.documentsOnly {
				return fmt.Errorf("the bucket's policy lets nobody read the documents (run `openirsa up`, or publish without "+
					"--documents-only): %w", err)
			}
			return err
		}
		if len(steps) > 0 {
			p.log.Info("a stranger reads what was published", "issuer", p.iss, slog.Any("kids", kids(docs)))
		}
	}
	return nil
}

// kids are the ids of the keys in documents.
func kids(docs []discovery.Document) (ids []string) {
	i := slices.IndexFunc(docs, func(d discovery.Document) bool { return d.Path == issuer.JWKSPath })
	set, err := keys.ParseJWKS(docs[i].Body)
	if err != nil {
		return nil
	}
	for _, key := range set.All() {
		ids = append(ids, key.KID)
	}
	return ids
}
