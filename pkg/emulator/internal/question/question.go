// Package question says what a call to an AWS service asks of the policies:
// which actions, on which resources, with which condition keys, must be allowed
// before it may be carried out.
//
//	questions, err := question.Questions(ctx, &question.Call{
//		Model: model, Operation: "PutItem",
//		Input:  map[string]any{"TableName": "Cart", "Item": item},
//		Region: "us-east-1", Account: "123456789012", Partition: "aws",
//	}, world)
//	denied := question.Decide(questions, evaluate)
//
// It does no I/O. What a call does not say itself, such as the six characters at
// the end of a secret's ARN, it asks of a [World].
//
// The general rule reads the Service Authorization Reference: an operation needs
// the action of its name, on the resource types that the action lists, each ARN
// filled from the members of the input that have the names of its parts. It is
// right for most operations and wrong for many that pods use, so these have
// entries of their own, each with the page of AWS's documentation that it is from.
package question

import (
	"context"
	"errors"
	"net/url"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/policy"
)

// MaxQuestions bounds what one call may ask. AWS's own limits are far lower: the
// largest batches name a few hundred resources.
const MaxQuestions = 2000

// ErrTooMany is the error of a call that names more than [MaxQuestions] resources.
var ErrTooMany = errors.New("the call asks for too much at once")

