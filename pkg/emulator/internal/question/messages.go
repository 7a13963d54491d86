package question

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// sqs are the actions of Amazon SQS (Amazon SQS Developer Guide, "Amazon SQS API
// permissions: Actions and resource reference": batches need the action of one).
var sqs = family{
	rules: map[string]rule{
		"CreateQueue": asks("", maker("<QueueName>")),
		"GetQueueUrl": asks("", rename(to("<QueueName>"), func(a *asker, t *target) {
			if owner := str(a.Input, "QueueOwnerAWSAccountId"); isAccount(owner) {
				t.arn = withAccount(t.arn, owner)
			}
		})),
		"ListQueues":                   asks("", star),
		"SendMessageBatch":             asks("SendMessage", queue),
		"DeleteMessageBatch":           asks("DeleteMessage", queue),
		"ChangeMessageVisibilityBatch": asks("ChangeMessageVisibility", queue),
		"StartMessageMoveTask":         asks("", to("<SourceArn>")),
		"ListMessageMoveTasks":         asks("", to("<SourceArn>")),
		"CancelMessageMoveTask":        asks("", movedFrom),
	},
	otherwise: asks("", queue),
}

// withAccount is an ARN with another account.
func withAccount(s, account string) string {
	a, ok := parseARN(s)
	if !ok {
		return s
	}
	a.account = account
	return a.String()
}

// queueURL is the form of the URL of a queue: with the host, the path before the name, and
// the name. A queue may be named without a host, and by its name alone. What has another
// form, with a query, a fragment, escapes or credentials, is of one queue for a reader of
// URLs and of another for one who takes what follows the last slash.
var queueURL = regexp.MustCompile(`^(?:https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/|/)?((?:[A-Za-z0-9_-]+/)*)` +
	`([A-Za-z0-9_-]{1,80}(?:\.fifo)?)$`)

// queue is the queue of a call, by its URL: the account and the name are the last
// two parts of the path, whatever the host. The oldest form of a call is posted to
// the queue's own path.
func queue(a *asker) []target {
	address := strings.TrimSuffix(a.Path, "/")
	named, given := a.Input["QueueUrl"]
	if given {
		address, _ = named.(string)
	}
	if address == "" && !given {
		return to("<?name>")(a)
	}
	m := queueURL.FindStringSubmatch(address)
	if m == nil {
		return a.noAddress(address)
	}
	path := strings.Split(m[2], "/") // the last is ""
	if region := queueRegion(m[1], path); region != "" && region != a.Region {
		return a.noAddress(address)
	}
	arn := a.arn(m[3])
	if owner := path[max(0, len(path)-2)]; isAccount(owner) {
		arn = withAccount(arn, owner)
	}
	return []target{{arn: arn}}
}

// noAddress refuses the URL of a queue (Amazon SQS API Reference, "Common Errors", of
// InvalidAddress).
func (a *asker) noAddress(address string) []target {
	a.err = &Refusal{http.StatusNotFound, "InvalidAddress", fmt.Sprintf("The address %.200s is not valid for this endpoint.", address)}
	return nil
}

