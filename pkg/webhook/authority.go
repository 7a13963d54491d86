package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Lifetimes unless an [Authority] says otherwise.
const (
	CALife      = 365 * 24 * time.Hour
	ServingLife = 30 * 24 * time.Hour
	// Settle is how long API servers may take to learn a new caBundle.
	Settle = 10 * time.Minute
)

// Authority is the webhook's own certificate authority. It keeps a CA and a
// serving certificate in a Secret that all replicas share, and the caBundle of
// the webhook configuration in step with it. No replica leads: each does what
// is due, and the Secret's resource version lets one of them win.
//
// Rotation never leaves an API server with a certificate that it cannot
// verify:
//
//   - A serving certificate is renewed after two thirds of its life, by the
//     same CA.
//   - A CA is replaced after two thirds of its life. The next CA is first only
//     published, in the caBundle beside the present one; once that has settled
//     it signs the serving certificate; and the previous CA, its key deleted,
//     stays in the caBundle until it expires.
//
// Fields are set before Run and not changed.
type Authority struct {
	Secrets Secrets // of the webhook's namespace
	Secret  string  // name

	Configurations Configurations
	// Configuration is the name of the webhook configuration. Of its webhooks
	// those that call Service in Namespace get the caBundle.
	Configuration string
	Service       string
	Namespace     string

	// CALife, ServingLife and Settle are the constants of that name unless
	// set. ServingLife and Settle together are less than a third of CALife.
	CALife, ServingLife, Settle time.Duration

	Now     func() time.Time // nil is time.Now
	Metrics *Metrics         // nil counts nothing
	Log     *slog.Logger     // nil logs nothing

	serving atomic.Pointer[tls.Certificate]
	trusted atomic.Bool // the caBundle is in step

	// settled is when the caBundle was first seen as it is; Run's alone.
	settled struct {
		bundle []byte
		since  time.Time
	}
}

// GetCertificate is for a tls.Config.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := a.serving.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Ready is nil once API servers can verify the serving certificate.
func (a *Authority) Ready() error {
	if a.serving.Load() == nil {
		return errors.New("there is no serving certificate yet")
	}
	if !a.trusted.Load() {
		return errors.New("the webhook configuration does not have our CA yet")
	}
	return nil
}

func (a *Authority) log() *slog.Logger {
	if a.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.Log
}

func (a *Authority) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

func (a *Authority) caLife() time.Duration      { return orDuration(a.CALife, CALife) }
func (a *Authority) servingLife() time.Duration { return orDuration(a.ServingLife, ServingLife) }
func (a *Authority) settle() time.Duration      { return orDuration(a.Settle, Settle) }

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// names are the service's, as an API server and its users may spell them.
func (a *Authority) names() []string {
	s := a.Service + "." + a.Namespace
	return []string{s + ".svc", a.Service, s, s + ".svc.cluster.local"}
}

// Run keeps Secret and caBundle until ctx ends. It looks when something is
// due, when either of the two changes, and again soon after an error.
func (a *Authority) Run(ctx context.Context) error {
	if a.servingLife()+a.settle() >= a.caLife()/3 {
		return fmt.Errorf("a CA that lives %v cannot be replaced in time: a third of it must be more than %v and %v",
			a.caLife(), a.servingLife(), a.settle())
	}
	poke := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		a.follow(ctx, a.Secret, a.Secrets.Watch, poke)
		done <- struct{}{}
	}()
	go func() {
		a.follow(ctx, a.Configuration, a.Configurations.Watch, poke)
		done <- struct{}{}
	}()
	const soon, late = 10 * time.Millisecond, time.Minute
	retry := soon
	for ctx.Err() == nil {
		due, err := a.step(ctx)
		wait := max(due.Sub(a.now()), soon)
		if err != nil {
			wait, retry = retry, min(2*retry, late)
			switch {
			case ctx.Err() != nil:
			case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
				a.log().Debug("another replica was faster", "error", err)
			default:
				a.log().Error("certificates could not be looked after", "error", err)
			}
		} else {
			retry = soon
		}
		select {
		case <-ctx.Done():
		case <-poke:
		case <-time.After(min(wait, time.Hour)): // clocks may jump
		}
	}
	<-done
	<-done
	return context.Cause(ctx)
}

