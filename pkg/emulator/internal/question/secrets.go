package question

import (
	"strings"
)

// secretsManager are the actions of AWS Secrets Manager (AWS Secrets Manager User
// Guide, "Authentication and access control for AWS Secrets Manager" and "AWS
// Secrets Manager BatchGetSecretValue").
var secretsManager = family{
	rules: map[string]rule{
		"CreateSecret":           asks("", newSecret),
		"BatchGetSecretValue":    batchSecrets,
		"ListSecrets":            asks("", star),
		"GetRandomPassword":      asks("", star),
		"ValidateResourcePolicy": asks("", one(namedSecret, star)),
	},
	otherwise: asks("", one(namedSecret, to("secret:<?name>"))),
	keys:      secretKeys,
	computed: []string{
		"secretsmanager:SecretId", "secretsmanager:VersionId", "secretsmanager:VersionStage", "secretsmanager:Name",
		"secretsmanager:KmsKeyId", "secretsmanager:KmsKeyArn", "secretsmanager:Description", "secretsmanager:RecoveryWindowInDays",
		"secretsmanager:ForceDeleteWithoutRecovery", "secretsmanager:BlockPublicPolicy", "secretsmanager:RotationLambdaARN",
		"secretsmanager:RotateImmediately", "secretsmanager:AddReplicaRegions", "secretsmanager:ForceOverwriteReplicaSecret",
		"secretsmanager:ModifyRotationRules", "secretsmanager:Type", "secretsmanager:ExternalSecretRotationRoleArn",
		"secretsmanager:resource/AllowRotationLambdaArn",
	},
}

// newSecret is the secret that a call creates: AWS adds six characters to its name.
func newSecret(a *asker) []target {
	name := str(a.Input, "Name")
	if name == "" {
		return to("secret:<?name>")(a)
	}
	arn := a.arn("secret:" + name + "-")
	return []target{{arn: arn + sampleSix, spelled: arn + "??????", unknown: true, created: true}}
}

// namedSecret is the secret that a call is about.
func namedSecret(a *asker) []target {
	if id := str(a.Input, "SecretId"); id != "" {
		return []target{a.secret(id)}
	}
	return nil
}

// secret is a secret by its name, or by its ARN, which may lack the six characters
// at its end. A secret that nobody knows is of no resource, and is spelled as it was
// asked for.
func (a *asker) secret(id string) target {
	if s, is := parseARN(id); is && wholeSecret(s.resource) {
		return target{arn: id}
	}
	if known, ok := a.find(Fact{Kind: SecretARN, Account: accountOf(id), Name: id}); ok && known.Text != "" {
		return target{arn: known.Text}
	}
	return target{arn: "*", spelled: id, unknown: true}
}

// wholeSecret reports whether the end of an ARN has the form of six characters after
// a hyphen.
func wholeSecret(resource string) bool {
	_, end, found := cutLast(resource, "-")
	if !found || len(end) != 6 {
		return false
	}
	for _, r := range end {
		if !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return false
		}
	}
	return true
}

// batchSecrets asks about BatchGetSecretValue: the action itself is of no resource,
// each secret is asked about as if it were read alone, and a list of them needs
// ListSecrets. A secret that is denied is an error in the answer, not of the call.
func batchSecrets(a *asker) {
	a.ask("", anything)
	if len(list(a.Input["Filters"])) > 0 {
		a.ask("ListSecrets", anything)
		a.ask("GetSecretValue", to("secret:<?name>")(a)...)
		a.out[len(a.out)-1].FromAnswer = "SecretValues[].ARN"
	}
	for _, id := range unique(texts(a.Input["SecretIdList"])) {
		before := len(a.out)
		if a.ask("GetSecretValue", a.secret(id)); len(a.out) > before {
			a.out[before].Item = id
		}
	}
}

