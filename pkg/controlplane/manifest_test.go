package controlplane

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

const (
	testIssuer = "https://openirsa-dev.s3.eu-west-1.amazonaws.com/dev"
	testJWKS   = testIssuer + "/openid/v1/jwks"
	oldIssuer  = "https://kubernetes.default.svc.cluster.local"
)

// TestManifests runs the files in testdata/manifests: the manifest before, the
// flags wanted in the file's comment as on a command line, and the manifest
// after. Going back from there must give the manifest before, byte for byte.
func TestManifests(t *testing.T) {
	files, err := filepath.Glob("testdata/manifests/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var args []string
			for line := range strings.Lines(string(a.Comment)) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "--") {
					args = append(args, line)
				}
			}
			want, err := parseFlags(args)
			if err != nil {
				t.Fatal(err)
			}
			before, err := parseManifest(a.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(a.Comment), keyFilesFlag) { // the file is about others
				was := before.Flags
				want.KeyFiles, want.SigningKeyFile, want.PrivateKeyFile = was.KeyFiles, was.SigningKeyFile, was.PrivateKeyFile
			}
			after, err := before.With(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(a.Files[1].Data), string(after)); diff != "" {
				t.Errorf("manifest after (-want +got):\n%s", diff)
			}
			edited, err := parseManifest(after)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := edited.With(want); err != nil || !bytes.Equal(again, after) {
				t.Errorf("editing twice is not editing once: %v\n%s", err, cmp.Diff(string(after), string(again)))
			}
			if strings.Contains(string(a.Comment), "(no way back)") {
				return
			}
			back, err := edited.With(before.Flags)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(a.Files[0].Data), string(back)); diff != "" {
				t.Errorf("manifest after going back (-want +got):\n%s", diff)
			}
		})
	}
}

// TestManifestOrder: flags that are both new come in one order, run after run.
func TestManifestOrder(t *testing.T) {
	m, err := parseManifest([]byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-servers=x\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := m.Flags
	want.SigningKeyFile, want.PrivateKeyFile = "/a.key", "/b.key"
	first, err := m.With(want)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if again, err := m.With(want); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%v\n%s", err, cmp.Diff(string(first), string(again)))
		}
	}
}

