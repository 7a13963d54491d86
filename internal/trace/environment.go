package trace

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are what New needs.
type Options struct {
	Service string // service.name, unless the environment says otherwise
	Version string // service.version
	// Lookup is the environment, as os.LookupEnv is; nil is an empty one.
	Lookup func(string) (string, bool)
	Log    *slog.Logger
}

// config is what the environment says (OpenTelemetry, "Environment Variable
// Specification" and "OpenTelemetry Protocol Exporter").
type config struct {
	address  string
	header   http.Header
	client   *http.Client
	timeout  time.Duration // of an export with its repetitions
	delay    time.Duration // between exports
	maxQueue int           // spans
	maxBatch int           // spans of one export
	resource []attribute
	version  string
	log      *slog.Logger
}

// environment reads variables. What it cannot use it tells, and leaves out.
type environment struct {
	Options
}

func (e *environment) get(name string) string {
	value, _ := e.Lookup(name)
	return strings.TrimSpace(value)
}

// otlp is a variable of the exporter, which there may be for traces alone.
func (e *environment) otlp(name string) string {
	return cmp.Or(e.get("OTEL_EXPORTER_OTLP_TRACES_"+name), e.get("OTEL_EXPORTER_OTLP_"+name))
}

func (e *environment) warn(name, why string) {
	e.Log.Warn("a variable of OpenTelemetry is ignored", "variable", name, "reason", why)
}

// number is a variable of at least least.
func (e *environment) number(name, value string, least, otherwise int) int {
	if value == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || int(n) < least {
		e.warn(name, fmt.Sprintf("it is not a number of %d or more", least))
		return otherwise
	}
	return int(n)
}

func (e *environment) millis(name, value string, otherwise time.Duration) time.Duration {
	return time.Duration(e.number(name, value, 1, int(otherwise.Milliseconds()))) * time.Millisecond
}

// New makes a Tracer, nil if the environment names no endpoint, or says that there is
// to be none. What is wrong with the environment is logged: traces are no reason not
// to start.
func New(o Options) *Tracer {
	if o.Lookup == nil {
		return nil
	}
	e := &environment{o}
	endpoint := cmp.Or(e.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), e.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if endpoint == "" || strings.EqualFold(e.get("OTEL_SDK_DISABLED"), "true") || !e.exports() {
		return nil
	}
	t := &Tracer{sampler: e.sampler(), propagate: true, full: make(chan struct{}, 1)}
	if list := e.get("OTEL_PROPAGATORS"); list != "" {
		t.propagate = slices.Contains(split(list), "tracecontext")
	}
	var err error
	if t.config, err = e.config(endpoint); err != nil {
		e.Log.Warn("traces are not exported", "error", err)
		return nil
	}
	if t.sampler.ratio == 0 && !t.sampler.parentBased {
		return nil
	}
	e.Log.Info("exporting traces", "endpoint", shownAddress(t.address))
	return t
}

