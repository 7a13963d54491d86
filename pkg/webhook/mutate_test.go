package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4" // what the API server applies patches with
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// fixture is the first document of a testdata/*.pod.yaml; the second is the
// pod.
type fixture struct {
	Grant struct {
		Role, Audience        string
		Expiration            int64
		Regional, Credentials bool
		Session               bool
		Day                   int64
	}
	Settings struct {
		Prefix, MountPath, Region, Endpoint string
		Credentials                         webhook.Credentials
	}
	Patch    []map[string]any
	Warnings []string
}

func (f *fixture) grant() webhook.Grant {
	g := webhook.Grant{Credentials: f.Grant.Credentials, Day: f.Grant.Day, Identity: irsa.Identity{
		RoleARN: f.Grant.Role, Audience: f.Grant.Audience, ExpirationSeconds: f.Grant.Expiration, RegionalSTS: f.Grant.Regional, PodSession: f.Grant.Session,
	}}
	if g.RoleARN != "" && g.Audience == "" {
		g.Audience = irsa.Audience
	}
	if g.RoleARN != "" && g.ExpirationSeconds == 0 {
		g.ExpirationSeconds = irsa.ExpirationSeconds
	}
	return g
}

func (f *fixture) settings() webhook.Settings {
	return webhook.Settings{
		Prefix: irsa.Prefix(f.Settings.Prefix), MountPath: f.Settings.MountPath, Region: f.Settings.Region,
		EndpointURL: f.Settings.Endpoint, Credentials: f.Settings.Credentials,
	}
}

func TestMutate(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pod.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pod.yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, body, _ := bytes.Cut(text, []byte("\n---\n"))
			var f fixture
			if err := yaml.UnmarshalStrict(head, &f); err != nil {
				t.Fatal(err)
			}
			pod, err := yaml.YAMLToJSON(body)
			if err != nil {
				t.Fatal(err)
			}
			patch, warnings := mutate(t, pod, f.grant(), f.settings())
			want, err := json.Marshal(f.Patch)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, want), normal(t, patch)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(f.Warnings, warnings); diff != "" {
				t.Error(diff)
			}
			once := apply(t, pod, patch)
			if again, _ := mutate(t, once, f.grant(), f.settings()); string(again) != "null" {
				t.Errorf("mutating again adds %s", again)
			}
			var typed corev1.Pod // the result is a pod that Kubernetes knows
			d := json.NewDecoder(bytes.NewReader(once))
			d.DisallowUnknownFields()
			if err := d.Decode(&typed); err != nil {
				t.Error(err)
			}
		})
	}
}

func mutate(t testing.TB, pod []byte, g webhook.Grant, s webhook.Settings) (patch []byte, warnings []string) {
	t.Helper()
	prefix := s.Prefix
	if prefix == "" {
		prefix = irsa.DefaultPrefix
	}
	p, err := webhook.ParsePod(pod, prefix)
	if err != nil {
		t.Fatalf("%v: %s", err, pod)
	}
	ops, warnings := webhook.Mutate(p, g, s)
	for _, op := range ops {
		if op.Op != "add" {
			t.Fatalf("operation %+v", op)
		}
	}
	patch, err = json.Marshal(ops)
	if err != nil {
		t.Fatal(err)
	}
	return patch, warnings
}

func apply(t testing.TB, pod, patch []byte) []byte {
	t.Helper()
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Apply(pod)
	if err != nil {
		t.Fatalf("applying %s to %s: %v", patch, pod, err)
	}
	return out
}

