package least_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/policy/least"
)

// reference is a part of the Service Authorization Reference.
type reference struct{}

const inAccount = "arn:${Partition}:%s:${Region}:${Account}:%s"

var templates = map[string]map[string]string{
	"dynamodb": {
		"table": fmt.Sprintf(inAccount, "dynamodb", "table/${TableName}"),
		"index": fmt.Sprintf(inAccount, "dynamodb", "table/${TableName}/index/${IndexName}"),
	},
	"s3":             {"bucket": "arn:${Partition}:s3:::${BucketName}", "object": "arn:${Partition}:s3:::${BucketName}/${ObjectName}"},
	"sqs":            {"queue": fmt.Sprintf(inAccount, "sqs", "${QueueName}")},
	"iam":            {"role": "arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}"},
	"kms":            {"key": fmt.Sprintf(inAccount, "kms", "key/${KeyId}")},
	"cloudformation": {"stack": fmt.Sprintf(inAccount, "cloudformation", "stack/${StackName}/${Id}")},
}

var accessLevels = map[string]string{
	"dynamodb:GetItem": "Read", "dynamodb:Query": "Read", "dynamodb:PutItem": "Write", "dynamodb:ListTables": "List",
	"s3:GetObject": "Read", "s3:PutObject": "Write", "s3:ListBucket": "List", "s3:ListAllMyBuckets": "List",
	"sqs:SendMessage": "Write", "iam:PassRole": "Permissions management", "kms:Decrypt": "Write",
	"cloudformation:CreateStack": "Write", "cloudformation:DescribeStacks": "Read",
}

func (reference) Types(action string) ([]least.Type, bool) {
	service, _, _ := strings.Cut(action, ":")
	if action == "dynamodb:ListTables" || action == "s3:ListAllMyBuckets" {
		return nil, true
	}
	var types []least.Type
	for name, template := range templates[service] {
		types = append(types, least.Type{Name: name, Templates: []string{template}})
	}
	return types, types != nil
}

func (reference) Level(action string) string { return accessLevels[action] }

func (reference) Actions(service string) []string {
	var all []string
	for action := range accessLevels {
		if strings.HasPrefix(action, service+":") {
			all = append(all, action)
		}
	}
	slices.Sort(all)
	return all
}

const (
	tables = "arn:aws:dynamodb:us-east-1:123456789012:table/"
	queues = "arn:aws:sqs:us-east-1:123456789012:"
	roles  = "arn:aws:iam::123456789012:role/"
	keys   = "arn:aws:kms:us-east-1:123456789012:key/"
	stacks = "arn:aws:cloudformation:us-east-1:123456789012:stack/"
	bucket = "arn:aws:s3:::reports"
)

// on are facts of an action on resources.
func on(action string, resources ...string) []least.Fact {
	var facts []least.Fact
	for _, r := range resources {
		facts = append(facts, least.Fact{Action: action, Resource: r})
	}
	return facts
}

// each is a text with each of the names put in.
func each(format string, names ...string) []string {
	var all []string
	for _, n := range names {
		all = append(all, fmt.Sprintf(format, n))
	}
	return all
}

// with are facts with a condition key.
func with(facts []least.Fact, name, value string) []least.Fact {
	for i := range facts {
		facts[i].Keys = []least.Key{{Name: name, Value: value}}
	}
	return facts
}

