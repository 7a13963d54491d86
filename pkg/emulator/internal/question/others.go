package question

import (
	"strings"
)

// scheduler are the actions of Amazon EventBridge Scheduler (EventBridge Scheduler User
// Guide, "Using identity-based policies in EventBridge Scheduler"). Schedules without a
// group are in the one called default.
var scheduler = family{
	rules: map[string]rule{
		"CreateSchedule": asks("", maker("schedule/<GroupName|'default'>/<Name>")),
		"ListSchedules":  asks("", to("schedule/<GroupName|?name>/<?name>")),
	},
}

func init() {
	scheduler.on(asks("", to("schedule/<GroupName|'default'>/<Name>")), "GetSchedule UpdateSchedule DeleteSchedule")
}

// keyspaces are the actions of Amazon Keyspaces, which are those of CQL (Amazon
// Keyspaces Developer Guide, "How Amazon Keyspaces works with IAM").
var keyspaces = family{
	rules:   map[string]rule{},
	members: map[string][]string{"KeyspaceName": {"keyspaceName"}, "TableName": {"tableName"}},
}

func init() {
	const keyspace, table = "/keyspace/<keyspaceName>/", "/keyspace/<keyspaceName>/table/<tableName>"
	for action, operations := range map[string][2]string{
		"Select": {"GetKeyspace ListTables", "GetTable"},
		"Create": {"CreateKeyspace", "CreateTable"},
		"Alter":  {"UpdateKeyspace", "UpdateTable"},
		"Drop":   {"DeleteKeyspace", "DeleteTable"},
	} {
		keyspaces.on(asks(action, to(keyspace)), operations[0])
		keyspaces.on(asks(action, to(table)), operations[1])
	}
}

// prometheus are the actions of Amazon Managed Service for Prometheus, of which the
// calls of Prometheus' own API are in no model (Amazon Managed Service for Prometheus
// User Guide, "Prometheus-compatible APIs" and "IAM permissions and policies").
var prometheus = family{
	rules: map[string]rule{"": func(a *asker) {
		parts := strings.Split(strings.Trim(a.Path, "/"), "/")
		// workspaces, the id, api, v1, the call
		if len(parts) < 5 || parts[0] != "workspaces" || parts[2] != "api" {
			a.ask("UnknownOperation", anything)
			a.out[0].Unlisted = true
			return
		}
		action := map[string]string{
			"remote_write": "RemoteWrite", "query": "QueryMetrics", "query_range": "QueryMetrics", "series": "GetSeries",
			"labels": "GetLabels", "label": "GetLabels", "metadata": "GetMetricMetadata",
		}[parts[4]]
		if action == "" {
			a.ask("UnknownOperation", anything)
			a.out[0].Unlisted = true
			return
		}
		a.ask(action, target{arn: a.arn("workspace/" + parts[1])})
	}},
}

// Services whose members have other names than the parts of their ARNs.
var (
	trails   = family{members: map[string][]string{"TrailName": {"Name", "TrailName"}}}
	graphs   = family{members: map[string][]string{"GraphQLAPIId": {"apiId"}, "ApiId": {"apiId"}}}
	packages = family{members: map[string][]string{"PackageFormat": {"format"}, "PackageNamespace": {"namespace"}}}
	pinpoint = family{members: map[string][]string{"AppId": {"ApplicationId"}}}
)
