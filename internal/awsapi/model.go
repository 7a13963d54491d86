package awsapi

import (
	"sort"
	"strings"
	"sync"
)

// Protocols that a [Model] has, as AWS's models call them but for the versions.
const (
	JSON10   = "json-1.0"  // the operation is in X-Amz-Target, the input is JSON
	JSON11   = "json-1.1"  // the same, with another content type
	Query    = "query"     // the operation and the input are a form, the answer is XML
	EC2      = "ec2"       // as query, but for the names of nested members and the form of errors
	RESTJSON = "rest-json" // the operation is a method and a path, the body JSON
	RESTXML  = "rest-xml"  // the operation is a method and a path, the body XML
)

// A Model is a service as its clients know it. AWS splits some services into
// several models, such as dynamodb and dynamodbstreams, whose actions and
// signatures are of one name.
type Model struct {
	// Name is that of botocore and of the AWS CLI, such as "stepfunctions".
	Name string
	// SigningName is the service in the scope of signatures, such as "states".
	// Several models may have the same.
	SigningName string
	// Prefix is before the colon in the names of actions, such as "states". It is
	// "" for the few that the Service Authorization Reference does not have.
	Prefix string
	// Protocol is what most clients speak, one of the constants above.
	Protocol string
	// CBOR is whether clients may speak Smithy's RPC v2 CBOR as well. Those of Go
	// do, those of Python and JavaScript speak Protocol.
	CBOR bool
	// OldQuery is whether clients of some years ago speak Query to a service whose
	// Protocol is another, as those of SQS and of CloudWatch do.
	OldQuery bool
	// QueryCompatible is whether the code of an error is also in the header
	// x-amzn-query-error, for clients written when the service spoke Query.
	QueryCompatible bool
	// Target is before the last dot of X-Amz-Target, such as "DynamoDB_20120810";
	// "" for protocols without that header. It may have dots itself.
	Target string
	// Shape is the service's name in the paths of RPC v2 CBOR; "" without CBOR.
	Shape string
	// Version is the date of the interface, such as "2012-11-05", which requests in
	// Query and EC2 have in the parameter Version; "" for a service that never spoke
	// those.
	Version string
	// Namespace is that of answers in XML, such as
	// "http://sns.amazonaws.com/doc/2010-03-31/"; "" if the model has none.
	Namespace string
	// ServiceID is the name that SDKs have, such as "SFN", from which the names of
	// their variables are made: AWS_ENDPOINT_URL_SFN.
	ServiceID string
	// Denied is the code of the error that the model has for a caller without
	// permission, such as "AccessDeniedException", and DeniedStatus its status;
	// "" and 0 if the model has none, as that of DynamoDB, or no status.
	Denied       string
	DeniedStatus int

	block *block
	place int // of its section

	once       sync.Once
	operations []lazyOperation // by name
	structs    structures

	routing sync.Once
	routes  []route
}

// Operation is the operation of a name, nil for none.
func (m *Model) Operation(name string) *Operation {
	m.load()
	i := sort.Search(len(m.operations), func(i int) bool { return m.operations[i].name >= name })
	if i == len(m.operations) || m.operations[i].name != name {
		return nil
	}
	return m.operations[i].operation(&m.structs)
}

// Operations are the names of all operations, in order.
func (m *Model) Operations() []string {
	m.load()
	names := make([]string, len(m.operations))
	for i := range m.operations {
		names[i] = m.operations[i].name
	}
	return names
}

// load reads what the operations are called, and finds what tells more of them.
func (m *Model) load() {
	m.once.Do(func() {
		actions := actionNames(m.block.section(0))
		next := 0
		lines := strings.Split(strings.TrimSuffix(m.block.section(m.place), "\n"), "\n")
		for _, line := range lines[1:] { // the first has the name
			if text, ok := strings.CutPrefix(line, "&"); ok {
				m.structs.all = append(m.structs.all, structure{line: text})
				continue
			}
			first, rest, _ := strings.Cut(line, " ")
			name, other := strings.CutPrefix(first, "=")
			if !other { // it has the name of an action, so many after the last
				next += number(first)
				name = actions[next]
				next++
			}
			m.operations = append(m.operations, lazyOperation{name: name, line: rest})
		}
	})
}