// Each document is given as its statements: a line "Sid: actions on resources", with
// "if key=values".
func TestSuggest(t *testing.T) {
	for name, test := range map[string]struct {
		facts []least.Fact
		widen least.Widen
		want  []string
	}{
		"one table": {
			facts: slices.Concat(on("dynamodb:GetItem", tables+"Cart"), on("dynamodb:PutItem", tables+"Cart")),
			want:  []string{"DynamodbReadWrite: dynamodb:GetItem dynamodb:PutItem on table/Cart"},
		},
		"five stay apart": {
			facts: on("dynamodb:GetItem", each(tables+"orders-%s", "a", "b", "c", "d", "e")...),
			want:  []string{"DynamodbRead: dynamodb:GetItem on table/orders-a table/orders-b table/orders-c table/orders-d table/orders-e"},
		},
		"six begin alike": {
			facts: on("dynamodb:GetItem", each(tables+"orders-%s", "a", "b", "c", "d", "e", "f")...),
			want:  []string{"DynamodbRead: dynamodb:GetItem on table/orders-*"},
		},
		"six stay apart if told": {
			facts: on("sqs:SendMessage", each(queues+"q-%s", "a", "b", "c", "d", "e", "f")...), widen: least.Exact,
			want: []string{"SqsWrite: sqs:SendMessage on q-a q-b q-c q-d q-e q-f"},
		},
		"six that begin alike in no way stay apart": {
			facts: on("sqs:SendMessage", each(queues+"%s", "ab", "ac", "b", "c", "d", "e")...),
			want:  []string{"SqsWrite: sqs:SendMessage on ab ac b c d e"},
		},
		"a whole type, if told": {
			facts: on("sqs:SendMessage", each(queues+"%s", "ab", "ac", "b", "c", "d", "e")...), widen: least.WholeType,
			want: []string{"SqsWrite: sqs:SendMessage on *"},
		},
		"two families": {
			facts: on("sqs:SendMessage", append(each(queues+"mail-%s", "a", "b", "c", "d", "e", "f"), queues+"sms-a", queues+"sms-b")...),
			want:  []string{"SqsWrite: sqs:SendMessage on mail-* sms-a sms-b"},
		},
		"never across regions": {
			facts: slices.Concat(on("dynamodb:GetItem", each(tables+"orders-%s", "a", "b", "c", "d")...),
				on("dynamodb:GetItem", each("arn:aws:dynamodb:eu-west-1:123456789012:table/orders-%s", "a", "b", "c", "d")...)),
			want: []string{"DynamodbRead: dynamodb:GetItem on arn:aws:dynamodb:eu-west-1:123456789012:table/orders-a " +
				"arn:aws:dynamodb:eu-west-1:123456789012:table/orders-b arn:aws:dynamodb:eu-west-1:123456789012:table/orders-c " +
				"arn:aws:dynamodb:eu-west-1:123456789012:table/orders-d table/orders-a table/orders-b table/orders-c table/orders-d"},
		},
		"never across types": {
			facts: slices.Concat(on("dynamodb:Query", each(tables+"o-%s", "a", "b", "c", "d")...),
				on("dynamodb:Query", each(tables+"o-%s/index/x", "a", "b")...)),
			want: []string{"DynamodbRead: dynamodb:Query on table/o-a table/o-a/index/x table/o-b table/o-b/index/x table/o-c table/o-d"},
		},
		"the last part that varies": {
			facts: on("dynamodb:Query", each(tables+"Cart/index/by-%s", "a", "b", "c", "d", "e", "f")...),
			want:  []string{"DynamodbRead: dynamodb:Query on table/Cart/index/by-*"},
		},
		"objects at a slash only": {
			facts: on("s3:GetObject", each(bucket+"/2026-%s", "01", "02", "03", "04", "05", "06")...),
			want:  []string{"S3Read: s3:GetObject on arn:aws:s3:::reports/*"},
		},
		"objects of a folder": {
			facts: on("s3:GetObject", append(each(bucket+"/2026/01/%s", "1", "2", "3", "4", "5", "6"), bucket+"/index.html")...),
			want:  []string{"S3Read: s3:GetObject on arn:aws:s3:::reports/2026/01/* arn:aws:s3:::reports/index.html"},
		},
		"an unknown id": {
			facts: []least.Fact{{Action: "cloudformation:CreateStack", Resource: stacks + "web/*", Instance: stacks + "web/0f"}},
			want:  []string{"CloudformationWrite: cloudformation:CreateStack on stack/web/*"},
		},
		"an unknown id that was known later": {
			facts: append(on("cloudformation:CreateStack", stacks+"web/0f"),
				least.Fact{Action: "cloudformation:CreateStack", Resource: stacks + "web/*", Instance: stacks + "web/0f"}),
			want: []string{"CloudformationWrite: cloudformation:CreateStack on stack/web/*"},
		},
		"a secret that was made again": {
			facts: on("secretsmanager:GetSecretValue", each("arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-%s", "AbCdEf", "0123Zz")...),
			want: []string{"Secretsmanager: secretsmanager:GetSecretValue on " +
				"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-??????"},
		},
		"a secret, exactly": {
			facts: on("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf"), widen: least.Exact,
			want: []string{"Secretsmanager: secretsmanager:GetSecretValue on " +
				"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf"},
		},
		"no type": {
			facts: slices.Concat(on("dynamodb:ListTables", tables+"*"), on("s3:ListAllMyBuckets", "*")),
			want:  []string{"DynamodbList: dynamodb:ListTables on *", "S3List: s3:ListAllMyBuckets on *"},
		},
		"order": {
			facts: slices.Concat(on("sqs:SendMessage", queues+"q"), on("s3:PutObject", bucket+"/k"), on("s3:ListBucket", bucket),
				on("s3:GetObject", bucket+"/l")),
			want: []string{"S3List: s3:ListBucket on arn:aws:s3:::reports", "S3Read: s3:GetObject on arn:aws:s3:::reports/l",
				"S3Write: s3:PutObject on arn:aws:s3:::reports/k", "SqsWrite: sqs:SendMessage on q"},
		},
		"passing a role": {
			facts: slices.Concat(with(on("iam:PassRole", roles+"a"), "iam:PassedToService", "lambda.amazonaws.com"),
				with(on("iam:PassRole", roles+"a"), "iam:PassedToService", "ecs-tasks.amazonaws.com"),
				with(on("iam:PassRole", roles+"b"), "iam:PassedToService", "ecs-tasks.amazonaws.com")),
			want: []string{
				"IamPermissionsManagementN1: iam:PassRole on role/a if iam:PassedToService=ecs-tasks.amazonaws.com,lambda.amazonaws.com",
				"IamPermissionsManagementN2: iam:PassRole on role/b if iam:PassedToService=ecs-tasks.amazonaws.com",
			},
		},
		"a key only by a service": {
			facts: with(on("kms:Decrypt", keys+"1"), "kms:ViaService", "s3.us-east-1.amazonaws.com"),
			want:  []string{"KmsWrite: kms:Decrypt on key/1 if kms:ViaService=s3.us-east-1.amazonaws.com"},
		},
		"a key by a service and without": {
			facts: append(with(on("kms:Decrypt", keys+"1"), "kms:ViaService", "s3.us-east-1.amazonaws.com"), on("kms:Decrypt", keys+"1")...),
			want:  []string{"KmsWrite: kms:Decrypt on key/1"},
		},
		"names with wildcards are names": {
			facts: on("s3:GetObject", bucket+"/a*b?${c}"),
			want:  []string{"S3Read: s3:GetObject on arn:aws:s3:::reports/a${*}b${?}${$}{c}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := suggest(t, test.facts, least.Options{Widen: test.widen})
			if got := describe(t, s); !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			prove(t, test.facts, s)
		})
	}
}

