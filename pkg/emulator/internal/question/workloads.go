package question

import (
	"maps"
	"slices"
	"strings"
)

// stepFunctions are the actions of AWS Step Functions (AWS Step Functions Developer
// Guide, "Creating granular permissions for non-admin users"). The ARN of a state
// machine is without version or alias, which are a condition key.
var stepFunctions = family{
	rules: map[string]rule{
		"CreateStateMachine": asks("", maker("stateMachine:<name>")),
		"CreateActivity":     asks("", maker("activity:<name>")),
		"CreateStateMachineAlias": asks("", func(a *asker) []target {
			var targets []target
			for _, arn := range unique(strs(a.Input, "routingConfiguration[].stateMachineVersionArn")) {
				targets = append(targets, target{arn: unqualified(arn)})
			}
			if targets == nil {
				return to("stateMachine:<?name>")(a)
			}
			return targets
		}),
		"ListExecutions": asks("", one(each(named("mapRunArn", "<mapRunArn>"), machines), to("stateMachine:<?name>"))),
		"TestState":      asks("", star),
	},
	otherwise: func(a *asker) {
		found := machines(a)
		for _, arn := range allOf(a.Input, "executionArn", "mapRunArn", "activityArn") {
			found = append(found, target{arn: arn})
		}
		if found != nil {
			a.ask("", found...)
			return
		}
		general(a)
	},
	keys: func(a *asker, q *Question) {
		arn := firstOf(a.Input, machineMembers...)
		if plain := unqualified(arn); arn != plain {
			q.Keys.Set("states:StateMachineQualifier", arn[len(plain)+1:])
		}
	},
	computed: []string{"states:StateMachineQualifier"},
	passes:   "states.amazonaws.com",
}

var machineMembers = []string{"stateMachineArn", "stateMachineAliasArn", "stateMachineVersionArn"}

// machines are the state machines that a call names.
func machines(a *asker) []target {
	var found []target
	for _, arn := range allOf(a.Input, machineMembers...) {
		found = append(found, target{arn: unqualified(arn)})
	}
	return found
}

// unqualified is the ARN of a state machine without its version or alias.
func unqualified(s string) string {
	m, is := parseARN(s)
	if !is {
		return s
	}
	kind, rest, _ := strings.Cut(m.resource, ":")
	name, _, _ := strings.Cut(rest, ":")
	m.resource = kind + ":" + name
	return m.String()
}

// batch are the actions of AWS Batch (AWS Batch User Guide, "Resource-level
// permissions for AWS Batch").
var batch = family{
	rules: map[string]rule{
		"SubmitJob":                both(asks("", to("job-definition/<jobDefinition>"), to("job-queue/<jobQueue>")), creates("job/<?uuid>")),
		"RegisterJobDefinition":    asks("", maker("job-definition/<jobDefinitionName>")),
		"DeregisterJobDefinition":  asks("", to("job-definition/<jobDefinition>")),
		"CancelJob":                asks("", to("job/<jobId>")),
		"TerminateJob":             asks("", to("job/<jobId>")),
		"CreateComputeEnvironment": asks("", maker("compute-environment/<computeEnvironmentName>")),
		"CreateJobQueue": asks("", maker("job-queue/<jobQueueName>"),
			ifNamed("computeEnvironmentOrder[].computeEnvironment", to("compute-environment/<computeEnvironmentOrder[].computeEnvironment>")),
			named("schedulingPolicyArn", "<schedulingPolicyArn>")),
		"UpdateJobQueue": asks("", to("job-queue/<jobQueue>"),
			ifNamed("computeEnvironmentOrder[].computeEnvironment", to("compute-environment/<computeEnvironmentOrder[].computeEnvironment>")),
			named("schedulingPolicyArn", "<schedulingPolicyArn>")),
		"DeleteJobQueue": asks("", to("job-queue/<jobQueue>")),
	},
	keys: func(a *asker, q *Question) {
		for name, path := range batchPaths {
			if s := str(a.Input, path); s != "" {
				q.Keys.Set(name, s)
			}
		}
	},
	computed: slices.Collect(maps.Keys(batchPaths)),
	passing: map[string]string{
		".jobRoleArn": "ecs-tasks.amazonaws.com", ".executionRoleArn": "ecs-tasks.amazonaws.com",
	},
}