// Refusal is the error of a call that its service refuses whatever policies say, in the
// service's words.
type Refusal struct {
	Status  int    // of HTTP
	Code    string // such as "InvalidAddress"
	Message string
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// ErrNoAnswer is the error of a [World] that has asked and got no answer, as from a backend
// that is down. Then nothing is decided, since a policy may deny for what is not known.
var ErrNoAnswer = errors.New("there is no answer")

// Call is a call to a service, read from the wire.
type Call struct {
	// Model is the service's, nil if no model has the call.
	Model *awsapi.Model
	// Service is how the signature names the service. It is asked only if Model
	// is nil.
	Service   string
	Operation string // such as "PutItem"; "" if the model has no such route
	// Input are the members as the model names them: string, json.Number, float64,
	// bool, []byte, []any, map[string]any, and nil.
	Input map[string]any

	Method string     // of HTTP
	Path   string     // of the URL, escaped
	Query  url.Values // of the URL

	Region    string // of the signature
	Account   string // of the caller, twelve digits
	Partition string // such as "aws"
}

// Question is one thing that must be allowed for a call. All questions of a call
// must be, but for those with a number in Either and those with an Item: see
// [Decide].
type Question struct {
	Action string // with its prefix, such as "dynamodb:PutItem"
	// Resource is what policies match: an ARN, or "*" for actions without
	// resources. Parts of it that nobody knows yet are samples of the right shape:
	// a policy with a wildcard there matches, one that spells a value does not.
	Resource string
	// Spelled is how people should see the resource: a pattern with * for unknown
	// parts, or the name as it was asked for. "" is Resource.
	Spelled string
	// Account owns the resource, twelve digits; "" if nobody in particular does.
	Account string
	// Known is false if parts of Resource are samples.
	Known bool
	// Keys are the condition keys of the action and the resource.
	Keys policy.Context
	// Warnings are sentences for the event: what could not be known or computed.
	Warnings []string
	// Either groups questions of which one is enough, such as two spellings of one
	// resource. An explicit denial of any of them denies all the same. 0 is none.
	Either int
	// Item names a part of the call, as the caller wrote it. If the question is
	// denied, the service answers an error for that part and carries out the rest.
	Item string
	// FromAnswer is the path to the ARNs of the resources in the answer, for the few
	// calls that name them nowhere else, or not so that emulators heed it, such as Decrypt
	// of KMS. Then Resource is a sample, and the call, which changes nothing, comes before
	// the decision: of its answer is released what all of [Told] are allowed for. A path
	// with [] is to the entries of a list, which are decided one by one.
	FromAnswer string
	// Unlisted is set if the tables do not have the action.
	Unlisted bool
	// Via is the service that acts on the caller's behalf; "" is the caller itself.
	Via string

	call    *Call    // that it is about; nil if nothing is known of its input
	created bool     // the call makes the resource
	plain   bool     // the resource has no keys of its own
	tagsOf  string   // the ARN of what has the tags
	tagKeys []string // what the condition keys for tags begin with
	tagged  bool     // they were set
}

// Shown is how people should see the resource.
func (q *Question) Shown() string {
	if q.Spelled != "" {
		return q.Spelled
	}
	return q.Resource
}

// World is what is known beside the call itself, from what passed by or by asking
// the backend.
type World interface {
	// Find returns what is known of a fact. found is false if there is no such
	// thing; an error says that nobody could be asked, and one that wraps
	// [ErrNoAnswer] ends the call.
	Find(ctx context.Context, f Fact) (known Known, found bool, err error)
	// Mentions reports whether a policy in force names a condition key. Names are
	// compared without regard to case; one that ends in "/" or ":" stands for all
	// keys that begin so.
	Mentions(key string) bool
}

// Kind is a kind of fact.
type Kind string

// The kinds of facts, with what the name of each is and what is known of it.
const (
	// SecretARN: name or partial ARN of a secret → Text, its full ARN.
	SecretARN Kind = "secret"
	// KeyOfAlias: "alias/..." → Text, the ARN of the key.
	KeyOfAlias Kind = "alias"
	// KeyByID: id of a KMS key → Text, its ARN; List has [AWSManaged] if it is AWS's; Pairs,
	// what kind of key it is by the names of condition keys, such as "kms:KeySpec".
	KeyByID Kind = "key"
	// AccountKeys: "" → List, the ARNs of all KMS keys of the account in the region.
	AccountKeys Kind = "keys"
	// EncryptionKey: ARN of a resource → Text, the KMS key that it is encrypted with as
	// its service names it: an id, an ARN or an alias; "" if no key of KMS is known.
	EncryptionKey Kind = "encryption key"
	// GrantKey: grant token or id → Text, the ARN of the key.
	GrantKey Kind = "grant"
	// TableKeys: name of a table → Pairs, name of the hash attribute by index, the
	// table's own under "".
	TableKeys Kind = "table keys"
	// Tags: ARN → Pairs, its tags.
	Tags Kind = "tags"
	// Iterator: shard iterator → Text, the ARN of its stream.
	Iterator Kind = "iterator"
	// Workgroup: id of an Athena query, session or notebook → Text, its workgroup.
	Workgroup Kind = "workgroup"
	// LogGroups: id of a CloudWatch Logs query → List, ARNs of its groups.
	LogGroups Kind = "log groups"
	// MappingFunction: id of an event source mapping → Text, the function's ARN.
	MappingFunction Kind = "mapping"
	// InstanceGroup: id of an instance → Text, its Auto Scaling group.
	InstanceGroup Kind = "auto scaling group"
	// ChangeSetStack: ARN of a change set of CloudFormation → Text, the ARN of its stack.
	ChangeSetStack Kind = "stack"
	// ResourcePolicy: ARN → Text, the policy of the resource.
	ResourcePolicy Kind = "policy"
	// ProfileRole: name or ARN of an instance profile → Text, the ARN of the role in it; ""
	// if there is none.
	ProfileRole Kind = "role of the instance profile"
	// TemplateProfile: id or name of a launch template, a space and the version → Text, the
	// name or ARN of its instance profile; "" if it has none.
	TemplateProfile Kind = "instance profile of the launch template"
	// TaskRoles: task definition by family, revision or ARN → Pairs, its roles by member.
	TaskRoles Kind = "roles of the task definition"
	// SubnetVPC: id of a subnet → Text, the id of its VPC.
	SubnetVPC Kind = "VPC of the subnet"
	// KeyAliases: id of a KMS key → List, its aliases.
	KeyAliases Kind = "aliases of the key"
	// RotationFunction: ARN of a secret → Text, the ARN of the function that rotates it; "" if
	// none does.
	RotationFunction Kind = "rotation function of the secret"
	// VerifiedIdentity: e-mail address or domain → Text, the same if it is a
	// verified identity of SES.
	VerifiedIdentity Kind = "identity"
)

// AWSManaged says of a KMS key that it is AWS's, which every principal of the account may
// use through the service that it is for.
const AWSManaged = "AWS"

// Fact is a question to the backend. It is the key of a cache.
type Fact struct {
	Kind    Kind
	Region  string
	Account string
	Name    string
}

// Known is what is known of a fact; which field is set follows from its kind.
type Known struct {
	Text  string
	List  []string
	Pairs map[string]string
}