func suggest(t *testing.T, facts []least.Fact, o least.Options) *least.Suggestion {
	t.Helper()
	o.Reference = reference{}
	s, err := least.Suggest(facts, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// document is a policy as it is read.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid, Effect      string
	Action, Resource list
	Condition        map[string]map[string]list `json:",omitempty"`
}

// list is one text, or several.
type list []string

func (l *list) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

func read(t *testing.T, p least.Policy) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(p.Document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// describe are the statements of a suggestion, a line each.
func describe(t *testing.T, s *least.Suggestion) []string {
	t.Helper()
	short := strings.NewReplacer(tables, "table/", queues, "", roles, "role/", keys, "key/", stacks, "stack/")
	var lines []string
	for _, p := range s.Policies {
		for _, st := range read(t, p).Statement {
			var line strings.Builder
			line.WriteString(fmt.Sprintf("%s: %s on %s", st.Sid, strings.Join(st.Action, " "), short.Replace(strings.Join(st.Resource, " "))))
			for key, values := range st.Condition["StringEquals"] {
				line.WriteString(" if " + key + "=" + strings.Join(values, ","))
			}
			lines = append(lines, line.String())
		}
	}
	return lines
}

// allowing tells which facts documents alone allow.
func allowing(t *testing.T, documents []document) func(least.Fact) bool {
	t.Helper()
	var policies policy.Policies
	for _, d := range documents {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := policy.Parse(policy.Identity, text); err == nil {
			policies.Identity = append(policies.Identity, policy.Named{Policy: p})
		} // one that has nothing left does not parse, and allows nothing
	}
	return func(f least.Fact) bool {
		request := policy.Request{
			Principal: policy.Principal{Kind: policy.RoleSession, Account: "123456789012"}, Action: f.Action, Resource: f.Resource,
			Context: &policy.Context{},
		}
		if f.Instance != "" {
			request.Resource = f.Instance
		}
		for _, k := range f.Keys {
			request.Context.Set(k.Name, k.Value)
		}
		return policy.Evaluate(&request, &policies).Allowed
	}
}

// prove holds a suggestion to what it promises: that it is enough, that nothing in it
// can be left out, that each pattern is as told, that AWS takes it, and that the order
// of the facts does not matter.
func prove(t *testing.T, facts []least.Fact, s *least.Suggestion) {
	t.Helper()
	var documents []document
	for _, p := range s.Policies {
		documents = append(documents, read(t, p))
		parsed, err := policy.Parse(policy.Identity, p.Document)
		if err != nil {
			t.Fatalf("%s: %v", p.Document, err)
		}
		if err := parsed.CheckNew("aws"); err != nil {
			t.Errorf("%s: %v", p.Document, err)
		}
		if n := policy.Size(p.Document); n != p.Size {
			t.Errorf("the size is said to be %d, and is %d", p.Size, n)
		}
	}
	allowed := allowing(t, documents)
	for _, f := range facts {
		if !allowed(f) {
			t.Errorf("not enough: %v is denied by\n%s", f, strings.Join(describe(t, s), "\n"))
		}
	}
	loses := func(what string) {
		t.Helper()
		allowed := allowing(t, documents)
		if !slices.ContainsFunc(facts, func(f least.Fact) bool { return !allowed(f) }) {
			t.Errorf("not the least: nothing is lost without %s in\n%s", what, strings.Join(describe(t, s), "\n"))
		}
	}
	for i := range documents {
		for j := range documents[i].Statement {
			st := &documents[i].Statement[j]
			actions, resources := st.Action, st.Resource
			for _, a := range actions {
				st.Action = slices.DeleteFunc(slices.Clone(actions), func(b string) bool { return a == b })
				loses(a)
				// The action on each of the resources: it alone on the others, beside the rest.
				for _, r := range resources {
					whole := documents[i].Statement
					others := whole[j]
					others.Sid, others.Action = "Others", list{a}
					others.Resource = slices.DeleteFunc(slices.Clone(resources), func(q string) bool { return r == q })
					documents[i].Statement = append(slices.Clone(whole), others)
					loses(a + " on " + r)
					documents[i].Statement = whole
				}
			}
			st.Action = actions
		}
	}
	neighbours(t, documents, s)
}

// neighbours asks for resources that are next to what a pattern means.
func neighbours(t *testing.T, documents []document, s *least.Suggestion) {
	t.Helper()
	allowed := allowing(t, documents)
	wide := map[string]bool{}
	for _, w := range s.Widenings {
		wide[w.Pattern] = true
		before, _, ok := strings.Cut(w.Pattern, "*")
		if !ok || strings.ContainsAny(before, "?$") {
			continue
		}
		for _, neighbour := range []string{before[:len(before)-1], before[:len(before)-1] + "~" + "x"} {
			for _, action := range w.Actions {
				others := slices.ContainsFunc(documents, func(d document) bool {
					return slices.ContainsFunc(d.Statement, func(st statement) bool {
						return slices.ContainsFunc(st.Resource, func(r string) bool {
							return r != w.Pattern && r != "*" && strings.HasPrefix(neighbour, strings.TrimSuffix(r, "*"))
						})
					})
				})
				if allowed(least.Fact{Action: action, Resource: neighbour}) && !others {
					t.Errorf("%s lets %s be done to %s", w.Pattern, action, neighbour)
				}
			}
		}
	}
	for _, d := range documents {
		for _, st := range d.Statement {
			for _, r := range st.Resource {
				plain := strings.NewReplacer("${*}", "", "${?}", "").Replace(r)
				if r != "*" && strings.ContainsAny(plain, "*?") && !wide[r] {
					t.Errorf("the pattern %s is not told", r)
				}
			}
		}
	}
}

// random are facts of all kinds.
func random(r *rand.Rand) []least.Fact {
	word := func(words ...string) string { return words[r.IntN(len(words))] }
	name := func() string {
		return word("a", "b", "orders", "mail", "x*", "Ö") + word("", "-", "/", ".") + word("1", "2", "3", "north", "") + word("", "-9", "/k")
	}
	var facts []least.Fact
	for range r.IntN(50) + 1 {
		switch r.IntN(9) {
		case 0, 1:
			facts = append(facts, on(word("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"), tables+name())...)
		case 2:
			facts = append(facts, on("dynamodb:Query", tables+name()+"/index/"+name())...)
		case 3, 4:
			facts = append(facts, on(word("s3:GetObject", "s3:PutObject"), word(bucket, bucket+"-2")+"/"+name())...)
		case 5:
			facts = append(facts, on(word("sqs:SendMessage", "sqs:Unheard"), queues+name())...)
		case 6:
			passed := on("iam:PassRole", roles+name())
			if r.IntN(3) > 0 {
				passed = with(passed, "iam:PassedToService", word("ecs-tasks.amazonaws.com", "lambda.amazonaws.com"))
			}
			facts = append(facts, passed...)
		case 7:
			stack := stacks + word("web", "db") + "/"
			f := least.Fact{Action: word("cloudformation:CreateStack", "cloudformation:DescribeStacks"), Resource: stack + name()}
			if r.IntN(2) > 0 {
				f.Instance, f.Resource = f.Resource, stack+"*"
			}
			facts = append(facts, f)
		case 8:
			facts = append(facts, on(word("s3:ListAllMyBuckets", "newsvc:Frobnicate"), "*")...)
		}
	}
	return facts
}

func TestSuggestProperties(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		facts := random(r)
		o := least.Options{Widen: []least.Widen{"", least.Exact, least.WholeType}[r.IntN(3)]}
		if r.IntN(3) == 0 {
			o.Limit, o.Documents = 900, 40
		}
		s := suggest(t, facts, o)
		prove(t, facts, s)
		for _, p := range s.Policies {
			if o.Limit > 0 && p.Size > o.Limit {
				t.Errorf("a document of %d characters does not fit into %d", p.Size, o.Limit)
			}
		}
		shuffled := slices.Clone(facts)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again := suggest(t, append(shuffled, facts[0]), o)
		one, _ := json.Marshal(s)
		two, _ := json.Marshal(again)
		if string(one) != string(two) {
			t.Errorf("other bytes for the same facts:\n%s\n%s", one, two)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %+v", seed, o)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, test := range [][3]string{
		{stacks + "web/*", stacks + "web/5f1b", stacks + "web/*"},
		{stacks + "w*b/*", stacks + "w*b/5f1b", stacks + "w${*}b/*"},
		{stacks + "${a}/*/x?", stacks + "${a}/5f1b/x?", stacks + "${$}{a}/*/x${?}"},
		{"arn:aws:secretsmanager:us-east-1:1:secret:app-*", "arn:aws:secretsmanager:us-east-1:1:secret:app-AbCdEf",
			"arn:aws:secretsmanager:us-east-1:1:secret:app-??????"},
		{"arn:aws:autoscaling:us-east-1:1:autoScalingGroup:*:autoScalingGroupName/g",
			"arn:aws:autoscaling:us-east-1:1:autoScalingGroup:5f1b:autoScalingGroupName/g",
			"arn:aws:autoscaling:us-east-1:1:autoScalingGroup:*:autoScalingGroupName/g"},
	} {
		if got := least.Pattern(test[0], test[1]); got != test[2] {
			t.Errorf("%s: got %s, want %s", test[0], got, test[2])
		}
	}
}

// What a role has is held against what it was seen to need.
func TestCompare(t *testing.T) {
	facts := slices.Concat(on("s3:GetObject", bucket+"/a"), on("dynamodb:GetItem", tables+"Cart"), on("sqs:SendMessage", queues+"q"),
		on("kms:Decrypt", keys+"1"))
	others := on("s3:PutObject", bucket+"/b")
	attached := []least.Attached{
		{"wide", `{"Version":"2012-10-17","Statement":[{"Sid":"All","Effect":"Allow","Action":["s3:*","sqs:SendMessage"],"Resource":"*"}]}`},
		{"tight", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:PutItem"],` +
			`"Resource":"` + tables + `Cart"}}`},
	}
	want := strings.TrimPrefix(`
Needed, and not granted:
  + kms:Decrypt on arn:aws:kms:us-east-1:123456789012:key/1
Granted, and never used:
  - s3:* (wide, statement All): s3:ListAllMyBuckets, s3:ListBucket, s3:PutObject
  - dynamodb:PutItem (tight, statement 0)
Used, and granted only by a wildcard:
  ~ s3:GetObject on arn:aws:s3:::reports/a (wide, statement All: s3:* *)
  ~ sqs:SendMessage on arn:aws:sqs:us-east-1:123456789012:q (wide, statement All: sqs:SendMessage *)
Seen at other times or of others, and lost:
  ! s3:PutObject on arn:aws:s3:::reports/b
`, "\n")
	d := least.Compare(attached, facts, others, suggest(t, facts, least.Options{}), reference{})
	if got := d.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	tight := []least.Attached{{"tight", string(suggest(t, facts, least.Options{}).Policies[0].Document)}}
	if got := least.Compare(tight, facts, facts, suggest(t, facts, least.Options{}), nil).String(); got != "" {
		t.Errorf("against itself:\n%s", got)
	}
}

// What does not fit is split, then widened, and in the end refused.
func TestSuggestSize(t *testing.T) {
	var facts []least.Fact
	for i := range 300 {
		facts = append(facts, on("dynamodb:GetItem", fmt.Sprintf("%s%c%c%d", tables, 'a'+i%26, 'a'+i/26, i))...)
		facts = append(facts, on("sqs:SendMessage", fmt.Sprintf("%s%c%c-%d", queues, 'a'+i%26, 'a'+i/26, i%2))...)
	}
	s := suggest(t, facts, least.Options{Name: "app"})
	if len(s.Policies) < 3 || s.Policies[0].Name != "app-1" || len(s.Widenings) > 0 {
		t.Errorf("%d policies, %d widenings", len(s.Policies), len(s.Widenings))
	}
	prove(t, facts[:20], suggest(t, facts[:20], least.Options{}))
	_, err := least.Suggest(facts, least.Options{Documents: 2, Reference: reference{}})
	if !errors.Is(err, least.ErrTooLarge) {
		t.Errorf("two documents are enough, or: %v", err)
	}
	var alike []least.Fact
	for i := range 200 {
		alike = append(alike, on("sqs:SendMessage", fmt.Sprintf("%s%c%c-%d", queues, 'a'+i/4%26, 'a'+i/104, i%4))...)
	}
	s = suggest(t, alike, least.Options{Documents: 1, Limit: 3000})
	if len(s.Policies) != 1 || len(s.Widenings) != 50 || !strings.Contains(s.Widenings[0].Why, "would not fit") {
		t.Errorf("%d policies, %v", len(s.Policies), s.Widenings)
	}
	prove(t, alike, s)
}

// The worst that the emulator remembers of a role: names that begin alike in no way,
// which fit nowhere.
func BenchmarkSuggestUnrelated(b *testing.B) {
	var facts []least.Fact
	for i := range 10_000 {
		facts = append(facts, on("dynamodb:GetItem", fmt.Sprintf("%st%x%d", tables, i*7919%10007, i))...)
	}
	for b.Loop() {
		if _, err := least.Suggest(facts, least.Options{Reference: reference{}}); err == nil {
			b.Fatal("it fits")
		}
	}
}

// As many that are patterns, beside as many that these allow.
func BenchmarkSuggestPatterns(b *testing.B) {
	var facts []least.Fact
	for i := range 5000 {
		stack := fmt.Sprintf("%ss%d/", stacks, i)
		facts = append(facts, least.Fact{Action: "cloudformation:DescribeStacks", Resource: stack + "*", Instance: stack + "0f"})
		facts = append(facts, on("cloudformation:DescribeStacks", stack+"1f")...)
	}
	for b.Loop() {
		if _, err := least.Suggest(facts, least.Options{Reference: reference{}}); err == nil {
			b.Fatal("it fits")
		}
	}
}
