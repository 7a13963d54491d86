package guard

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/order"
)

// Backend is where the calls of a service go: a URL, or a handler in this
// process.
type Backend struct {
	URL     string
	Handler http.Handler
}

// All is the name that stands for all services without a backend of their own, but
// for those that the emulator has.
const All = "*"

// backend is a Backend that is ready for use.
type backend struct {
	name      string // as it was given
	url       *url.URL
	transport http.RoundTripper
}

// String is how people know the backend.
func (b *backend) String() string {
	if b.url == nil {
		return "the handler for " + b.name
	}
	return b.url.String()
}

// backends are those of a configuration, by the names that were given.
type backends map[string]*backend

// open makes backends of a configuration. Names that no service has are refused,
// and so are STS and IAM, without which the emulator would decide about nothing.
func open(forward map[string]Backend, shared http.RoundTripper) (backends, error) {
	all := make(backends, len(forward))
	for name, to := range forward {
		if err := checkName(name); err != nil {
			return nil, err
		}
		b := &backend{name: name, transport: shared}
		switch {
		case to.Handler != nil && to.URL != "":
			return nil, fmt.Errorf("forwarding %s: there are both a URL and a handler", name)
		case to.Handler != nil:
			b.transport = handlerTransport{to.Handler}
			b.url = &url.URL{Scheme: "http", Host: "handler.invalid"}
		default:
			u, err := parseURL(to.URL)
			if err != nil {
				return nil, fmt.Errorf("forwarding %s: %w", name, err)
			}
			b.url = u
		}
		all[name] = b
	}
	return all, nil
}

// parseURL reads the URL of a backend. It is shown in logs and events, so it holds
// no credentials.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%.100q is not a URL", text)
	case u.User != nil:
		return nil, fmt.Errorf("the URL of %s has credentials in it, which are given with the key", u.Host)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%.100q is not of the form http://HOST:PORT", text)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%.100q has more than a host and a port: paths are the clients'", text)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// checkName refuses a name that no service has.
func checkName(name string) error {
	switch name {
	case All:
		return nil
	case "sts", "iam":
		return fmt.Errorf("forwarding %s: by STS and IAM the emulator knows who calls and what it may do, without which it could decide "+
			"about nothing that it forwards: they are always its own", name)
	case "s3control":
		return fmt.Errorf("forwarding s3control: only S3 itself can be forwarded, with s3=URL")
	}
	if len(awsapi.Named(name)) > 0 {
		return nil
	}
	err := fmt.Errorf("forwarding %.40q: no service has that name", name)
	if near := similar(name); near != nil {
		err = fmt.Errorf("%w; there are %s", err, strings.Join(near, ", "))
	}
	return err
}

// similar are up to three names of services that are like another.
func similar(name string) []string {
	name = strings.ToLower(name)
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, m := range awsapi.Models() {
		for _, known := range []string{m.Name, m.SigningName, m.Prefix} {
			d := distance(name, known)
			if strings.HasPrefix(known, name) || len(known) > 3 && strings.HasPrefix(name, known) {
				d = min(d, 1)
			}
			c := candidate{known, d}
			if d <= 1+len(name)/4 && known != "" && !slices.ContainsFunc(found, func(f candidate) bool { return f.name == known }) {
				found = append(found, c)
			}
		}
	}
	order.By(found, func(a, b candidate) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, f := range found[:min(3, len(found))] {
		names = append(names, f.name)
	}
	return names
}

// distance is how many letters must be changed, added or left out to make one word
// of another (Levenshtein's).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// of is the backend for a model, or for a service that no model has, of which only
// the name in signatures is known. It is that of the most particular name.
func (all backends) of(m *awsapi.Model, signs string, own []string) *backend {
	names := []string{signs}
	if m != nil {
		names = []string{m.Name, m.SigningName, m.Prefix}
	}
	for _, name := range names {
		if b := all[name]; b != nil && name != All {
			return b
		}
	}
	if slices.ContainsFunc(names, func(name string) bool { return slices.Contains(own, name) }) {
		return nil
	}
	return all[All]
}
