package deploy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/deploy"
)

// values are the chart's own, with others over them.
func values(t testing.TB, over ...map[string]any) map[string]any {
	t.Helper()
	v := map[string]any{}
	readYAML(t, "chart/values.yaml", &v)
	for _, o := range over {
		merge(v, o)
	}
	return v
}

// merge puts values over others as Helm does.
func merge(v, over map[string]any) {
	for k, o := range over {
		was, isMap := v[k].(map[string]any)
		if m, ok := o.(map[string]any); ok && isMap {
			merge(was, m)
		} else {
			v[k] = o
		}
	}
}

func readYAML(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func parseValues(t testing.TB, text string) (v map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// everything has each part of the chart.
func everything(t testing.TB) map[string]any {
	return parseValues(t, `
createNamespace: true
commonLabels: {team: platform}
imagePullSecrets: [{name: pull}]
log: {format: json, level: debug}
webhook:
  region: eu-west-1
  endpointURL: http://10.0.0.1:4566
  stsRegionalEndpoint: true
  roleSessionName: true
  foreignRoleARNs: true
  watchConfigMap: true
  podIdentity: {cluster: c1, region: eu-west-1, endpointURL: "http://10.0.0.1:4566", fullURI: "http://[fd00:ec2::23]/v1/credentials", roleARN: "arn:aws:iam::123456789012:role/hook"}
  apiServers: [10.0.0.0/24]
  excludeNamespaces: [secret]
  ignoreNamespaces: [policies]
  affinity: {nodeAffinity: {}}
  podLabels: {team: security, cost: "7"}
  extraArgs: [-v=4]
  extraEnv: [{name: TZ, value: UTC}]
  extraVolumes: [{name: more, emptyDir: {}}]
  extraVolumeMounts: [{name: more, mountPath: /more}]
  serviceAccount: {annotations: {a: b}}
  podDisruptionBudget: {minAvailable: 50%}
emulator:
  enabled: true
  path: /var/lib/openirsa
  node: n1
  clusterIssuer: https://kubernetes.default.svc.cluster.local
  forward: ["*=http://backend.test.svc:5000"]
  extraEnv: [{name: TZ, value: UTC}]
  extraVolumes: [{name: more, emptyDir: {}}]
  extraVolumeMounts: [{name: more, mountPath: /more}]
  podDisruptionBudget: {enabled: true}
agent:
  enabled: true
  clusterName: c1
  region: eu-west-1
  endpointURL: http://emulator:4566
  secret: keys
  roleARN: arn:aws:iam::123456789012:role/agent
  podLabels: {team: security}
  extraArgs: [--max-cache-size=500]
  extraEnv: [{name: TZ, value: UTC}]
  extraVolumes: [{name: more, emptyDir: {}}]
  extraVolumeMounts: [{name: more, mountPath: /more}]
  serviceAccount: {annotations: {a: b}}
issuer:
  serve:
    enabled: true
    keysConfigMap: keys
    tlsSecret: cert
    extraEnv: [{name: TZ, value: UTC}]
    extraVolumes: [{name: more, emptyDir: {}}]
    extraVolumeMounts: [{name: more, mountPath: /more}]
  publish:
    enabled: true
    bucket: documents
    region: eu-west-1
    roleARN: arn:aws:iam::123456789012:role/publish
    endpointURL: http://emulator:4566
    extraEnv: [{name: TZ, value: UTC}]
    extraVolumes: [{name: more, emptyDir: {}}]
    extraVolumeMounts: [{name: more, mountPath: /more}]
    podDisruptionBudget: {enabled: true}
metrics:
  service: {enabled: true, annotations: {a: b}}
  serviceMonitor: {enabled: true, labels: {release: prometheus}, metricRelabelings: [{action: keep}]}
  podMonitor: {enabled: true, labels: {release: prometheus}, metricRelabelings: [{action: keep}]}
  prometheusRule: {enabled: true, labels: {release: prometheus}, additionalRules: [{alert: Mine, expr: vector(1)}]}
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {}}]
  emulatorFrom: [{podSelector: {}}]
  documentsFrom: [{ipBlock: {cidr: 0.0.0.0/0}}]
extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: more, namespace: default}}]
`)
}

// ownTemplates are the files that we render. The dashboard's has a file that only Helm can read.
func ownTemplates(t testing.TB) (names []string) {
	t.Helper()
	for _, pattern := range []string{"chart/templates/*.yaml", "chart/templates/tests/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if name := filepath.Base(f); name != "dashboard.yaml" {
				names = append(names, name)
			}
		}
	}
	return names
}

