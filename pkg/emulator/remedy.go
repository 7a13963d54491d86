package emulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/internal/shell"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Remedy says what would allow what policies denied.
type Remedy struct {
	// Text says it in words.
	Text string `json:"text"`
	// Additions are the statements that are lacking, one for each document that lacks
	// one; all of them are needed. There are none if a statement denies explicitly,
	// or if what was asked for cannot be written down.
	Additions []Addition `json:"additions,omitempty"`
}

// Addition is a statement that a document lacks.
type Addition struct {
	// Type is the type of the document, such as "identity-based policy".
	Type string `json:"type"`
	// To is the ARN of what the document belongs to or is: a role or a user, a
	// bucket, the policy that is a permissions boundary, a session.
	To string `json:"to"`
	// Statement is the statement.
	Statement json.RawMessage `json:"statement"`
	// Command puts it there, in a POSIX shell, with the rest of the document as it was
	// when the event was read. "" if there is no such command.
	Command string `json:"command,omitempty"`
	// Note is what is to be known before.
	Note string `json:"note,omitempty"`
}

const unshown = "A statement could allow it, but it would be very long, or have a value in it that looks like a secret, so it is not shown."

// maxStatement bounds, in bytes, a statement of an [Addition].
const maxStatement = 4096

// remedy is what would allow a call that was denied.
func (s *Server) remedy(caller *api.Caller, request *policy.Request, policies *policy.Policies) *Remedy {
	found := policies.Remedy(request)
	if d := found.Denying; d.Policy != "" {
		return &Remedy{Text: shown(fmt.Sprintf("No Allow helps: %s denies it explicitly. Change or remove that statement.", d), maxReason)}
	}
	if len(found.Additions) == 0 {
		return nil
	}
	r := &Remedy{}
	var documents []string
	for _, a := range found.Additions {
		if len(a.Statement) > maxStatement || redact.Text(string(a.Statement)) != string(a.Statement) {
			return &Remedy{Text: unshown}
		}
		addition, document := s.placed(caller, request, &a)
		if policies.Boundary != nil && a.Type == policy.BoundaryType {
			addition.To = policies.Boundary.Name
		}
		addition.To = shown(addition.To, maxText)
		for _, c := range a.Omitted {
			why := fmt.Sprintf("The condition %s on %s is left out: no later call would meet it.", c.Operator, c.Key)
			addition.Note = sentence(addition.Note, why)
		}
		addition.Note = shown(addition.Note, maxReason)
		r.Additions, documents = append(r.Additions, addition), append(documents, document)
	}
	r.Text = fmt.Sprintf("This statement in %s would allow it.", documents[0])
	if len(documents) > 1 {
		r.Text = fmt.Sprintf("%d statements would allow it together: in %s.", len(documents), strings.Join(documents, ", and in "))
	}
	r.Text = shown(r.Text, maxReason)
	return r
}

func sentence(before, next string) string { return strings.TrimSpace(before + " " + next) }

// placed is an addition with what its document belongs to, and that document in
// words.
func (s *Server) placed(caller *api.Caller, request *policy.Request, a *policy.Addition) (Addition, string) {
	addition := Addition{Type: string(a.Type), Statement: a.Statement}
	who := identityOf(caller)
	switch a.Type {
	case policy.TrustType:
		addition.To = request.Resource
		return addition, "the trust policy of role " + nameOf(request.Resource)
	case policy.SessionType:
		addition.To = caller.ARN
		addition.Note = "A session keeps the policies that it began with: begin another with this statement in its session policy."
		addition.Command = s.sessionCommand(caller, who.session, a.Statement)
		return addition, "the session policy"
	case policy.BoundaryType:
		return addition, "the permissions boundary"
	case policy.ServiceControlType:
		addition.To = a.Target
		if m := s.membership(caller.Account); m != nil {
			addition.Note = "The management account of the organization, " + m.Master + ", has to attach a policy with it."
		}
		return addition, "a service control policy at " + a.Level
	case policy.ResourceType:
		owner := "account " + request.ResourceAccount + "'s, which has to add it."
		if strings.Contains(request.Resource, ":kms:") {
			addition.To = request.Resource
			if request.ResourceAccount != caller.Account {
				addition.Note = "The key is " + owner
			}
			return addition, "the policy of the key"
		}
		addition.To = bucketOfARN(request.Resource)
		if caller.Kind == policy.Anonymous {
			addition.Note = "It lets in everybody, without credentials; S3 Block Public Access must allow that too. " +
				"Sign the request if it was not meant to be anonymous."
		}
		if request.ResourceAccount != cmp.Or(caller.Account, s.account.ID) {
			addition.Note = sentence(addition.Note, "The bucket is "+owner)
		}
		return addition, "the policy of the bucket"
	}
	switch {
	case who.role != nil:
		addition.To = who.role.ARN
		return addition, "an identity-based policy of role " + who.role.Name
	case who.user != nil:
		addition.To = who.user.ARN
		return addition, "an identity-based policy of user " + who.user.Name
	}
	addition.To = caller.ARN
	return addition, "an identity-based policy"
}

func nameOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// bucketOfARN is the ARN of the bucket that an object is in.
func bucketOfARN(arn string) string {
	bucket, _, _ := strings.Cut(arn, "/")
	return bucket
}

// sessionCommand begins a session like the one of a caller, with a statement more.
// What it takes is gone once the call is over, so it is written at once.
func (s *Server) sessionCommand(caller *api.Caller, session *session, statement []byte) string {
	if session == nil {
		return ""
	}
	document, ok := withStatement(session.policy, statement)
	if !ok {
		return ""
	}
	var command []string
	var token string // a word that the shell is to make
	switch {
	case session.kind == federatedSession:
		command = []string{"aws", "sts", "get-federation-token", "--name", session.name}
	case session.kind != roleSession || session.cluster != "":
		return ""
	case session.provider != "":
		command = []string{"aws", "sts", "assume-role-with-web-identity", "--role-arn", caller.EntityARN, "--role-session-name", session.name}
		token = ` --web-identity-token "$(cat "$AWS_WEB_IDENTITY_TOKEN_FILE")"`
	default:
		command = []string{"aws", "sts", "assume-role", "--role-arn", caller.EntityARN, "--role-session-name", session.name}
	}
	if len(session.policyARNs) > 0 {
		command = append(command, "--policy-arns")
		for _, arn := range session.policyARNs {
			command = append(command, "arn="+arn)
		}
	}
	return shell.Words(append(command, "--policy", document)...) + token
}

// readEvent is an event in full, with the commands for its remedy as of now.
func (s *Server) readEvent(e *entry) Event {
	event := e.read()
	if event.Remedy == nil {
		return event
	}
	remedy := *event.Remedy
	remedy.Additions = slices.Clone(remedy.Additions)
	for i := range remedy.Additions {
		a := &remedy.Additions[i]
		if a.Command == "" {
			s.command(a, event.Action)
		}
		if redact.Text(a.Command) != a.Command {
			a.Command = "" // the document that it would write has a secret in it
		}
	}
	event.Remedy = &remedy
	return event
}

// command writes the command of an addition, if there is what it is for.
func (s *Server) command(a *Addition, action string) {
	if owner := s.accounts[accountOf(a.To)]; owner != nil {
		s = owner
	}
	role := s.iam.roleByName(nameOf(a.To))
	if role != nil && role.ARN != a.To {
		role = nil
	}
	switch policy.Type(a.Type) {
	case policy.IdentityType:
		entity, flag := "role", "--role-name"
		if role == nil {
			entity, flag = "user", "--user-name"
		}
		if role == nil && !strings.Contains(a.To, ":user/") {
			return
		}
		document, _ := withStatement("", a.Statement)
		a.Command = shell.Words("aws", "iam", "put-"+entity+"-policy", flag, nameOf(a.To), "--policy-name", policyName(action, a.Statement),
			"--policy-document", document)
		s.noteOwned(a, role, "which leaves the role with the policies that it names: put the statement into its --inline-policy-file too")
	case policy.TrustType:
		if role == nil {
			return
		}
		if document, ok := withStatement(role.Trust, a.Statement); ok && a.fits("trust policy", policy.Size([]byte(document)), policy.MaxTrust) {
			a.Command = shell.Words("aws", "iam", "update-assume-role-policy", "--role-name", role.Name, "--policy-document", document)
		}
		s.noteOwned(a, role, "which can as well give this service account a role of its own")
	case policy.BoundaryType:
		managed := s.iam.managedPolicy(a.To)
		switch {
		case managed == nil:
		case strings.Contains(a.To, "::aws:policy/"):
			a.Note = sentence(a.Note, "AWS's own policies cannot be changed: make one of your own the boundary, or take the boundary away.")
		default:
			document, ok := withStatement(s.iam.document(managed, managed.Default), a.Statement)
			if ok && a.fits("policy", policy.Size([]byte(document)), policy.MaxManaged) {
				a.Command = shell.Words("aws", "iam", "create-policy-version", "--policy-arn", a.To, "--set-as-default", "--policy-document", document)
			}
		}
	case policy.ServiceControlType:
		document, _ := withStatement("", a.Statement)
		create := shell.Words("aws", "organizations", "create-policy", "--type", "SERVICE_CONTROL_POLICY",
			"--name", policyName(action, a.Statement), "--description", "Allows "+action, "--content", document,
			"--query", "Policy.PolicySummary.Id", "--output", "text")
		a.Command = `aws organizations attach-policy --policy-id "$(` + create + `)" ` + shell.Words("--target-id", a.To)
	case policy.ResourceType:
		if there, found := s.keyPolicy(a.To); found {
			document, ok := withStatement(there, a.Statement)
			if ok && a.fits("key policy", len(document), maxKeyPolicy) {
				a.Command = shell.Words("aws", "kms", "put-key-policy", "--key-id", a.To, "--policy-name", "default", "--policy", document)
			}
			return
		}
		name := a.To[strings.LastIndexByte(a.To, ':')+1:]
		there, own := s.s3.BucketPolicy(name)
		if document, ok := withStatement(there, a.Statement); ok && own && a.fits("bucket policy", len(document), policy.MaxBucket) {
			a.Command = shell.Words("aws", "s3api", "put-bucket-policy", "--bucket", name, "--policy", document)
		}
	}
}

