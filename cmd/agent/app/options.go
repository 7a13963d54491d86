package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/agent"
)

// options are the flags; their usage texts are the manual.
type options struct {
	hosts, allowed          []string
	port, probePort         uint16
	cluster, endpoint       string
	metricsAddress          string
	metricsPort             uint16
	retention, refusalsKept time.Duration
	size, qps               int
	rotate                  bool
	verbosity               string
	log                     cli.Log
}

// bracketed are the agent's addresses as hosts of URLs.
func bracketed(hosts []string) (all []string) {
	for _, h := range hosts {
		if strings.Contains(h, ":") {
			h = "[" + h + "]"
		}
		all = append(all, h)
	}
	return all
}

func (o *options) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.cluster, "cluster-name", "c", "", "name of the cluster, as EKS Auth knows it (needed)")
	f.StringSliceVarP(&o.hosts, "bind-hosts", "b", bracketed(agent.Hosts()), "addresses to listen on; one that the node does not "+
		"have is left out, with a warning, unless it has none")
	f.Uint16VarP(&o.port, "port", "p", 80, "port to listen on (http): "+agent.Path)
	f.StringSliceVar(&o.allowed, "allowed-hosts", agent.Hosts(), "names by which pods may call the agent, without port and brackets; "+
		"requests with another Host header are refused")
	f.StringVar(&o.endpoint, "endpoint", "", "URL of EKS Auth, instead of the environment's and AWS's own")
	f.DurationVar(&o.retention, "max-credential-retention-before-renewal", agent.RenewAfter,
		"how long credentials are kept at most before they are renewed; it is earlier if they expire. 0: keep none")
	f.IntVar(&o.size, "max-cache-size", agent.CacheSize, "for how many pods credentials are kept at most. 0: none")
	f.IntVar(&o.qps, "max-service-qps", agent.RenewalRate, "how many renewals begin in a second at most")
	f.DurationVar(&o.refusalsKept, "refusals-kept", agent.RefusalsKept, "how long a token that EKS Auth has refused is refused "+
		"without asking again. 0: not at all")
	f.BoolVar(&o.rotate, "rotate-credentials", false, "read the agent's own credentials anew every minute, from a file that changes")
	f.Uint16Var(&o.probePort, "probe-port", 2703, "port of localhost to listen on (http): /healthz, /readyz")
	f.StringVar(&o.metricsAddress, "metrics-address", "0.0.0.0", "address to listen on for metrics")
	f.Uint16Var(&o.metricsPort, "metrics-port", 2705, "port to listen on for metrics (http): /metrics, /healthz, /readyz")
	o.log.Flags(f, "what to log: debug, info (each pod's exchanges), warn or error")
	f.StringVarP(&o.verbosity, "verbosity", "v", "", "level of the log, as the original has it")
	f.MarkHidden("verbosity")
}

// clusterName is EKS's: AssumeRoleForPodIdentity, clusterName.
var clusterName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`)

// levels are the original's words for those of the log.
var levels = map[string]string{"panic": "error", "fatal": "error", "error": "error", "warning": "warn", "warn": "warn",
	"info": "info", "debug": "debug", "trace": "debug"}

// check refuses values that cannot work.
func (o *options) check() error {
	if o.verbosity != "" {
		level, ok := levels[o.verbosity]
		if !ok {
			return fmt.Errorf("--verbosity %q is not trace, debug, info, warn or error", o.verbosity)
		}
		o.log.Level = level
	}
	switch {
	case o.cluster == "":
		return errors.New("--cluster-name is needed")
	case !clusterName.MatchString(o.cluster):
		return fmt.Errorf("--cluster-name %q is not the name of a cluster", o.cluster)
	case len(o.hosts) == 0:
		return errors.New("--bind-hosts has no address")
	case len(o.allowed) == 0:
		return errors.New("--allowed-hosts has no name")
	case o.retention < 0:
		return fmt.Errorf("--max-credential-retention-before-renewal %s is negative", o.retention)
	case o.size < 0:
		return fmt.Errorf("--max-cache-size %d is negative", o.size)
	case o.qps < 1:
		return fmt.Errorf("--max-service-qps %d is not positive", o.qps)
	case o.refusalsKept < 0:
		return fmt.Errorf("--refusals-kept %s is negative", o.refusalsKept)
	case o.retention > 0 && float64(o.qps)*o.retention.Seconds() < float64(o.size)/2:
		return fmt.Errorf("--max-service-qps %d is too few for the credentials of %d pods, which are renewed every %s: they would expire",
			o.qps, o.size, o.retention)
	}
	if o.endpoint != "" {
		if u, err := url.Parse(o.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--endpoint %q is not an http or https URL", o.endpoint)
		}
	}
	return nil
}

// addresses are those of --bind-hosts with the port.
func (o *options) addresses() (all []string, err error) {
	for _, h := range o.hosts {
		a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(h, "["), "]"))
		if err != nil {
			return nil, fmt.Errorf("--bind-hosts %q is not an address", h)
		}
		all = append(all, net.JoinHostPort(a.String(), strconv.Itoa(int(o.port))))
	}
	return all, nil
}

// orNever is how the package says what a flag says as 0.
func orNever[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
