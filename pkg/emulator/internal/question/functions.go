package question

import (
	"strings"
)

// lambda are the actions of AWS Lambda (AWS Lambda Developer Guide, "Fine-tuning the
// Resources and Conditions sections of policies").
var lambda = family{
	rules: map[string]rule{
		"InvokeAsync": asks("InvokeFunction", function),

		"CreateFunction": asks("", rename(function, func(_ *asker, t *target) { t.created = true })),

		"PutFunctionCodeSigningConfig": asks("", function, to("<CodeSigningConfigArn>")),

		"GetLayerVersionByArn": asks("GetLayerVersion", to("layer:<Arn>")),
		"PublishLayerVersion":  asks("", maker("layer:<LayerName>")),
		"ListLayerVersions":    asks("", star),

		"CreateEventSourceMapping": both(asks("", star), creates("event-source-mapping:<?uuid>")),
	},
	otherwise: lambdaOther,
	forms:     []form{{pattern: functionForm, paths: "FunctionName"}},
	keys:      lambdaKeys,
	computed: []string{
		"lambda:FunctionArn", "lambda:Principal", "lambda:FunctionUrlAuthType", "lambda:Layer", "lambda:SubnetIds",
		"lambda:SecurityGroupIds", "lambda:VpcIds", "lambda:CodeSigningConfigArn", "lambda:InvokedViaFunctionUrl",
	},
}

func init() {
	lambda.on(asks("InvokeFunction", qualified), "Invoke InvokeWithResponseStream")
	lambda.on(asks("", qualified), "GetProvisionedConcurrencyConfig PutProvisionedConcurrencyConfig DeleteProvisionedConcurrencyConfig")
	lambda.on(asks("", to("layer:<LayerName>:<VersionNumber|?number>")), `GetLayerVersion DeleteLayerVersion AddLayerVersionPermission
		RemoveLayerVersionPermission GetLayerVersionPolicy`)
	lambda.on(asks("", to("event-source-mapping:<UUID>")), "GetEventSourceMapping UpdateEventSourceMapping DeleteEventSourceMapping")
	lambda.on(asks("", star), "ListFunctions ListLayers ListEventSourceMappings ListCodeSigningConfigs GetAccountSettings")
	lambda.on(asks("", to("function:<?name>:<?number>/durable-execution/<?name>/<?uuid>")), `SendDurableExecutionCallbackFailure
		SendDurableExecutionCallbackHeartbeat SendDurableExecutionCallbackSuccess`)
	for _, op := range []string{"CreateFunction", "UpdateFunctionConfiguration"} {
		own := lambda.rules[op]
		if own == nil {
			own = asks("", function)
		}
		// The layers of a function must be readable by who sets them.
		lambda.rules[op] = both(own, func(a *asker) {
			for _, layer := range unique(texts(a.Input["Layers"])) {
				a.ask("GetLayerVersion", target{arn: layer})
			}
		})
	}
}

// lambdaOther is the rule of operations on a function: its ARN is without a
// qualifier, whichever version they are about.
func lambdaOther(a *asker) {
	if str(a.Input, "FunctionName") != "" {
		a.ask("", function(a)...)
		return
	}
	general(a)
}

// lambdaName is a function by its parts.
type lambdaName struct {
	arn       string // without qualifier
	qualifier string
}

// lambdaNamed reads the name of a function: a name, a part of an ARN with the account, or
// an ARN, each perhaps with a qualifier.
func (a *asker) lambdaNamed(name string) lambdaName {
	f := arn{a.Partition, "lambda", a.Region, a.Account, ""}
	if whole, is := parseARN(name); is {
		f, name = whole, whole.resource
	} else if account, rest, found := strings.Cut(name, ":function:"); found && isAccount(account) {
		f.account, name = account, rest
	}
	name = strings.TrimPrefix(name, "function:")
	name, qualifier, _ := strings.Cut(name, ":")
	f.resource = "function:" + name
	return lambdaName{f.String(), qualifier}
}

// function is the function of a call.
func function(a *asker) []target {
	name := str(a.Input, "FunctionName")
	if name == "" {
		return to("function:<?name>")(a)
	}
	return []target{{arn: a.lambdaNamed(name).arn}}
}

// qualified is the function of a call with its version or alias, if one is named: by its
// name, or in a member of its own.
func qualified(a *asker) []target {
	name := str(a.Input, "FunctionName")
	if name == "" {
		return to("function:<?name>")(a)
	}
	f := a.lambdaNamed(name)
	var targets []target
	for _, q := range []string{f.qualifier, str(a.Input, "Qualifier")} {
		if q != "" {
			targets = append(targets, target{arn: f.arn + ":" + q})
		}
	}
	if targets == nil {
		return []target{{arn: f.arn}}
	}
	return targets
}

func lambdaKeys(a *asker, q *Question) {
	switch a.Operation {
	case "CreateFunction", "UpdateFunctionConfiguration":
		for name, member := range map[string]string{
			"lambda:Layer": "Layers", "lambda:SubnetIds": "VpcConfig.SubnetIds", "lambda:SecurityGroupIds": "VpcConfig.SecurityGroupIds",
		} {
			if values := strs(a.Input, member); values != nil {
				q.Keys.SetMulti(name, values...)
			}
		}
		// The subnets of a function are in one VPC, and the key is single-valued.
		if vpcs := a.vpcsOf(strs(a.Input, "VpcConfig.SubnetIds")); len(vpcs) == 1 {
			q.Keys.Set("lambda:VpcIds", vpcs[0])
		} else if vpcs != nil {
			q.Keys.SetMulti("lambda:VpcIds", vpcs...)
		}
	case "CreateEventSourceMapping":
		if name := str(a.Input, "FunctionName"); name != "" {
			q.Keys.Set("lambda:FunctionArn", a.lambdaNamed(name).arn)
		}
	case "UpdateEventSourceMapping", "DeleteEventSourceMapping", "GetEventSourceMapping":
		if name := str(a.Input, "FunctionName"); name != "" {
			q.Keys.Set("lambda:FunctionArn", a.lambdaNamed(name).arn)
		} else if id := str(a.Input, "UUID"); id != "" && a.mentions("lambda:FunctionArn") {
			if known, ok := a.find(Fact{Kind: MappingFunction, Name: id}); ok && known.Text != "" {
				q.Keys.Set("lambda:FunctionArn", known.Text)
			}
		}
	case "CreateFunctionUrlConfig", "UpdateFunctionUrlConfig", "GetFunctionUrlConfig", "DeleteFunctionUrlConfig":
		q.Keys.Set("lambda:FunctionArn", q.Resource)
		if auth := str(a.Input, "AuthType"); auth != "" {
			q.Keys.Set("lambda:FunctionUrlAuthType", auth)
		}
	}
}

// vpcsOf are the VPCs of subnets, if a policy mentions those of a function and all are
// known.
func (a *asker) vpcsOf(subnets []string) []string {
	if !a.mentions("lambda:VpcIds") {
		return nil
	}
	var vpcs []string
	for _, id := range unique(subnets) {
		known, found := a.find(Fact{Kind: SubnetVPC, Name: id})
		if !found || known.Text == "" {
			a.warn("lambda:VpcIds is not set: the VPC of %s is not known", id)
			return nil
		}
		vpcs = append(vpcs, known.Text)
	}
	return unique(vpcs)
}
