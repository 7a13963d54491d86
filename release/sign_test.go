package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// signer has a key of its own, in place of the release workflow's identity, and no
// transparency log: neither can be had without a network.
type signer struct {
	cosign, key, public string
	flags               []string // of whoever signs
	command
}

func newSigner(t *testing.T) signer {
	t.Helper()
	dir := t.TempDir()
	s := signer{
		cosign: tool(t, "cosign"), key: filepath.Join(dir, "cosign.key"), public: filepath.Join(dir, "cosign.pub"),
		command: command{dir: dir, env: []string{"COSIGN_PASSWORD=", "HOME=" + os.Getenv("HOME")}},
	}
	s.must(t, s.cosign, "generate-key-pair")
	config := filepath.Join(dir, "services.json")
	s.must(t, s.cosign, "signing-config", "create", "--out", config)
	s.flags = []string{"--key=" + s.key, "--signing-config=" + config}
	return s
}

// TestSignature: what verifies the checksums of a release fails if one byte of them is another.
func TestSignature(t *testing.T) {
	one, _ := made(t)
	s := newSigner(t)
	sums, bundle := filepath.Join(one.dist, "checksums.txt"), filepath.Join(t.TempDir(), "checksums.txt.sigstore.json")
	script, err := filepath.Abs("sign")
	if err != nil {
		t.Fatal(err)
	}
	command{env: append(s.env, "COSIGN_FLAGS="+strings.Join(s.flags, " "))}.must(t, script, sums, bundle)

	verify := func(file string) (string, error) {
		return s.run(t, s.cosign, "verify-blob", "--key="+s.public, "--insecure-ignore-tlog", "--bundle="+bundle, file)
	}
	if out, err := verify(sums); err != nil || !strings.Contains(out, "Verified OK") {
		t.Fatalf("the checksums as they were signed: %q, %v", out, err)
	}
	body, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	changed := filepath.Join(t.TempDir(), "checksums.txt")
	if err := os.WriteFile(changed, body, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := verify(changed); err == nil {
		t.Errorf("one byte is another, and it was verified: %s", out)
	}
}
