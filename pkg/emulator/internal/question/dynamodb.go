package question

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
)

// dynamoDB are the actions of DynamoDB and its streams. Sources: the Amazon
// DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access
// control", "Using IAM with DynamoDB transactions", "IAM security policies with
// PartiQL for DynamoDB" and "Using identity-based policies"; a query of an index is
// of the index alone there.
var dynamoDB = family{
	rules: map[string]rule{
		"BatchGetItem":   asks("", dynamoBatchGet),
		"BatchWriteItem": asks("", dynamoBatchWrite),

		"TransactGetItems":   dynamoTransact,
		"TransactWriteItems": dynamoTransact,

		"CreateTable":               asks("", maker("table/<TableName>")),
		"RestoreTableFromBackup":    asks("", maker("table/<TargetTableName>"), to("table/<?name>/backup/<BackupArn>")),
		"RestoreTableToPointInTime": asks("", maker("table/<TargetTableName>"), to("table/<SourceTableArn|SourceTableName>")),
		"ImportTable":               asks("", maker("table/<TableCreationParameters.TableName>")),
		"ExportTableToPointInTime":  asks("", to("table/<TableArn>")),
		"ListExports":               asks("", named("TableArn", "table/<TableArn>")),
		"ListImports":               asks("", named("TableArn", "table/<TableArn>")),

		"CreateGlobalTable": asks("", to("arn:$P:dynamodb::$A:global-table/<GlobalTableName>"), to("table/<GlobalTableName>")),
		"UpdateGlobalTable": asks("", to("arn:$P:dynamodb::$A:global-table/<GlobalTableName>"), to("table/<GlobalTableName>")),

		"GetRecords":  asks("", dynamoIterator),
		"ListStreams": asks("", dynamoStreams),
	},
	forms: []form{{pattern: tableForm, paths: "TableName SourceTableName TargetTableName TableCreationParameters.TableName GlobalTableName " +
		"RequestItems{keys} TransactItems[].Get.TableName TransactItems[].Put.TableName TransactItems[].Update.TableName " +
		"TransactItems[].Delete.TableName TransactItems[].ConditionCheck.TableName"}},
	keys: func(a *asker, q *Question) {
		if a.Operation == "TransactGetItems" || a.Operation == "TransactWriteItems" || a.Operation == "ExecuteTransaction" {
			q.Keys.Set("dynamodb:EnclosingOperation", a.Operation)
		}
	},
	computed: []string{
		"dynamodb:LeadingKeys", "dynamodb:Attributes", "dynamodb:EnclosingOperation", "dynamodb:FullTableScan", "dynamodb:Select",
		"dynamodb:ReturnValues", "dynamodb:ReturnConsumedCapacity",
	},
}

func init() {
	dynamoDB.on(asks("", dynamoItem), "GetItem PutItem UpdateItem DeleteItem")
	dynamoDB.on(asks("", dynamoQuery), "Query Scan")
	dynamoDB.on(asks("", dynamoTableOrIndex), "DescribeContributorInsights UpdateContributorInsights")
	dynamoDB.on(partiQL, "ExecuteStatement BatchExecuteStatement ExecuteTransaction")
}

// dynamoTable is the ARN of a table, which may be named by its ARN.
func (a *asker) dynamoTable(name string) string {
	if _, is := parseARN(name); is || name == "" {
		return name
	}
	return a.arn("table/" + name)
}

// dynamoAccess is what a call does to the items of one table.
type dynamoAccess struct {
	leading    []string       // values of the partition key
	uncertain  bool           // some value of it could not be told
	attributes []string       // names at the top level
	reads      map[string]any // of a read, what says which attributes
}

func (d *dynamoAccess) keys() []key {
	var keys []key
	if d.uncertain {
		// Nobody can write a policy that names it.
		d.leading = append(d.leading, sampleName)
	}
	if d.leading != nil {
		keys = append(keys, key{"dynamodb:LeadingKeys", unique(d.leading), true})
	}
	if d.attributes != nil {
		names := unique(d.attributes)
		slices.Sort(names)
		keys = append(keys, key{"dynamodb:Attributes", names, true})
	}
	if d.reads != nil {
		keys = append(keys, selected(d.reads))
	}
	return keys
}

