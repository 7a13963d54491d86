package question

import (
	"strings"
)

// balancing are the actions of Elastic Load Balancing (Elastic Load Balancing User
// Guide, "Elastic Load Balancing policy actions" and "Tag resources during creation").
var balancing = family{
	rules: map[string]rule{
		"SetRulePriorities": asks("", to("<RulePriorities[].RuleArn>")),

		"CreateListener": both(asks("", to("<LoadBalancerArn>")), createsBelow("LoadBalancerArn", "loadbalancer", "listener")),
		"CreateRule":     both(asks("", to("<ListenerArn>")), createsBelow("ListenerArn", "listener", "listener-rule")),
	},
	keys: func(a *asker, q *Question) {
		if strings.HasSuffix(q.Action, ":AddTags") {
			return
		}
		for name, member := range map[string]string{
			"elasticloadbalancing:Subnet": "Subnets", "elasticloadbalancing:SecurityGroup": "SecurityGroups",
		} {
			if values := texts(a.Input[member]); values != nil {
				q.Keys.SetMulti(name, values...)
			}
		}
		protocols := append(strs(a.Input, "Listeners[].Protocol"), strs(a.Input, "Protocol")...)
		if len(protocols) > 0 && strings.Contains(a.Operation, "Listener") || strs(a.Input, "Listeners[].Protocol") != nil {
			q.Keys.SetMulti("elasticloadbalancing:ListenerProtocol", unique(protocols)...)
		}
	},
	computed: []string{
		"elasticloadbalancing:CreateAction", "elasticloadbalancing:Subnet", "elasticloadbalancing:SecurityGroup",
		"elasticloadbalancing:Scheme", "elasticloadbalancing:ListenerProtocol", "elasticloadbalancing:SecurityPolicy",
	},
}

func init() {
	balancing.rules["CreateLoadBalancer"] = asks("", func(a *asker) []target {
		if str(a.Input, "LoadBalancerName") != "" {
			return maker("loadbalancer/<LoadBalancerName>")(a)
		}
		kind := map[string]string{"network": "net", "gateway": "gwy"}[str(a.Input, "Type")]
		if kind == "" {
			kind = "app"
		}
		return maker("loadbalancer/" + kind + "/<Name>/<?id>")(a)
	})
	tags := asks("", one(named("ResourceArns", "<ResourceArns>"), to("loadbalancer/<LoadBalancerNames>")))
	balancing.on(tags, "AddTags RemoveTags")
}

// createsBelow says that a call creates something whose ARN is that of what it is in,
// with another type and an id at its end.
func createsBelow(member, kind, made string) rule {
	return func(a *asker) {
		in, is := parseARN(str(a.Input, member))
		rest, found := strings.CutPrefix(in.resource, kind+"/")
		if !is || !found {
			return
		}
		in.resource = made + "/" + rest + "/"
		a.creates = &target{arn: in.String() + sampleHex, spelled: in.String() + "*", unknown: true, created: true}
	}
}

