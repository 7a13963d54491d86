package question

import (
	"slices"
	"strings"
)

// kinesis are the actions of Amazon Kinesis Data Streams (Amazon Kinesis Data Streams
// Developer Guide, "Controlling access to Amazon Kinesis Data Streams resources using
// IAM").
var kinesis = family{
	rules: map[string]rule{
		"CreateStream": asks("", maker("stream/<StreamName>")),
		"GetRecords": asks("", each(func(a *asker) []target {
			return a.streamOf(str(a.Input, "ShardIterator"), "stream/<?name>")
		}, named("StreamARN", "stream/<StreamARN>"))),
		"RegisterStreamConsumer": asks("", to("stream/<StreamARN>")),
	},
	members: map[string][]string{"StreamName": {"StreamName"}},
	forms:   []form{{pattern: streamForm, paths: "StreamName"}},
}

func init() {
	kinesis.on(asks("", to("stream/<ConsumerARN|StreamARN>")), "DeregisterStreamConsumer DescribeStreamConsumer SubscribeToShard")
	kinesis.on(asks("", to("stream/<StreamARN|StreamName>")), `AddTagsToStream DecreaseStreamRetentionPeriod DeleteStream DescribeStream
		DescribeStreamSummary GetShardIterator IncreaseStreamRetentionPeriod ListShards ListStreamConsumers ListTagsForStream MergeShards
		PutRecord PutRecords RemoveTagsFromStream SplitShard StartStreamEncryption StopStreamEncryption UpdateMaxRecordSize
		UpdateShardCount UpdateStreamMode UpdateStreamWarmThroughput EnableEnhancedMonitoring DisableEnhancedMonitoring`)
	kinesis.on(asks("", to("<ResourceARN>")), `DeleteResourcePolicy GetResourcePolicy PutResourcePolicy ListTagsForResource TagResource
		UntagResource`)
}

// logs are the actions of Amazon CloudWatch Logs (Amazon CloudWatch Logs User Guide,
// "Using identity-based policies (IAM policies) for CloudWatch Logs"). The ARN of a
// log group ends in ":*" in some policies and not in others, so both are asked.
var logs = family{
	rules: map[string]rule{
		"CreateLogGroup":    asks("", rename(logGroup("logGroupName"), func(_ *asker, t *target) { t.created = true })),
		"DescribeLogGroups": asks("", anyLogGroup),
		"StartQuery":        asks("", logGroup("logGroupName", "logGroupNames", "logGroupIdentifiers")),
		"StartLiveTail":     asks("", logGroup("logGroupIdentifiers")),
		"PutSubscriptionFilter": asks("", logGroup("logGroupName"), func(a *asker) []target {
			if arn := str(a.Input, "destinationArn"); strings.Contains(arn, ":logs:") {
				return []target{{arn: arn}}
			}
			return nil
		}),
		"CreateLogAnomalyDetector": asks("", logGroup("logGroupArnList")),
		"GetLogRecord":             asks("", queriedGroups("logRecordPointer")),
		"GetQueryResults":          asks("", queriedGroups("queryId")),
		"CreateDelivery": asks("", maker("delivery:<?name>"), to("delivery-source:<deliverySourceName>"),
			to("delivery-destination:<deliveryDestinationArn>")),
		"PutDestination": asks("", to("destination:<destinationName>")),
	},
	otherwise: logsOther,
	passes:    "logs.amazonaws.com",
}

func init() {
	logs.on(asks("", logStream), "CreateLogStream DeleteLogStream GetLogEvents PutLogEvents")
}

// anyLogGroup is what listing the groups is asked about: AWS spells a group and a
// stream without names.
func anyLogGroup(a *asker) []target { return []target{{arn: a.arn("log-group::log-stream:")}} }

// logsOther is the rule of operations on a group, if the call names one.
func logsOther(a *asker) {
	action := a.listed(a.action(""))
	if action != nil && len(action.Types) > 0 && action.Types[0].Name == "log-group" {
		a.ask("", logGroup("logGroupName", "logGroupIdentifier", "logGroupIdentifiers", "logGroupArn")(a)...)
		return
	}
	general(a)
}

// logGroup is the source of the groups that some members name, or their ARNs, which
// may end in ":*".
//
//go:noinline // so that what it makes is there once, not again at each call
func logGroup(members ...string) source {
	return func(a *asker) []target {
		var names []string
		for _, member := range members {
			names = append(names, strs(a.Input, member)...)
		}
		var targets []target
		for _, name := range unique(names) {
			targets = append(targets, a.logGroup(name))
		}
		if targets == nil {
			any := to("log-group:<?name>")(a)
			any[0].also = any[0].arn + ":log-stream:"
			return any
		}
		return targets
	}
}