func secretKeys(a *asker, q *Question) {
	if q.Known && q.Resource != "*" && !q.created {
		q.Keys.Set("secretsmanager:SecretId", q.Resource)
		const rotates = "secretsmanager:resource/AllowRotationLambdaArn"
		if a.mentions(rotates) {
			known, _ := a.find(Fact{Kind: RotationFunction, Region: a.Region, Account: q.Account, Name: q.Resource})
			if known.Text != "" {
				q.Keys.Set(rotates, known.Text)
			}
		}
	}
	if regions := strs(a.Input, "AddReplicaRegions[].Region"); regions != nil {
		q.Keys.SetMulti("secretsmanager:AddReplicaRegions", regions...)
	}
	if a.Operation == "RotateSecret" {
		q.Keys.Set("secretsmanager:ModifyRotationRules", isSet(a.Input["RotationRules"]))
	}
	if id := str(a.Input, "KmsKeyId"); strings.HasPrefix(id, "arn:") {
		q.Keys.Set("secretsmanager:KmsKeyArn", id)
	}
}

// isSet is "true" for a member that is given.
func isSet(v any) string {
	if v == nil {
		return "false"
	}
	return "true"
}

// systemsManager are the actions of AWS Systems Manager (AWS Systems Manager User
// Guide, "Restricting access to Parameter Store parameters using IAM policies", and
// the policy examples of Run Command and Session Manager).
var systemsManager = family{
	rules: map[string]rule{
		"GetParametersByPath":         asks("", parameterPath),
		"PutParameter":                asks("", rename(parameters("Name"), func(_ *asker, t *target) { t.created = true })),
		"SendCommand":                 asks("", documents("DocumentName"), instances("InstanceIds", "Targets")),
		"StartSession":                asks("", instances("Target", ""), documents("DocumentName|'SSM-SessionManagerRunShell'")),
		"StartAutomationExecution":    asks("", documents("DocumentName"), to("automation-execution/<?uuid>")),
		"StartChangeRequestExecution": asks("", documents("DocumentName"), to("automation-execution/<?uuid>")),
		"CreateDocument":              asks("", rename(documents("Name"), func(_ *asker, t *target) { t.created = true })),
		"CreateAssociation":           asks("", maker("association/<?uuid>"), documents("Name"), instances("InstanceId", "Targets")),
		"UpdateAssociation":           asks("", to("association/<AssociationId>"), ifNamed("Name", documents("Name")), instances("", "Targets")),
		"CreateAssociationBatch":      asks("", documents("Entries[].Name"), instances("Entries[].InstanceId", "")),
		"UpdateAssociationStatus":     asks("", documents("Name"), instances("InstanceId", "")),

		"DeregisterTargetFromMaintenanceWindow": asks("", windows, to("windowtarget/<WindowTargetId>")),
		"UpdateMaintenanceWindowTarget":         asks("", windows, to("windowtarget/<WindowTargetId>")),
		"DeregisterTaskFromMaintenanceWindow":   asks("", windows, to("windowtask/<WindowTaskId>")),
		"UpdateMaintenanceWindowTask":           asks("", windows, to("windowtask/<WindowTaskId>")),

		"UpdateManagedInstanceRole": asks("", instances("InstanceId", "")),
		"GetConnectionStatus":       asks("", instances("Target", "")),
		"PutComplianceItems":        asks("", instances("ResourceId", "")),
		"GetDefaultPatchBaseline":   asks("", to("patchbaseline/<?name>")),
	},
	keys:     systemsKeys,
	computed: []string{"ssm:Recursive", "ssm:Overwrite", "ssm:resourceTag/", "ssm:SessionDocumentAccessCheck"},
	passes:   "ssm.amazonaws.com",
}

