package question

import (
	"strings"
)

// email are the actions of Amazon SES (Amazon SES Developer Guide, "Controlling
// access to Amazon SES"). Who sends needs the identity that is verified: the address,
// or else its domain.
var email = family{
	rules: map[string]rule{
		"SendCustomVerificationEmail": asks("", to("custom-verification-email-template/<TemplateName>")),
	},
	keys: func(a *asker, q *Question) {
		if !strings.Contains(a.Operation, "Send") {
			return
		}
		from := firstOf(a.Input, "FromEmailAddress", "Source")
		name, address := mailbox(from)
		if address != "" {
			q.Keys.Set("ses:FromAddress", address)
		}
		if name != "" {
			q.Keys.Set("ses:FromDisplayName", name)
		}
		var to []string
		for _, path := range []string{
			"Destination.ToAddresses", "Destination.CcAddresses", "Destination.BccAddresses", "Destinations",
			"Destinations[].Destination.ToAddresses", "BulkEmailEntries[].Destination.ToAddresses", "EmailAddress",
		} {
			for _, recipient := range strs(a.Input, path) {
				_, address := mailbox(recipient)
				to = append(to, address)
			}
		}
		if to != nil {
			q.Keys.SetMulti("ses:Recipients", unique(to)...)
		}
		if feedback := firstOf(a.Input, "FeedbackForwardingEmailAddress", "ReturnPath"); feedback != "" {
			q.Keys.Set("ses:FeedbackAddress", feedback)
		}
	},
	computed: []string{"ses:FromAddress", "ses:FromDisplayName", "ses:Recipients", "ses:FeedbackAddress", "ses:ApiVersion"},
}

func init() {
	email.on(sends, "SendEmail SendRawEmail SendTemplatedEmail SendBulkTemplatedEmail SendBulkEmail")
	keys := email.keys
	email.keys = func(a *asker, q *Question) {
		version := "1"
		if a.Model != nil && a.Model.Name == "sesv2" {
			version = "2"
		}
		q.Keys.Set("ses:ApiVersion", version)
		keys(a, q)
	}
}

// sends asks about sending: on the identity, and on the configuration set and the
// template, if they are named. A raw message is an action of its own in either API.
func sends(a *asker) {
	action := ""
	if a.Operation == "SendEmail" && dict(dict(a.Input["Content"])["Raw"]) != nil {
		action = "SendRawEmail"
	}
	a.ask(action, a.identities()...)
	for _, part := range [][2]string{
		{"ConfigurationSetName", "configuration-set/"}, {"Template", "template/"}, {"Content.Template.TemplateName", "template/"},
		{"DefaultContent.Template.TemplateName", "template/"}, {"TemplateArn", "template/"}, {"Content.Template.TemplateArn", "template/"},
		{"DefaultContent.Template.TemplateArn", "template/"},
	} {
		a.ask(action, named(part[0], part[1]+"<"+part[0]+">")(a)...)
	}
}

// identities are those that a message is sent as: those whose ARNs the call has, of which
// one may be of another account, and that of the sender if none of them is its.
func (a *asker) identities() []target {
	_, address := mailbox(firstOf(a.Input, "FromEmailAddress", "Source"))
	_, domain, _ := cutLast(address, "@")
	var found []target
	covered := false
	for _, name := range allOf(a.Input, "FromEmailAddressIdentityArn", "SourceArn", "FromArn") {
		found = append(found, target{arn: name})
		of, _ := parseARN(name)
		verified := strings.TrimPrefix(of.resource, "identity/")
		covered = covered || address == "" || verified == address || verified == domain || strings.HasSuffix(domain, "."+verified)
	}
	if covered {
		return found
	}
	return append(found, a.identity(address))
}

// identity is the identity of a sender.
func (a *asker) identity(address string) target {
	if address == "" {
		return to("identity/<?name>")(a)[0]
	}
	_, domain, found := cutLast(address, "@")
	if _, ok := a.find(Fact{Kind: VerifiedIdentity, Name: address}); ok || !found {
		return target{arn: a.arn("identity/" + address)}
	}
	if _, ok := a.find(Fact{Kind: VerifiedIdentity, Name: domain}); ok {
		return target{arn: a.arn("identity/" + domain)}
	}
	return target{arn: a.arn("identity/" + address)}
}

// mailbox cuts "Name <user@host>" into its parts.
func mailbox(s string) (name, address string) {
	before, rest, found := strings.Cut(s, "<")
	if !found {
		return "", strings.TrimSpace(s)
	}
	address, _, _ = strings.Cut(rest, ">")
	return strings.Trim(strings.TrimSpace(before), `"`), strings.TrimSpace(address)
}