// split is a list of words.
func split(list string) []string {
	words := strings.Split(list, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

// exports reports whether traces are to go to an OTLP endpoint by a protocol that is
// spoken here.
func (e *environment) exports() bool {
	if list := e.get("OTEL_TRACES_EXPORTER"); list != "" && !slices.Contains(split(list), "otlp") {
		if list != "none" {
			e.Log.Warn("traces are not exported", "error", fmt.Sprintf("OTEL_TRACES_EXPORTER is %q, and otlp is all there is", list))
		}
		return false
	}
	switch protocol := e.otlp("PROTOCOL"); protocol {
	case "", "http/json", "http/protobuf": // an endpoint for HTTP takes both
	case "grpc":
		e.Log.Warn("traces are not exported", "error", "the protocol is grpc, which is not spoken here: set "+
			"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json, and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to the endpoint for HTTP, "+
			"whose port usually is 4318 and whose path is /v1/traces")
		return false
	default:
		e.warn("OTEL_EXPORTER_OTLP_PROTOCOL", "it is none of http/json, http/protobuf and grpc")
	}
	return true
}

func (e *environment) sampler() sampler {
	ratio := func() float64 {
		arg := e.get("OTEL_TRACES_SAMPLER_ARG")
		if arg == "" {
			return 1
		}
		n, err := strconv.ParseFloat(arg, 64)
		if err != nil || !(n >= 0 && n <= 1) {
			e.warn("OTEL_TRACES_SAMPLER_ARG", "it is not a number from 0 to 1")
			return 1
		}
		return n
	}
	switch name := e.get("OTEL_TRACES_SAMPLER"); name {
	case "", "parentbased_always_on":
	case "always_on":
		return sampler{false, 1}
	case "always_off":
		return sampler{false, 0}
	case "traceidratio":
		return sampler{false, ratio()}
	case "parentbased_always_off":
		return sampler{true, 0}
	case "parentbased_traceidratio":
		return sampler{true, ratio()}
	default:
		e.warn("OTEL_TRACES_SAMPLER", "it is none of always_on, always_off, traceidratio, and parentbased_ and one of these")
	}
	return sampler{true, 1}
}

func (e *environment) config(endpoint string) (config, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return config{}, errors.New("the OTLP endpoint is not an http or https URL")
	}
	if e.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/v1/traces"
	}
	c := config{
		address:  u.String(),
		header:   http.Header{},
		timeout:  e.millis("OTEL_EXPORTER_OTLP_TIMEOUT", e.otlp("TIMEOUT"), 10*time.Second),
		delay:    e.millis("OTEL_BSP_SCHEDULE_DELAY", e.get("OTEL_BSP_SCHEDULE_DELAY"), 5*time.Second),
		maxQueue: e.number("OTEL_BSP_MAX_QUEUE_SIZE", e.get("OTEL_BSP_MAX_QUEUE_SIZE"), 1, 2048),
		maxBatch: e.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", e.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), 1, 512),
		version:  e.Version,
		log:      e.Log,
	}
	c.maxBatch = min(c.maxBatch, c.maxQueue)
	for _, h := range e.pairs("OTEL_EXPORTER_OTLP_HEADERS", e.otlp("HEADERS")) {
		c.header.Set(h.key, h.value.(string))
	}
	if kind := e.otlp("COMPRESSION"); kind != "" && kind != "none" {
		e.warn("OTEL_EXPORTER_OTLP_COMPRESSION", "traces are sent as they are")
	}
	c.resource = e.resource()
	tlsConfig, err := e.tls()
	if err != nil {
		return config{}, err
	}
	c.client = &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig, IdleConnTimeout: time.Minute},
		// The headers, which often have a key, are for the endpoint alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (e *environment) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := e.otlp("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CERTIFICATE: %q has no certificate in PEM", file)
		}
	}
	if certificate, key := e.otlp("CLIENT_CERTIFICATE"), e.otlp("CLIENT_KEY"); certificate != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("reading OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// pairs is a list of the form key=value,key=value with values that may be escaped as
// in URLs. A list that has a fault is left out.
func (e *environment) pairs(name, list string) []attribute {
	var all []attribute
	if list == "" {
		return nil
	}
	for pair := range strings.SplitSeq(list, ",") {
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || err != nil || key == "" {
			e.warn(name, "it is not of the form key=value,key=value")
			return nil
		}
		all = append(all, attribute{key, value})
	}
	return all
}

// resource says which program the traces are of.
func (e *environment) resource() []attribute {
	all := e.pairs("OTEL_RESOURCE_ATTRIBUTES", e.get("OTEL_RESOURCE_ATTRIBUTES"))
	set := func(key, value string, replace bool) {
		i := slices.IndexFunc(all, func(a attribute) bool { return a.key == key })
		switch {
		case value == "":
		case i < 0:
			all = append(all, attribute{key, value})
		case replace:
			all[i].value = value
		}
	}
	set("service.name", e.get("OTEL_SERVICE_NAME"), true)
	set("service.name", e.Service, false)
	set("service.version", e.Version, false)
	set("telemetry.sdk.language", "go", false)
	set("telemetry.sdk.name", "openirsa", false)
	set("telemetry.sdk.version", e.Version, false)
	return all
}

// shownAddress is an address without what may be a secret in it.
func shownAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
