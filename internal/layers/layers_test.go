// Package layers holds the import table of the project as a test: what each
// package may import of the others, and which libraries it may use. Imports go
// one way, from programs to effects to documents to values.
package layers_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/openirsa/openirsa/"

// layers list each package with everything of this module that it imports, which
// is of its own layer or of one before. A package that is missing here, an import
// that is missing, and one that is no longer used fail the test, so the table is
// always the truth.
var layers = []map[string][]string{
	{ // Tools that know nothing of IRSA.
		"docs/images/gen":          {},
		"internal/awsapi":          {},
		"internal/awsapi/gen":      {},
		"internal/checksum":        {},
		"internal/cli":             {"internal/plain", "internal/redact", "internal/version"},
		"internal/docs":            {},
		"internal/docs/site":       {},
		"internal/durable":         {},
		"internal/eksauth":         {},
		"internal/exactjson":       {},
		"internal/gate":            {},
		"internal/helmchart":       {"internal/registry"},
		"internal/image":           {},
		"internal/kube":            {"internal/order"},
		"internal/kubefake":        {},
		"internal/kubetest":        {"internal/needs"},
		"internal/layers":          {},
		"internal/link":            {},
		"internal/linuxbuild":      {},
		"internal/linuxbuild/pack": {"internal/durable", "internal/image", "internal/linuxbuild"},
		"internal/order":           {},
		"internal/registry":        {"internal/version"},
		"internal/needs":           {},
		"internal/reload":          {"internal/durable"},
		"internal/shell":           {},
		"internal/sigv4":           {"internal/checksum", "internal/order"},
		"internal/sizes":           {},
		"internal/smallpages":      {},
		"internal/version":         {},
		"internal/wait":            {},
		"internal/yamlnode":        {},
		"internal/plain":           {"internal/redact"},
		"internal/redact":          {},

		"internal/release":       {},
		"internal/release/minor": {"internal/registry", "internal/release"},
		"internal/release/notes": {"internal/release"},

		"internal/trace":           {"internal/redact"},
		"internal/trace/tracetest": {},
	},
	{ // Values: no I/O but key files.
		"pkg/issuer":     {},
		"pkg/irsa":       {},
		"pkg/owner":      {},
		"pkg/plan":       {"internal/plain"},
		"pkg/policy":     {"internal/order"},
		"pkg/policy/gen": {},
		"pkg/record":     {},
		"deploy":         {"pkg/record"},
		"pkg/keys":       {"internal/durable", "internal/exactjson", "internal/order"},
		"pkg/token":      {"internal/exactjson", "pkg/irsa", "pkg/issuer", "pkg/keys"},

		"pkg/policy/least": {"internal/order", "pkg/policy"},
	},
	{ // Documents and diagnoses: pure functions of the values.
		"pkg/discovery": {"internal/exactjson", "pkg/issuer", "pkg/keys"},
		"pkg/trust":     {"pkg/irsa", "pkg/issuer"},
		"pkg/doctor":    {"internal/exactjson", "internal/shell", "pkg/discovery", "pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/owner", "pkg/plan", "pkg/policy", "pkg/token", "pkg/trust"},
	},
	{ // Effects: each reaches one system and knows no sibling.
		"pkg/publish":  {"internal/wait", "pkg/discovery", "pkg/issuer", "pkg/owner", "pkg/plan", "pkg/trust"},
		"pkg/provider": {"pkg/issuer", "pkg/owner", "pkg/plan"},
		"pkg/role":     {"internal/wait", "pkg/irsa", "pkg/owner", "pkg/plan", "pkg/trust"},
		"pkg/node":     {"internal/shell"},
		"pkg/cluster":  {"internal/kube", "internal/order", "internal/wait", "pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/node", "pkg/plan", "pkg/record", "pkg/token"},
		"pkg/agent":    {"internal/eksauth"},

		"pkg/podidentity": {"internal/eksauth", "internal/order", "internal/wait", "pkg/plan"},

		"pkg/webhook": {"internal/gate", "internal/order", "internal/redact", "internal/trace", "pkg/irsa"},
		"pkg/source":  {"internal/durable", "internal/order", "pkg/discovery", "pkg/issuer", "pkg/keys"},
		"pkg/signer":  {"internal/durable", "internal/exactjson", "pkg/keys", "pkg/token"},

		"pkg/association": {"internal/sigv4"},

		"pkg/controlplane": {"internal/kube", "internal/order", "internal/wait", "pkg/cluster", "pkg/issuer", "pkg/keys", "pkg/node", "pkg/plan", "pkg/record", "pkg/token"},
	},
	{ // What is asked for, in a file.
		"pkg/config":               {"internal/yamlnode", "pkg/irsa", "pkg/issuer", "pkg/owner", "pkg/plan", "pkg/policy", "pkg/role", "pkg/trust"},
		"pkg/config/wellknown/gen": {"internal/plain"},
	},
	{ // AWS as the caller.
		"pkg/account": {"pkg/publish"},
	},
	{ // What the effects would make, written down for other tools.
		"pkg/export": {"pkg/discovery", "pkg/issuer", "pkg/owner", "pkg/podidentity", "pkg/provider", "pkg/publish", "pkg/role",
			"pkg/trust"},
	},
	{ // What they make together in an account.
		"pkg/federation": {"pkg/account", "pkg/discovery", "pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/plan", "pkg/provider", "pkg/publish", "pkg/role", "pkg/token", "pkg/trust"},
	},
	{ // The other side: an AWS that learns nothing by the effects.
		"pkg/emulator": {"internal/awsapi", "internal/order", "internal/redact", "internal/shell", "internal/sigv4", "internal/trace", "pkg/emulator/internal/api",
			"pkg/emulator/internal/eks", "pkg/emulator/internal/guard", "pkg/emulator/internal/kms", "pkg/emulator/internal/metrics", "pkg/emulator/internal/organizations",
			"pkg/emulator/internal/s3", "pkg/emulator/internal/store",
			"pkg/emulator/internal/wire", "pkg/emulator/managed", "pkg/owner", "pkg/policy", "pkg/policy/least"},
		"pkg/emulator/internal/api":           {"internal/sigv4", "internal/trace", "pkg/emulator/internal/store", "pkg/emulator/internal/wire", "pkg/policy"},
		"pkg/emulator/internal/organizations": {"pkg/emulator/internal/api", "pkg/emulator/internal/store", "pkg/emulator/internal/wire", "pkg/policy"},
		"pkg/emulator/internal/eks":           {"pkg/emulator/internal/api", "pkg/emulator/internal/store", "pkg/emulator/internal/wire", "pkg/policy"},
		"pkg/emulator/internal/kms":           {"pkg/emulator/internal/api", "pkg/emulator/internal/store", "pkg/emulator/internal/wire", "pkg/policy"},
		"pkg/emulator/internal/s3": {"internal/awsapi", "internal/checksum", "internal/sigv4", "pkg/emulator/internal/api", "pkg/emulator/internal/store",
			"pkg/emulator/internal/wire", "pkg/policy"},
		"pkg/emulator/internal/input": {"internal/awsapi", "internal/order"},
		"pkg/emulator/internal/guard": {"internal/awsapi", "internal/order", "internal/sigv4", "pkg/emulator/internal/api", "pkg/emulator/internal/input",
			"pkg/emulator/internal/question", "pkg/emulator/internal/s3", "pkg/emulator/internal/wire", "pkg/policy"},
		"pkg/emulator/internal/metrics":  {"internal/order"},
		"pkg/emulator/internal/question": {"internal/awsapi", "pkg/policy"},
		"pkg/emulator/internal/store":    {},
		"pkg/emulator/internal/wire":     {"internal/order"},
		"pkg/emulator/gen":               {},
		"pkg/emulator/managed":           {},
		"pkg/emulator/managed/gen":       {},
		"pkg/emulator/emulatortest":      {"pkg/account", "pkg/discovery", "pkg/emulator", "pkg/federation", "pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/token"},
	},
	{ // Stories: what the effects are together.
		"pkg/change": {"internal/wait", "pkg/account", "pkg/chain", "pkg/cluster", "pkg/controlplane", "pkg/discovery", "pkg/issuer",
			"pkg/keys", "pkg/owner", "pkg/plan", "pkg/provider", "pkg/publish", "pkg/record", "pkg/role", "pkg/token"},
		"pkg/chain": {"deploy", "internal/image", "internal/order", "internal/redact", "internal/wait", "pkg/account", "pkg/association", "pkg/cluster",
			"pkg/config", "pkg/controlplane", "pkg/discovery", "pkg/doctor", "pkg/emulator",
			"pkg/federation", "pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/node", "pkg/owner", "pkg/plan",
			"pkg/podidentity", "pkg/provider", "pkg/publish", "pkg/record", "pkg/role", "pkg/token", "pkg/trust"},
		"pkg/sweep": {"pkg/account", "pkg/discovery", "pkg/owner", "pkg/plan", "pkg/podidentity", "pkg/provider", "pkg/publish", "pkg/role", "pkg/trust"},
	},
	{ // What a story looks like to who asks why it does not work.
		"pkg/doctor/gather": {"deploy", "pkg/account", "pkg/chain", "pkg/cluster", "pkg/controlplane", "pkg/discovery", "pkg/doctor",
			"pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/podidentity", "pkg/publish", "pkg/role"},
	},
	{ // The chain for others' tests.
		"pkg/chain/chaintest": {"deploy", "internal/image", "internal/wait", "pkg/chain", "pkg/config", "pkg/emulator", "pkg/plan", "pkg/token"},
	},
	{ // What users copy. Its tests run the programs.
		"examples": {},
	},
	{ // Programs: where everything meets.
		"cmd/setup/app": {"deploy", "internal/cli", "internal/durable", "internal/image", "internal/linuxbuild", "internal/order", "internal/plain",
			"internal/redact", "internal/registry", "internal/shell", "internal/version", "internal/yamlnode", "pkg/account", "pkg/chain", "pkg/change", "pkg/cluster", "pkg/config",
			"pkg/controlplane", "pkg/discovery", "pkg/doctor", "pkg/doctor/gather", "pkg/emulator",
			"pkg/export", "pkg/federation", "pkg/irsa", "pkg/issuer", "pkg/keys", "pkg/node", "pkg/owner",
			"pkg/plan", "pkg/podidentity", "pkg/publish", "pkg/record", "pkg/role", "pkg/sweep", "pkg/token"},
		"cmd/agent/app":    {"internal/cli", "internal/gate", "internal/link", "internal/smallpages", "pkg/agent"},
		"cmd/webhook/app":  {"internal/cli", "internal/gate", "internal/reload", "internal/smallpages", "internal/trace", "internal/version", "internal/wait", "pkg/association", "pkg/irsa", "pkg/webhook"},
		"cmd/emulator/app": {"internal/cli", "internal/reload", "internal/trace", "internal/version", "pkg/emulator"},
		"cmd/issuer/app":   {"internal/cli", "internal/durable", "internal/redact", "internal/reload", "pkg/discovery", "pkg/issuer", "pkg/keys", "pkg/plan", "pkg/publish", "pkg/record", "pkg/signer", "pkg/source"},
	},
	{ // All of them in one.
		"cmd/openirsa/app": {"cmd/agent/app", "cmd/emulator/app", "cmd/issuer/app", "cmd/setup/app", "cmd/webhook/app", "internal/cli"},
	},
	{ // What is started.
		"cmd/openirsa":     {"cmd/openirsa/app", "internal/cli"},
		"deploy/cmd/chart": {"internal/cli", "internal/durable", "internal/helmchart", "internal/release"},
		"cmd/agent":        {"cmd/agent/app", "internal/cli"},
		"cmd/setup":        {"cmd/setup/app", "internal/cli"},
		"cmd/webhook":      {"cmd/webhook/app", "internal/cli"},
		"cmd/emulator":     {"cmd/emulator/app", "internal/cli"},
		"cmd/issuer":       {"cmd/issuer/app", "internal/cli"},
	},
}