// autoScaling are the actions of Amazon EC2 Auto Scaling (Amazon EC2 Auto Scaling
// User Guide, "Identity-based policy examples"). The id in the ARN of a group is
// always unknown.
var autoScaling = family{
	rules: map[string]rule{
		"CreateAutoScalingGroup":    asks("", group("AutoScalingGroupName", true)),
		"CreateOrUpdateTags":        asks("", group("Tags[].ResourceId", false)),
		"DeleteTags":                asks("", group("Tags[].ResourceId", false)),
		"CreateLaunchConfiguration": asks("", launchConfiguration),
		"DeleteLaunchConfiguration": asks("", launchConfiguration),

		"TerminateInstanceInAutoScalingGroup": asks("", groupOfInstance),
		"SetInstanceHealth":                   asks("", groupOfInstance),
	},
	otherwise: func(a *asker) {
		if action := a.listed(a.action("")); action != nil && len(action.Types) > 0 {
			a.ask("", group("AutoScalingGroupName", false)(a)...)
			return
		}
		general(a)
	},
	keys: func(a *asker, q *Question) {
		if types := strs(a.Input, "MixedInstancesPolicy.LaunchTemplate.Overrides[].InstanceType"); types != nil {
			q.Keys.SetMulti("autoscaling:InstanceTypes", unique(types)...)
		}
		for _, path := range []string{"LaunchTemplate", "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification"} {
			if found := at(a.Input, path); len(found) > 0 {
				version := str(found[0], "Version")
				q.Keys.Set("autoscaling:LaunchTemplateVersionSpecified", isTrue(version != "" && version != "$Latest" && version != "$Default"))
			}
		}
		for name, path := range map[string]string{
			"autoscaling:MetadataHttpTokens": "MetadataOptions.HttpTokens", "autoscaling:MetadataHttpEndpoint": "MetadataOptions.HttpEndpoint",
			"autoscaling:MetadataHttpPutResponseHopLimit": "MetadataOptions.HttpPutResponseHopLimit",
		} {
			if s := str(a.Input, path); s != "" {
				q.Keys.Set(name, s)
			}
		}
		for name, member := range map[string]string{
			"autoscaling:LoadBalancerNames": "LoadBalancerNames", "autoscaling:TargetGroupARNs": "TargetGroupARNs",
			"autoscaling:VPCZoneIdentifiers": "VPCZoneIdentifier",
		} {
			values := texts(a.Input[member])
			if len(values) == 1 {
				values = strings.Split(values[0], ",")
			}
			if values != nil {
				q.Keys.SetMulti(name, values...)
			}
		}
	},
	computed: []string{
		"autoscaling:InstanceTypes", "autoscaling:LoadBalancerNames", "autoscaling:TargetGroupARNs", "autoscaling:VPCZoneIdentifiers",
		"autoscaling:MetadataHttpTokens", "autoscaling:MetadataHttpEndpoint", "autoscaling:MetadataHttpPutResponseHopLimit",
		"autoscaling:LaunchTemplateVersionSpecified",
	},
}

// group is the source of groups by name.
//
//go:noinline // so that what it makes is there once, not again at each call
func group(member string, made bool) source {
	return func(a *asker) []target {
		var targets []target
		for _, name := range unique(strs(a.Input, member)) {
			t := a.autoScalingGroup(name)
			t.created = made
			targets = append(targets, t)
		}
		if targets == nil {
			return []target{a.autoScalingGroup("")}
		}
		return targets
	}
}

func (a *asker) autoScalingGroup(name string) target {
	if _, is := parseARN(name); is {
		return target{arn: name}
	}
	shown := name
	if name == "" {
		name, shown = sampleName, "*"
	}
	t := target{
		arn:     a.arn("autoScalingGroup:" + sampleUUID + ":autoScalingGroupName/" + name),
		spelled: a.arn("autoScalingGroup:*:autoScalingGroupName/" + shown), unknown: true,
	}
	if shown != "*" {
		t.tagsOf = t.spelled
	}
	return t
}

func launchConfiguration(a *asker) []target {
	return to("launchConfiguration:<?uuid>:launchConfigurationName/<LaunchConfigurationName>")(a)
}

// groupOfInstance is the group that an instance is in.
func groupOfInstance(a *asker) []target {
	if known, ok := a.find(Fact{Kind: InstanceGroup, Name: str(a.Input, "InstanceId")}); ok && known.Text != "" {
		return []target{a.autoScalingGroup(known.Text)}
	}
	return []target{a.autoScalingGroup("")}
}

