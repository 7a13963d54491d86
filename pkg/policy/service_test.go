package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

const podService = "pods.eks.amazonaws.com"

// servedBy evaluates an action of EKS Pod Identity on a role with a trust policy.
func servedBy(t *testing.T, action, trust string, keys ...string) (policy.Decision, policy.Remedy) {
	t.Helper()
	p, err := policy.Parse(policy.Trust, []byte(`{"Version":"2012-10-17","Statement":[`+trust+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	var ctx policy.Context
	for pair := range slices.Chunk(keys, 2) {
		ctx.Set(pair[0], pair[1])
	}
	req := &policy.Request{
		Principal: policy.Principal{Kind: policy.AWSService, ARN: podService}, Action: action, Resource: "arn:aws:iam::111122223333:role/app",
		ResourceAccount: "111122223333", Context: &ctx,
	}
	policies := &policy.Policies{Resource: &policy.Named{Name: "app", Policy: p}}
	return policy.Evaluate(req, policies), policies.Remedy(req)
}

// TestServiceCaller: a service of AWS is let in by its own name alone, and shut out by
// whatever denies everyone. Source: EKS User Guide, "Create IAM role with trust policy
// required by EKS Pod Identity", and IAM User Guide, "AWS JSON policy elements: Principal".
func TestServiceCaller(t *testing.T) {
	const (
		service = `"Principal":{"Service":"pods.eks.amazonaws.com"}`
		assume  = `"Action":"sts:AssumeRole"`
	)
	for name, c := range map[string]struct {
		trust   string
		allowed bool
		hint    string
	}{
		"its name":           {`{"Effect":"Allow",` + service + `,` + assume + `}`, true, ""},
		"one of several":     {`{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"]},` + assume + `}`, true, ""},
		"another":            {`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},` + assume + `}`, false, ""},
		"everyone":           {`{"Effect":"Allow","Principal":"*",` + assume + `}`, false, `under "Service"`},
		"every principal":    {`{"Effect":"Allow","Principal":{"AWS":"*"},` + assume + `}`, false, `under "Service"`},
		"the account":        {`{"Effect":"Allow","Principal":{"AWS":"111122223333"},` + assume + `}`, false, ""},
		"a provider":         {`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/x.example"},` + assume + `}`, false, ""},
		"another action":     {`{"Effect":"Allow",` + service + `,"Action":"sts:TagSession"}`, false, ""},
		"a denial":           {`{"Effect":"Allow",` + service + `,` + assume + `},{"Effect":"Deny",` + service + `,` + assume + `}`, false, ""},
		"a denial for all":   {`{"Effect":"Allow",` + service + `,` + assume + `},{"Effect":"Deny","Principal":"*",` + assume + `}`, false, ""},
		"a denial of others": {`{"Effect":"Allow",` + service + `,` + assume + `},{"Effect":"Deny","Principal":{"Service":"ec2.amazonaws.com"},` + assume + `}`, true, ""},
	} {
		d, _ := servedBy(t, "sts:AssumeRole", c.trust)
		if d.Allowed != c.allowed {
			t.Errorf("%s: %s", name, d)
		}
		if c.hint != "" && (len(d.Misses) == 0 || !strings.Contains(d.Misses[0].Hint, c.hint)) {
			t.Errorf("%s: misses %+v", name, d.Misses)
		}
		if d.Sides != nil {
			t.Errorf("%s: a service has no account, but %+v", name, d.Sides)
		}
	}
}

// TestServiceRemedy: the statement that is lacking names the service, and for whom.
func TestServiceRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		trust string
		keys  []string
		want  string
	}{
		"tags": {`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`,
			[]string{"aws:RequestTag/kubernetes-namespace", "ns", "aws:RequestTag/kubernetes-service-account", "app", "aws:SourceArn", "arn:aws:eks:::c"},
			`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{` +
				`"aws:RequestTag/kubernetes-namespace":"ns","aws:RequestTag/kubernetes-service-account":"app"}}}`},
		"no tags": {`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`,
			[]string{"aws:SourceArn", "arn:aws:eks:::c"},
			`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceArn":"arn:aws:eks:::c"}}}`},
	} {
		_, r := servedBy(t, "sts:AssumeRole", c.trust, c.keys...)
		if len(r.Additions) != 1 || string(r.Additions[0].Statement) != c.want {
			t.Errorf("%s: %s", name, r.Additions)
		}
	}
}

func TestLetsService(t *testing.T) {
	for trust, want := range map[string]bool{
		`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`:                            true,
		`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:*","Condition":{"StringEquals":{"aws:SourceAccount":"1"}}}`: true,
		`{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:TagSession"}`:                                               false,
		`{"Effect":"Deny","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}`:                                                false,
		`{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole"}`:                                                    false,
		`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`:                                                                                false,
	} {
		p, err := policy.Parse(policy.Trust, []byte(`{"Version":"2012-10-17","Statement":[`+trust+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.LetsService(podService, "sts:AssumeRole"); got != want {
			t.Errorf("%s: %v", trust, got)
		}
	}
}