func init() {
	batch.on(asks("", to("compute-environment/<computeEnvironment>")), "UpdateComputeEnvironment DeleteComputeEnvironment")
}

// batchPaths are where a job definition, or a job, has the value of a key.
var batchPaths = map[string]string{
	"batch:Image": "containerProperties.image", "batch:User": "containerProperties.user",
	"batch:Privileged": "containerProperties.privileged", "batch:ShareIdentifier": "shareIdentifier",
	"batch:LogDriver":             "containerProperties.logConfiguration.logDriver",
	"batch:AWSLogsGroup":          "containerProperties.logConfiguration.options.awslogs-group",
	"batch:AWSLogsRegion":         "containerProperties.logConfiguration.options.awslogs-region",
	"batch:AWSLogsStreamPrefix":   "containerProperties.logConfiguration.options.awslogs-stream-prefix",
	"batch:AWSLogsCreateGroup":    "containerProperties.logConfiguration.options.awslogs-create-group",
	"batch:EKSImage":              "eksProperties.podProperties.containers[].image",
	"batch:EKSNamespace":          "eksProperties.podProperties.metadata.namespace",
	"batch:EKSServiceAccountName": "eksProperties.podProperties.serviceAccountName",
}

// ecs are the actions of Amazon ECS (Amazon ECS Developer Guide, "Identity-based
// policy examples for Amazon Elastic Container Service"). A cluster that is not named
// is the default one.
var ecs = family{
	rules: map[string]rule{
		"DescribeClusters": asks("", to("cluster/<clusters|'default'>")),
		"CreateCluster":    asks("", maker("cluster/<clusterName|'default'>")),
		"RunTask":          both(asks("", taskDefinition("taskDefinition")), makesTask, taskRoles),
		"StartTask":        both(asks("", taskDefinition("taskDefinition")), makesTask, taskRoles),

		"RegisterTaskDefinition": asks("", func(a *asker) []target {
			targets := to("task-definition/<family>:<?number>")(a)
			targets[0].created = true
			return targets
		}),
		"DeleteTaskDefinitions": asks("", taskDefinition("taskDefinitions")),
		"CreateService":         asks("", maker("service/<cluster:last|'default'>/<serviceName>")),
		"DescribeServices":      asks("", to("service/<cluster:cluster|'default'>/<services>")),
		"DescribeTasks":         asks("", inCluster("task", "tasks")),
		"ListTasks":             asks("", inCluster("container-instance", "containerInstance")),
		"ExecuteCommand":        asks("", ecsCluster, inCluster("task", "task")),
		"CreateTaskSet":         asks("", inCluster("task-set", "")),
		"DescribeTaskSets":      asks("", taskSets("taskSets")),

		"RegisterContainerInstance":   asks("", ecsCluster),
		"DeregisterContainerInstance": asks("", ecsCluster),
	},
	keys: func(a *asker, q *Question) {
		q.Keys.Set("ecs:cluster", ecsCluster(a)[0].arn)
		for name, member := range map[string]string{"ecs:container-name": "container", "ecs:enable-execute-command": "enableExecuteCommand"} {
			if s := str(a.Input, member); s != "" {
				q.Keys.Set(name, s)
			}
		}
		if s := str(a.Input, "service"); s != "" {
			q.Keys.Set("ecs:service", a.inCluster("service", s).arn)
		}
		if s := str(a.Input, "taskDefinition"); strings.Contains(s, ":") && a.Operation != "RegisterTaskDefinition" {
			q.Keys.Set("ecs:task-definition", taskDefinition("taskDefinition")(a)[0].arn)
		}
		if s := str(a.Input, "task"); s != "" {
			q.Keys.Set("ecs:task", a.inCluster("task", s).arn)
		}
	},
	computed: []string{
		"ecs:cluster", "ecs:service", "ecs:task", "ecs:container-name", "ecs:enable-execute-command", "ecs:CreateAction",
	},
	passes:  "ecs-tasks.amazonaws.com",
	passing: map[string]string{".role": "ecs.amazonaws.com"},
}

