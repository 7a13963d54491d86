package gather

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/publish"
)

// documents reads the issuer's documents as a stranger.
func (e *Examination) documents(ctx context.Context, f *doctor.Facts) {
	iss := f.ChainIssuer()
	if iss.IsZero() {
		return
	}
	f.Discovery = e.read(ctx, iss.Discovery())
	config, err := discovery.ParseConfiguration(f.Discovery.Body)
	if err != nil || config.JWKSURI == "" {
		return
	}
	f.JWKS = e.read(ctx, config.JWKSURI)
}

// read reads one document: in a bucket through S3's own API, wherever S3 is,
// and otherwise at its URL.
func (e *Examination) read(ctx context.Context, address string) *doctor.Document {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if e.chain.Keeps() && !e.chain.Issuer.IsZero() {
		return e.readKept(ctx, address)
	}
	if o, ok := publish.ObjectAt(ctx, address); ok && e.chain.Account != nil {
		if err := o.CheckCertificate(); err != nil {
			return &doctor.Document{URL: address, Err: err}
		}
		client := s3.NewFromConfig(e.chain.Account.Config, publish.PathStyle, func(so *s3.Options) {
			so.Credentials, so.Region, so.Retryer = aws.AnonymousCredentials{}, o.Region, aws.NopRetryer{}
		})
		return readObject(ctx, client, o.Bucket, o.Key, address)
	}
	return readURL(ctx, address)
}

// readKept reads a document of an issuer that the cluster keeps: from the API
// server, wherever its jwks_uri points.
func (e *Examination) readKept(ctx context.Context, address string) *doctor.Document {
	path := issuer.JWKSPath
	if address == e.chain.Issuer.Discovery() {
		path = issuer.DiscoveryPath
	}
	doc := &doctor.Document{URL: address}
	if doc.ContentType, doc.Body, doc.Err = e.chain.ReadKept(ctx, e.chain.Issuer, path); doc.Err == nil {
		doc.Status = http.StatusOK
	}
	return doc
}

// maxDocument bounds what a stranger's server may send.
const maxDocument = 1 << 20

func readObject(ctx context.Context, client *s3.Client, bucket, key, address string) *doctor.Document {
	doc := &doctor.Document{URL: address}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		doc.Status, doc.Location = e.HTTPStatusCode(), e.Response.Header.Get("Location")
		if api, ok := errors.AsType[smithy.APIError](err); ok {
			doc.Code = api.ErrorCode()
		}
		return doc
	}
	if err != nil {
		doc.Err = err
		return doc
	}
	defer out.Body.Close()
	doc.Status, doc.ContentType = http.StatusOK, aws.ToString(out.ContentType)
	doc.Body, doc.Err = io.ReadAll(io.LimitReader(out.Body, maxDocument))
	return doc
}

// readURL reads a document over HTTPS whatever the certificate is, and notes
// whether the public roots vouch for it: a fault of the certificate must not
// hide what is behind it.
func readURL(ctx context.Context, address string) *doctor.Document {
	doc := &doctor.Document{URL: address}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		doc.Err = err
		return doc
	}
	resp, err := client.Do(req)
	if err != nil {
		doc.Err = err
		return doc
	}
	defer resp.Body.Close()
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		doc.Certificates = resp.TLS.PeerCertificates
		rest := x509.NewCertPool()
		for _, c := range doc.Certificates[1:] {
			rest.AddCert(c)
		}
		_, doc.Untrusted = doc.Certificates[0].Verify(x509.VerifyOptions{DNSName: req.URL.Hostname(), Intermediates: rest})
	}
	doc.Status, doc.Location, doc.ContentType = resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("Content-Type")
	doc.Body, doc.Err = io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	return doc
}
