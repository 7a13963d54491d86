package clients

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

const (
	accountID = "000000000000"
	region    = "us-east-1"
	audience  = "sts.amazonaws.com"
)

// account is a fresh account: the emulator as the program that users run, and the documents of an issuer in its S3.
type account struct {
	url    string
	ca     []byte     // PEM; nil over HTTP
	config aws.Config // of the root user

	issuer issuer.URL
	key    keys.Private
}

// startAccount runs bin/emulator on a free port, with these flags besides, until the test ends.
func startAccount(t *testing.T, scheme string, flags ...string) *account {
	t.Helper()
	a := &account{}
	client := &http.Client{}
	args := append([]string{"--listen", "127.0.0.1:0"}, flags...)
	if scheme == "https" {
		var cert, key []byte
		a.ca, cert, key = authority(t)
		dir := t.TempDir()
		write(t, dir, "cert.pem", string(cert))
		write(t, dir, "key.pem", string(key))
		args = append(args, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(a.ca)
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	}
	a.url = startProgram(t, args...)
	a.config = aws.Config{
		Region: region, BaseEndpoint: &a.url, HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	t.Cleanup(client.CloseIdleConnections)
	a.publish(t)
	return a
}

// startProgram runs the emulator until the test ends, and returns its URL. The log of a test that failed has the
// emulator's.
func startProgram(t *testing.T, args ...string) string {
	t.Helper()
	bin := os.Getenv("OPENIRSA_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(bin, "emulator"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{} // not even the settings of who runs the tests
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	var reading sync.WaitGroup
	urls := make(chan string, 1)
	reading.Go(func() {
		defer close(urls)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.Write(append(lines.Bytes(), '\n'))
			if m := regexp.MustCompile(`msg=serving url=(\S+)`).FindSubmatch(lines.Bytes()); m != nil {
				urls <- string(m[1])
			}
		}
	})
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the emulator: %v", err)
		}
		if t.Failed() {
			t.Logf("the emulator's log:\n%s", log.String())
		}
	})
	select {
	case url := <-urls:
		if url != "" {
			return url
		}
		t.Fatal("the emulator ended")
	case <-time.After(patience):
		t.Fatal("the emulator does not serve")
	}
	return ""
}

// publish makes the issuer: a key as clusters have it, and a bucket with the documents that anyone may read.
func (a *account) publish(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	const bucket = "issuer-dev"
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a.issuer, err = issuer.Parse("https://" + bucket + ".s3." + region + ".amazonaws.com")
	must(err)
	a.key, err = keys.Generate("RS256")
	must(err)
	set, err := keys.NewSet(a.key.Public())
	must(err)
	documents, err := discovery.Documents(a.issuer, set)
	must(err)
	client := s3.NewFromConfig(a.config)
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new(bucket)})
	must(err)
	for _, d := range documents {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: new(bucket), Key: new(strings.TrimPrefix(d.Path, "/")), Body: bytes.NewReader(d.Body), ContentType: &d.ContentType,
		})
		must(err)
	}
	_, err = client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket:                         new(bucket),
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: new(true), IgnorePublicAcls: new(true)},
	})
	must(err)
	_, err = client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: new(bucket), Policy: new(emulatortest.Document(map[string]any{
		"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + bucket + "/*",
	}))})
	must(err)
	for _, group := range []string{"admins", "developers"} {
		_, err := iam.NewFromConfig(a.config).CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &group})
		must(err)
	}
}

// provider is the ARN of the issuer's provider, which scenarios make themselves.
func (a *account) provider() string { return a.issuer.ProviderARN("aws", accountID) }

// trust is a trust policy for one service account.
func (a *account) trust(namespace, serviceAccount string) string {
	return emulatortest.Document(map[string]any{
		"Effect":    "Allow",
		"Principal": map[string]string{"Federated": a.provider()},
		"Action":    "sts:AssumeRoleWithWebIdentity",
		"Condition": map[string]any{"StringEquals": map[string]string{
			a.issuer.ConditionKey("aud"): audience,
			a.issuer.ConditionKey("sub"): token.Subject(namespace, serviceAccount),
		}},
	})
}

// token is a service account's token, good for an hour.
func (a *account) token(t *testing.T, namespace, serviceAccount string) string {
	t.Helper()
	now := time.Now()
	signed, err := token.Mint(a.key, token.Claims{
		Issuer: a.issuer.String(), Subject: token.Subject(namespace, serviceAccount), Audience: []string{audience},
		IssuedAt: token.At(now), NotBefore: token.At(now), Expiry: token.At(now.Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// environ is the environment of a pod that has a role. Files are in the folder where programs start.
func (a *account) environ(role string) map[string]string {
	env := map[string]string{
		"AWS_ENDPOINT_URL":     a.url,
		"AWS_ENDPOINT_URL_STS": a.url,
		"AWS_REGION":           region,
		"AWS_DEFAULT_REGION":   region,
	}
	if role != "" {
		env["AWS_ROLE_ARN"] = "arn:aws:iam::" + accountID + ":role/" + role
		env["AWS_WEB_IDENTITY_TOKEN_FILE"] = "token"
		env["AWS_ROLE_SESSION_NAME"] = sessionName
	}
	if a.ca != nil {
		env["AWS_CA_BUNDLE"] = "ca.pem"
		env["NODE_EXTRA_CA_CERTS"] = "ca.pem" // the SDK for JavaScript does not heed the other
	}
	return env
}

const sessionName = "pod"

// denied is what AWS says to a session of role that no policy allows this.
func denied(role, action, resource string) string {
	return "User: arn:aws:sts::" + accountID + ":assumed-role/" + role + "/" + sessionName + " is not authorized to perform: " + action +
		" on resource: " + resource + " because no identity-based policy allows the " + action + " action"
}

// authority makes a CA, and a certificate for 127.0.0.1 that even a strict client accepts, all in PEM.
func authority(t *testing.T) (ca, cert, key []byte) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, by *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if by == nil {
			by = key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "emulator test CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	ca, rootKey := sign(root, root, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "emulator"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		AuthorityKeyId: []byte{1},
	}
	cert, leafKey := sign(leaf, root, rootKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return ca, cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What waits end after: far more than is needed, since what else runs on the machine may leave little of it. patience is
// for one thing, programTime for a program of many calls.
const (
	patience    = 5 * time.Minute
	programTime = 20 * time.Minute
)

// run runs a command to its end and returns what it wrote.
func run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return strings.TrimSpace(string(out)), err
}