func init() {
	ecs.rules["CreateService"] = asks("", rename(inCluster("service", "serviceName"), func(_ *asker, t *target) { t.created = true }))
	ecs.rules["DescribeServices"] = asks("", inCluster("service", "services"))
	ecs.on(asks("", ecsCluster), `DeleteCluster UpdateCluster UpdateClusterSettings PutClusterCapacityProviders ListContainerInstances
		ListAttributes SubmitTaskStateChange SubmitContainerStateChange SubmitAttachmentStateChanges`)
	ecs.on(asks("", inCluster("service", "service")), "UpdateService DeleteService UpdateServicePrimaryTaskSet ListServiceDeployments")
	ecs.on(asks("", inCluster("task", "task")), "StopTask")
	ecs.on(asks("", inCluster("task", "tasks")), "GetTaskProtection UpdateTaskProtection")
	ecs.on(asks("", inCluster("container-instance", "containerInstances")), "DescribeContainerInstances UpdateContainerInstancesState")
	ecs.on(asks("", inCluster("container-instance", "containerInstance")), "UpdateContainerAgent")
	ecs.on(asks("", inCluster("container-instance", "attributes[].targetId")), "PutAttributes DeleteAttributes")
	ecs.on(asks("", taskSets("taskSet")), "UpdateTaskSet DeleteTaskSet")
}

// makesTask says that a call creates a task.
func makesTask(a *asker) { a.creates = &inCluster("task", "")(a)[0] }