// follow pokes whenever the object of the given name changes, or may have.
func (a *Authority) follow(ctx context.Context, name string,
	start func(context.Context, metav1.ListOptions) (watch.Interface, error), poke chan<- struct{},
) {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	for ctx.Err() == nil {
		w, err := start(ctx, only)
		if err != nil {
			a.log().Debug("watch could not be started", "name", name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
			continue
		}
		for ok := true; ok; {
			select { // what happened matters little: step reads all of it again
			case poke <- struct{}{}:
			default:
			}
			select {
			case <-ctx.Done():
				ok = false
			case _, ok = <-w.ResultChan():
			}
		}
		w.Stop()
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond): // an API server that closes at once
		}
	}
}

// step does what is due and says when it wants to be called again.
func (a *Authority) step(ctx context.Context) (due time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// The configuration is read before the Secret: then it can be behind the
	// Secret, but what another replica has written is never taken back.
	configuration, err := a.Configurations.Get(ctx, a.Configuration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		configuration = nil // not there yet: nobody calls us
	} else if err != nil {
		return due, fmt.Errorf("reading MutatingWebhookConfiguration %s: %w", a.Configuration, err)
	}
	secret, err := a.Secrets.Get(ctx, a.Secret, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return due, fmt.Errorf("reading Secret %s: %w", a.Secret, err)
	}
	if missing {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: a.Secret, Labels: map[string]string{
			"app.kubernetes.io/part-of": "openirsa", "app.kubernetes.io/managed-by": "openirsa",
		}}}
	}
	now := a.now()
	kept, err := readChain(secret.Data)
	if err != nil {
		a.log().Error("Secret is damaged; what cannot be read is recreated", "secret", a.Secret, "error", err)
	}
	since, ok := a.inStep(configuration, kept.bundle(), now)
	chain, due, err := a.advance(kept, now, ok && now.Sub(since) >= a.settle())
	if err != nil {
		return due, err
	}
	if data := chain.data(); !sameData(data, secret.Data) {
		secret.Data = data
		if missing {
			_, err = a.Secrets.Create(ctx, secret, metav1.CreateOptions{})
		} else {
			_, err = a.Secrets.Update(ctx, secret, metav1.UpdateOptions{})
		}
		if err != nil {
			return due, fmt.Errorf("writing Secret %s: %w", a.Secret, err)
		}
		a.log().Info("certificates were made", "secret", a.Secret,
			"servingUntil", chain.serving.Leaf.NotAfter, "caUntil", chain.ca.cert.NotAfter, "nextCA", chain.next != nil)
	}
	// The caBundle comes before the certificate: a certificate that nobody
	// can verify helps nobody.
	if err := a.publish(ctx, configuration, chain.bundle()); err != nil {
		return due, err
	}
	a.trusted.Store(true)
	if was := a.serving.Load(); was == nil || !was.Leaf.Equal(chain.serving.Leaf) {
		a.serving.Store(chain.serving)
		if was != nil {
			a.Metrics.rotated(now.Sub(born(was.Leaf)))
		}
	}
	return due, nil
}

// inStep reports whether the configuration has the given caBundle, and since
// when it has been seen to.
func (a *Authority) inStep(c *admissionregistrationv1.MutatingWebhookConfiguration, bundle []byte, now time.Time) (
	since time.Time, ok bool,
) {
	if c == nil {
		return time.Time{}, true
	}
	if len(a.stale(c, bundle)) > 0 {
		a.settled.bundle = nil
		return now, false
	}
	if !bytes.Equal(a.settled.bundle, bundle) {
		a.settled.bundle, a.settled.since = bundle, now
	}
	return a.settled.since, true
}

// stale are the indices of our webhooks that have another caBundle.
func (a *Authority) stale(c *admissionregistrationv1.MutatingWebhookConfiguration, bundle []byte) (at []int) {
	for i := range c.Webhooks {
		client := &c.Webhooks[i].ClientConfig
		if s := client.Service; s != nil && s.Name == a.Service && s.Namespace == a.Namespace && !bytes.Equal(client.CABundle, bundle) {
			at = append(at, i)
		}
	}
	return at
}

