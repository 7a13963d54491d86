package emulator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/eks"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// podAudience is who the token of a pod must be for.
const podAudience = eks.ServicePrincipal

// podLeeway is how far the clock of a cluster may be behind the emulator's for iat and
// nbf. For exp there is none: AWS's text compares to the microsecond.
const podLeeway = time.Minute

// refusedPod is why the token of a pod is refused. The client learns no more than that
// it is.
func refusedPod(step, format string, args ...any) *tokenFault {
	return refusal(step, fmt.Sprintf(format, args...), errPodToken)
}

// authenticatePod finds out whose token it is: an issuer of this cluster, and no other
// cluster's, has signed it for EKS Pod Identity, it is good now, and it is bound to a
// pod. That it has expired is said of a token only whose signature is right.
func (s *Server) authenticatePod(x *exchange, raw string) *tokenFault {
	part := x.Span.Start("parse token")
	token, fault := s.headers.decodeToken(raw, true)
	traceToken(x.Span, token)
	finish(part, fault)
	if fault != nil {
		return fault.answered(errPodToken)
	}
	x.token = token
	x.event.Issuer, x.event.Subject, x.event.Audience = token.issuer, token.subject, strings.Join(token.audience, ", ")
	x.event.KeyID, x.event.Pod = token.kid, token.pod
	// Which keys verify it follows from its iss, and from nothing else in it.
	known := issuersOf(x.cluster)
	at := slices.IndexFunc(known, func(p *provider) bool { return "https://"+p.URL == token.issuer })
	switch {
	case known == nil:
		return refusedPod("issuer", "cluster %s is registered without an issuer, so no token can be of it", x.cluster.Name)
	case at < 0:
		return refusedPod("issuer", "the token's issuer is %q, and cluster %s has %s", token.issuer, x.cluster.Name,
			quotedList(x.cluster.Issuers())).between(x.cluster.Issuers(), []string{token.issuer})
	case !slices.Contains(token.audience, podAudience):
		return refusedPod("audience", "the token is for %s, and EKS Pod Identity takes those for %q", quotedList(token.audience), podAudience).
			between([]string{podAudience}, token.audience)
	}
	if x.event.Fetches, fault = s.verifyToken(x.Span, token, known[at], x.At); fault != nil {
		if fault.unread { // an agent then keeps the credentials that it has
			return fault.answered(errPodKeys)
		}
		return fault.answered(errPodToken)
	}
	if fault := token.checkPodTimes(x.At); fault != nil {
		return fault
	}
	x.pod, fault = token.checkBound()
	return fault
}

// answered is a fault with another answer.
func (f *tokenFault) answered(answer *wire.Failure) *tokenFault {
	changed := *f
	changed.answer = answer
	return &changed
}

// checkPodTimes holds exp, iat and nbf against the clock.
func (t *webToken) checkPodTimes(now time.Time) *tokenFault {
	late := now.Add(podLeeway).Unix()
	switch {
	case !now.Before(time.Unix(t.expiry, 0)):
		return refusal("claims", fmt.Sprintf("the token expired at %s, now is %s", clock(t.expiry), clock(now.Unix())),
			expiredPodToken(now, t.expiry)).between([]string{"exp after " + clock(now.Unix())}, []string{clock(t.expiry)})
	case t.issued > late:
		return refusedPod("claims", "the token's iat is %s, now is %s", clock(t.issued), clock(now.Unix())).
			between([]string{"iat not after " + clock(late)}, []string{clock(t.issued)})
	case t.hasNBF && t.before > late:
		return refusedPod("claims", "the token's nbf is %s, now is %s", clock(t.before), clock(now.Unix())).
			between([]string{"nbf not after " + clock(late)}, []string{clock(t.before)})
	}
	return nil
}

// checkBound is what the token is bound to: a pod of a service account, the one of its
// subject. A token of kubectl create token has no pod, and is refused.
func (t *webToken) checkBound() (*podClaims, *tokenFault) {
	p := t.bound
	if p == nil {
		return nil, refusedPod("claims", "the token has no claim kubernetes.io that says which pod it is of").
			between([]string{"a claim kubernetes.io"}, nil)
	}
	for _, member := range []struct{ name, value string }{
		{"namespace", p.Namespace}, {"serviceaccount.name", p.ServiceAccount.Name}, {"serviceaccount.uid", p.ServiceAccount.UID},
		{"pod.name", p.Pod.Name}, {"pod.uid", p.Pod.UID},
	} {
		if strings.TrimSpace(member.value) == "" {
			return nil, refusedPod("claims", "the token's claim kubernetes.io has no %s: only tokens of pods are taken, not those of "+
				"kubectl create token", member.name).between([]string{"kubernetes.io " + member.name}, nil)
		}
		if !isObjectName(member.value) {
			return nil, refusedPod("claims", "the token's claim kubernetes.io has a %s that Kubernetes would not give", member.name)
		}
	}
	want := "system:serviceaccount:" + p.Namespace + ":" + p.ServiceAccount.Name
	if t.subject != want {
		return nil, refusedPod("claims", "the token's sub is %q, and its claim kubernetes.io is of %q", t.subject, want).
			between([]string{want}, []string{t.subject})
	}
	return p, nil
}

// isObjectName reports whether Kubernetes can give an object a name or a UID, which then
// can be a tag of a session and a part of its name.
func isObjectName(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '.', b == '_':
		default:
			return false
		}
	}
	return len(s) <= wire.RuleTagValue.Max
}