func init() {
	f := &systemsManager
	f.on(asks("", parameters("Name")), "GetParameterHistory DeleteParameter LabelParameterVersion UnlabelParameterVersion")
	f.on(asks("", parameters("Names")), "DeleteParameters")
	f.rules["GetParameter"] = both(asks("", parameters("Name")), referenced)
	f.rules["GetParameters"] = both(asks("", parameters("Names")), referenced)
	f.on(asks("", documents("Name")), `DeleteDocument DescribeDocument DescribeDocumentPermission GetDocument ListDocumentMetadataHistory
		ListDocumentVersions ModifyDocumentPermission UpdateDocument UpdateDocumentDefaultVersion UpdateDocumentMetadata`)
	f.on(asks("", documents("CalendarNames")), "GetCalendarState")
	f.on(asks("", associations), "DeleteAssociation DescribeAssociation")
	f.on(asks("", instances("InstanceId", "")), `DeregisterManagedInstance DescribeEffectiveInstanceAssociations
		DescribeInstanceAssociationsStatus DescribeInstancePatches ListInstanceAssociations`)
	f.on(asks("", instances("InstanceIds", "")), "DescribeInstancePatchStates")
	f.on(asks("", ofResourceType), "AddTagsToResource RemoveTagsFromResource ListTagsForResource")
	f.on(asks("", windows), `GetMaintenanceWindow GetMaintenanceWindowTask DeleteMaintenanceWindow UpdateMaintenanceWindow
		DescribeMaintenanceWindowExecutions DescribeMaintenanceWindowTargets DescribeMaintenanceWindowTasks
		RegisterTargetWithMaintenanceWindow RegisterTaskWithMaintenanceWindow CancelMaintenanceWindowExecution`)
	f.on(asks("", to("patchbaseline/<BaselineId>")), `DeletePatchBaseline GetPatchBaseline UpdatePatchBaseline RegisterDefaultPatchBaseline
		RegisterPatchBaselineForPatchGroup DeregisterPatchBaselineForPatchGroup DescribeEffectivePatchesForPatchBaseline`)
	f.on(asks("", to("servicesetting/<SettingId:noslash>")), "GetServiceSetting UpdateServiceSetting ResetServiceSetting")
	f.on(asks("", to("opsitem/<OpsItemArn|OpsItemId>")), "GetOpsItem UpdateOpsItem DeleteOpsItem")
}

var windows = to("maintenancewindow/<WindowId>")

// ifNamed is a source that is asked only if a member has a value.
func ifNamed(member string, s source) source {
	return func(a *asker) []target {
		if len(strs(a.Input, member)) == 0 {
			return nil
		}
		return s(a)
	}
}

// parameters are those that a member names: the slash in front is not doubled, and a
// version or label at the end is not part of the ARN.
//
//go:noinline // so that what it makes is there once, not again at each call
func parameters(member string) source {
	return func(a *asker) []target {
		var targets []target
		for _, name := range unique(strs(a.Input, member)) {
			if p, is := parseARN(name); is {
				p.resource, _, _ = strings.Cut(p.resource, ":")
				targets = append(targets, target{arn: p.String()})
				continue
			}
			name, _, _ = strings.Cut(name, ":")
			targets = append(targets, target{arn: a.parameter(name)})
		}
		if targets == nil {
			return to("parameter/<?name>")(a)
		}
		return targets
	}
}

// parameter is the ARN of a parameter by its name. Public parameters have no account
// (AWS Systems Manager User Guide, "Discovering public parameters").
func (a *asker) parameter(name string) string {
	arn := a.arn("parameter/" + strings.TrimPrefix(name, "/"))
	if strings.HasPrefix(name, "/aws/service/") {
		return withAccount(arn, "")
	}
	return arn
}

// referenced asks about the secrets that a call reads by parameters that refer to
// them (AWS Systems Manager User Guide, "Referencing AWS Secrets Manager secrets from
// Parameter Store parameters").
func referenced(a *asker) {
	for _, name := range append(strs(a.Input, "Name"), strs(a.Input, "Names")...) {
		secret, ok := strings.CutPrefix(name, "/aws/reference/secretsmanager/")
		if !ok {
			continue
		}
		secret, _, _ = strings.Cut(secret, ":")
		a.prefixed("secretsmanager", func(b *asker) { b.ask("GetSecretValue", b.secret(secret)) })
	}
}

// prefixed asks questions with the prefix of another service.
func (a *asker) prefixed(prefix string, ask func(*asker)) {
	b := *a
	b.prefix = prefix
	ask(&b)
	a.out, a.warnings, a.err, a.groups = b.out, b.warnings, b.err, b.groups
}

// parameterPath is the resource of GetParametersByPath: the path itself, as it was
// asked for.
func parameterPath(a *asker) []target {
	path := str(a.Input, "Path")
	if path == "" {
		return to("parameter/<?name>")(a)
	}
	if p, is := parseARN(path); is {
		return []target{{arn: p.String()}}
	}
	return []target{{arn: a.parameter(path)}}
}