// bedrock are the actions of Amazon Bedrock (Amazon Bedrock User Guide,
// "Identity-based policy examples for Amazon Bedrock" and "Prerequisites for
// inference profiles"). What is invoked is told by the form of the model's id.
var bedrock = family{
	rules: map[string]rule{
		"InvokeModelWithResponseStream":      asks("InvokeModelWithResponseStream", model("modelId")),
		"InvokeModelWithBidirectionalStream": asks("InvokeModelWithResponseStream", model("modelId")),
		"ConverseStream":                     asks("InvokeModelWithResponseStream", model("modelId")),
		"CountTokens":                        asks("", model("modelId")),
		"GetFoundationModel":                 asks("", model("modelIdentifier")),
		"GetFoundationModelAvailability":     asks("", model("modelId")),
		"ListTagsForResource":                asks("", to("<resourceARN|resourceArn>")),
		"TagResource":                        asks("", to("<resourceARN|resourceArn>")),
		"UntagResource":                      asks("", to("<resourceARN|resourceArn>")),
		"ApplyGuardrail":                     asks("", to("guardrail/<guardrailIdentifier>")),
	},
	keys: func(a *asker, q *Question) {
		if id := firstOf(a.Input, "guardrailIdentifier", "guardrailConfig.guardrailIdentifier"); id != "" {
			arn := id
			if !strings.HasPrefix(id, "arn:") {
				arn = a.arn("guardrail/" + id)
			}
			if version := firstOf(a.Input, "guardrailVersion", "guardrailConfig.guardrailVersion"); version != "" && version != "DRAFT" {
				arn += ":" + version
			}
			q.Keys.Set("bedrock:GuardrailIdentifier", arn)
		}
	},
	computed: []string{"bedrock:GuardrailIdentifier", "bedrock:InferenceProfileArn"},
}

func init() {
	bedrock.on(asks("InvokeModel", model("modelId")), "InvokeModel Converse StartAsyncInvoke")
}

// profiles are how the ids of inference profiles begin, which serve a model in
// several regions.
var profiles = []string{"us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global."}

// model is the source of the model that a member names: a foundation model, or an
// inference profile and the model that it serves.
//
//go:noinline // so that what it makes is there once, not again at each call
func model(member string) source {
	return func(a *asker) []target {
		id := str(a.Input, member)
		profile := target{arn: a.arn("inference-profile/" + id)}
		if p, is := parseARN(id); is {
			name, ok := strings.CutPrefix(p.resource, "inference-profile/")
			if !ok {
				return []target{{arn: id}}
			}
			profile, id = target{arn: id}, name
		}
		if id == "" {
			return []target{a.foundation(a.Region, "")}
		}
		for _, region := range profiles {
			if served, ok := strings.CutPrefix(id, region); ok {
				m := a.foundation("", served)
				m.keys = []key{{"bedrock:InferenceProfileArn", []string{profile.arn}, false}}
				return []target{profile, m}
			}
		}
		return []target{a.foundation(a.Region, id)}
	}
}

// foundation is a foundation model, which has no account. The region is unknown if
// it is "".
func (a *asker) foundation(region, id string) target {
	t := target{unknown: region == "" || id == ""}
	shown, name := region, id
	if region == "" {
		// A region of the profile that nobody here knows.
		region, shown = a.Region, "*"
	}
	if id == "" {
		id, name = sampleName, "*"
	}
	t.arn = a.standard("arn:$P:bedrock:") + region + "::foundation-model/" + id
	if t.unknown {
		t.spelled = a.standard("arn:$P:bedrock:") + shown + "::foundation-model/" + name
	}
	return t
}

// apiGateway are the actions of Amazon API Gateway, which are the methods of HTTP on
// the paths of its API (Amazon API Gateway Developer Guide, "How Amazon API Gateway
// works with IAM").
var apiGateway = family{
	otherwise: func(a *asker) {
		if a.listed(a.action("")) != nil || a.Method == "" {
			general(a)
			return
		}
		path := strings.TrimPrefix(a.Path, "/v2")
		a.ask(strings.ToUpper(a.Method), target{
			arn: "arn:" + a.Partition + ":apigateway:" + a.Region + "::" + path, created: a.Method == "POST",
		})
	},
}

// executeAPI are the calls to what API Gateway serves (Amazon API Gateway Developer
// Guide, "Control access to a REST API with IAM permissions" and "Use @connections
// commands in your backend service").
var executeAPI = family{
	otherwise: func(a *asker) {
		// The id of the API is in the host, the stage begins the path.
		path := strings.TrimPrefix(a.Path, "/")
		stage, rest, found := strings.Cut(path, "/")
		if strings.HasPrefix(path, "@connections") || !found {
			stage, rest = sampleName, path
		}
		shown := stage
		if stage == sampleName {
			shown = "*"
		}
		tail := "/" + strings.ToUpper(a.Method) + "/" + rest
		a.ask("ManageConnections", target{
			arn: a.arn(sampleName + "/" + stage + tail), spelled: a.arn("*/" + shown + tail), unknown: true,
		})
	},
}

// serverlessSearch are the calls to collections of Amazon OpenSearch Serverless
// (Amazon OpenSearch Service Developer Guide, "Identity and Access Management for
// Amazon OpenSearch Serverless").
var serverlessSearch = family{
	rules: map[string]rule{"": asks("APIAccessAll", to("collection/<?name>"))},
}
