package record_test

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/record"
)

// written are the data of ConfigMaps, by what they hold. testdata/configmaps.json
// was written by the types that were marshalled before this package was there, at
// commit a44849b, and "everything, later" with the fields that came after that.
func written(t *testing.T) map[string]map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/configmaps.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]string
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// What was written is read, and written again to the byte, so that another
// version of the project finds the record that it knows.
func TestWritten(t *testing.T) {
	all := written(t)
	if len(all) < 20 {
		t.Fatalf("only %d records", len(all))
	}
	for name, data := range all {
		r, err := record.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := r.Encode(); !maps.Equal(again, data) {
			t.Errorf("%s:\nwas %q\nis  %q", name, data, again)
		}
	}
}

// Every field is written and read: a record with all of them has none that is
// empty.
func TestEveryField(t *testing.T) {
	all := written(t)
	everything, later := all["everything"], all["everything, later"]
	if len(everything) != 15 || len(later) != 21 {
		t.Errorf("the test knows %d and %d keys", len(everything), len(later))
	}
	r, err := record.Parse(later)
	if err != nil {
		t.Fatal(err)
	}
	r.Change = new(record.Change)
	for _, field := range empty(reflect.ValueOf(r)) {
		t.Errorf("%s is empty", field)
	}
	want := record.Record{
		Cluster: "dev",
		Location: record.Location{
			Issuer:   "https://openirsa-dev.s3.eu-west-1.amazonaws.com/clusters/dev",
			Provider: "arn:aws:iam::123456789012:oidc-provider/openirsa-dev.s3.eu-west-1.amazonaws.com/clusters/dev",
			Bucket:   "openirsa-dev", Prefix: "clusters/dev", BucketOwned: true,
			PrivateBucket: true, Distribution: "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE",
		},
		FormerIssuers: []string{"https://a.example", "https://b.example/x"},
		Account:       "123456789012", Partition: "aws", Region: "eu-west-1",
		Endpoint: "http://aws.openirsa-system.svc", Emulator: true, KeepIssuer: true, PodIdentity: true, Image: "registry.example/openirsa:v1",
		Forward:       []string{"*=http://b:1", "sqs=http://a:1"},
		FailurePolicy: "Ignore", IgnoreNamespaces: []string{"ci", "monitoring"}, ExcludeNamespaces: []string{"legacy"},
		Change: r.Change,
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("\nread %+v\nwant %+v", r, want)
	}
	if nothing, err := record.Parse(all["nothing"]); err != nil || !reflect.DeepEqual(nothing, record.Record{}) {
		t.Errorf("nothing is read as %+v, %v", nothing, err)
	}
}

// empty are the fields below v that are empty.
func empty(v reflect.Value) []string {
	var names []string
	for field, value := range v.Fields() {
		if field.Anonymous {
			names = append(names, empty(value)...)
		} else if value.IsZero() {
			names = append(names, field.Name)
		}
	}
	return names
}

// A change is read at every stage, on the way there and back.
func TestChange(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 1, 12, minute, 30, 123456789, time.UTC) }
	all := written(t)
	for name, data := range all {
		if data["change"] == "" {
			continue
		}
		r, err := record.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := r.Change
		parts := strings.Split(name, ", ")
		if stage := parts[len(parts)-1]; stage != "begun" && string(c.Stage) != stage {
			t.Errorf("%s: stage %s", name, c.Stage)
		}
		if c.Rollback != slices.Contains(parts, "rollback") {
			t.Errorf("%s: rollback %v", name, c.Rollback)
		}
		for i, moment := range []time.Time{c.Prepared, c.Signing, c.Signed, c.Clear} {
			if want := slices.Index(record.Stages(), c.Stage) > i; want != moment.Equal(at(i+1)) || want == moment.IsZero() {
				t.Errorf("%s: time %d is %s", name, i, moment)
			}
		}
		switch {
		case parts[len(parts)-1] == "begun":
		case parts[0] == "rotation":
			files := record.KeyFiles{
				KeyFiles:      []string{"/etc/kubernetes/pki/sa.pub", "/etc/kubernetes/pki/more.pub"},
				PublicKeyFile: "/etc/kubernetes/pki/sa.pub", SigningKeyFile: "/etc/kubernetes/pki/sa.key", PrivateKeyFile: "/etc/kubernetes/pki/sa.key",
			}
			rotation := c.Rotation
			if c.Kind != record.KeyRotation || c.Migration != nil || rotation.Algorithm != "ES256" || !reflect.DeepEqual(rotation.Nodes["a"], files) ||
				rotation.Nodes["b"].PrivateKeyFile != "" || !slices.Equal(rotation.Old, []string{"old-1", "old-2"}) || !slices.Equal(rotation.New, []string{"new-1"}) ||
				c.CacheWait != record.Duration(10*time.Minute) || c.TokenLifetime != record.Duration(24*time.Hour) {
				t.Errorf("%s: %+v", name, rotation)
			}
		default:
			from, to := c.Migration.From, c.Migration.To
			if c.Kind != record.IssuerMigration || c.Rotation != nil || !from.BucketOwned || !from.PrivateBucket || from.Bucket != "openirsa-dev" ||
				to != (record.Location{Issuer: "https://oidc.example.com/dev", Provider: "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/dev"}) ||
				c.CacheWait != record.Duration(90*time.Second) {
				t.Errorf("%s: %+v", name, c.Migration)
			}
		}
	}
}

// What another version has written is refused, and not half understood.
func TestChangeOfAnotherVersion(t *testing.T) {
	for text, want := range map[string]string{
		"{":                               "unexpected end",
		`{"stage":"dance","rotation":{}}`: "another version",
		`{"stage":"sign"}`:                "another version",
		`{"stage":"sign","cacheWait":"soon","rotation":{}}`: "invalid duration",
	} {
		r, err := record.Parse(map[string]string{"cluster": "dev", "issuer": "https://a.example", "change": text})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the change") {
			t.Errorf("%s is read as %+v, %v", text, r.Change, err)
		}
	}
}

func TestStages(t *testing.T) {
	for i, s := range record.Stages() {
		for j, other := range record.Stages() {
			if s.Before(other) != (i < j) {
				t.Errorf("%s before %s: %v", s, other, s.Before(other))
			}
		}
		if next := s.Next(); i+1 < len(record.Stages()) && next != record.Stages()[i+1] || i+1 == len(record.Stages()) && next != "" {
			t.Errorf("after %s comes %q", s, next)
		}
	}
}

func TestNames(t *testing.T) {
	for want, to := range map[string]record.Location{
		"bucket":             {Issuer: "https://x", Bucket: "bucket"},
		"bucket/a/b":         {Issuer: "https://x", Bucket: "bucket", Prefix: "a/b"},
		"https://x.example/": {Issuer: "https://x.example/"},
	} {
		if got := (&record.Migration{To: to}).Target(); got != want {
			t.Errorf("%+v is called %s, want %s", to, got, want)
		}
	}
	c := record.Change{Kind: record.KeyRotation, ID: "1", Stage: record.Sign}
	if got := c.String(); got != "key rotation 1: stage sign" {
		t.Error(got)
	}
	c.Rollback = true
	if got := c.String(); got != "key rotation 1: stage sign of the rollback" {
		t.Error(got)
	}
}
