package doctor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/trust"
)

// The actions that a session of a pod takes: the second one if it has tags.
const assumeRole, tagSession = "sts:AssumeRole", "sts:TagSession"

// PodCall is the call of STS by which EKS Auth assumes the role of an association for a
// pod, as the trust policy of the role sees it (EKS User Guide, "Grant Pods access to AWS
// resources based on tags"). Nothing of the agent is in it.
type PodCall struct {
	// ClusterARN is arn:aws:eks:REGION:ACCOUNT:cluster/NAME.
	ClusterARN                string
	Namespace, ServiceAccount string
	// PodName and PodUID are empty where no pod is known.
	PodName, PodUID string
	// Untagged says that the association has switched session tags off.
	Untagged bool
	// AWSTime is the time of AWS; zero if it is not known.
	AWSTime time.Time
}

// LetIn is nil if the trust policy of a role lets the call be made, or would if what only
// AWS knows of it turned out well, such as the name of the session. Otherwise the error
// says what was compared. Nothing is called.
func (c PodCall) LetIn(r *Role) error {
	p, err := policy.Parse(policy.Trust, r.Trust)
	if err != nil {
		return fmt.Errorf("reading its trust policy: %w", err)
	}
	for _, action := range c.actions() {
		if decision := c.decide(r, p, action, true); !decision.Allowed {
			return errors.New(strings.TrimSuffix(decision.String(), "."))
		}
	}
	return nil
}

// actions are those that the role has to allow.
func (c PodCall) actions() []string {
	if c.Untagged {
		return []string{assumeRole}
	}
	return []string{assumeRole, tagSession}
}

// decide evaluates a trust policy of the role, as if all that is unknown turned out well
// for the call, or badly.
func (c PodCall) decide(r *Role, p *policy.Policy, action string, well bool) policy.Decision {
	return policy.Evaluate(&policy.Request{
		Principal: policy.Principal{Kind: policy.AWSService, ARN: trust.PodIdentityPrincipal},
		Action:    action, Resource: r.ARN, ResourceAccount: accountOf(r.ARN), Context: c.keys(r),
	}, &policy.Policies{Resource: &policy.Named{Name: r.Name, Policy: p.Assuming(well, c.undecided)}})
}

// keys are the condition keys of the call, as far as they are known.
func (c PodCall) keys(r *Role) *policy.Context {
	var keys policy.Context
	keys.Set("aws:PrincipalIsAWSService", "true")
	keys.Set("aws:PrincipalServiceName", trust.PodIdentityPrincipal)
	keys.Set("aws:SecureTransport", "true")
	keys.Set("aws:SourceArn", c.ClusterARN)
	keys.Set("aws:SourceAccount", accountOf(c.ClusterARN))
	keys.Set("aws:ResourceAccount", accountOf(r.ARN))
	c.commonKeys(&keys, r)
	if !c.Untagged {
		c.sessionTags(&keys, "aws:RequestTag/")
	}
	return &keys
}

// commonKeys are those of every call: the time, and the tags of the role.
func (c PodCall) commonKeys(keys *policy.Context, r *Role) {
	for k, v := range r.Tags {
		keys.Set("aws:ResourceTag/"+k, v)
	}
	if !c.AWSTime.IsZero() {
		keys.Set("aws:CurrentTime", c.AWSTime.UTC().Format(time.RFC3339))
		keys.Set("aws:EpochTime", strconv.FormatInt(c.AWSTime.Unix(), 10))
	}
}

// podTags are the tags of a session of a pod (EKS User Guide, "Grant Pods access to AWS
// resources based on tags"). Those of the pod itself come last.
var podTags = []string{
	"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-service-account", "kubernetes-pod-name", "kubernetes-pod-uid",
}

// sessionTags sets the tags of the session, under the keys that begin with prefix. Without
// a pod its name and uid are not known.
func (c PodCall) sessionTags(keys *policy.Context, prefix string) {
	values := []string{c.ClusterARN, c.ClusterARN[strings.LastIndexByte(c.ClusterARN, '/')+1:], c.Namespace, c.ServiceAccount}
	if c.PodName != "" {
		values = append(values, c.PodName, c.PodUID)
	}
	for i, v := range values {
		keys.Set(prefix+podTags[i], v)
	}
	keys.SetMulti("aws:TagKeys", podTags...)
	keys.SetMulti("sts:TransitiveTagKeys", podTags...)
}

// undecided reports whether only AWS knows what the call has under a key. All others are
// known: the call has them or not.
func (c PodCall) undecided(key string) bool {
	switch key = strings.ToLower(key); key {
	case "sts:rolesessionname", "aws:sourceorgid", "aws:sourceorgpaths", "aws:resourceorgid", "aws:resourceorgpaths", "aws:requestedregion",
		"aws:principalorgid", "aws:principalorgpaths":
		return true
	case "aws:currenttime", "aws:epochtime":
		return c.AWSTime.IsZero()
	}
	tagged := c.PodName == "" && !c.Untagged
	return tagged && (strings.HasSuffix(key, "tag/kubernetes-pod-name") || strings.HasSuffix(key, "tag/kubernetes-pod-uid"))
}
