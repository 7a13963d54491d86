package association

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// FromEnvironment is a client as the usual variables describe it, by the AWS SDKs'
// rules ("Environment variables", AWS SDKs and Tools Reference Guide):
//
//   - AWS_REGION or AWS_DEFAULT_REGION, without which there is no client
//   - AWS_ENDPOINT_URL_EKS, AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, and
//     AWS_IGNORE_CONFIGURED_ENDPOINT_URLS
//   - AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
//   - else AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_SESSION_NAME
//   - AWS_CA_BUNDLE, besides the system's authorities, and HTTP proxies
//
// Files of profiles, EC2's metadata and container credentials are not asked: the last
// may themselves wait for whoever uses this client. userAgent is the program and its
// version, "program/v1"; sessions have the program's name unless the environment has one.
func FromEnvironment(cluster, userAgent string, getenv func(string) string) (*Client, error) {
	if err := CheckCluster(cluster); err != nil {
		return nil, err
	}
	region := cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return nil, errors.New("no region: AWS_REGION is not set")
	}
	if strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("AWS_REGION %.100q is not a region", region)
	}
	endpoint, err := endpointOf("EKS", region, getenv)
	if err != nil {
		return nil, err
	}
	client, err := httpClient(getenv("AWS_CA_BUNDLE"))
	if err != nil {
		return nil, err
	}
	c := &Client{Cluster: cluster, Endpoint: endpoint, Region: region, UserAgent: userAgent, HTTP: client}
	id, secret := getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY")
	role, file := getenv("AWS_ROLE_ARN"), getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	switch {
	case (id == "") != (secret == ""):
		return nil, errors.New("of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set")
	case id != "":
		c.Keys = fixed(Keys{AccessKeyID: id, Secret: secret, SessionToken: getenv("AWS_SESSION_TOKEN")})
	case role == "" || file == "":
		return nil, errors.New("no credentials: set AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	default:
		sts, err := endpointOf("STS", region, getenv)
		if err != nil {
			return nil, err
		}
		program, _, _ := strings.Cut(userAgent, "/")
		w := &webIdentity{
			endpoint: sts, role: role, tokenFile: file, session: cmp.Or(getenv("AWS_ROLE_SESSION_NAME"), program),
			userAgent: userAgent, http: client, turn: make(chan struct{}, 1),
		}
		c.Keys = w.get
	}
	return c, nil
}

// CheckCluster refuses what cannot be the name of a cluster (CreateCluster, name, EKS
// API Reference).
func CheckCluster(name string) error {
	const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if name == "" || len(name) > 100 || !strings.Contains(alphanumeric, name[:1]) || strings.Trim(name, alphanumeric+"-_") != "" {
		return fmt.Errorf("%.120q is not a name of a cluster: that has at most 100 letters, digits, hyphens and underscores, "+
			"and begins with a letter or digit", name)
	}
	return nil
}

// endpointOf is the URL of a service: "EKS" or "STS".
func endpointOf(service, region string, getenv func(string) string) (string, error) {
	if !strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		for _, name := range []string{"AWS_ENDPOINT_URL_" + service, "AWS_ENDPOINT_URL"} {
			v := getenv(name)
			if v == "" {
				continue
			}
			u, err := url.Parse(v)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
				return "", fmt.Errorf("%s is not an http or https URL of a server", name) // it may have a password
			}
			return v, nil
		}
	}
	return "https://" + strings.ToLower(service) + "." + region + "." + suffix(region), nil
}

// suffix ends the names of AWS's hosts in a region, by botocore's partitions.json.
func suffix(region string) string {
	for _, p := range []struct{ regions, suffix string }{
		{"cn-", "amazonaws.com.cn"},
		{"eusc-", "amazonaws.eu"},
		{"us-isob-", "sc2s.sgov.gov"},
		{"us-isof-", "csp.hci.ic.gov"},
		{"eu-isoe-", "cloud.adc-e.uk"},
		{"us-iso-", "c2s.ic.gov"},
	} {
		if strings.HasPrefix(region, p.regions) {
			return p.suffix
		}
	}
	return "amazonaws.com"
}

// httpClient is a client that follows no redirects: a signature is for one host.
func httpClient(bundle string) (*http.Client, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxConnsPerHost:     16,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     90 * time.Second,
	}
	if bundle != "" {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			return nil, fmt.Errorf("reading AWS_CA_BUNDLE: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE %s has no certificates", bundle)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
