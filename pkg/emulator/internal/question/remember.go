package question

import (
	"slices"
	"strings"
)

// Learned is a fact that an answer told.
type Learned struct {
	Fact  Fact
	Known Known
}

// Learn reads what the answer to a call tells that may be needed later, and that in
// part nobody can be asked: which stream a shard iterator is of, in which workgroup a
// query runs. What has a name that its owner chose is a fact of the account and the region
// of its ARN, since the caller may have another thing of that name; what has an id that the
// service made is one of the caller, who was told the id.
func Learn(call *Call, answer any) []Learned {
	in, prefix := call.Input, call.prefix()
	fact := func(kind Kind, name string) Fact {
		return Fact{Kind: kind, Region: call.Region, Account: call.Account, Name: name}
	}
	told := func(kind Kind, name, text string) []Learned {
		if name == "" || text == "" {
			return nil
		}
		return []Learned{{fact(kind, name), Known{Text: text}}}
	}
	owned := func(kind Kind, name, arn string) []Learned {
		r, _ := parseARN(arn)
		if name == "" || r.region == "" || !isAccount(r.account) {
			return nil
		}
		return []Learned{{Fact{Kind: kind, Region: r.region, Account: r.account, Name: name}, Known{Text: arn}}}
	}
	switch prefix + "." + call.Operation { // as in teaching
	case "kinesis.GetShardIterator":
		var streams []string
		for _, stream := range allOf(in, "StreamARN", "StreamName") {
			if !strings.HasPrefix(stream, "arn:") {
				stream = "arn:" + call.Partition + ":kinesis:" + call.Region + ":" + call.Account + ":stream/" + stream
			}
			streams = append(streams, stream)
		}
		if streams = unique(streams); len(streams) != 1 {
			return nil // nobody knows of which of two it is
		}
		return told(Iterator, str(answer, "ShardIterator"), streams[0])
	case "dynamodb.GetShardIterator":
		return told(Iterator, str(answer, "ShardIterator"), str(in, "StreamArn"))
	case "secretsmanager.CreateSecret", "secretsmanager.DescribeSecret", "secretsmanager.GetSecretValue":
		return owned(SecretARN, str(answer, "Name"), str(answer, "ARN"))
	case "athena.StartQueryExecution", "athena.CreateNamedQuery", "athena.StartSession", "athena.CreateNotebook":
		group := firstOf(in, "WorkGroup")
		if group == "" {
			group = "primary"
		}
		return told(Workgroup, firstOf(answer, "QueryExecutionId", "NamedQueryId", "SessionId", "NotebookId"), group)
	case "logs.StartQuery":
		groups := append(append(strs(in, "logGroupName"), strs(in, "logGroupNames")...), strs(in, "logGroupIdentifiers")...)
		if id := str(answer, "queryId"); id != "" && groups != nil {
			return []Learned{{fact(LogGroups, id), Known{List: groups}}}
		}
	case "kms.CreateGrant":
		key := str(in, "KeyId")
		if !strings.HasPrefix(key, "arn:") || strings.Contains(key, ":alias/") {
			return nil
		}
		return append(told(GrantKey, str(answer, "GrantToken"), key), told(GrantKey, str(answer, "GrantId"), key)...)
	case "lambda.CreateEventSourceMapping", "lambda.GetEventSourceMapping":
		return owned(MappingFunction, str(answer, "UUID"), str(answer, "FunctionArn"))
	}
	return nil
}

// teaching are the operations of whose answers [Learn] reads something.
var teaching = map[string]bool{
	"kinesis.GetShardIterator": true, "dynamodb.GetShardIterator": true, "secretsmanager.CreateSecret": true,
	"secretsmanager.DescribeSecret": true, "secretsmanager.GetSecretValue": true, "athena.StartQueryExecution": true,
	"athena.CreateNamedQuery": true, "athena.StartSession": true, "athena.CreateNotebook": true, "logs.StartQuery": true,
	"kms.CreateGrant": true, "lambda.CreateEventSourceMapping": true, "lambda.GetEventSourceMapping": true,
}

// Teaches reports whether [Learn] or [LearnNext] may read something in the answer to
// a call.
func Teaches(call *Call) bool {
	name := call.prefix() + "." + call.Operation
	return teaching[name] || next[name] != ""
}

// next are operations whose answers give a new iterator for the old one.
var next = map[string]string{"kinesis.GetRecords": "NextShardIterator", "dynamodb.GetRecords": "NextShardIterator"}

// LearnNext is [Learn] for the answers that depend on what was known before: the next
// iterator is of the same stream as that of the call, which questions have found.
func LearnNext(call *Call, questions []Question, answer any) []Learned {
	member := next[call.prefix()+"."+call.Operation]
	iterator := str(answer, member)
	// Of a stream that is encrypted there are questions about its key, too.
	other := func(q Question) bool { return q.Via == "" && (!q.Known || q.Resource != questions[0].Resource) }
	if member == "" || iterator == "" || len(questions) == 0 || slices.ContainsFunc(questions, other) {
		return nil
	}
	return []Learned{{
		Fact{Kind: Iterator, Region: call.Region, Account: call.Account, Name: iterator}, Known{Text: questions[0].Resource},
	}}
}

// lasting are kinds of facts that never change.
var lasting = []Kind{Iterator, Workgroup, LogGroups, GrantKey, KeyByID}

// changing are the first words of operations that change what a fact is about. Those
// that only write data, such as PutItem and PutRecord, are not among them.
var changing = []string{
	"Create", "Update", "Delete", "Tag", "Untag", "Add", "Remove", "Set", "Modify", "Put", "Restore", "Schedule", "Associate", "Disassociate",
	"Replicate", "Verify", "Attach", "Detach", "Terminate", "Run", "Register", "Deregister", "Copy", "Import",
	"Rotate", "Cancel",
}

// dataWrites are operations with such names that change data alone.
var dataWrites = map[string]bool{
	"PutItem": true, "UpdateItem": true, "DeleteItem": true, "PutRecord": true, "PutRecords": true, "PutRecordBatch": true,
	"DeleteMessage": true, "DeleteMessageBatch": true, "PutEvents": true, "PutLogEvents": true, "PutMetricData": true,
	"PutSecretValue": true, "PutImage": true, "UpdateSecretVersionStage": true, "PutTraceSegments": true,
}

// Changes reports whether a call may end what is known of anything: see [Stale].
func Changes(call *Call) bool {
	if call.Operation == "StartStreamEncryption" || call.Operation == "StopStreamEncryption" {
		return true
	}
	return !dataWrites[call.Operation] && slices.Contains(changing, verb(call.Operation))
}

// Stale reports whether a fact may no longer hold once a call was carried out. It is
// careful: each change in a service ends what is known of that service.
func Stale(call *Call, f Fact) bool {
	if slices.Contains(lasting, f.Kind) || !Changes(call) {
		return false
	}
	prefix := call.prefix()
	switch f.Kind {
	case Tags, ResourcePolicy, EncryptionKey:
		r, ok := parseARN(f.Name)
		return !ok || r.service == prefix || prefix == "tag" || prefix == "cloudformation"
	}
	return prefix == serviceOf[f.Kind] || prefix == "cloudformation"
}

var serviceOf = map[Kind]string{
	SecretARN: "secretsmanager", KeyOfAlias: "kms", TableKeys: "dynamodb", MappingFunction: "lambda", InstanceGroup: "autoscaling",
	VerifiedIdentity: "ses", AccountKeys: "kms",
	TemplateProfile: "ec2", TaskRoles: "ecs", SubnetVPC: "ec2", KeyAliases: "kms", RotationFunction: "secretsmanager",
}