// route53 are the actions of Amazon Route 53 (Amazon Route 53 Developer Guide, "Using
// IAM policy conditions for fine-grained access control to manage resource record
// sets").
var route53 = family{
	rules: map[string]rule{
		"ChangeTagsForResource": asks("", route53Tagged("ResourceId")),
		"ListTagsForResource":   asks("", route53Tagged("ResourceId")),
		"ListTagsForResources":  asks("", route53Tagged("ResourceIds")),
		"GetChange":             asks("", route53To("change", "Id")),
		"GetHostedZone":         asks("", route53To("hostedzone", "Id")),

		"CreateTrafficPolicyInstance": asks("", route53To("hostedzone", "HostedZoneId"), route53To("trafficpolicy", "TrafficPolicyId")),
		"ListQueryLoggingConfigs":     asks("", ifNamed("HostedZoneId", route53To("hostedzone", "HostedZoneId"))),
	},
	otherwise: func(a *asker) {
		for _, zone := range []string{"HostedZoneId", "Id"} {
			action := a.listed(a.action(""))
			if action != nil && len(action.Types) > 0 && action.Types[0].Name == "hostedzone" && str(a.Input, zone) != "" {
				a.ask("", route53To("hostedzone", zone)(a)...)
				return
			}
		}
		general(a)
	},
	members: map[string][]string{"Id": {
		"HealthCheckId", "CollectionId", "TrafficPolicyId", "DelegationSetId", "QueryLoggingConfigId",
	}},
	forms: []form{{zoneForm, "HostedZoneId Id", "InvalidInput"}},
	keys:  route53Keys,
	computed: []string{
		"route53:ChangeResourceRecordSetsNormalizedRecordNames", "route53:ChangeResourceRecordSetsRecordTypes",
		"route53:ChangeResourceRecordSetsActions", "route53:VPCs",
	},
	global: true,
}

func init() {
	route53.on(asks("", route53To("healthcheck", "HealthCheckId")), `DeleteHealthCheck GetHealthCheck GetHealthCheckLastFailureReason
		GetHealthCheckStatus UpdateHealthCheck`)
	route53.on(asks("", route53To("cidrcollection", "CollectionId|Id")), `ChangeCidrCollection DeleteCidrCollection ListCidrBlocks
		ListCidrLocations`)
	route53.on(asks("", route53To("trafficpolicy", "TrafficPolicyId|Id")), `CreateTrafficPolicyVersion DeleteTrafficPolicy GetTrafficPolicy
		ListTrafficPolicyInstancesByPolicy ListTrafficPolicyVersions UpdateTrafficPolicyComment`)
	route53.on(asks("", route53To("delegationset", "DelegationSetId|Id")), `DeleteReusableDelegationSet GetReusableDelegationSet
		GetReusableDelegationSetLimit`)
}

// route53To is the source of resources whose ids may have their type before them,
// such as /hostedzone/Z1.
func route53To(kind, members string) source {
	return to("arn:$P:route53:::" + kind + "/<" + strings.ReplaceAll(members, "|", ":last|") + ":last>")
}

func route53Tagged(member string) source {
	return func(a *asker) []target {
		kind := str(a.Input, "ResourceType")
		if kind == "" {
			return nil
		}
		return route53To(kind, member)(a)
	}
}

func route53Keys(a *asker, q *Question) {
	if a.Operation == "ChangeResourceRecordSets" {
		const changes = "ChangeBatch.Changes[]."
		names := strs(a.Input, changes+"ResourceRecordSet.Name")
		for i := range names {
			names[i] = normalRecord(names[i])
		}
		for name, values := range map[string][]string{
			"route53:ChangeResourceRecordSetsNormalizedRecordNames": names,
			"route53:ChangeResourceRecordSetsRecordTypes":           strs(a.Input, changes+"ResourceRecordSet.Type"),
			"route53:ChangeResourceRecordSetsActions":               strs(a.Input, changes+"Action"),
		} {
			if len(values) > 0 {
				q.Keys.SetMulti(name, unique(values)...)
			}
		}
	}
	if vpc := str(a.Input, "VPC.VPCId"); vpc != "" {
		q.Keys.SetMulti("route53:VPCs", "VPCId="+vpc+",VPCRegion="+str(a.Input, "VPC.VPCRegion"))
	}
}

// normalRecord is the name of a record as the condition key has it: in lower case,
// without a dot at its end, and with octal escapes for what is no letter, digit,
// hyphen, underscore, dot or asterisk in front.
func normalRecord(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		case c == '\\' && i+3 < len(name) && octal(name[i+1:i+4]):
			b.WriteString(plainOctal(name[i : i+4]))
			i += 3
		default:
			b.WriteByte('\\')
			b.WriteByte('0' + c>>6)
			b.WriteByte('0' + c>>3&7)
			b.WriteByte('0' + c&7)
		}
	}
	return b.String()
}

