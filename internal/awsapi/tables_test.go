package awsapi_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// What the tables are made of has so many; gen fails if it is fewer.
const (
	allModels     = 424
	allOperations = 18_378
	allActions    = 22_091
	withoutAction = 625 // operations
)

// counts are the numbers of gen's last run, by kind and name.
func counts(t *testing.T) map[string][]int {
	t.Helper()
	f, err := os.Open("counts.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var kind, name string
		var n [3]int
		if read, err := fmt.Sscan(lines.Text(), &kind, &name, &n[0], &n[1], &n[2]); read < 4 {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		all[kind+" "+name] = n[:]
	}
	return all
}

// TestEveryOperation holds that of each operation is known which action it needs,
// or that it has none of its name, and that all of it can be read.
func TestEveryOperation(t *testing.T) {
	counts := counts(t)
	operations, without := 0, 0
	for _, m := range awsapi.Models() {
		none := 0
		for _, name := range m.Operations() {
			op := m.Operation(name)
			if op == nil || op.Name != name {
				t.Fatalf("%s: no operation %s", m.Name, name)
			}
			if a := m.Action(name); a == nil {
				none++
			} else if !strings.EqualFold(a.Name, name) || a.Level == "" {
				t.Errorf("%s: %s has the action %+v", m.Name, name, a)
			}
			checkOperation(t, m, op)
		}
		if want := counts["model "+m.Name]; want == nil || want[0] != len(m.Operations()) || want[1] != none {
			t.Errorf("%s: %d operations, %d without action; counts.txt has %v", m.Name, len(m.Operations()), none, want)
		}
		operations += len(m.Operations())
		without += none
	}
	if n := len(awsapi.Models()); n < allModels || operations < allOperations || without > withoutAction {
		t.Errorf("%d models, %d operations, %d without action", n, operations, without)
	}
}

var (
	places = []string{awsapi.InBody, awsapi.InPath, awsapi.InQuery, awsapi.InHeader, awsapi.InHeaders, awsapi.InPayload}
	shapes = []string{awsapi.String, awsapi.Number, awsapi.Bool, awsapi.Timestamp, awsapi.Blob, awsapi.List, awsapi.Map, awsapi.Struct,
		awsapi.Document}
	label = regexp.MustCompile(`\{([^{}+]+)\+?\}`)
)

func checkOperation(t *testing.T, m *awsapi.Model, op *awsapi.Operation) {
	var labels, inPath []string
	for _, found := range label.FindAllStringSubmatch(op.Template, -1) {
		labels = append(labels, found[1])
	}
	for i := range op.Members {
		member := &op.Members[i]
		if member.In == awsapi.InPath {
			inPath = append(inPath, member.WireName)
		}
		if !slices.Contains(places, member.In) {
			t.Errorf("%s: %s: member %s is in %q", m.Name, op.Name, member.Name, member.In)
		}
		checkMember(t, m.Name+": "+op.Name, member, 0)
	}
	if !slices.Equal(labels, inPath) {
		t.Errorf("%s: %s: labels %q, members in the path %q", m.Name, op.Name, labels, inPath)
	}
}

// checkMember looks into members as deep as none of AWS's own goes but in circles.
func checkMember(t *testing.T, where string, m *awsapi.Member, depth int) {
	if !slices.Contains(shapes, m.Shape) {
		t.Errorf("%s: member %+v", where, m)
	}
	if (m.Item() != nil) != (m.Shape == awsapi.List || m.Shape == awsapi.Map) || (m.Key() != nil) != (m.Shape == awsapi.Map) {
		t.Errorf("%s: member %+v has the item %+v and the key %+v", where, m, m.Item(), m.Key())
	}
	if depth == 4 {
		return
	}
	if m.Item() != nil {
		checkMember(t, where, m.Item(), depth+1)
	}
	inner := m.Members()
	if len(inner) > 0 && &inner[0] != &m.Members()[0] {
		t.Errorf("%s: the members of %q are read each time", where, m.Name)
	}
	for i := range inner {
		if inner[i].Name == "" || inner[i].WireName == "" || inner[i].In != "" {
			t.Errorf("%s: member %+v", where, inner[i])
		}
		checkMember(t, where, &inner[i], depth+1)
	}
}

// TestEveryPrefix holds that what the reference's actions name is there.
func TestEveryPrefix(t *testing.T) {
	counts := counts(t)
	actions, dependent := 0, 0
	template := regexp.MustCompile(`^arn:\$\{Partition\}:([^:]*:){3}([^{}]|\$\{[A-Za-z0-9]+\})+$`)
	for _, prefix := range awsapi.Prefixes() {
		s := awsapi.Reference(prefix)
		if want := counts["prefix "+prefix]; want == nil || want[0] != len(s.Actions) || want[1] != len(s.Types) || want[2] != len(s.Keys) {
			t.Errorf("%s: %d actions, %d types, %d keys; counts.txt has %v", prefix, len(s.Actions), len(s.Types), len(s.Keys), want)
		}
		actions += len(s.Actions)
		for _, a := range s.Actions {
			for _, use := range a.Types {
				if s.Types[use.Name] == nil {
					t.Errorf("%s:%s: no type %q", prefix, a.Name, use.Name)
				}
			}
			for _, key := range a.Keys {
				if s.Keys[key] == "" {
					t.Errorf("%s:%s: key %q has no type", prefix, a.Name, key)
				}
			}
			dependent += min(len(a.Dependent), 1)
		}
		for _, r := range s.Types {
			for _, one := range r.Templates {
				if !template.MatchString(one) {
					t.Errorf("%s: type %s has the template %q", prefix, r.Name, one)
				}
			}
		}
	}
	if actions < allActions || dependent < 1_584 {
		t.Errorf("%d actions, %d of them with dependent ones", actions, dependent)
	}
	for name := range counts {
		prefix, ok := strings.CutPrefix(name, "prefix ")
		if ok && awsapi.Reference(prefix) == nil {
			t.Errorf("prefix %s is gone", prefix)
		}
	}
}

// TestFaults holds what the source of the reference is known to have wrong to
// what is said of it: the types of an action may be of one page alone, those of
// the prefix are of all.
func TestFaults(t *testing.T) {
	elb := awsapi.Reference("elasticloadbalancing")
	var templates []string
	for _, r := range elb.Types {
		templates = append(templates, r.Templates...)
	}
	for _, want := range []string{
		"arn:${Partition}:elasticloadbalancing:${Region}:${Account}:loadbalancer/${LoadBalancerName}",
		"arn:${Partition}:elasticloadbalancing:${Region}:${Account}:loadbalancer/app/${LoadBalancerName}/${LoadBalancerId}",
		"arn:${Partition}:elasticloadbalancing:${Region}:${Account}:targetgroup/${TargetGroupName}/${TargetGroupId}",
	} {
		if !slices.Contains(templates, want) {
			t.Errorf("elasticloadbalancing has no %s", want)
		}
	}
	gateway := awsapi.Reference("apigateway")
	if stage := gateway.Types["Stage"]; len(gateway.Types) < 69 || stage == nil || len(stage.Templates) != 2 || gateway.Types["Api"] == nil {
		t.Errorf("apigateway has %d types, and stages %+v", len(gateway.Types), stage)
	}
	for _, call := range []string{"sqs SendMessageBatch", "sns PublishBatch", "dynamodb TransactWriteItems", "lambda Invoke",
		"bedrock-runtime Converse", "kms ReEncrypt", "apigateway GetRestApi"} {
		name, operation, _ := strings.Cut(call, " ")
		for _, m := range awsapi.Named(name) {
			if a := m.Action(operation); a != nil {
				t.Errorf("%s has the action %+v", call, a)
			}
		}
	}
}

// TestSize bounds what the tables cost in a program.
func TestSize(t *testing.T) {
	info, err := os.Stat("tables.bin")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 500_000 {
		t.Errorf("the tables have %d bytes", info.Size())
	}
}

// TestMemory bounds what a program keeps that asks for a few services. It does so
// in a process of its own, where nobody asked before.
func TestMemory(t *testing.T) {
	if os.Getenv("AWSAPI_ALONE") == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
		c.Env = append(os.Environ(), "AWSAPI_ALONE=yes")
		out, err := c.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	last := int64(0)
	used := func() int64 {
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		defer func() { last = int64(now.HeapAlloc) }()
		return int64(now.HeapAlloc) - last
	}
	used()
	models := awsapi.Models()
	index := used()
	t.Logf("the index takes %d bytes", index)
	if index < 50_000 || index > 300_000 {
		t.Errorf("the index takes %d bytes", index)
	}
	for name, most := range map[string]int64{"sqs": 100_000, "lambda": 200_000, "dynamodb": 150_000, "ec2": 1_500_000} {
		m := awsapi.ByName(name)
		m.Operation(m.Operations()[0])
		awsapi.Route(m.SigningName, "GET", "/", nil)
		awsapi.Reference(m.Prefix)
		took := used()
		t.Logf("%s takes %d bytes", name, took)
		if took < 1_000 || took > most {
			t.Errorf("%s takes %d bytes", name, took)
		}
	}
	runtime.KeepAlive(models)
}

// TestTogether asks for the same from many sides at once.
func TestTogether(t *testing.T) {
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for _, name := range []string{"iotfleetwise", "mediatailor", "imagebuilder"} {
				m := awsapi.ByName(name)
				for _, operation := range m.Operations() {
					op := m.Operation(operation)
					if again := m.Operation(operation); op == nil || op != again {
						t.Errorf("%s: %s: %+v", name, operation, op)
						continue
					}
					for i := range op.Members {
						if &op.Members[i] != &m.Operation(operation).Members[i] {
							t.Errorf("%s: %s is read each time", name, operation)
						}
						checkMember(t, name, &op.Members[i], 0)
					}
					m.Route(op.Method, "/nothing/here", nil)
				}
			}
		})
	}
	wait.Wait()
}