var regionForm = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*-[0-9]+$`)

// queueRegion is the region that the URL of a queue names, "" if it names none: in the
// host, as the endpoints of SQS do (AWS General Reference, "Amazon SQS endpoints and
// quotas"), or in the path, as LocalStack's do.
func queueRegion(host string, path []string) string {
	if len(path) == 4 && path[0] == "queue" {
		return path[1]
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for i, label := range labels[:len(labels)-1] {
		next := labels[i+1]
		if label == "sqs" || label == "sqs-fips" {
			label, next = next, "queue"
		}
		if next == "queue" && regionForm.MatchString(label) {
			return label
		}
	}
	if slices.Equal(labels, []string{"queue", "amazonaws", "com"}) {
		return "us-east-1"
	}
	return ""
}

// movedFrom is the source of a task that moves messages, which the handle of the
// task holds: base64 of JSON with "sourceArn".
func movedFrom(a *asker) []target {
	if inside := dict(decodeJSON(str(a.Input, "TaskHandle"))); inside != nil {
		if source := str(inside, "sourceArn"); source != "" {
			return []target{{arn: source}}
		}
	}
	return to("<?name>")(a)
}

// sns are the actions of Amazon SNS (Amazon SNS Developer Guide, "Amazon SNS API
// permissions: Actions and resources reference").
var sns = family{
	rules: map[string]rule{
		"CreateTopic":  asks("", maker("<Name>")),
		"PublishBatch": asks("Publish", published),
		"Publish":      asks("", published),
		"Subscribe":    asks("", to("<TopicArn>")),
	},
	computed: []string{"sns:Protocol", "sns:Endpoint"},
	forms:    []form{{topicForm, "TopicArn", "InvalidParameter"}, {endpointForm, "TargetArn", "InvalidParameter"}},
}

func init() {
	sns.on(asks("", subscribed), "GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe")
}

// published is what a message is sent to. A phone number and an endpoint of a
// device have no topic, so that only a policy for all resources allows them. AWS wants one
// of them only.
func published(a *asker) []target {
	var found []target
	for _, number := range strs(a.Input, "PhoneNumber") {
		found = append(found, target{arn: "*", spelled: number})
	}
	for _, t := range one(named("TopicArn", "<TopicArn|TargetArn>"), named("TargetArn", "<TargetArn>"))(a) {
		if topic, _ := parseARN(t.arn); strings.Contains(topic.resource, "/") {
			t = target{arn: "*", spelled: t.arn}
		}
		found = append(found, t)
	}
	if found == nil {
		return to("<TopicArn>")(a)
	}
	return found
}

// subscribed is the topic of a subscription, whose ARN has one part more.
func subscribed(a *asker) []target {
	name := str(a.Input, "SubscriptionArn")
	s, ok := parseARN(name)
	if topic, _, more := cutLast(s.resource, ":"); ok && more {
		s.resource = topic
		return []target{{arn: s.String()}}
	}
	return to("<SubscriptionArn>")(a)
}

// cutLast cuts a text at the last of some separators.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// eventBridge are the actions of Amazon EventBridge (Amazon EventBridge User Guide,
// "Using IAM policy conditions in Amazon EventBridge").
var eventBridge = family{
	rules: map[string]rule{
		"PutEvents":        asks("", busesOfEntries),
		"DescribeEventBus": asks("", to("event-bus/<Name|'default'>")),
		"ListRules":        asks("", star),
		"CreateEventBus":   asks("", maker("event-bus/<Name>")),
		"CreateArchive":    asks("", maker("archive/<ArchiveName>"), named("EventSourceArn", "event-bus/<EventSourceArn>")),
		"StartReplay":      asks("", maker("replay/<ReplayName>"), to("archive/<EventSourceArn>"), to("event-bus/<Destination.Arn>")),
		"UpdateArchive":    asks("", to("archive/<ArchiveName>")),

		"CreateApiDestination":   asks("", maker("api-destination/<Name>"), to("connection/<ConnectionArn>")),
		"DescribeApiDestination": asks("", to("api-destination/<Name>")),
		"CreateConnection":       asks("", maker("connection/<Name>")),
		"CreateEndpoint":         asks("", maker("endpoint/<Name>")),
	},
	members: map[string][]string{
		"ApiDestinationName": {"Name"}, "ConnectionName": {"Name"}, "EndpointName": {"Name"}, "EventSourceName": {"Name"},
		"EventBusName": {"Name"}, "ReplayName": {"ReplayName"},
	},
	keys:   eventKeys,
	passes: "events.amazonaws.com",
	computed: []string{"events:source", "events:detail-type", "events:detail.service", "events:detail.eventTypeCode",
		"events:detail.userIdentity.principalId", "events:TargetArn", "events:creatorAccount", "events:eventBusInvocation"},
}

func init() {
	eventBridge.on(asks("", ruleOf("Name")), "DeleteRule DescribeRule DisableRule EnableRule PutRule")
	eventBridge.on(asks("", ruleOf("Rule")), "ListTargetsByRule PutTargets RemoveTargets")
}

// busesOfEntries are the buses of the entries of PutEvents: the default one for
// those that name none.
func busesOfEntries(a *asker) []target {
	var targets []target
	for _, entry := range list(a.Input["Entries"]) {
		name := str(entry, "EventBusName")
		switch _, is := parseARN(name); {
		case name == "":
			name = a.arn("event-bus/default")
		case !is:
			name = a.arn("event-bus/" + name)
		}
		targets = append(targets, target{arn: name})
	}
	if targets == nil {
		return to("event-bus/<'default'>")(a)
	}
	return targets
}

// ruleOf is the source of a rule, whose ARN has the bus only if that is not the
// default one.
func ruleOf(member string) source {
	return func(a *asker) []target {
		bus := str(a.Input, "EventBusName")
		arn := a.arn("rule/")
		if on, is := parseARN(bus); is {
			on.resource = "rule/"
			arn, bus = on.String(), bus[strings.LastIndexByte(bus, '/')+1:]
		}
		if bus != "" && bus != "default" {
			arn += bus + "/"
		}
		name := str(a.Input, member)
		if name == "" {
			return []target{{arn: arn + sampleName, spelled: arn + "*", unknown: true}}
		}
		return []target{{arn: arn + name}}
	}
}

// eventKeys sets the keys of events and rules. Those of a rule come from its pattern.
func eventKeys(a *asker, q *Question) {
	// The guide compares one value without a set operator, and denies several so.
	set := func(name string, values []string) {
		switch values = unique(values); len(values) {
		case 0:
		case 1:
			q.Keys.Set(name, values[0])
		default:
			q.Keys.SetMulti(name, values...)
		}
	}
	switch a.Operation {
	case "PutEvents":
		set("events:source", strs(a.Input, "Entries[].Source"))
		set("events:detail-type", strs(a.Input, "Entries[].DetailType"))
	case "PutRule":
		pattern := parseJSON(str(a.Input, "EventPattern"))
		for _, field := range []string{"source", "detail-type", "detail.service", "detail.eventTypeCode", "detail.userIdentity.principalId"} {
			set("events:"+field, matched(pattern, field))
		}
		q.Keys.Set("events:creatorAccount", a.Account)
	case "PutTargets":
		set("events:TargetArn", strs(a.Input, "Targets[].Arn"))
		q.Keys.Set("events:creatorAccount", a.Account)
	case "DeleteRule", "DescribeRule", "DisableRule", "EnableRule", "ListTargetsByRule", "RemoveTargets":
		q.Keys.Set("events:creatorAccount", a.Account)
	}
}

// matched are the values that a pattern of events has for a field. One that is a comparison,
// such as {"prefix": ""}, is its JSON, which no policy names.
func matched(pattern any, field string) []string {
	var values []string
	for _, v := range at(pattern, field+"[]") {
		s, ok := text(v)
		if b, err := json.Marshal(v); !ok && err == nil {
			s = string(b)
		}
		values = append(values, s)
	}
	return values
}