// clusterName is the cluster of a call by its name.
func (a *asker) clusterName() string {
	if name := str(a.Input, "cluster"); name != "" {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return "default"
}

func ecsCluster(a *asker) []target {
	if name := str(a.Input, "cluster"); strings.HasPrefix(name, "arn:") {
		return []target{{arn: name}}
	}
	return []target{{arn: a.arn("cluster/" + a.clusterName())}}
}

// inCluster is the source of what a member names in the cluster of the call, by ARN,
// id or name; any of it, if it names none.
//
//go:noinline // so that what it makes is there once, not again at each call
func inCluster(kind, member string) source {
	return func(a *asker) []target {
		var targets []target
		for _, id := range unique(strs(a.Input, member)) {
			targets = append(targets, a.inCluster(kind, id))
		}
		if targets != nil {
			return targets
		}
		arn := a.arn(kind + "/" + a.clusterName() + "/")
		return []target{{arn: arn + sampleName, spelled: arn + "*", unknown: true}}
	}
}

func (a *asker) inCluster(kind, id string) target {
	if strings.HasPrefix(id, "arn:") {
		return target{arn: id}
	}
	return target{arn: a.arn(kind + "/" + a.clusterName() + "/" + id[strings.LastIndexByte(id, '/')+1:])}
}

// taskDefinition is the source of task definitions by family, or family and
// revision, or ARN.
func taskDefinition(member string) source {
	return rename(to("task-definition/<"+member+">"), func(_ *asker, t *target) {
		d, _ := parseARN(t.arn)
		if !t.unknown && !strings.Contains(d.resource, ":") {
			t.spelled, t.arn, t.unknown = t.arn+":*", t.arn+":"+sampleNumber, true
		}
	})
}

// taskSets is the source of the task sets of a service.
func taskSets(member string) source {
	return func(a *asker) []target {
		service := str(a.Input, "service")
		arn := a.arn("task-set/" + a.clusterName() + "/" + service[strings.LastIndexByte(service, '/')+1:] + "/")
		var targets []target
		for _, id := range unique(strs(a.Input, member)) {
			if strings.HasPrefix(id, "arn:") {
				targets = append(targets, target{arn: id})
			} else {
				targets = append(targets, target{arn: arn + id})
			}
		}
		if targets == nil {
			return []target{{arn: arn + sampleName, spelled: arn + "*", unknown: true}}
		}
		return targets
	}
}

// eks are the actions of Amazon EKS (Amazon EKS User Guide, "Identity-based policy
// examples"). What is in a cluster has an id in its ARN that only EKS knows.
var eks = family{
	rules: map[string]rule{
		"DescribeIdentityProviderConfig":     asks("", eksIdentity),
		"DisassociateIdentityProviderConfig": asks("", eksIdentity),
		"CreateCluster":                      asks("", maker("cluster/<name>")),
		"RegisterCluster":                    asks("", star),
		"CreateAddon":                        asks("", to("cluster/<clusterName>")),
		"DescribeUpdate":                     asks("", eksUpdated),
		"ListUpdates":                        asks("", eksUpdated),
		"DescribeCluster":                    asks("", to("cluster/<name>")),
	},
	otherwise: eksOther,
	keys: func(a *asker, q *Question) {
		if kind := str(a.Input, "type"); kind != "" && strings.Contains(a.Operation, "AccessEntry") {
			q.Keys.Set("eks:accessEntryType", kind)
		}
		if groups := texts(a.Input["kubernetesGroups"]); groups != nil {
			q.Keys.SetMulti("eks:kubernetesGroups", groups...)
		}
		for name, path := range map[string]string{
			"eks:accessScope": "accessScope.type", "eks:policyArn": "policyArn", "eks:principalArn": "principalArn",
			"eks:username": "username",
		} {
			if s := str(a.Input, path); s != "" {
				q.Keys.Set(name, s)
			}
		}
		if namespaces := strs(a.Input, "accessScope.namespaces"); namespaces != nil {
			q.Keys.SetMulti("eks:namespaces", namespaces...)
		}
	},
	computed: []string{
		"eks:principalArn", "eks:accessEntryType", "eks:kubernetesGroups", "eks:accessScope", "eks:policyArn", "eks:username",
		"eks:namespaces",
	},
	passes: "eks.amazonaws.com",
	passing: map[string]string{
		"CreatePodIdentityAssociation": "pods.eks.amazonaws.com", "UpdatePodIdentityAssociation": "pods.eks.amazonaws.com",
		"CreateAddon.roleArn": "pods.eks.amazonaws.com", "UpdateAddon.roleArn": "pods.eks.amazonaws.com",
	},
}

func init() {
	eks.on(asks("", to("cluster/<name|clusterName>")), "DeleteCluster DeregisterCluster UpdateClusterConfig UpdateClusterVersion")
	eks.on(asks("", eksEntry), `DescribeAccessEntry UpdateAccessEntry DeleteAccessEntry AssociateAccessPolicy DisassociateAccessPolicy
		ListAssociatedAccessPolicies`)
}

// eksParts are the types of what is in a cluster, by the member that names it.
var eksParts = []struct{ member, template string }{
	{"nodegroupName", "nodegroup/<clusterName>/<nodegroupName>/<?uuid>"},
	{"addonName", "addon/<clusterName>/<addonName>/<?uuid>"},
	{"fargateProfileName", "fargateprofile/<clusterName>/<fargateProfileName>/<?uuid>"},
	{"capabilityName", "capability/<clusterName>/<?name>/<capabilityName>/<?uuid>"},
	{"associationId", "podidentityassociation/<clusterName>/<associationId>"},
}

func eksOther(a *asker) {
	before := len(a.out)
	for _, part := range eksParts {
		if str(a.Input, part.member) == "" {
			continue
		}
		if verb(a.Operation) == "Create" {
			creates(part.template)(a)
			break
		}
		a.ask("", to(part.template)(a)...)
	}
	if len(a.out) > before {
		return
	}
	if action := a.listed(a.action("")); action != nil && len(action.Types) > 0 && str(a.Input, "clusterName") != "" {
		a.ask("", to("cluster/<clusterName>")(a)...)
		return
	}
	general(a)
}

// eksUpdated is the cluster, or what of it is updated.
func eksUpdated(a *asker) []target {
	var found []target
	for _, part := range eksParts {
		if str(a.Input, "name") != "" {
			found = append(found, named(part.member, strings.ReplaceAll(part.template, "<clusterName>", "<name>"))(a)...)
		}
	}
	if found == nil {
		return to("cluster/<name>")(a)
	}
	return found
}

// eksEntry is an access entry, whose ARN is made of the principal's.
func eksEntry(a *asker) []target {
	p, is := parseARN(str(a.Input, "principalArn"))
	kind, name, found := strings.Cut(p.resource, "/")
	if !is || !found {
		return to("access-entry/<clusterName>/<?name>/<?name>/<?name>/<?uuid>")(a)
	}
	// The path of a role is not part of it.
	name = name[strings.LastIndexByte(name, '/')+1:]
	return to("access-entry/<clusterName>/" + kind + "/" + p.account + "/" + name + "/<?uuid>")(a)
}

func eksIdentity(a *asker) []target {
	return to("identityproviderconfig/<clusterName>/<identityProviderConfig.type>/<identityProviderConfig.name>/<?uuid>")(a)
}
