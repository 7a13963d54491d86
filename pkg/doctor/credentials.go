package doctor

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/plan"
)

// credentials is the end of the chain: what STS really gives for the token, and
// whose credentials they are.
func (d *diagnosis) credentials() {
	const check = "AssumeRoleWithWebIdentity"
	call := d.Call
	switch {
	case call == nil:
		d.unknown(STS, check, "it was not called: there is no token, or no role to assume")
		return
	case call.Err != nil:
		d.broken(Finding{
			Link: STS, Check: check,
			Summary:  "STS could not be called",
			Expected: "an answer", Found: call.Err.Error(), Fix: run("aws", "sts", "get-caller-identity"),
		})
		return
	case call.Code != "":
		d.refused()
		return
	case call.IdentityErr != nil:
		d.broken(Finding{
			Link: STS, Check: "GetCallerIdentity",
			Summary:  "the credentials that STS gave do not work",
			Expected: "an answer", Found: call.IdentityErr.Error(), Fix: setup("doctor", "--service-account", d.account()),
		})
		return
	}
	d.ok(STS, check, "STS takes the token")
	if !d.assumed() {
		d.broken(Finding{
			Link: STS, Check: "GetCallerIdentity",
			Summary:  "the credentials that STS gave are not the role's",
			Expected: sessionOf(d.roleARN()) + "/...", Found: call.Identity,
			Fix: setup("doctor", "--service-account", d.account()),
		})
		return
	}
	d.ok(STS, "GetCallerIdentity", "%s", call.Identity)
}

// refused reports what can still be wrong when STS refuses a token that seems right:
// what AWS sees and this machine does not.
func (d *diagnosis) refused() {
	call := d.Call
	f := Finding{
		Link: STS, Check: "AssumeRoleWithWebIdentity", Result: Broken, Reason: call.Reason,
		Summary: "STS refuses the token", Expected: "credentials of " + d.roleARN(), Found: call.Code + ": " + call.Message,
		Fix: setup("status"),
	}
	switch {
	case d.explained():
		f.Summary, f.Fix = "STS refuses the token, for the reason above", Fix{}
	case call.Code == "ExpiredTokenException",
		strings.HasPrefix(call.Message, "Token issued in the future"),
		strings.HasPrefix(call.Message, "Token not yet valid"):
		f.Link, f.Check = Token, "clock"
		f.Summary = "the clock of the control plane and that of AWS differ"
		f.Expected = "a token that is valid at AWS's time"
		f.Fix = setClock()
	case d.Kept && strings.Contains(call.Message, "retrieve verification key"):
		f.Summary = "the emulator cannot read the issuer's documents from the API server"
		f.Expected = "an answer to service account emulator of namespace openirsa-system, by ClusterRole system:service-account-issuer-discovery"
		f.Fix = setup("up", "--emulator").noting("puts back the emulator's service account and its binding")
	case strings.Contains(call.Message, "retrieve verification key"):
		f.Summary = "STS cannot read the issuer's documents, which this machine can: the issuer is not public, or answers AWS too slowly"
		f.Expected = "an answer within 5 s to any host on the internet at " + d.iss.Discovery()
		f.Fix = run("curl", "--verbose", d.iss.Discovery()).noting("from outside of your network")
	case strings.Contains(call.Message, "thumbprint"):
		f.Summary = "the provider's thumbprint is not that of the issuer's CA"
		f.Expected = "the thumbprint of the top certificate of " + d.hostPort()
		f.Fix = showCertificate(d.hostPort(), "-showcerts").noting("then aws iam update-open-id-connect-provider-thumbprint")
	case call.Code == "AccessDenied" && len(d.undecided) > 0:
		f.Summary = "STS refuses the token: the trust policy has conditions on " + join(d.undecided) +
			", which a pod's call may meet and that of this machine does not"
		f.Fix = setup("doctor", "--service-account", d.account()).noting("where calls meet them, such as on a node")
	case call.Code == "AccessDenied":
		f.Summary = "STS refuses the role although its trust policy lets the token in: " +
			"a change in IAM takes some seconds, and a service control policy of the organization may deny it"
	}
	d.add(f)
}

// explained reports whether an earlier finding says why STS refuses. What is wrong with
// the webhook or with pods is no reason.
func (d *diagnosis) explained() bool {
	for _, f := range d.findings {
		if f.Result == Broken && f.Link != plan.Webhook && f.Link != Pod {
			return true
		}
	}
	return false
}