func octal(s string) bool { return strings.Trim(s, "01234567") == "" && s[0] < '4' }

// plainOctal is the character of an octal escape, if it is one that needs none.
func plainOctal(escape string) string {
	c := escape[1] - '0'
	c = c<<6 | (escape[2]-'0')<<3 | escape[3] - '0'
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
		return string(rune(c))
	}
	return escape
}

// cloudFormation are the actions of AWS CloudFormation (AWS CloudFormation User
// Guide, "Control CloudFormation access with AWS Identity and Access Management").
var cloudFormation = family{
	rules: map[string]rule{
		"CreateStack": asks("", rename(stack, func(_ *asker, t *target) { t.created = true })),
		"DescribeStacks": func(a *asker) {
			if str(a.Input, "StackName") == "" {
				a.ask("", anything)
				a.ask("ListStacks", anything)
				return
			}
			a.ask("", stack(a)...)
		},
		"GetTemplateSummary": asks("", ifNamed("StackName", stack), ifNamed("StackSetName", stackSet)),
		"DescribeStackResources": asks("", one(each(ifNamed("StackName", stack), named("PhysicalResourceId", "stack/<?name>/<?uuid>")),
			to("stack/<?name>/<?uuid>"))),
		"CreateStackSet": asks("", star),
		"TagResource":    asks("", to("<ResourceArn>")),
	},
	otherwise: func(a *asker) {
		action := a.listed(a.action(""))
		switch {
		case action == nil || len(action.Types) == 0:
			general(a)
		case str(a.Input, "StackSetName") != "":
			a.ask("", stackSet(a)...)
		case action.Types[0].Name == "stack" && strings.HasPrefix(str(a.Input, "ChangeSetName"), "arn:"):
			a.ask("", each(ifNamed("StackName", stack), stackOfChangeSet)(a)...)
		case action.Types[0].Name == "stack":
			a.ask("", stack(a)...)
		default:
			general(a)
		}
	},
	keys: func(a *asker, q *Question) {
		for name, member := range map[string]string{"cloudformation:TemplateUrl": "TemplateURL", "cloudformation:RoleArn": "RoleARN"} {
			if s := str(a.Input, member); s != "" {
				q.Keys.Set(name, s)
			}
		}
		if types := strs(a.Input, "ResourcesToImport[].ResourceType"); types != nil {
			q.Keys.SetMulti("cloudformation:ImportResourceTypes", unique(types)...)
		}
	},
	computed: []string{
		"cloudformation:ImportResourceTypes",
		"cloudformation:TemplateUrl", "cloudformation:RoleArn", "cloudformation:ChangeSetName", "cloudformation:ResourceTypes",
		"cloudformation:StackPolicyUrl", "cloudformation:CreateAction",
	},
	passes: "cloudformation.amazonaws.com",
}

func stack(a *asker) []target {
	if name := str(a.Input, "StackName"); strings.HasPrefix(name, "arn:") {
		return []target{{arn: name}}
	}
	return to("stack/<StackName>/<?uuid>")(a)
}

// stackOfChangeSet is the stack of a change set that is named by its ARN, which does not
// say it. A StackName beside it does not count.
func stackOfChangeSet(a *asker) []target {
	if known, ok := a.find(Fact{Kind: ChangeSetStack, Name: str(a.Input, "ChangeSetName")}); ok && known.Text != "" {
		return []target{{arn: known.Text}}
	}
	return to("stack/<?name>/<?uuid>")(a)
}

func stackSet(a *asker) []target {
	// "Name:id" is the id of a set.
	if name := str(a.Input, "StackSetName"); strings.Contains(name, ":") {
		return to("stackset/<StackSetName>")(a)
	}
	return to("stackset/<StackSetName>:<?uuid>")(a)
}