// item adds an item, or the key of one.
func (d *dynamoAccess) item(a *asker, table string, item map[string]any) {
	if len(item) == 0 {
		return
	}
	d.attributes = append(d.attributes, sorted(item)...)
	hash := ""
	if len(item) == 1 {
		hash = sorted(item)[0]
	} else if hash = a.hashKey(table, ""); hash == "" {
		d.uncertain = d.uncertain || a.mentions("dynamodb:LeadingKeys")
		return
	}
	if value, ok := attributeValue(item[hash]); ok {
		d.leading = append(d.leading, value)
	} else {
		d.uncertain = true
	}
}

// hashKey is the name of the partition key of a table or an index, "" if nobody
// knows. It is asked only if a policy needs it.
func (a *asker) hashKey(table, index string) string {
	if !a.mentions("dynamodb:LeadingKeys") && !a.mentions("dynamodb:FullTableScan") {
		return ""
	}
	arn := a.dynamoTable(table)
	r, _ := parseARN(arn)
	known, ok := a.find(Fact{Kind: TableKeys, Region: r.region, Account: accountOf(arn), Name: arn[strings.LastIndexByte(arn, '/')+1:]})
	if !ok {
		a.warn("the keys of the table %s are not known", table)
		return ""
	}
	return known.Pairs[index]
}

// attributeValue is a scalar attribute value, such as {"S": "x"}, as LeadingKeys
// spells it.
func attributeValue(v any) (string, bool) {
	m := dict(v)
	for _, kind := range []string{"S", "N", "B"} {
		switch value := m[kind].(type) {
		case nil:
		case []byte:
			return base64.StdEncoding.EncodeToString(value), true
		default:
			return text(value)
		}
	}
	return "", false
}

// expressions adds the attributes that expressions and their older forms name.
func (d *dynamoAccess) expressions(input map[string]any) {
	names := dict(input["ExpressionAttributeNames"])
	for _, member := range []string{
		"ProjectionExpression", "ConditionExpression", "UpdateExpression", "FilterExpression", "KeyConditionExpression",
	} {
		if s, ok := input[member].(string); ok {
			d.attributes = append(d.attributes, expressionNames(s, names)...)
		}
	}
	d.attributes = append(d.attributes, texts(input["AttributesToGet"])...)
	for _, member := range []string{"AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter"} {
		d.attributes = append(d.attributes, sorted(dict(input[member]))...)
	}
}

// dynamoItem is the table of an operation on one item.
func dynamoItem(a *asker) []target {
	return []target{a.onItem(a.Operation, "ReturnValues", a.Input)}
}

// onItem is the table of an item, with the keys of what is done to it; returns is the
// member that says what of it a write shows.
func (a *asker) onItem(action, returns string, input map[string]any) target {
	table := str(input, "TableName")
	if table == "" {
		return to("table/<TableName>")(&asker{Call: &Call{Partition: a.Partition, Region: a.Region, Account: a.Account}, prefix: a.prefix})[0]
	}
	var d dynamoAccess
	d.item(a, table, dict(input["Key"]))
	d.item(a, table, dict(input["Item"]))
	d.expressions(input)
	if action == "GetItem" {
		d.reads = input
		return target{arn: a.dynamoTable(table), keys: d.keys()}
	}
	shown := key{"dynamodb:ReturnValues", []string{cmp.Or(str(input, returns), "NONE")}, false}
	return target{arn: a.dynamoTable(table), keys: append(d.keys(), shown)}
}

// selected is what a read asks for: the key has a value in every read, also in those that
// have no such member.
func selected(input map[string]any) key {
	value := "ALL_ATTRIBUTES"
	switch {
	case str(input, "Select") != "":
		value = str(input, "Select")
	case str(input, "ProjectionExpression") != "" || len(texts(input["AttributesToGet"])) > 0:
		value = "SPECIFIC_ATTRIBUTES"
	case str(input, "IndexName") != "":
		value = "ALL_PROJECTED_ATTRIBUTES"
	}
	return key{"dynamodb:Select", []string{value}, false}
}

// dynamoTableOrIndex is the index that a call names, else the table.
func dynamoTableOrIndex(a *asker) []target {
	return one(named("IndexName", "table/<TableName>/index/<IndexName>"), to("table/<TableName>"))(a)
}

// dynamoQuery is the index or table of a query or scan. A scan has no leading keys,
// so that a condition with ForAllValues holds: so it is at AWS.
func dynamoQuery(a *asker) []target {
	targets := dynamoTableOrIndex(a)
	d := dynamoAccess{reads: a.Input}
	d.expressions(a.Input)
	if table := str(a.Input, "TableName"); a.Operation == "Query" && table != "" {
		values, ok := a.queried(table)
		d.leading, d.uncertain = values, !ok && a.mentions("dynamodb:LeadingKeys")
	}
	for i := range targets {
		targets[i].keys = d.keys()
	}
	return targets
}