// rendered is the whole chart with these values.
func rendered(t testing.TB, v map[string]any) string {
	t.Helper()
	var b strings.Builder
	for _, name := range ownTemplates(t) {
		text, err := deploy.RenderWith(name, v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s\n", strings.TrimPrefix(text, "---\n"))
	}
	return b.String()
}

// byName are objects by kind, namespace and name.
func byName(t testing.TB, text string) map[string]map[string]any {
	t.Helper()
	objects, err := deploy.Decode(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all := map[string]map[string]any{}
	for _, o := range objects {
		key := fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
		if all[key] != nil {
			t.Errorf("two objects are %s", key)
		}
		all[key] = o.Object
	}
	return all
}

// former is the chart before image had parts.
func former(t testing.TB) fs.FS {
	t.Helper()
	f, err := os.Open("testdata/openirsa-former.tgz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			b, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = &fstest.MapFile{Data: b}
		}
	}
}

// With its own values, and with the former chart's, the chart makes the same objects as before: an upgrade replaces
// no pod that it need not replace, and no selector, which cannot be changed.
func TestUpgradeChangesNothing(t *testing.T) {
	chart := former(t)
	for name, over := range map[string]string{
		"defaults": "{}",
		"all": `{webhook: {region: eu-west-1, endpointURL: "http://10.0.0.1:4566", stsRegionalEndpoint: true, roleSessionName: true, foreignRoleARNs: true,
  watchConfigMap: true, ignoreNamespaces: [policies], excludeNamespaces: [a], failurePolicy: Ignore, matchConditions: false, apiServers: [10.0.0.0/24], extraArgs: [-v=4]},
 emulator: {enabled: true, path: /var/lib/openirsa, node: n1, clusterIssuer: "https://kubernetes.default.svc", extraArgs: [--account=111122223333]},
 issuer: {serve: {enabled: true, keysConfigMap: keys, tlsSecret: cert, serviceType: LoadBalancer},
  publish: {enabled: true, bucket: documents, prefix: dev, region: eu-west-1, roleARN: "arn:aws:iam::123456789012:role/publish", endpointURL: "http://emulator:4566"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			const image = "registry.example/openirsa:v0"
			raw, err := fs.ReadFile(chart, "openirsa/values.yaml")
			if err != nil {
				t.Fatal(err)
			}
			was := parseValues(t, string(raw))
			merge(was, parseValues(t, over))
			now := values(t, parseValues(t, over))
			was["image"], now["image"] = image, image
			templates, err := fs.Glob(chart, "openirsa/templates/*.yaml")
			if err != nil || len(templates) < 5 {
				t.Fatalf("templates %q, %v", templates, err)
			}
			for _, file := range templates {
				parsed, err := template.New(filepath.Base(file)).Option("missingkey=error").ParseFS(chart, file)
				if err != nil {
					t.Fatal(err)
				}
				var before bytes.Buffer
				if err := parsed.Execute(&before, map[string]any{"Values": was,
					"Release": map[string]any{"Namespace": deploy.Namespace, "Service": "Helm"}}); err != nil {
					t.Fatal(err)
				}
				after, err := deploy.RenderWith(filepath.Base(file), now)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(byName(t, before.String()), byName(t, after)); diff != "" {
					t.Errorf("%s makes other objects (-former +new):\n%s", file, diff)
				}
			}
		})
	}
}

// What the chart makes besides: nothing, but for helm test.
func TestDefaultsAreTheWebhookAlone(t *testing.T) {
	var beside []string
	for key, o := range byName(t, rendered(t, values(t))) {
		u := unstructured.Unstructured{Object: o}
		if u.GetLabels()["app.kubernetes.io/name"] != "webhook" && u.GetAnnotations()["helm.sh/hook"] != "test" {
			beside = append(beside, key)
		}
	}
	if len(beside) > 0 {
		t.Errorf("by default there are %q too", beside)
	}
}

func TestImage(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	var about struct{ Version, AppVersion string }
	readYAML(t, "chart/Chart.yaml", &about)
	if about.AppVersion != "v"+about.Version {
		t.Errorf("chart %s of the program %s: they have one version", about.Version, about.AppVersion)
	}
	for over, want := range map[string]string{
		`{}`: "openirsa.dev/openirsa:" + about.AppVersion + " IfNotPresent",
		`{image: {registry: "registry.example:5000", repository: team/openirsa}}`:                      "registry.example:5000/team/openirsa:" + about.AppVersion + " IfNotPresent",
		`{image: {tag: v9, pullPolicy: Always}}`:                                                       "openirsa.dev/openirsa:v9 Always",
		`{image: {digest: "` + digest + `"}}`:                                                          "openirsa.dev/openirsa@" + digest + " IfNotPresent",
		`{image: {registry: registry.example, tag: v9, digest: "` + digest + `"}}`:                     "registry.example/openirsa:v9@" + digest + " IfNotPresent",
		`{image: "registry.example/openirsa@` + digest + `"}`:                                          "registry.example/openirsa@" + digest + " IfNotPresent",
		`{image: "registry.example/openirsa:v9", imagePullSecrets: [{name: pull}]}`:                    "registry.example/openirsa:v9 IfNotPresent",
		`{image: {registry: "", repository: "registry.example/openirsa", tag: "", pullPolicy: Never}}`: "registry.example/openirsa:" + about.AppVersion + " Never",
	} {
		v := values(t, parseValues(t, over))
		if err := schema(t).Validate(v); err != nil {
			t.Errorf("%s: %v", over, err)
		}
		d := byName(t, rendered(t, v))["Deployment "+deploy.Namespace+"/webhook"]
		c, _, err := unstructured.NestedSlice(d, "spec", "template", "spec", "containers")
		if err != nil {
			t.Fatal(err)
		}
		main := c[0].(map[string]any)
		if got := fmt.Sprint(main["image"], " ", main["imagePullPolicy"]); got != want {
			t.Errorf("%s: image %s, want %s", over, got, want)
		}
	}
}

// Each value changes what is rendered.
func TestValuesAreUsed(t *testing.T) {
	source := map[string]string{} // of the templates
	for _, name := range append(ownTemplates(t), "dashboard.yaml") {
		for _, dir := range []string{"chart/templates", "chart/templates/tests"} {
			if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				source[name] = string(b)
			}
		}
	}
	render := func(name string, v map[string]any) string {
		text, err := deploy.RenderWith(name, v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := []map[string]any{values(t, everything(t)), values(t)}
	texts := []map[string]string{{}, {}}
	for i, v := range before {
		for _, name := range ownTemplates(t) {
			texts[i][name] = render(name, v)
		}
	}
	// used is whether a value has an effect on a template.
	used := func(path []string, name string) bool {
		for i, v := range before {
			for _, k := range path[:len(path)-1] {
				v = v[k].(map[string]any)
			}
			last := path[len(path)-1]
			was := v[last]
			v[last] = changed(was)
			is := render(name, before[i])
			v[last] = was
			if is != texts[i][name] {
				return true
			}
		}
		return false
	}
	n := 0
	each(values(t), nil, func(path []string, _ any) {
		n++
		value := strings.Join(path, ".")
		if strings.HasPrefix(value, "metrics.dashboard.") {
			if !strings.Contains(source["dashboard.yaml"], ".Values."+strings.TrimSuffix(value, ".grafana_dashboard")) {
				t.Errorf("value %s is used by no template", value)
			}
			return
		}
		// Those that name it, or its component, are looked at first: one rendering is enough then.
		names := ownTemplates(t)
		component := ".Values." + strings.Join(path[:min(2, len(path))], ".")
		slices.SortStableFunc(names, func(a, b string) int {
			return strings.Count(source[b], component) - strings.Count(source[a], component)
		})
		if !slices.ContainsFunc(names, func(name string) bool { return used(path, name) }) {
			t.Errorf("value %s has no effect", value)
		}
	})
	if n < 150 {
		t.Errorf("only %d values were looked at", n)
	}
}

// each calls f with each value that has no values below it.
func each(v map[string]any, path []string, f func(path []string, v any)) {
	for _, k := range slices.Sorted(maps.Keys(v)) {
		p := append(slices.Clone(path), k)
		if m, ok := v[k].(map[string]any); ok && len(m) > 0 {
			each(m, p, f)
		} else {
			f(p, v[k])
		}
	}
}

// changed is another value of the same type.
func changed(v any) any {
	switch v := v.(type) {
	case bool:
		return !v
	case string:
		return v + "changed"
	case map[string]any:
		return map[string]any{"changed": "changed"}
	case []any:
		return append(slices.Clone(v), map[string]any{"changed": "changed"})
	case float64:
		return v + 1
	}
	panic(fmt.Sprintf("a value of type %T", v))
}

func schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("chart/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every value is in the schema, and the schema has no others.
func TestSchemaIsWhole(t *testing.T) {
	s, v := schema(t), values(t)
	if err := s.Validate(v); err != nil {
		t.Error(err)
	}
	if err := s.Validate(values(t, everything(t))); err != nil {
		t.Error(err)
	}
	for _, parents := range []string{"{global: {imageRegistry: x}}", "{enabled: true}"} {
		if err := s.Validate(values(t, parseValues(t, parents))); err != nil {
			t.Errorf("what charts of charts give: %v", err)
		}
	}
	raw, err := os.ReadFile("chart/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	if root["$schema"] != "http://json-schema.org/draft-07/schema#" {
		t.Errorf("$schema is %v; Helm before 3.18 reads draft 7", root["$schema"])
	}
	var walk func(at string, schema, v map[string]any)
	walk = func(at string, schema, v map[string]any) {
		properties := propertiesOf(root, schema)
		if properties == nil {
			return
		}
		if o := object(root, schema); o["additionalProperties"] != false {
			t.Errorf("%s: the schema lets other values through", at)
		}
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(properties)), func(k string) bool {
			return at == "" && (k == "global" || k == "enabled") || strings.HasSuffix(at, ".resources")
		})
		if strings.HasSuffix(at, ".resources") {
			return
		}
		if diff := cmp.Diff(names, slices.Sorted(maps.Keys(v))); diff != "" {
			t.Errorf("%s: the schema and values.yaml differ (-schema +values):\n%s", at, diff)
		}
		for k, sub := range v {
			if m, ok := sub.(map[string]any); ok && properties[k] != nil {
				walk(at+"."+k, properties[k].(map[string]any), m)
			}
		}
	}
	walk("", root, v)
}

// object is a schema with references followed, and of several that of the object.
func object(root, schema map[string]any) map[string]any {
	if ref, ok := schema["$ref"].(string); ok {
		return object(root, root["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any))
	}
	for _, of := range []string{"anyOf", "allOf"} {
		all, _ := schema[of].([]any)
		for _, one := range all {
			if o := object(root, one.(map[string]any)); o["properties"] != nil {
				return o
			}
		}
	}
	return schema
}

func propertiesOf(root, schema map[string]any) map[string]any {
	p, _ := object(root, schema)["properties"].(map[string]any)
	return p
}

func TestSchemaRejects(t *testing.T) {
	s := schema(t)
	for _, test := range []struct{ values, says string }{
		{`{webhook: {replica: 3}}`, "additional properties 'replica' not allowed"},
		{`{webook: {replicas: 3}}`, "additional properties 'webook' not allowed"},
		{`{webhook: {replicas: "3"}}`, "'/webhook/replicas': got string, want integer"},
		{`{webhook: {failurePolicy: fail}}`, "'/webhook/failurePolicy': value must be one of 'Fail', 'Ignore'"},
		{`{webhook: {apiServers: [10.0.0.1]}}`, "'/webhook/apiServers/0'"},
		{`{webhook: {tokenExpiration: 60}}`, "'/webhook/tokenExpiration': minimum: got 60, want 600"},
		{`{webhook: {annotationPrefix: eks.amazonaws.com/}}`, "'/webhook/annotationPrefix'"},
		{`{webhook: {resources: {limit: {memory: 1Gi}}}}`, "additional properties 'limit' not allowed"},
		{`{webhook: {resources: {limits: {memory: 1 GB}}}}`, "'/webhook/resources/limits/memory'"},
		{`{webhook: {podLabels: {app.kubernetes.io/name: mine}}}`, "'/webhook/podLabels/app.kubernetes.io~1name'"},
		{`{webhook: {extraEnv: {A: b}}}`, "'/webhook/extraEnv': got object, want array"},
		{`{webhook: {systemNamespaces: []}}`, "'/webhook/systemNamespaces'"},
		{`{webhook: {podDisruptionBudget: {maxUnavailable: half}}}`, "'/webhook/podDisruptionBudget/maxUnavailable'"},
		{`{image: {name: openirsa}}`, "additional properties 'name' not allowed"},
		{`{image: {digest: "0123"}}`, "'/image/digest'"},
		{`{image: ""}`, "'/image'"},
		{`{log: {level: trace}}`, "'/log/level': value must be one of"},
		{`{emulator: {replicas: 2}}`, "'/emulator/replicas': maximum: got 2, want 1"},
		{`{emulator: {path: /var/lib/openirsa}}`, "'/emulator/node'"},
		{`{emulator: {clusterIssuer: "http://kubernetes.default.svc"}}`, "'/emulator/clusterIssuer'"},
		{`{emulator: {forward: ["dynamodb"]}}`, "'/emulator/forward/0'"},
		{`{agent: {enabled: true, clusterName: c1}}`, "'/agent/region'"},
		{`{agent: {clusterName: a/b}}`, "'/agent/clusterName'"},
		{`{agent: {maxUnavailable: half}}`, "'/agent/maxUnavailable'"},
		{`{issuer: {publish: {enabled: true}}}`, "'/issuer/publish/bucket'"},
		{`{issuer: {serve: {serviceType: loadbalancer}}}`, "'/issuer/serve/serviceType'"},
		{`{imagePullSecrets: [pull]}`, "'/imagePullSecrets/0': got string, want object"},
		{`{commonLabels: {a: b c}}`, "'/commonLabels/a'"},
		{`{metrics: {serviceMonitor: {interval: 30}}}`, "'/metrics/serviceMonitor/interval': got number, want string"},
		{`{networkPolicy: {metricsFrom: [{}]}}`, "'/networkPolicy/metricsFrom/0'"},
		{`{extraObjects: [{kind: ConfigMap}]}`, "'/extraObjects/0'"},
	} {
		err := s.Validate(values(t, parseValues(t, test.values)))
		if err == nil {
			t.Errorf("%s is taken", test.values)
		} else if !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v\nwant %q", test.values, err, test.says)
		}
	}
	// With --reuse-values Helm gives a new chart the values of the former one alone.
	raw, err := fs.ReadFile(former(t), "openirsa/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(parseValues(t, string(raw))); err == nil || !strings.Contains(err.Error(), "missing properties") {
		t.Errorf("the former chart's values alone: %v", err)
	}
}

var (
	metricName = regexp.MustCompile(`\b(pod_identity|http_request|certificate_manager|openirsa|process|go)_[a-z_]+\b`)
	histogram  = regexp.MustCompile(`_(bucket|count|sum)$`)
	variable   = regexp.MustCompile(`\$([a-z]+)\b`)
	// ofPodIdentity are the metrics of EKS Pod Identity: the webhook's of associations, and the agent's.
	ofPodIdentity = regexp.MustCompile(`"(pod_identity_(?:webhook_association|http|cache|exchange)[a-z_]*)"`)
)

// Alerts and dashboard ask for metrics that the programs have.
func TestMetricsExist(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"../pkg/webhook", "../pkg/agent", "../pkg/emulator", "../cmd"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			source.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	exists := func(name string) bool {
		return strings.Contains(source.String(), `"`+name+`"`) || name == "process_resident_memory_bytes" || name == "process_cpu_seconds_total"
	}
	raw, err := os.ReadFile("chart/dashboards/openirsa.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	asked, shown := map[string]string{}, ""
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			asked["panel "+p.Title] += target.Expr + "\n"
			shown += target.Expr + "\n"
			for _, v := range variable.FindAllStringSubmatch(target.Expr, -1) {
				if !slices.ContainsFunc(dashboard.Templating.List, func(l struct{ Name string }) bool { return l.Name == v[1] }) {
					t.Errorf("panel %s: there is no variable %s", p.Title, v[1])
				}
			}
		}
	}
	all := ofPodIdentity.FindAllStringSubmatch(source.String(), -1)
	if len(all) < 10 {
		t.Errorf("only %q are metrics of EKS Pod Identity", all)
	}
	for _, name := range all {
		if !strings.Contains(shown, name[1]) {
			t.Errorf("no panel shows %s", name[1])
		}
	}
	rules := byName(t, rendered(t, values(t, everything(t))))["PrometheusRule "+deploy.Namespace+"/openirsa"]
	groups, _, err := unstructured.NestedSlice(rules, "spec", "groups")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range groups[0].(map[string]any)["rules"].([]any) {
		rule := r.(map[string]any)
		if rule["alert"] != "Mine" {
			asked[fmt.Sprint("alert ", rule["alert"])] = fmt.Sprint(rule["expr"])
		}
	}
	if len(asked) < 20 {
		t.Errorf("only %d panels and alerts", len(asked))
	}
	for where, expr := range asked {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric: %s", where, expr)
		}
		for _, name := range names {
			if !exists(name) && !exists(histogram.ReplaceAllString(name, "")) {
				t.Errorf("%s: no program has the metric %s", where, name)
			}
		}
	}
}

func TestChartYAML(t *testing.T) {
	var about struct {
		Home, Icon, Description string
		Sources, Keywords       []string
		Maintainers             []struct{ Name, URL string }
		Annotations             map[string]string
	}
	readYAML(t, "chart/Chart.yaml", &about)
	if about.Home == "" || about.Description == "" || len(about.Sources) == 0 || len(about.Keywords) == 0 || len(about.Maintainers) == 0 {
		t.Errorf("Chart.yaml lacks something: %+v", about)
	}
	_, path, ok := strings.Cut(about.Icon, "/main/")
	if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(path))); !ok || err != nil {
		t.Errorf("icon %s: %v", about.Icon, err)
	}
	if about.Annotations["artifacthub.io/license"] != "Apache-2.0" || about.Annotations["artifacthub.io/category"] != "security" {
		t.Errorf("annotations %v", about.Annotations)
	}
	var links []struct{ Name, URL string }
	if err := yaml.UnmarshalStrict([]byte(about.Annotations["artifacthub.io/links"]), &links); err != nil || len(links) == 0 {
		t.Errorf("links %v: %v", links, err)
	}
}
