package app

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// tagBucket marks a member's bucket as `up` does.
func (m *member) tagBucket(name string) {
	m.t.Helper()
	var set []s3types.Tag
	for k, v := range owner.Tags(name, m.uid) {
		set = append(set, s3types.Tag{Key: &k, Value: &v})
	}
	_, err := m.aws.S3(m.aws.Config()).PutBucketTagging(m.t.Context(), &s3.PutBucketTaggingInput{Bucket: &m.iss.Bucket, Tagging: &s3types.Tagging{TagSet: set}})
	if err != nil {
		m.t.Fatal(err)
	}
}

// possessions are a member's provider and documents as they are in the account.
type possessions struct {
	provider        bool
	jwks, discovery string
	bucket          bool
}

func (m *member) possessions() possessions {
	m.t.Helper()
	p := possessions{}
	there, ok, err := provider.Get(m.t.Context(), iam.NewFromConfig(m.aws.Config()), m.iss.ARN)
	if err != nil {
		m.t.Fatal(err)
	}
	p.provider = ok && there.Tags[owner.UIDTag] == m.uid
	place := publish.S3{Client: m.aws.S3(m.aws.Config()), Account: m.aws.Account(), Region: emulatortest.Region, Bucket: m.iss.Bucket}
	if p.bucket, err = place.Exists(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	for path, text := range map[string]*string{issuer.JWKSPath: &p.jwks, issuer.DiscoveryPath: &p.discovery} {
		body, err := place.Published(m.t.Context(), path)
		if err != nil {
			m.t.Fatal(err)
		}
		*text = string(body)
	}
	return p
}

// A record that names what is another cluster's, copied or edited, deletes none
// of that: not the provider, nor the documents, the bucket, a role, or a
// statement of a role that both share. All that stays is named.
func TestAPIServerRecordOfAnother(t *testing.T) {
	for name, edit := range map[string]func(s *record.Record, east record.Record){
		"copied whole": func(s *record.Record, east record.Record) { *s = east },
		"edited":       func(s *record.Record, east record.Record) { west := s.Cluster; *s = east; s.Cluster = west },
		"bucket":       func(s *record.Record, east record.Record) { s.Bucket = east.Bucket },
		"provider":     func(s *record.Record, east record.Record) { s.Provider = east.Provider },
	} {
		t.Run(name, func(t *testing.T) {
			aws := emulatortest.Start(t)
			useEmulator(t, aws)
			east, west := newMember(t, aws, "east"), newMember(t, aws, "west")
			east.tagBucket("east")
			west.tagBucket("west")
			east.mustSetup("iamserviceaccount", "create", "--name", "app", "--role-name", "reader", "--attach-policy-arn", readOnly, "--approve")
			west.mustSetup("iamserviceaccount", "create", "--name", "app", "--role-name", "reader", "--share-role", "--approve")
			east.mustSetup("iamserviceaccount", "create", "--name", "own", "--attach-policy-arn", readOnly, "--approve")
			before := east.possessions()
			var theirs record.Record
			east.record(func(s *record.Record) { theirs = *s })
			west.record(func(s *record.Record) { edit(s, theirs) })

			commands := [][]string{{"keys", "rotate"}, {"issuer", "migrate", "--to", "elsewhere"}, {"export", "terraform"}}
			if name != "bucket" {
				commands = append(commands, []string{"iamserviceaccount", "create", "--name", "late", "--attach-policy-arn", readOnly, "--approve"},
					[]string{"iamserviceaccount", "delete", "--name", "app"})
			}
			for _, command := range commands {
				if status, _, errs := west.setup(command...); status != 1 || !strings.Contains(errs, "another") || !strings.Contains(errs, east.uid) {
					t.Errorf("%s: status %d, %s", command, status, errs)
				}
			}
			if name != "bucket" {
				_, out, _ := west.setup("status", "-o", "json")
				if !strings.Contains(out, east.uid) {
					t.Errorf("status: %s", out)
				}
			}
			status, out, errs := west.setup("down", "--immediately")
			if status != 0 {
				t.Fatalf("down: status %d\n%s%s", status, out, errs)
			}
			if now := east.possessions(); !reflect.DeepEqual(now, before) || !now.bucket || !now.provider || now.jwks == "" {
				t.Errorf("of the other cluster is left %+v, was %+v", now, before)
			}
			if name != "provider" && !strings.Contains(errs, "s3://"+east.iss.Bucket) || name != "bucket" && !strings.Contains(errs, east.iss.ARN) || !strings.Contains(errs, east.uid) {
				t.Errorf("what stays is not named: %s", errs)
			}
			shared, ok, err := role.Get(t.Context(), iam.NewFromConfig(aws.Config()), "reader")
			if err != nil || !ok || len(trust.Subjects(shared.Trust, east.iss.ARN)) != 1 {
				t.Errorf("the shared role became %s, %v", shared.Trust, err)
			}
			for _, sa := range []string{"app", "own"} {
				if _, err := aws.Assume(east.roleOf(sa), east.iss.Token("default", sa)); err != nil {
					t.Errorf("%s of the other cluster: %v", sa, err)
				}
			}
			if out := east.mustSetup("down", "--immediately"); !strings.Contains(out, east.iss.ARN) {
				t.Errorf("its own down: %s", out)
			}
			if now := east.possessions(); now != (possessions{}) {
				t.Errorf("after its own down there is %+v", now)
			}
		})
	}
}

// Where no tag tells whose documents are, the keys in them do; and a bucket that
// only the record calls the cluster's stays.
func TestAPIServerDocumentsWithoutTags(t *testing.T) {
	aws := emulatortest.Start(t)
	useEmulator(t, aws)
	m := newMember(t, aws, "dev")
	client := iam.NewFromConfig(aws.Config())
	if _, err := client.DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &m.iss.ARN}); err != nil {
		t.Fatal(err)
	}
	before := m.possessions()
	var recorded record.Record
	m.record(func(s *record.Record) { recorded = *s })
	status, _, errs := m.setup("down", "--immediately")
	if now := m.possessions(); status != 0 || now != before || !strings.Contains(errs, "s3://"+m.iss.Bucket) {
		t.Errorf("status %d, %s\nthere is %+v, was %+v", status, errs, now, before)
	}

	jwks, err := m.server.Client.RESTClient().Get().AbsPath(issuer.JWKSPath).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = aws.S3(aws.Config()).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &m.iss.Bucket, Key: new(strings.TrimPrefix(issuer.JWKSPath, "/")), Body: bytes.NewReader(jwks)})
	if err != nil {
		t.Fatal(err)
	}
	m.record(func(s *record.Record) { *s = recorded })
	status, _, errs = m.setup("down", "--immediately")
	if now := m.possessions(); status != 0 || now.jwks != "" || now.discovery != "" || !now.bucket || !strings.Contains(errs, "bucket "+m.iss.Bucket) {
		t.Errorf("status %d, %s\nthere is %+v", status, errs, now)
	}
}