// publish writes the caBundle where it is another, and nothing else.
func (a *Authority) publish(ctx context.Context, c *admissionregistrationv1.MutatingWebhookConfiguration, bundle []byte) error {
	if c == nil {
		return nil
	}
	stale := a.stale(c, bundle)
	if len(stale) == 0 {
		return nil
	}
	patch := []Operation{{Op: "test", Path: "/metadata/resourceVersion", Value: c.ResourceVersion}}
	for _, i := range stale {
		patch = append(patch, add(base64.StdEncoding.EncodeToString(bundle), fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i)))
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = a.Configurations.Patch(ctx, a.Configuration, types.JSONPatchType, text, metav1.PatchOptions{FieldManager: "openirsa-webhook"})
	switch {
	case apierrors.IsInvalid(err) || apierrors.IsNotFound(err): // changed since it was read: look again
		return apierrors.NewConflict(admissionregistrationv1.Resource("mutatingwebhookconfigurations"), a.Configuration, err)
	case err != nil:
		return fmt.Errorf("writing the caBundle of MutatingWebhookConfiguration %s: %w", a.Configuration, err)
	}
	a.log().Info("caBundle was written", "configuration", a.Configuration)
	return nil
}

// advance is what the chain should be at a time, and when to look again.
// settled says that API servers know all of the chain's CAs.
func (a *Authority) advance(c chain, now time.Time, settled bool) (_ chain, due time.Time, err error) {
	if c.ca == nil || !now.Before(c.ca.cert.NotAfter) {
		// The first time, or after years off. Whatever other replicas still
		// serve stays trusted.
		if c.ca != nil {
			c.old = append(c.old, c.ca.cert)
		}
		if c.ca, err = a.newCA(now); err != nil {
			return chain{}, due, err
		}
		c.next, c.serving = nil, nil
	}
	if c.next != nil && !now.Before(c.next.cert.NotAfter) {
		c.next = nil
	}
	if c.next == nil && !now.Before(renewal(c.ca.cert)) {
		if c.next, err = a.newCA(now); err != nil {
			return chain{}, due, err
		}
		settled = false
	}
	if c.next != nil && settled && !now.Before(born(c.next.cert).Add(a.settle())) {
		c.old = append(c.old, c.ca.cert)
		c.ca, c.next = c.next, nil
	}
	c.old = slices.DeleteFunc(slices.Clone(c.old), func(cert *x509.Certificate) bool { return !now.Before(cert.NotAfter) })
	if c.serving == nil || !now.Before(renewal(c.serving.Leaf)) || c.serving.Leaf.CheckSignatureFrom(c.ca.cert) != nil ||
		!slices.Equal(c.serving.Leaf.DNSNames, a.names()) {
		if c.serving, err = a.newServing(c.ca, now); err != nil {
			return chain{}, due, err
		}
	}
	due = earliest(renewal(c.serving.Leaf), renewal(c.ca.cert))
	if c.next != nil {
		// Not before it has settled; if it has not even been published, that
		// will be seen when it is.
		due = earliest(renewal(c.serving.Leaf), now.Add(max(a.settle()/4, time.Millisecond)))
	}
	for _, cert := range c.old {
		due = earliest(due, cert.NotAfter)
	}
	return c, due, nil
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// backdate is how long before it is made a certificate begins to be valid, for
// the sake of clocks that are late.
const backdate = 5 * time.Minute

func born(c *x509.Certificate) time.Time { return c.NotBefore.Add(backdate) }

// renewal is when two thirds of a certificate's life are over.
func renewal(c *x509.Certificate) time.Time {
	b := born(c)
	return b.Add(c.NotAfter.Sub(b) * 2 / 3)
}

// chain is what the Secret holds.
type chain struct {
	ca      *authorityKey
	next    *authorityKey       // published, not yet used; usually nil
	old     []*x509.Certificate // no longer used
	serving *tls.Certificate    // with its Leaf
}

type authorityKey struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// bundle is the caBundle: all CAs of the chain in PEM, the oldest first, so
// that it stays the same when the next CA becomes the present one.
func (c chain) bundle() []byte {
	all := slices.Clone(c.old)
	for _, k := range []*authorityKey{c.ca, c.next} {
		if k != nil {
			all = append(all, k.cert)
		}
	}
	slices.SortStableFunc(all, func(a, b *x509.Certificate) int {
		return cmp.Or(a.NotBefore.Compare(b.NotBefore), bytes.Compare(a.Raw, b.Raw))
	})
	var b bytes.Buffer
	for _, cert := range all {
		b.Write(pemOf("CERTIFICATE", cert.Raw))
	}
	return b.Bytes()
}

// Keys of the Secret. Those of the serving certificate are the ones that a
// Secret of type kubernetes.io/tls has.
const (
	caCert, caKey     = "ca.crt", "ca.key"
	nextCert, nextKey = "next-ca.crt", "next-ca.key"
	oldCerts          = "old-ca.crt"
	servingCert       = "tls.crt"
	servingKey        = "tls.key"
)

func (c chain) data() map[string][]byte {
	m := map[string][]byte{}
	for names, k := range map[[2]string]*authorityKey{{caCert, caKey}: c.ca, {nextCert, nextKey}: c.next} {
		if k != nil {
			m[names[0]], m[names[1]] = pemOf("CERTIFICATE", k.cert.Raw), pemOfKey(k.key)
		}
	}
	for _, cert := range c.old {
		m[oldCerts] = append(m[oldCerts], pemOf("CERTIFICATE", cert.Raw)...)
	}
	if c.serving != nil {
		m[servingCert], m[servingKey] = pemOf("CERTIFICATE", c.serving.Leaf.Raw), pemOfKey(c.serving.PrivateKey)
	}
	return m
}

func sameData(a, b map[string][]byte) bool {
	for k, v := range a {
		if !bytes.Equal(v, b[k]) {
			return false
		}
	}
	return len(a) == len(b)
}

// readChain reads a Secret's data. With an error, the chain has what could be
// read: at least the certificate of a CA whose key is lost is still to be
// trusted for as long as it is in use.
func readChain(data map[string][]byte) (c chain, err error) {
	var errs []error
	certs := func(name string) (all []*x509.Certificate) {
		for rest := data[name]; len(bytes.TrimSpace(rest)) > 0; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				errs = append(errs, fmt.Errorf("key %s is not PEM", name))
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				errs = append(errs, fmt.Errorf("key %s: %w", name, err))
				continue
			}
			all = append(all, cert)
		}
		return all
	}
	pair := func(certName, keyName string) *tls.Certificate {
		if len(data[certName]) == 0 && len(data[keyName]) == 0 {
			return nil
		}
		p, err := tls.X509KeyPair(data[certName], data[keyName])
		if err != nil {
			errs = append(errs, fmt.Errorf("keys %s and %s: %w", certName, keyName, err))
			return nil
		}
		return &p
	}
	authority := func(certName, keyName string) *authorityKey {
		if p := pair(certName, keyName); p != nil {
			if signer, ok := p.PrivateKey.(crypto.Signer); ok && p.Leaf.IsCA {
				return &authorityKey{cert: p.Leaf, key: signer}
			}
			errs = append(errs, fmt.Errorf("key %s is not a CA", certName))
		}
		return nil
	}
	c.old = certs(oldCerts)
	if c.ca = authority(caCert, caKey); c.ca == nil {
		c.old = append(c.old, certs(caCert)...)
	}
	c.next = authority(nextCert, nextKey)
	c.serving = pair(servingCert, servingKey)
	return c, errors.Join(errs...)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pemOfKey is PKCS #8. The keys are ECDSA keys, which always can be written,