func normal(t testing.TB, text []byte) (v any) {
	t.Helper()
	if string(text) == "null" {
		return []any{}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMutateAddsOnly mutates random pods, full of fields that nobody knows,
// and takes away from the result what may have been added: the rest is what
// was there, value for value and in its order.
func TestMutateAddsOnly(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	r := rand.New(rand.NewPCG(1, 2))
	changed := 0
	for range rounds {
		pod := randomPod(r)
		g := webhook.Grant{Credentials: r.IntN(4) == 0, Identity: irsa.Identity{
			RoleARN: "arn:aws:iam::123456789012:role/r", Audience: "sts.amazonaws.com", ExpirationSeconds: 3600, RegionalSTS: r.IntN(2) == 0,
		}}
		s := webhook.Settings{}
		if r.IntN(2) == 0 {
			s.Region, s.EndpointURL = "eu-west-1", "http://10.0.0.1:4566"
		}
		patch, _ := mutate(t, pod, g, s)
		once := apply(t, pod, patch)
		if again, _ := mutate(t, once, g, s); string(again) != "null" {
			t.Fatalf("%s\nmutated once: %s\nmutating again adds %s", pod, once, again)
		}
		if string(patch) != "null" {
			changed++
		}
		if diff := added(normal(t, pod), normal(t, once), ""); diff != "" {
			t.Fatalf("%s\nmutated: %s\n%s", pod, once, diff)
		}
	}
	if changed < rounds/4 {
		t.Errorf("only %d of %d pods were mutated: the test proves little", changed, rounds)
	}
}

// added compares two JSON values and says what of the first is not in the
// second. In the places where Mutate may add, the second may have more.
func added(before, after any, at string) string {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is no object any more", at)
		}
		for k := range a {
			if _, ok := b[k]; !ok && !mayAppear(at+"/"+k) {
				return fmt.Sprintf("%s/%s has appeared", at, k)
			}
		}
		for k, v := range b {
			w, ok := a[k]
			if !ok {
				return fmt.Sprintf("%s/%s is gone", at, k)
			}
			if v == nil && w != nil && mayAppear(at+"/"+k) {
				continue // null is as good as absent
			}
			if d := added(v, w, at+"/"+k); d != "" {
				return d
			}
		}
	case []any:
		a, ok := after.([]any)
		if !ok {
			return fmt.Sprintf("%s is no list any more", at)
		}
		switch {
		case at == "/spec/volumes" && len(a) == len(b)+1:
			a = a[1:] // the token's volume goes first
		case len(a) >= len(b) && (strings.HasSuffix(at, "/env") || strings.HasSuffix(at, "/volumeMounts")):
			a = a[:len(b)] // variables and mounts go last
		case len(a) != len(b):
			return fmt.Sprintf("%s has %d elements, had %d", at, len(a), len(b))
		}
		for i := range b {
			if d := added(b[i], a[i], at+"/*"); d != "" {
				return d
			}
		}
	default:
		if !cmp.Equal(before, after) {
			return fmt.Sprintf("%s is %v, was %v", at, after, before)
		}
	}
	return ""
}

func mayAppear(at string) bool {
	switch at {
	case "/metadata/labels", "/metadata/labels/" + irsa.PodIdentityLabel, "/spec/volumes",
		"/spec/containers/*/env", "/spec/containers/*/volumeMounts", "/spec/initContainers/*/env", "/spec/initContainers/*/volumeMounts":
		return true
	}
	return false
}

