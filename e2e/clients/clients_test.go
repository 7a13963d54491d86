// Package clients holds the emulator against clients that nobody here wrote: AWS CLI 2 and boto3 as Debian has them, the
// AWS SDK for JavaScript, and a browser. None of them is told more than a pod would be.
package clients

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// lacking ends a test for want of something on this machine: it fails where CI=true, and is skipped elsewhere.
func lacking(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// authority makes a CA, and a server certificate of 127.0.0.1 that even a strict client accepts.
func authority(t *testing.T) (ca []byte, serving tls.Certificate) {
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
		return der, key
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "emulator test CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	rootDER, rootKey := sign(root, root, nil)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "emulator"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		AuthorityKeyId: []byte{1},
	}
	leafDER, leafKey := sign(leaf, root, rootKey)
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	return ca, tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}
}

// scenario runs one scenario against a fresh account, over HTTP and over HTTPS. command makes the program, which finds
// the scenario's files in dir.
func scenario(t *testing.T, command func(ctx context.Context, dir string, env map[string]string) (*exec.Cmd, error)) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			a := emulatortest.Start(t)
			iss := a.Issuer("dev")
			a.Groups("admins", "developers")
			// The scenario makes the provider itself.
			if _, err := iam.NewFromConfig(a.Config()).DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &iss.ARN}); err != nil {
				t.Fatal(err)
			}
			const role, bucket = "scenario", "scenario-bucket"
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			env := map[string]string{
				"AWS_ENDPOINT_URL":            a.URL,
				"AWS_REGION":                  emulatortest.Region,
				"AWS_DEFAULT_REGION":          emulatortest.Region,
				"AWS_ROLE_ARN":                "arn:aws:iam::" + a.Account() + ":role/" + role,
				"AWS_WEB_IDENTITY_TOKEN_FILE": "token",
				"AWS_PAGER":                   "",
				"ISSUER":                      iss.URL.String(),
				"ROLE":                        role,
				"BUCKET":                      bucket,
			}
			if scheme == "https" {
				ca, serving := authority(t)
				server := httptest.NewUnstartedServer(a.Server)
				server.TLS = &tls.Config{Certificates: []tls.Certificate{serving}}
				server.StartTLS()
				t.Cleanup(server.Close)
				write(t, dir, "ca.pem", string(ca))
				maps.Copy(env, map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_CA_BUNDLE": "ca.pem", "NODE_EXTRA_CA_CERTS": "ca.pem"})
			}
			write(t, dir, "token", iss.Token("default", "app"))
			write(t, dir, "trust.json", iss.Trust("default", "app"))
			policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
				map[string]any{"Effect": "Allow", "Action": []string{"s3:GetObject", "s3:PutObject"}, "Resource": "arn:aws:s3:::" + bucket + "/data/*"},
				map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::" + bucket},
			}})
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "bucket.json", string(policy))
			if err := os.CopyFS(dir, os.DirFS("scenarios")); err != nil {
				t.Fatal(err)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd, err := command(ctx, dir, env)
			if err != nil {
				t.Fatal(err)
			}
			cmd.WaitDelay = 10 * time.Second
			started := time.Now()
			out, err := cmd.CombinedOutput()
			if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("passed")) {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("passed in %.1f s", time.Since(started).Seconds())
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDebian runs AWS CLI 2 and boto3.
func TestDebian(t *testing.T) {
	clients, err := kindenv.NewClients(t.Context(), t.TempDir(), os.Stderr)
	if errors.Is(err, kindenv.ErrImpossible) {
		lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	version, err := clients.Command(t.Context(), "scenarios", nil, "aws", "--version")
	if err != nil {
		t.Fatal(err)
	}
	out, err := version.CombinedOutput()
	if err != nil || !bytes.HasPrefix(out, []byte("aws-cli/2.")) {
		t.Fatalf("not AWS CLI 2: %v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(string(out)))
	for name, program := range map[string][]string{"AWS CLI": {"bash", "cli.sh"}, "boto3": {"python3", "boto.py"}} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(ctx context.Context, dir string, env map[string]string) (*exec.Cmd, error) {
				return clients.Command(ctx, dir, env, program[0], program[1:]...)
			})
		})
	}
}

// TestJavaScript runs the AWS SDK for JavaScript v3.
func TestJavaScript(t *testing.T) {
	if err := kindenv.Install(t.Context(), os.Stderr, "node", "npm"); err != nil {
		lacking(t, fmt.Errorf("there is no Node.js: %w", err))
	}
	modules := t.TempDir()
	if err := os.CopyFS(modules, os.DirFS("scenarios")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error")
	install.Dir = modules
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	scenario(t, func(ctx context.Context, dir string, env map[string]string) (*exec.Cmd, error) {
		if err := os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, "node", "js.mjs")
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		return cmd, nil
	})
}