// maxKeyPolicy is how many bytes a key policy may have (PutKeyPolicy).
const maxKeyPolicy = 32768

// keyRing is the emulator's own KMS.
type keyRing interface {
	KeyPolicy(arn string) (document string, found bool)
	KeyTags(arn string) map[string]string
}

// keyPolicy is the policy of a KMS key, and whether there is one.
func (s *Server) keyPolicy(arn string) (document string, found bool) {
	for _, service := range s.services {
		if keys, ok := service.(keyRing); ok {
			return keys.KeyPolicy(arn)
		}
	}
	return "", false
}

// keyTags are the tags of a KMS key.
func (s *Server) keyTags(arn string) map[string]string {
	for _, service := range s.services {
		if keys, ok := service.(keyRing); ok {
			return keys.KeyTags(arn)
		}
	}
	return nil
}

// fits reports whether a document with the statement in it, which has a number of
// characters, is as short as AWS demands, and notes it if it is not.
func (a *Addition) fits(document string, size, limit int) bool {
	if size <= limit {
		return true
	}
	a.Note = sentence(a.Note, fmt.Sprintf("With it the %s would have %d characters, and AWS takes %d at most: "+
		"shorten or remove another statement first.", document, size, limit))
	return false
}

// noteOwned says of a role that was made by openirsa what that means.
func (s *Server) noteOwned(a *Addition, r *role, what string) {
	if r == nil {
		return
	}
	value := func(key string) string {
		i := slices.IndexFunc(r.Tags, func(t wire.Tag) bool { return t.Key == key })
		if i < 0 {
			return ""
		}
		return r.Tags[i].Value
	}
	namespace, name, ok := strings.Cut(value(owner.ServiceAccountTag), "/")
	if value(owner.Tag) == "true" && ok {
		a.Note = sentence(a.Note, shown(fmt.Sprintf("The role was made by %q, %s.",
			"openirsa iamserviceaccount create --namespace "+namespace+" --name "+name, what), maxText))
	}
}

// policyName is a name for an inline policy of one statement that no other has.
func policyName(action string, statement []byte) string {
	name := strings.Map(func(r rune) rune {
		if isName(r) {
			return r
		}
		return '-'
	}, action)
	sum := sha256.Sum256(statement)
	return fmt.Sprintf("allow-%.64s-%x", name, sum[:4])
}

// withStatement is a policy document with a statement more; "" stands for one that
// is yet to be. It reports whether that can be: documents of 2008-10-17 have no
// variables.
func withStatement(document string, statement []byte) (string, bool) {
	const current = "2012-10-17"
	whole := struct {
		Version   string            `json:",omitempty"`
		ID        string            `json:"Id,omitempty"`
		Statement []json.RawMessage `json:""`
	}{Version: current}
	if document != "" {
		var there struct {
			Version   string
			ID        string `json:"Id"`
			Statement json.RawMessage
		}
		if json.Unmarshal([]byte(document), &there) != nil {
			return "", false
		}
		if there.Version != current && (strings.Contains(document, "${") || strings.Contains(string(statement), "${")) {
			return "", false
		}
		whole.Version, whole.ID = there.Version, there.ID
		if json.Unmarshal(there.Statement, &whole.Statement) != nil {
			whole.Statement = []json.RawMessage{there.Statement}
		}
	}
	whole.Statement = append(whole.Statement, statement)
	text, err := json.Marshal(whole)
	if err != nil {
		return "", false
	}
	return asciiJSON(string(text)), true
}

// asciiJSON is JSON in printable ASCII. A terminal does nothing but show it.
func asciiJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// measure is about how many bytes a remedy holds on to.
func (r *Remedy) measure() int {
	n := 64 + len(r.Text)
	for _, a := range r.Additions {
		n += 128 + len(a.Type) + len(a.To) + len(a.Statement) + len(a.Command) + len(a.Note)
	}
	return n
}