// documents are those that a member names. Those of AWS's own have no account.
func documents(member string) source {
	all := to("document/<" + member + ">")
	return rename(all, func(a *asker, t *target) {
		d, _ := parseARN(t.arn)
		name, _ := strings.CutPrefix(d.resource, "document/")
		if strings.HasPrefix(name, "AWS") || strings.HasPrefix(name, "Amazon") {
			d.account = ""
			t.arn = d.String()
		}
	})
}

// instances are those that a member names, and any, if others are chosen by tags.
//
//go:noinline // so that what it makes is there once, not again at each call
func instances(member, targets string) source {
	return func(a *asker) []target {
		ids := strs(a.Input, member)
		chosen := false
		for _, entry := range list(a.Input[targets]) {
			key := strings.ToLower(str(entry, "Key"))
			if key == "instanceids" {
				ids = append(ids, strs(entry, "Values")...)
			} else {
				chosen = true
			}
		}
		var found []target
		for _, id := range unique(ids) {
			switch {
			case id == "*":
				chosen = true
			case strings.HasPrefix(id, "arn:"):
				found = append(found, target{arn: id})
			case strings.HasPrefix(id, "mi-"):
				found = append(found, target{arn: a.arn("managed-instance/" + id)})
			case strings.HasPrefix(id, "ecs:"):
				// ecs:cluster_task_runtime
				rest, _, _ := cutLast(strings.TrimPrefix(id, "ecs:"), "_")
				cluster, task, _ := cutLast(rest, "_")
				found = append(found, target{arn: a.standard("arn:$P:ecs:$R:$A:task/") + cluster + "/" + task})
			default:
				found = append(found, target{arn: a.standard("arn:$P:ec2:$R:$A:instance/") + id})
			}
		}
		if chosen {
			arn := a.standard("arn:$P:ec2:$R:$A:instance/")
			t := target{arn: arn + "i-" + sampleHex, spelled: arn + "*", unknown: true}
			t.keys = targetTags(list(a.Input[targets]))
			found = append(found, t)
		}
		return found
	}
}

// targetTags are the keys ssm:resourceTag of instances that are chosen by tags.
func targetTags(targets []any) []key {
	var keys []key
	for _, entry := range targets {
		name, ok := strings.CutPrefix(str(entry, "Key"), "tag:")
		values := strs(entry, "Values")
		if !ok || len(values) != 1 {
			continue
		}
		keys = append(keys, key{"ssm:resourceTag/" + name, values, false}, key{"aws:ResourceTag/" + name, values, false})
	}
	return keys
}

// associations are the association that a call names, and its document and instance.
func associations(a *asker) []target {
	found := named("AssociationId", "association/<AssociationId>")(a)
	if found == nil || str(a.Input, "Name") != "" {
		found = append(found, documents("Name")(a)...)
	}
	return append(found, instances("InstanceId", "")(a)...)
}

// taggedTypes are the types of resources that can be tagged, in ARNs.
var taggedTypes = map[string]string{
	"Document": "document/", "ManagedInstance": "managed-instance/", "MaintenanceWindow": "maintenancewindow/",
	"PatchBaseline": "patchbaseline/", "OpsItem": "opsitem/", "OpsMetadata": "opsmetadata/", "Automation": "automation-execution/",
	"Association": "association/",
}

// ofResourceType is the resource of a call that says the type and the id.
func ofResourceType(a *asker) []target {
	kind := str(a.Input, "ResourceType")
	switch {
	case strings.HasPrefix(str(a.Input, "ResourceId"), "arn:"):
		return to("<ResourceId>")(a)
	case kind == "Parameter":
		return parameters("ResourceId")(a)
	case taggedTypes[kind] != "":
		return to(taggedTypes[kind] + "<ResourceId>")(a)
	}
	return nil
}

func systemsKeys(a *asker, q *Question) {
	switch a.Operation {
	case "GetParametersByPath":
		if a.Input["Recursive"] == nil {
			q.Keys.Set("ssm:Recursive", "false")
		}
	case "StartSession":
		q.Keys.Set("ssm:SessionDocumentAccessCheck", "true")
	case "PutParameter":
		if a.Input["Overwrite"] == nil {
			q.Keys.Set("ssm:Overwrite", "false")
		}
	}
}
