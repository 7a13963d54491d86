package emulator

import (
	"bytes"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/kms"
	"github.com/openirsa/openirsa/pkg/emulator/internal/metrics"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// CheckAnswer holds an answer of STS or IAM against the service's model: which
// members it has that the model does not know, and which it lacks that the model
// says are always there.
var CheckAnswer = wire.CheckAnswer

// Operations are those of a service that can succeed.
func Operations(service string) map[string]bool {
	all := make(map[string]bool)
	if service == "sts" {
		for name := range stsOperations {
			all[name] = true
		}
		return all
	}
	for name := range maps.Keys(iamOperations) {
		all[name] = true
	}
	for name := range absentOperations {
		if name[:4] == "List" && name[len(name)-4:] != "Tags" {
			all[name] = true
		}
	}
	return all
}

// Names of all operations, for tests that are to leave none out.
func STSOperations() []string { return slices.Sorted(maps.Keys(stsOperations)) }
func IAMOperations() []string { return slices.Sorted(maps.Keys(iamOperations)) }
func KMSOperations() []string {
	return slices.Sorted(maps.Keys(kms.New(nil).(*kms.Service).Operations))
}
func S3Operations() []string { return slices.Sorted(maps.Keys(s3.Operations)) }

// Metrics are what an emulator's metrics are.
func Metrics(s *Server) []metrics.Description {
	var all []metrics.Description
	for _, f := range s.metrics.set {
		all = append(all, f.Describe())
	}
	return all
}

// Question is what policies are asked, and Failure what a caller is told.
type (
	Question = api.Question
	Failure  = wire.Failure
)

// MakeRole makes a role with one inline policy, in memory only.
func MakeRole(s *Server, name, document string) {
	r := &role{
		entity: entity{ID: "AROA" + strings.ToUpper(name), Name: name, ARN: s.arn("iam", "role/"+name), Inline: []inlinePolicy{{"only", document}}},
		Trust:  `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
	}
	s.iam.mu.Lock()
	defer s.iam.mu.Unlock()
	if err := s.iam.storeRole(r); err != nil {
		panic(err)
	}
}

// Ask asks a question as a session of a role, which is there, got for a token with a
// subject of the issuer "https://issuer.test"; without a subject it is no such session.
func Ask(s *Server, role, subject string, q *Question) *Failure {
	who := &session{kind: roleSession, entity: s.iam.roleByName(role).ID, name: "test"}
	if subject != "" {
		who.provider, who.issuer, who.subject = s.arn("iam", "oidc-provider/issuer.test"), "issuer.test", subject
	}
	c := api.NewCall(httptest.NewRequest("POST", "/", nil), s.Now(), &s.bodies)
	defer c.End()
	c.Caller, _ = s.sessionCaller(who)
	c.Service, c.Operation, _ = strings.Cut(q.Action, ":")
	return s.authorize(c, q)
}

// Pairs is how many actions on resources are remembered of all roles.
func Pairs(s *Server) int {
	s.facts.mu.Lock()
	defer s.facts.mu.Unlock()
	return s.facts.pairs
}

// ReadClaims are the claims of a document by their names, ReadText is a claim that is a
// string, ReadTexts one that is a list of them, and ReadPodClaims is the claim kubernetes.io.
func ReadClaims(document []byte) (members, bool) {
	all, ok := readClaims(document)
	return all.byName(), ok
}

func ReadText(value []byte) (text string, ok bool) {
	ok = readText(value, &text)
	return text, ok
}

func ReadTexts(value []byte) (texts []string, ok bool) {
	ok = readTexts(value, &texts)
	return texts, ok
}

func ReadPodClaims(document []byte) *podClaims {
	bound, _ := podOf(bytes.TrimSpace(document))
	return bound
}
