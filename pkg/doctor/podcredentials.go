package doctor

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

// relativeURI is the variable of ECS, which every SDK looks at before the full URI.
const relativeURI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"

// credentialsURIs are those of an agent, by IPv4 and by IPv6.
var credentialsURIs = []string{irsa.CredentialsURI, irsa.CredentialsURIv6}

// agentContainer checks what a container has for the credentials of the agent, and reports
// whether nothing is wrong with it.
func (d *diagnosis) agentContainer(p *corev1.Pod, c *corev1.Container) bool {
	what := fmt.Sprintf("container %s of pod %s/%s", c.Name, p.Namespace, p.Name)
	uri, hasURI := env(c, irsa.EnvCredentialsURI)
	file, hasFile := env(c, irsa.EnvCredentialsTokenFile)
	if !d.fromRole(p, c, what) {
		return false
	}
	if _, webIdentity := env(c, irsa.EnvRoleARN); webIdentity && !hasURI {
		return true // it has the same role by IRSA, which is said
	}
	if !hasURI && !hasFile && (UsesPodIdentity(p) || reached(p)) {
		d.warn(Finding{
			Link: Pod, Check: "missed",
			Summary:  what + " has no credentials, and others in the pod have: it was added after the webhook was asked",
			Expected: irsa.EnvCredentialsURI + "=" + irsa.CredentialsURI, Found: "none",
			Fix: kubectl(p.Namespace, "logs", p.Name, "--container", c.Name).
				noting("nothing is wrong if it does not call AWS"),
		})
		return true
	}
	if !hasURI && !hasFile {
		return d.unassociated(p, what)
	}
	if !slices.Contains(credentialsURIs, uri) && !strings.HasPrefix(uri, "https://") {
		return d.brokenPod(Finding{
			Check:    "address of the agent",
			Summary:  what + " looks for the agent at another address: it sets the variable itself, and AWS SDKs refuse most of them",
			Expected: irsa.EnvCredentialsURI + "=" + irsa.CredentialsURI, Found: irsa.EnvCredentialsURI + "=" + uri,
			Fix: restart(p).noting("after the variable is removed from " + template(p)),
		})
	}
	if !hasFile {
		return d.brokenPod(Finding{
			Check:    "token file",
			Summary:  what + " has no token for the agent, which refuses it",
			Expected: irsa.EnvCredentialsTokenFile + "=" + irsa.CredentialsMountPath + "/" + irsa.CredentialsTokenFile, Found: "none",
			Fix: restart(p).noting("after " + irsa.EnvCredentialsURI + " is removed from " + template(p)),
		})
	}
	if !d.unhindered(p, c, what) {
		return false
	}
	if strings.Contains(file, `\`) || p.Spec.OS != nil && p.Spec.OS.Name == corev1.Windows {
		return d.brokenPod(Finding{
			Check:    "operating system",
			Summary:  what + " is for Windows, where there is no EKS Pod Identity",
			Expected: "a Linux node", Found: "a Windows node", Fix: d.createServiceAccount(),
		})
	}
	return d.tokenFile(p, c, mounted{file, irsa.CredentialsAudience, what})
}

// fromRole looks at the variables of IRSA in a container of a service account that has an
// association. SDKs take them before those of EKS Pod Identity.
func (d *diagnosis) fromRole(p *corev1.Pod, c *corev1.Container, what string) bool {
	arn, ok := env(c, irsa.EnvRoleARN)
	if !ok {
		return true
	}
	f := Finding{
		Link: Pod, Check: "role of pod", Result: Broken,
		Summary: what + " has the variables of IRSA, which AWS SDKs prefer to the association: " +
			"it is older than the association, or sets them itself",
		Expected: "no " + irsa.EnvRoleARN + ", and role " + d.PodIdentity.Association.RoleARN,
		Found:    irsa.EnvRoleARN + "=" + arn, Fix: restart(p),
	}
	if arn == d.PodIdentity.Association.RoleARN && arn == d.roleARN() {
		f.Result = Warning
	}
	d.add(f)
	return f.Result == Warning
}

// unassociated reports why a pod has nothing of the webhook, although its service account
// has an association.
func (d *diagnosis) unassociated(p *corev1.Pod, what string) bool {
	made := p.CreationTimestamp.Time
	f := Finding{
		Check:    "missed",
		Summary:  what + " has no credentials of the agent, although its service account has an association",
		Expected: irsa.EnvCredentialsURI + "=" + irsa.CredentialsURI,
		Found:    "made at " + stamp(made) + ", while the webhook did not know the association, was not asked or did not answer",
		Fix:      restart(p),
	}
	since := d.PodIdentity.Association.Created
	if config := d.Webhook.Configuration; config != nil && made.Before(config.CreationTimestamp.Time) {
		f.Summary, since = what+" is older than the webhook", config.CreationTimestamp.Time
	} else if made.Before(since) {
		f.Summary = what + " was admitted before the association was made"
	} else {
		since = made
	}
	if made.Before(since) {
		f.Expected, f.Found = "made after "+stamp(since), "made at "+stamp(made)
	}
	if p.Spec.HostNetwork && since.Equal(made) {
		f.Found += "; pods on their node's network do not wait for it"
	}
	f.Summary += ": AWS SDKs in it take the node's credentials, or none"
	return d.brokenPod(f)
}

// unhindered checks that a container has nothing that AWS SDKs prefer to the agent.
func (d *diagnosis) unhindered(p *corev1.Pod, c *corev1.Container, what string) bool {
	for _, v := range []struct{ name, check, summary string }{
		{staticKey, "static keys", " has static keys, which AWS SDKs prefer to the agent"},
		{relativeURI, "relative URI", " has the variable of ECS, which AWS SDKs prefer to the agent's"},
	} {
		if from := d.source(c, v.name); from != "" {
			return d.brokenPod(Finding{
				Check:    v.check,
				Summary:  what + v.summary,
				Expected: "no " + v.name, Found: v.name + " " + from,
				Fix: restart(p).noting("after the variable is removed from the pod template"),
			})
		}
	}
	for _, name := range profileVariables {
		if from := d.source(c, name); from != "" {
			d.warn(Finding{
				Link: Pod, Check: "profile",
				Summary:  what + " is pointed to a profile, which AWS SDKs prefer to the agent if it has credentials",
				Expected: "no " + name, Found: name + " " + from,
				Fix: restart(p).noting("after the variable is removed from the pod template, unless the profile is meant"),
			})
			break
		}
	}
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		through := d.source(c, name)
		if through == "" || slices.ContainsFunc([]string{"NO_PROXY", "no_proxy"}, func(name string) bool { return d.exempt(c, name) }) {
			continue
		}
		d.warn(Finding{
			Link: Pod, Check: "proxy",
			Summary:  what + " has a proxy, at which some AWS SDKs ask for the agent",
			Expected: "NO_PROXY with 169.254.170.23", Found: name + " " + through,
			Fix: restart(p).noting("after the address is in NO_PROXY in " + template(p)),
		})
		break
	}
	return true
}

// exempt reports whether a container keeps the agent's address from its proxy, or gets the
// variable from where its value is not seen.
func (d *diagnosis) exempt(c *corev1.Container, name string) bool {
	value, ok := env(c, name)
	if !ok || value == "" {
		return d.source(c, name) != ""
	}
	return value == "*" || strings.Contains(value, "169.254.") || strings.Contains(value, "fd00:ec2::23")
}

// exchange is the end of the chain of EKS Pod Identity: what EKS Auth gives for the token
// of a pod, by the credentials in use here.
func (d *diagnosis) exchange() {
	const check = "AssumeRoleForPodIdentity"
	x := d.PodIdentity.Exchange
	switch {
	case x == nil:
		d.unknown(STS, check, "it was not called: EKS does not know the cluster, or no pod runs whose token it would take")
	case x.Err != nil:
		d.broken(Finding{
			Link: STS, Check: check,
			Summary:  "EKS Auth could not be called",
			Expected: "an answer", Found: x.Err.Error(), Fix: run("aws", "sts", "get-caller-identity"),
		})
	case x.Status == 403:
		// Whoever runs this is not the agent.
		d.unknown(STS, check, "the credentials in use may not call it, as those of the agent may: %s: %s", x.Code, x.Message)
	case x.Code != "":
		d.exchangeRefused(x)
	case x.IdentityErr != nil:
		d.broken(Finding{
			Link: STS, Check: "GetCallerIdentity",
			Summary:  "the credentials that EKS Auth gave do not work",
			Expected: "an answer", Found: x.IdentityErr.Error(), Fix: setup("doctor", "--service-account", d.account()),
		})
	default:
		role := d.PodIdentity.Association.RoleARN
		if target := d.PodIdentity.Association.TargetRoleARN; target != "" {
			role = target
		}
		if session, _, _ := cutLast(x.Identity, "/"); session != sessionOf(role) {
			d.broken(Finding{
				Link: STS, Check: "GetCallerIdentity",
				Summary:  "the credentials that EKS Auth gave are not those of the association's role",
				Expected: sessionOf(role) + "/...", Found: x.Identity, Fix: setup("doctor", "--service-account", d.account()),
			})
			return
		}
		d.ok(STS, check, "EKS Auth takes the token of pod %s", x.Pod)
		d.ok(STS, "GetCallerIdentity", "%s", x.Identity)
	}
}

// exchangeRefused reports what can still be wrong when EKS Auth refuses a token.
func (d *diagnosis) exchangeRefused(x *Exchange) {
	f := Finding{
		Link: STS, Check: "AssumeRoleForPodIdentity", Reason: x.Reason,
		Summary: "EKS Auth refuses the token", Expected: "credentials of " + d.PodIdentity.Association.RoleARN, Found: x.Code + ": " + x.Message,
		Fix: setup("doctor", "--service-account", d.account()),
	}
	switch {
	case d.explained():
		f.Summary, f.Fix = "EKS Auth refuses the token, for the reason above", Fix{}
	case x.Code == "ExpiredTokenException":
		f.Link, f.Check = Token, "clock"
		f.Summary, f.Expected, f.Fix = "the clock of the control plane is behind AWS's, for which a new token has expired",
			"a token that is valid at AWS's time", setClock()
	case x.Code == "ServiceUnavailableException":
		f.Summary = "EKS Auth cannot say whether the token is good: it cannot read the issuer's keys, or has troubles of its own"
		f.Expected = "the keys of " + d.iss.String()
	case x.Code == "InvalidTokenException":
		f.Summary = "EKS Auth does not take the token: it knows other keys of the issuer than the one that has signed it"
		f.Expected = "the keys of " + d.iss.String()
		f.Fix = d.installPodIdentity()
	case x.Code == "ResourceNotFoundException":
		f.Link = plan.Association
		f.Summary = "EKS Auth does not know the association yet: it takes some seconds"
	case x.Code == "AccessDeniedException":
		f.Summary = "EKS Auth cannot assume the role although its trust policy lets it in: a change in IAM takes some seconds, " +
			"and a resource control policy of the organization may deny it"
	}
	d.broken(f)
}