// randomPod is the JSON of a pod whose fields are partly those that Mutate
// looks at and partly unknown, in random order, with nulls and empty lists.
func randomPod(r *rand.Rand) []byte {
	maybe := func(n int) bool { return r.IntN(n) == 0 }
	var unknown func(depth int) any
	unknown = func(depth int) any {
		switch r.IntN(7 - 2*min(depth, 1)) {
		case 0:
			return nil
		case 1:
			return r.IntN(2) == 0
		case 2:
			return json.Number([]string{"0", "-1", "1.5e30", "9007199254740993", "1E-2"}[r.IntN(5)])
		case 3, 4:
			return []string{"", "plain", "with \"quotes\" and \\", "\u00e9\u2028<&>", "AWS_ROLE_ARN"}[r.IntN(5)]
		case 5:
			return []any{unknown(depth + 1), unknown(depth + 1)}
		default:
			return map[string]any{"name": unknown(depth + 1), "env": unknown(depth + 1), "futureField": unknown(depth + 1)}
		}
	}
	// object writes the members in random order among unknown ones.
	type member struct {
		key   string
		value any
	}
	object := func(known ...member) json.RawMessage {
		for i := range r.IntN(4) {
			known = append(known, member{fmt.Sprintf("future%d", i), unknown(0)})
		}
		r.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
		var b bytes.Buffer
		b.WriteByte('{')
		for i, m := range known {
			if i > 0 {
				b.WriteString([]string{",", " ,\n\t"}[r.IntN(2)])
			}
			k, _ := json.Marshal(m.key)
			v, err := json.Marshal(m.value)
			if err != nil {
				panic(err)
			}
			b.Write(k)
			b.WriteByte(':')
			b.Write(v)
		}
		b.WriteByte('}')
		return b.Bytes()
	}
	list := func(key string, most int, element func() any) []member {
		switch r.IntN(5) {
		case 0:
			return nil
		case 1:
			return []member{{key, nil}}
		case 2:
			return []member{{key, []any{}}}
		}
		var l []any
		for range 1 + r.IntN(most) {
			l = append(l, element())
		}
		return []member{{key, l}}
	}
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	container := func() any {
		m := []member{{"name", pick("a", "b", "c", "d")}, {"image", "x"}}
		m = append(m, list("env", 5, func() any {
			return object(member{"name", pick("A", "B", "PATH", "AWS_REGION", "AWS_ROLE_ARN", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_ENDPOINT_URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI")}, member{"valueFrom", unknown(0)})
		})...)
		m = append(m, list("volumeMounts", 3, func() any {
			return object(member{"name", pick("v", "aws-iam-token")}, member{"mountPath", pick("/a", "/b", irsa.MountPath, irsa.MountPath+"/", irsa.CredentialsMountPath)})
		})...)
		return object(m...)
	}
	spec := []member{{"serviceAccountName", "sa"}}
	spec = append(spec, list("containers", 5, container)...)
	spec = append(spec, list("initContainers", 3, container)...)
	spec = append(spec, list("ephemeralContainers", 3, container)...)
	spec = append(spec, list("volumes", 3, func() any {
		m := []member{{"name", pick("v", "w", "x", "aws-iam-token", "eks-pod-identity-token")}}
		if maybe(2) {
			m = append(m, member{"projected", object(member{"sources", []any{
				object(member{"serviceAccountToken", object(member{"audience", pick("sts.amazonaws.com", "pods.eks.amazonaws.com")}, member{"path", pick("token", "eks-pod-identity-token")})}),
			}})})
		}
		return object(m...)
	})...)
	if maybe(5) {
		spec = append(spec, member{"nodeSelector", map[string]string{"kubernetes.io/os": pick("windows", "linux")}})
	}
	meta := []member{{"name", "p"}}
	if maybe(2) {
		meta = append(meta, member{"labels", map[string]string{"app": "x"}})
	}
	if maybe(3) {
		meta = append(meta, member{"annotations", map[string]string{"eks.amazonaws.com/skip-containers": pick("a,b", "c", "\"")}})
	}
	return object(member{"apiVersion", "v1"}, member{"kind", "Pod"}, member{"metadata", object(meta...)}, member{"spec", object(spec...)}, member{"status", unknown(0)})
}

func FuzzMutate(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(randomPod(r), false)
	}
	f.Add([]byte(`{"spec":{"containers":[{}]}}`), true)
	f.Fuzz(func(t *testing.T, pod []byte, credentials bool) {
		p, err := webhook.ParsePod(pod, irsa.DefaultPrefix)
		if err != nil {
			if p != nil {
				t.Fatal("a pod with an error")
			}
			return
		}
		ops, _ := webhook.Mutate(p, webhook.Grant{Credentials: credentials, Identity: irsa.Identity{RoleARN: "r", Audience: "a"}}, webhook.Settings{Region: "r"})
		patch, err := json.Marshal(ops)
		if err != nil {
			t.Fatal(err)
		}
		var typed corev1.Pod
		if json.Unmarshal(pod, &typed) != nil {
			return // Kubernetes would not have sent it
		}
		if bytes.Contains(pod, []byte("null")) {
			return // nor elements that are null
		}
		apply(t, pod, patch)
	})
}