// or come from a Secret that PKCS #8 or its kin was read from.
func pemOfKey(key crypto.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil
	}
	return pemOf("PRIVATE KEY", der)
}

func (a *Authority) newCA(now time.Time) (*authorityKey, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		// Each CA has a name of its own, or verifiers would try the wrong one.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("openirsa-webhook-ca-%x", serial.Bytes()[:4])},
		SerialNumber:          serial,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(a.caLife()),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, key, err := issue(template, nil)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	return &authorityKey{cert: cert, key: key}, nil
}

func (a *Authority) newServing(ca *authorityKey, now time.Time) (*tls.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:      pkix.Name{CommonName: a.names()[0]},
		DNSNames:     a.names(),
		SerialNumber: serial,
		NotBefore:    now.Add(-backdate),
		NotAfter:     earliest(now.Add(a.servingLife()), ca.cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, key, err := issue(template, ca)
	if err != nil {
		return nil, fmt.Errorf("making a serving certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// issue makes a key and signs its certificate, by itself if there is no CA.
func issue(template *x509.Certificate, ca *authorityKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if ca == nil {
		ca = &authorityKey{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// newSerial is a random serial number of 127 bits (RFC 5280, 4.1.2.2, wants it
// positive), the first of which is set.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return n.SetBit(n, 126, 1), nil
}
