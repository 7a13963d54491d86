package guard

import (
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// The codes by which services refuse callers. Clients of AWS are written against
// them, so one that is merely right in general is wrong for most services. A code
// that a model has is the model's; the rest is from answers of AWS that users
// quoted in public, and from the protocol where nobody did.

// deniedCodes are the codes and statuses of a denial that do not follow from the
// protocol and the model, by the name in signatures.
var deniedCodes = map[string]api.Code{
	"dynamodb":             {Status: http.StatusBadRequest, Name: "AccessDeniedException"},
	"sqs":                  {Status: http.StatusForbidden, Name: "AccessDenied"},
	"sns":                  {Status: http.StatusForbidden, Name: "AuthorizationError"},
	"monitoring":           {Status: http.StatusForbidden, Name: "AccessDenied"},
	"ec2":                  {Status: http.StatusForbidden, Name: "UnauthorizedOperation"},
	"elasticloadbalancing": {Status: http.StatusForbidden, Name: "AccessDenied"},
	"es":                   {Status: http.StatusForbidden, Name: "AccessDeniedException"},
	"apigateway":           {Status: http.StatusForbidden, Name: "AccessDeniedException"},
}

// dialects are the codes of failed authentication, by protocol.
var (
	restDialect = &api.Dialect{
		AccessDenied: api.Code{Status: http.StatusForbidden, Name: "AccessDeniedException"},
		InvalidToken: api.Code{Status: http.StatusForbidden, Name: "UnrecognizedClientException"},
		ExpiredToken: api.Code{Status: http.StatusForbidden, Name: "ExpiredTokenException"},
		MissingToken: api.Code{Status: http.StatusForbidden, Name: "MissingAuthenticationTokenException"},
		Incomplete:   api.Code{Status: http.StatusForbidden, Name: "IncompleteSignatureException"},
		Mismatch:     api.Code{Status: http.StatusForbidden, Name: "InvalidSignatureException"},
	}
	ec2Dialect = &api.Dialect{
		AccessDenied: api.Code{Status: http.StatusForbidden, Name: "UnauthorizedOperation"},
		InvalidToken: api.Code{Status: http.StatusUnauthorized, Name: "AuthFailure"},
		ExpiredToken: api.Code{Status: http.StatusBadRequest, Name: "RequestExpired"},
		MissingToken: api.Code{Status: http.StatusUnauthorized, Name: "AuthFailure"},
		Incomplete:   api.Code{Status: http.StatusBadRequest, Name: "IncompleteSignature"},
		Mismatch:     api.Code{Status: http.StatusUnauthorized, Name: "AuthFailure"},
	}
)

// dialect are the codes of a call. Services whose clients were written for the
// Query protocol have its codes in the JSON protocols and CBOR too.
func (a *asked) dialect() *api.Dialect {
	var d api.Dialect
	switch a.protocol {
	case wire.RESTJSON:
		d = *restDialect
	case wire.QueryEC2:
		d = *ec2Dialect
	case wire.Query, wire.RESTXML, wire.RESTS3:
		d = *api.QueryDialect
	default:
		d = *api.JSONDialect
		if a.model != nil && a.model.QueryCompatible {
			d = *api.QueryDialect
		}
	}
	m := a.model
	if m == nil {
		return &d
	}
	if m.Denied != "" && m.DeniedStatus != 0 && a.protocol != wire.Query && a.protocol != wire.QueryEC2 {
		d.AccessDenied = api.Code{Status: m.DeniedStatus, Name: m.Denied}
	}
	if code, ok := deniedCodes[m.SigningName]; ok {
		d.AccessDenied = code
	}
	return &d
}

// lacksResource reports whether a service's denials leave out the resource where
// there is none.
func (a *asked) lacksResource() bool {
	if a.model == nil {
		return false
	}
	switch a.model.SigningName {
	case "monitoring", "secretsmanager", "elasticloadbalancing", "ec2":
		return true
	}
	return false
}

// spelledAction is how a service's denials spell an action: SQS in lower case, SNS
// with its prefix in capitals.
func (a *asked) spelledAction(action string) string {
	if a.model == nil {
		return ""
	}
	switch a.model.SigningName {
	case "sqs":
		return strings.ToLower(action)
	case "sns":
		if len(action) > 4 && action[:4] == "sns:" {
			return "SNS:" + action[4:]
		}
	}
	return ""
}

// viaCodes are the codes of services whose caller may not use the key of KMS that
// something is encrypted with, by the prefix of their actions, as their models have them;
// others have the one of any denial.
var viaCodes = map[string]api.Code{
	"sqs":     {Status: http.StatusBadRequest, Name: "KMS.AccessDeniedException"},
	"sns":     {Status: http.StatusBadRequest, Name: "KMSAccessDenied"},
	"kinesis": {Status: http.StatusBadRequest, Name: "KMSAccessDeniedException"},
}

// viaTexts are all that some of them say then.
var viaTexts = map[string]string{"secretsmanager": "Access to KMS is not allowed"}

// deniedText is all that a denial says where that does not name who asked for what; "" if it
// does.
func deniedText(c *api.Call, q *question.Question) string {
	switch {
	case c.Operation == "CreateLogGroup" && q.Action == "logs:TagResource":
		return "User with accountId: " + c.Caller.Account + " is not authorized to perform CreateLogGroup with Tags. " +
			`An additional permission "logs:TagResource" is required.`
	case q.Via == "" && strings.HasPrefix(q.Action, "kms:") && q.FromAnswer != "": // which did not say the key either
		return "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not " +
			"allowed to access."
	}
	return ""
}

// preface is what a service's denials say before who the caller is.
func (a *asked) preface() string {
	if a.model != nil && a.model.Protocol == awsapi.EC2 {
		return "You are not authorized to perform this operation. "
	}
	return ""
}
