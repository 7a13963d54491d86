package emulator_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestGuardGroupTags: the tags of Auto Scaling groups and of load balancers are asked of the
// backend, so the policies of the cluster autoscaler and of the load balancer controller
// allow what they should.
func TestGuardGroupTags(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	var bodies []string
	g.stub.ask = described(&bodies, map[string]string{
		"DescribeAutoScalingInstances": `<R><DescribeAutoScalingInstancesResult><AutoScalingInstances><member><AutoScalingGroupName>nodes</AutoScalingGroupName></member>
			</AutoScalingInstances></DescribeAutoScalingInstancesResult></R>`,
		"DescribeTags": `<R><DescribeTagsResult><Tags><member><ResourceId>nodes</ResourceId><Key>k8s.io/cluster-autoscaler/c</Key><Value>owned</Value></member></Tags>
			<TagDescriptions><member><ResourceArn>x</ResourceArn><Tags><member><Key>elbv2.k8s.aws/cluster</Key><Value>c</Value></member></Tags></member></TagDescriptions>
			</DescribeTagsResult></R>`,
	})
	const (
		group    = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/*"
		balancer = "arn:aws:elasticloadbalancing:us-east-1:123456789012:"
		owned    = `{"StringEquals":{"aws:ResourceTag/k8s.io/cluster-autoscaler/c":"owned"}}`
		of       = `{"StringEquals":{"elasticloadbalancing:ResourceTag/elbv2.k8s.aws/cluster":"c"}}`
	)
	scaling := func(parameters string) func() *http.Request {
		return func() *http.Request { return g.query("autoscaling", "/", "Version=2011-01-01&Action="+parameters) }
	}
	balancing := func(version, action, member, name string) func() *http.Request {
		form := url.Values{"Action": {action}, "Version": {version}, member: {name}}
		return func() *http.Request { return g.query("elasticloadbalancing", "/", form.Encode()) }
	}
	for name, test := range map[string]struct {
		r         func() *http.Request
		policy    string
		otherwise string // a policy that does not allow it
		asks      []string
	}{
		"cluster autoscaler": {scaling("SetDesiredCapacity&AutoScalingGroupName=nodes&DesiredCapacity=2"),
			permitting("autoscaling:SetDesiredCapacity", group, owned), permitting("autoscaling:SetDesiredCapacity", group, strings.Replace(owned, "owned", "no", 1)),
			[]string{"DescribeTags", "us-east-1/autoscaling/", "Filters.member.1.Name=auto-scaling-group", "Filters.member.1.Values.member.1=nodes"}},
		"an instance": {scaling("TerminateInstanceInAutoScalingGroup&InstanceId=i-1&ShouldDecrementDesiredCapacity=true"),
			permitting("autoscaling:TerminateInstanceInAutoScalingGroup", group, owned), "", []string{"DescribeAutoScalingInstances"}},
		"a target group": {balancing("2015-12-01", "DeleteTargetGroup", "TargetGroupArn", balancer+"targetgroup/t/1"),
			permitting("elasticloadbalancing:DeleteTargetGroup", "*", of),
			permitting("elasticloadbalancing:DeleteTargetGroup", "*", strings.Replace(of, `"c"`, `"d"`, 1)),
			[]string{"DescribeTags", "Version=2015-12-01", "ResourceArns.member.1=" + url.QueryEscape(balancer+"targetgroup/t/1")}},
		"a classic load balancer": {balancing("2012-06-01", "DeleteLoadBalancer", "LoadBalancerName", "old"),
			permitting("elasticloadbalancing:DeleteLoadBalancer", "*", of), "", []string{"DescribeTags", "Version=2012-06-01", "LoadBalancerNames.member.1=old"}},
	} {
		for document, allowed := range map[string]bool{test.policy: true, test.otherwise: false} {
			g.policy(document)
			if rec, got, events := g.send(test.r()); allowed != (len(got) == 1) {
				t.Errorf("%s with %s: %s, events %+v", name, document, raw(rec), events)
			}
		}
		if !has(bodies, test.asks...) {
			t.Errorf("%s: the backend was asked %q", name, bodies)
		}
	}
}

// TestGuardLayers: a layer of another account is for whom its policy lets in. One that the
// backend does not have has none.
func TestGuardLayers(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const layer = "arn:aws:lambda:us-east-1:999988887777:layer:tools:2"
	var bodies []string
	known := map[string]string{}
	g.stub.ask = described(&bodies, known)
	create := func() *http.Request {
		return g.by("lambda", "PUT", "/2015-03-31/functions/f/configuration", `{"Layers":["`+layer+`"]}`, "Content-Type", "application/json")
	}
	g.policy(permitting("lambda:*", "*"))
	if rec, got, _ := g.send(create()); len(got) != 0 || !strings.Contains(rec.Body.String(), "lambda:GetLayerVersion on resource: "+layer) {
		t.Errorf("that the backend lacks: %s", raw(rec))
	}
	if !has(bodies, "GET /2018-10-31/layers/tools/versions/2/policy Credential=999988887777/") {
		t.Errorf("the backend was asked %q", bodies)
	}
	known["GET /2018-10-31/layers/tools/versions/2/policy"] = `{"Policy":` + quoted(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"`+layer+`"}]}`) + `,"RevisionId":"r"}`
	rec, _, _ := g.send(g.by("lambda", "POST", "/2018-10-31/layers/tools/versions/2/policy", `{"StatementId":"s","Action":"lambda:GetLayerVersion","Principal":"*"}`))
	if rec.Code != http.StatusOK { // which ends what is known of it
		t.Fatal(raw(rec))
	}
	if rec, got, events := g.send(create()); len(got) != 1 {
		t.Errorf("that everybody may read: %s, events %+v", raw(rec), events)
	}
}