// forbidden libraries: a package below the key must not import anything below
// the value, not even with the best of reasons.
var forbidden = map[string][]string{
	// Flags, help and exit codes are the programs'.
	"pkg": {"github.com/spf13/"},

	"pkg/issuer":    {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/irsa":      {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/owner":     {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/policy":    {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/plan":      {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/record":    {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/keys":      {"github.com/aws/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/token":     {"github.com/aws/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/config":    {"github.com/aws/", "k8s.io/api/", "k8s.io/client-go", "sigs.k8s.io/"},
	"pkg/discovery": {"github.com/aws/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/trust":     {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/doctor":    {"internal/exactjson", "internal/shell", "github.com/aws/", "k8s.io/client-go", "sigs.k8s.io/"},

	// One half of the effects reaches AWS, the other Kubernetes.
	"pkg/account":      {"k8s.io/", "sigs.k8s.io/"},
	"pkg/publish":      {"k8s.io/", "sigs.k8s.io/"},
	"pkg/provider":     {"k8s.io/", "sigs.k8s.io/"},
	"pkg/role":         {"k8s.io/", "sigs.k8s.io/"},
	"pkg/federation":   {"k8s.io/", "sigs.k8s.io/"},
	"pkg/sweep":        {"k8s.io/", "sigs.k8s.io/"},
	"pkg/node":         {"github.com/aws/", "k8s.io/"},
	"pkg/cluster":      {"github.com/aws/"},
	"pkg/controlplane": {"github.com/aws/", "k8s.io/client-go/rest", "k8s.io/client-go/dynamic", "sigs.k8s.io/"},
	"pkg/association":  {"github.com/", "k8s.io/", "sigs.k8s.io/"},
	"pkg/agent":        {"k8s.io/", "sigs.k8s.io/"},
	"cmd/agent":        {"k8s.io/", "sigs.k8s.io/"},
	"pkg/webhook":      {"github.com/aws/"},
	"cmd/webhook":      {"github.com/aws/"},

	// The stories have no files and no environment of their own.
	"pkg/chain":  {"os"},
	"pkg/change": {"os"},

	"pkg/doctor/gather":         {"github.com/spf13/", "sigs.k8s.io/"},
	"pkg/chain/chaintest":       {"github.com/spf13/"},
	"pkg/emulator/emulatortest": {"github.com/spf13/"},

	// The emulator's clients use the SDK; it must not agree with them by
	// sharing their code.
	"pkg/emulator": {"github.com/aws/", "k8s.io/", "sigs.k8s.io/"},
}

// apart are packages that reach what the pure ones above them must not.
var apart = []string{"pkg/chain/chaintest", "pkg/doctor/gather", "pkg/emulator/emulatortest"}

// imports reads what every package of the module imports, tests left out. It
// parses the files itself: a test that asks `go list` would be served from the
// test cache when only a listed file has changed.
func imports(t *testing.T) map[string]map[string]bool {
	t.Helper()
	root := os.DirFS("../..")
	packages := map[string]map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := path.Base(name)
			if base == "testdata" || name == "bin" || strings.HasPrefix(base, ".") && name != "." || otherModule(root, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := path.Dir(name)
		if packages[dir] == nil {
			packages[dir] = map[string]bool{}
		}
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", filepath.FromSlash(name)), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			packages[dir][imported] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// otherModule reports whether a folder is a module of its own, such as e2e.
func otherModule(root fs.FS, name string) bool {
	_, err := fs.Stat(root, path.Join(name, "go.mod"))
	return name != "." && err == nil
}

func TestImports(t *testing.T) {
	packages, table, layer := imports(t), map[string][]string{}, map[string]int{}
	for i, l := range layers {
		for dir, allowed := range l {
			if table[dir] != nil {
				t.Errorf("%s is in two layers", dir)
			}
			table[dir], layer[dir] = allowed, i
		}
	}
	if len(packages) < len(table) {
		t.Errorf("only %d packages were found", len(packages))
	}
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		allowed, ok := table[dir]
		if !ok {
			t.Errorf("%s is not in the table", dir)
			continue
		}
		for _, imported := range slices.Sorted(maps.Keys(packages[dir])) {
			if ours, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not import %s", dir, ours)
			}
			for below, libraries := range forbidden {
				for _, library := range libraries {
					if (dir == below || strings.HasPrefix(dir, below+"/") && !slices.Contains(apart, dir)) &&
						strings.HasPrefix(imported, library) && !strings.HasPrefix(imported, module) {
						t.Errorf("%s must not import %s", dir, imported)
					}
				}
			}
		}
		for _, ours := range allowed {
			if layer[ours] > layer[dir] {
				t.Errorf("%s imports %s, of a later layer", dir, ours)
			}
			if !packages[dir][module+ours] {
				t.Errorf("the table lets %s import %s, which it no longer does", dir, ours)
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(table)) {
		if packages[dir] == nil {
			t.Errorf("the table has %s, which is not there", dir)
		}
	}
}