func (a *asker) logGroup(name string) target {
	arn := name
	if _, is := parseARN(name); !is {
		arn = a.arn("log-group:" + name)
	}
	arn = strings.TrimSuffix(arn, ":*")
	spelled := arn + ":log-stream:" // as denials have it, even where there is no stream
	return target{arn: arn, spelled: spelled, also: spelled}
}

// logStream is the stream of a call, of each group that it names: AWS wants one.
func logStream(a *asker) []target {
	name := str(a.Input, "logStreamName")
	var targets []target
	for _, group := range allOf(a.Input, "logGroupName", "logGroupIdentifier") {
		arn := a.logGroup(group).arn + ":log-stream:"
		t := target{arn: arn + name, created: a.Operation == "CreateLogStream"}
		if name == "" {
			t = target{arn: arn + sampleName, spelled: arn + "*", unknown: true}
		}
		if !slices.ContainsFunc(targets, func(other target) bool { return other.arn == t.arn }) {
			targets = append(targets, t)
		}
	}
	if targets == nil {
		return to("log-group:<?name>:log-stream:<?name>")(a)
	}
	return targets
}

// queriedGroups are the groups of a query, which was remembered when it started.
func queriedGroups(member string) source {
	return func(a *asker) []target {
		known, ok := a.find(Fact{Kind: LogGroups, Name: str(a.Input, member)})
		if !ok || len(known.List) == 0 {
			return logGroup()(a)
		}
		var targets []target
		for _, name := range known.List {
			targets = append(targets, a.logGroup(name))
		}
		return targets
	}
}

// cloudWatch are the actions of Amazon CloudWatch (Amazon CloudWatch User Guide,
// "Using condition keys to limit access to CloudWatch namespaces"). Metrics have no
// resources.
var cloudWatch = family{
	rules: map[string]rule{
		"DescribeAlarms":       asks("", to("alarm:<AlarmNames|?name>")),
		"DescribeAlarmHistory": asks("", to("alarm:<AlarmName|?name>")),
		"DeleteAlarms":         asks("", to("alarm:<AlarmNames>")),
		"DisableAlarmActions":  asks("", to("alarm:<AlarmNames>")),
		"EnableAlarmActions":   asks("", to("alarm:<AlarmNames>")),
		"SetAlarmState":        asks("", to("alarm:<AlarmName>")),
		"DeleteDashboards":     asks("", to("arn:$P:cloudwatch::$A:dashboard/<DashboardNames>")),
		"GetDashboard":         asks("", to("arn:$P:cloudwatch::$A:dashboard/<DashboardName>")),
		"PutDashboard":         asks("", maker("arn:$P:cloudwatch::$A:dashboard/<DashboardName>")),
		"GetInsightRuleReport": asks("", to("insight-rule/<RuleName>")),
		"PutInsightRule":       asks("", maker("insight-rule/<RuleName>")),
		"PutMetricStream":      asks("", maker("metric-stream/<Name>")),
		"PutMetricAlarm":       asks("", maker("alarm:<AlarmName>")),
		"PutCompositeAlarm":    asks("", maker("alarm:<AlarmName>")),
	},
	keys: func(a *asker, q *Question) {
		if actions := texts(a.Input["AlarmActions"]); actions != nil {
			q.Keys.SetMulti("cloudwatch:AlarmActions", actions...)
		}
	},
	computed: []string{"cloudwatch:namespace", "cloudwatch:AlarmActions"},
}

func init() {
	cloudWatch.on(asks("", star), "PutMetricData GetMetricData ListMetrics GetMetricStatistics")
	cloudWatch.on(asks("", to("insight-rule/<RuleNames>")), "DeleteInsightRules DisableInsightRules EnableInsightRules")
	cloudWatch.on(asks("", to("metric-stream/<Name>")), "DeleteMetricStream GetMetricStream")
	cloudWatch.on(asks("", to("metric-stream/<Names>")), "StartMetricStreams StopMetricStreams")
}

// registries are the actions of Amazon ECR (Amazon ECR User Guide, "Amazon ECR
// identity-based policy examples"). A registry is an account.
var registries = family{
	rules: map[string]rule{
		"CreateRepository":     asks("", rename(repository("repositoryName"), func(_ *asker, t *target) { t.created = true })),
		"DescribeRepositories": asks("", repository("repositoryNames")),

		"BatchGetRepositoryScanningConfiguration": asks("", repository("repositoryNames")),
	},
	otherwise: func(a *asker) {
		action := a.listed(a.action(""))
		if action != nil && len(action.Types) > 0 && str(a.Input, "resourceArn") == "" {
			a.ask("", repository("repositoryName")(a)...)
			return
		}
		general(a)
	},
}

func repository(member string) source {
	return rename(to("repository/<"+member+"|?name>"), func(a *asker, t *target) {
		if id := str(a.Input, "registryId"); isAccount(id) {
			t.arn = withAccount(t.arn, id)
			if t.spelled != "" {
				t.spelled = withAccount(t.spelled, id)
			}
		}
	})
}