// queried is the value of the partition key in a query's condition.
func (a *asker) queried(table string) ([]string, bool) {
	equals := map[string][]string{}
	if s, ok := a.Input["KeyConditionExpression"].(string); ok {
		equals = expressionEquals(s, dict(a.Input["ExpressionAttributeNames"]), dict(a.Input["ExpressionAttributeValues"]))
	}
	for name, condition := range dict(a.Input["KeyConditions"]) {
		values := list(dict(condition)["AttributeValueList"])
		if str(condition, "ComparisonOperator") != "EQ" || len(values) != 1 {
			continue
		}
		if s, ok := attributeValue(values[0]); ok {
			equals[name] = append(equals[name], s)
		}
	}
	// The partition key must be equal to something, the sort key may be.
	if len(equals) == 1 {
		for _, values := range equals {
			return values, len(values) > 0
		}
	}
	values := equals[a.hashKey(table, str(a.Input, "IndexName"))]
	return values, len(values) > 0
}

// dynamoBatchGet are the tables of a BatchGetItem.
func dynamoBatchGet(a *asker) []target {
	return a.eachTable(func(d *dynamoAccess, table string, request any) {
		m := dict(request)
		for _, item := range list(m["Keys"]) {
			d.item(a, table, dict(item))
		}
		d.expressions(m)
		d.reads = m
	})
}

// dynamoBatchWrite are the tables of a BatchWriteItem.
func dynamoBatchWrite(a *asker) []target {
	return a.eachTable(func(d *dynamoAccess, table string, request any) {
		for _, write := range list(request) {
			d.item(a, table, dict(dict(dict(write)["PutRequest"])["Item"]))
			d.item(a, table, dict(dict(dict(write)["DeleteRequest"])["Key"]))
		}
	})
}

func (a *asker) eachTable(read func(d *dynamoAccess, table string, request any)) []target {
	requests := dict(a.Input["RequestItems"])
	var targets []target
	for _, table := range sorted(requests) {
		var d dynamoAccess
		read(&d, table, requests[table])
		targets = append(targets, target{arn: a.dynamoTable(table), keys: d.keys()})
		if len(targets) > MaxQuestions {
			break
		}
	}
	if targets == nil {
		return to("table/<TableName>")(a)
	}
	return targets
}

// transacted are the actions of the items of a transaction.
var transacted = map[string]string{
	"Get": "GetItem", "Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
}

// dynamoTransact asks for the action of each item: there is no action for the
// transaction.
func dynamoTransact(a *asker) {
	for _, entry := range list(a.Input["TransactItems"]) {
		m := dict(entry)
		for _, kind := range sorted(m) {
			if action := transacted[kind]; action != "" && m[kind] != nil {
				a.ask(action, a.onItem(action, "ReturnValuesOnConditionCheckFailure", dict(m[kind])))
			}
		}
	}
	if len(a.out) == 0 && a.err == nil {
		a.ask("", anything)
		a.out[0].Unlisted = true
	}
}

// dynamoIterator is the stream of a shard iterator. AWS's iterators begin with the
// stream's ARN; others were remembered when they were given out.
func dynamoIterator(a *asker) []target {
	iterator := str(a.Input, "ShardIterator")
	if stream, _, found := strings.Cut(iterator, "|"); found && strings.Contains(stream, ":table/") {
		if _, is := parseARN(stream); is {
			return []target{{arn: stream}}
		}
	}
	return a.streamOf(iterator, "table/<?name>/stream/<?name>")
}

// dynamoStreams are the streams of a table, or of all (Amazon DynamoDB Developer Guide,
// "DynamoDB API permissions: Actions, resources, and conditions reference").
func dynamoStreams(a *asker) []target {
	if table := str(a.Input, "TableName"); table != "" {
		arn := a.dynamoTable(table) + "/stream/"
		return []target{{arn: arn + sampleName, spelled: arn + "*", unknown: true}}
	}
	return to("table/<?name>/stream/<?name>")(a)
}

// streamOf is the stream for which an iterator was given out, else the pattern.
func (a *asker) streamOf(iterator, pattern string) []target {
	if iterator != "" {
		if known, ok := a.find(Fact{Kind: Iterator, Name: iterator}); ok && known.Text != "" {
			return []target{{arn: known.Text}}
		}
	}
	return to(pattern)(a)
}
