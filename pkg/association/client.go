// Package association asks the EKS API which service accounts of a cluster have an EKS
// Pod Identity association.
//
//	client, err := association.FromEnvironment("c1", "openirsa-webhook/v1", os.Getenv)
//	err = client.List(ctx, "", "", func(namespace, serviceAccount string) { ... })    // all of the cluster
//	err = client.List(ctx, "team-a", "app", func(namespace, serviceAccount string) {}) // that one, if it is there
//
// It is for programs that need one call of one service, ListPodIdentityAssociations,
// and must stay small: it signs that call itself, and gets the credentials of a role by
// AssumeRoleWithWebIdentity, where the AWS SDK would be larger than the rest of the
// program.
package association

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/sigv4"
)

// The bounds of a list.
const (
	pageSize = "100" // of ListPodIdentityAssociations (maxResults, EKS API Reference)
	// maxPages is for a server that never ends: AWS has at most 1000 associations for
	// a cluster ("Amazon EKS service quotas").
	maxPages = 1000
	// patience is how long a page is tried, even where the context has more time.
	patience = 10 * time.Second
	// The pauses between two tries.
	firstPause, longestPause = 50 * time.Millisecond, time.Second
)

// Client asks the EKS API about one cluster. Its fields are not changed once it is in use.
type Client struct {
	// Cluster is the name of the cluster.
	Cluster string
	// Endpoint is the URL of the EKS API, and Region that of its signatures.
	Endpoint, Region string
	// Keys are what calls are signed with. refused is the id of a key that AWS has
	// refused, because it has expired or is not known (any more): another one is
	// wanted if there can be one; "" if none was refused.
	Keys func(ctx context.Context, refused string) (Keys, error)
	// UserAgent is the program and its version.
	UserAgent string
	HTTP      *http.Client // nil is [http.DefaultClient]

	signer sigv4.Signer
}

// List calls each for all associations of the cluster, or, if they are not "", for those
// of a namespace and a service account. What may pass, such as a server that does not
// answer, is tried again until ctx ends, and for ten seconds at most; what is refused
// is not: the error then has an [*Error]. Before an error each may have been called for
// some of them.
func (c *Client) List(ctx context.Context, namespace, serviceAccount string, each func(namespace, serviceAccount string)) error {
	query := url.Values{"maxResults": {pageSize}}
	if namespace != "" {
		query.Set("namespace", namespace)
	}
	if serviceAccount != "" {
		query.Set("serviceAccount", serviceAccount)
	}
	for range maxPages {
		page, err := c.page(ctx, query)
		if err != nil {
			return fmt.Errorf("listing the pod identity associations of cluster %s: %w", c.Cluster, err)
		}
		for _, a := range page.Associations {
			each(a.Namespace, a.ServiceAccount)
		}
		if page.NextToken == "" {
			return nil
		}
		if page.NextToken == query.Get("nextToken") {
			return fmt.Errorf("listing the pod identity associations of cluster %s: a page is its own next one", c.Cluster)
		}
		query.Set("nextToken", page.NextToken)
	}
	return fmt.Errorf("listing the pod identity associations of cluster %s: more than %d pages", c.Cluster, maxPages)
}

// page is an answer of ListPodIdentityAssociations, as far as it is needed.
type page struct {
	Associations []struct {
		Namespace      string `json:"namespace"`
		ServiceAccount string `json:"serviceAccount"`
	} `json:"associations"`
	NextToken string `json:"nextToken"`
}

// page asks for one page, again and again while that may help.
func (c *Client) page(ctx context.Context, query url.Values) (*page, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	refused := ""
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		p, key, err := c.ask(ctx, query, refused)
		if err == nil {
			return p, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // rather than the end of the time
		}
		if key != "" && refused == "" && isKeyRefused(err) {
			refused = key
			continue
		}
		if !mayPass(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, last
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// ask asks for one page once, with the id of the key that it was signed with.
func (c *Client) ask(ctx context.Context, query url.Values, refused string) (_ *page, key string, err error) {
	keys, err := c.Keys(ctx, refused)
	if err != nil {
		return nil, "", fmt.Errorf("getting credentials: %w", err)
	}
	address := strings.TrimSuffix(c.Endpoint, "/") + "/clusters/" + url.PathEscape(c.Cluster) + "/pod-identity-associations?" + query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", c.UserAgent)
	c.signer.Sign(r, sigv4.Credentials{AccessKeyID: keys.AccessKeyID, Secret: keys.Secret, SessionToken: keys.SessionToken},
		sigv4.Scope{Region: c.Region, Service: "eks"}, sigv4.EmptyPayload, time.Now())
	body, err := send(c.HTTP, r)
	if err != nil {
		return nil, keys.AccessKeyID, err
	}
	p := new(page)
	if err := json.Unmarshal(body, p); err != nil {
		return nil, keys.AccessKeyID, fmt.Errorf("reading the answer of %s: %w", r.URL.Host, err)
	}
	return p, keys.AccessKeyID, nil
}

// mayPass reports whether an error may be gone at the next try: whatever AWS has not
// said itself, its own faults, and that there are too many calls.
func mayPass(err error) bool {
	said, ok := errors.AsType[*Error](err)
	return !ok || said.Status >= 500 || said.Status == http.StatusTooManyRequests ||
		slices.Contains(passing, said.Code)
}

// passing are codes of what may pass, whatever the status; the last is of STS, which
// reads the issuer's documents.
var passing = []string{"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "IDPCommunicationError"}

var refusals = []string{"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"}

// isKeyRefused reports whether other keys may help. A session is unknown, too, to an
// emulator that has started anew.
func isKeyRefused(err error) bool {
	said, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(refusals, said.Code)
}