// TestKubeadmManifest changes the manifest that kubeadm 1.37.2 writes.
func TestKubeadmManifest(t *testing.T) {
	text, err := os.ReadFile("testdata/manifests/kubeadm-1.37.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	keys := Flags{KeyFiles: []string{"/etc/kubernetes/pki/sa.pub"}, SigningKeyFile: "/etc/kubernetes/pki/sa.key"}
	if !cmp.Equal(m.Flags, with(keys, Flags{Issuers: []string{oldIssuer}})) {
		t.Fatalf("flags %+v", m.Flags)
	}
	after, err := m.With(with(keys, Flags{Issuers: []string{testIssuer, oldIssuer}, JWKSURI: testJWKS, APIAudiences: []string{oldIssuer}}))
	if err != nil {
		t.Fatal(err)
	}
	const was = "    - --service-account-issuer=" + oldIssuer + "\n"
	want := strings.Replace(string(text), was, "    - --api-audiences="+oldIssuer+"\n    - --service-account-issuer="+testIssuer+"\n"+was+"    - --service-account-jwks-uri="+testJWKS+"\n", 1)
	want = strings.Replace(want, "    - --api-audiences="+oldIssuer+"\n", "", 1)
	want = strings.Replace(want, "    - --advertise-address", "    - --api-audiences="+oldIssuer+"\n    - --advertise-address", 1)
	if diff := cmp.Diff(want, string(after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// with are the flags about keys and those about the issuer.
func with(keys, issuer Flags) Flags {
	issuer.KeyFiles, issuer.SigningKeyFile, issuer.PrivateKeyFile = keys.KeyFiles, keys.SigningKeyFile, keys.PrivateKeyFile
	return issuer
}

func TestManifestRefused(t *testing.T) {
	want := Flags{Issuers: []string{testIssuer, oldIssuer}, JWKSURI: testJWKS, APIAudiences: []string{oldIssuer}}
	refuse := func(why, text string) {
		t.Helper()
		m, err := parseManifest([]byte(text))
		if err == nil {
			var after []byte
			after, err = m.With(want)
			if after != nil && err != nil {
				t.Errorf("text beside the error %v", err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error = %v, want %q", err, why)
		}
	}
	pod := func(container string) string {
		return "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n" + container
	}
	refuse("carriage returns", strings.ReplaceAll(pod("  - name: kube-apiserver\n    command: [kube-apiserver, --a=b]\n"), "\n", "\r\n"))
	refuse("more than one YAML document", pod("  - name: kube-apiserver\n    command: [kube-apiserver, --a=b]\n")+"---\nkind: Pod\n")
	refuse("not a Pod", "kind: List\nitems: []\n")
	refuse("no containers", "kind: Pod\nspec: {}\n")
	refuse("no container kube-apiserver", pod("  - name: etcd\n    command: [etcd, --a=b]\n"))
	refuse("no flags of its own", pod("  - name: kube-apiserver\n    command: [sh, -c, 'exec kube-apiserver --service-account-issuer=x']\n"))
	refuse("no flags of its own", pod("  - name: kube-apiserver\n    command: [kube-apiserver]\n"))
	refuse("flags in both command and args", pod("  - name: kube-apiserver\n    command: [kube-apiserver, --a=b]\n    args: [--c=d]\n"))
	refuse("not a plain list", pod("  - name: kube-apiserver\n    command: kube-apiserver --a=b\n"))
	refuse("is not a string", pod("  - name: kube-apiserver\n    command: [kube-apiserver, [--a=b]]\n"))
	refuse("cannot be edited safely", pod("  - name: kube-apiserver\n    command:\n    - >-\n      --service-account-issuer=x\n"))
	refuse("cannot be edited safely", pod("  - name: kube-apiserver\n    command:\n    - kube-apiserver\n    - --service-account-jwks-uri=\n      x\n    - --b=c\n"))
	refuse("cannot be edited safely", pod("  - name: kube-apiserver\n    command: [&a --service-account-jwks-uri=x]\n"))
	refuse("shares its line", pod("  - name: kube-apiserver\n    command: \n    - kube-apiserver\n    -\n      --service-account-jwks-uri=x\n"))
	refuse("reading --api-audiences", pod("  - name: kube-apiserver\n    command: [kube-apiserver, '--api-audiences=\"a']\n"))
	refuse("did not find expected", "kind: Pod\nspec: [\n")
	refuse("empty", "# nothing\n")
}

func TestParseFlags(t *testing.T) {
	flags := func(args ...string) Flags {
		t.Helper()
		f, err := parseFlags(args)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	equal := func(got, want Flags) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	equal(flags("kube-apiserver", "--a=b"), Flags{})
	equal(flags("--service-account-issuer=a", "--service-account-issuer=b"), Flags{Issuers: []string{"a", "b"}})
	equal(flags("--service-account-issuer", "a", "--service_account_issuer=b,c"), Flags{Issuers: []string{"a", "b,c"}})
	equal(flags("--service-account-jwks-uri=a", "--service-account-jwks-uri", "b"), Flags{JWKSURI: "b"})
	equal(flags("--api-audiences=a,b", "--api-audiences", "c"), Flags{APIAudiences: []string{"a", "b", "c"}})
	equal(flags(`--api-audiences="a,b",c`), Flags{APIAudiences: []string{"a,b", "c"}})
	equal(flags("--api-audiences="), Flags{})
	equal(flags("--allow-privileged", "--service-account-issuer=a"), Flags{Issuers: []string{"a"}})
}

// FuzzManifest: whatever is read is either refused or changed in the flags
// alone, and can be changed back.
func FuzzManifest(f *testing.F) {
	files, err := filepath.Glob("testdata/manifests/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	want := Flags{Issuers: []string{testIssuer, oldIssuer}, JWKSURI: testJWKS, APIAudiences: []string{oldIssuer}}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		after, err := m.With(want)
		if err != nil {
			return
		}
		edited, err := parseManifest(after)
		if err != nil || !edited.Flags.equal(want) {
			t.Fatalf("%v, %+v", err, edited)
		}
		if back, err := edited.With(m.Flags); err == nil {
			if b, err := parseManifest(back); err != nil || !b.Flags.equal(m.Flags) {
				t.Fatalf("there and back: %v", err)
			}
		}
	})
}

func TestFlagValue(t *testing.T) {
	args := []string{"kube-apiserver", "--advertise_address", "10.0.0.1", "--secure-port=6443", "--advertise-address=10.0.0.2"}
	for name, want := range map[string]string{"advertise-address": "10.0.0.2", "secure-port": "6443", "bind-address": ""} {
		if got := flagValue(args, name); got != want {
			t.Errorf("--%s is %q, expected %q", name, got, want)
		}
	}
}
