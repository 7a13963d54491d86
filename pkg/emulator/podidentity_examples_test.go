package emulator_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func when(operator, key string, value any) map[string]any {
	return map[string]any{operator: map[string]any{key: value}}
}

// TestPodIdentityEvaluation are trust policies that people write, against the exchange of
// team-a/app of cluster c1.
func TestPodIdentityEvaluation(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(nil)
	pinned := func(namespace string) map[string]any {
		return map[string]any{"StringEquals": map[string]any{
			"aws:RequestTag/kubernetes-namespace": namespace, "aws:RequestTag/kubernetes-service-account": "app",
		}}
	}
	both := []string{"sts:AssumeRole", "sts:TagSession"}
	one := func(s map[string]any) []map[string]any { return []map[string]any{s} }
	of := func(principal any) []map[string]any {
		return one(map[string]any{"Effect": "Allow", "Principal": principal, "Action": both})
	}
	federated := one(map[string]any{
		"Effect": "Allow", "Principal": map[string]any{"Federated": "arn:aws:iam::" + accountA + ":oidc-provider/x.example"},
		"Action": "sts:AssumeRoleWithWebIdentity", "Condition": when("StringEquals", "x.example:sub", "system:serviceaccount:team-a:app"),
	})
	for _, c := range []struct {
		name    string
		trust   []map[string]any
		noTags  bool
		allowed bool
		action  string // that is denied
	}{
		{"1", one(serviceTrust(nil)), false, true, ""},
		{"2", one(serviceTrust(nil, "sts:AssumeRole")), false, false, "sts:TagSession"},
		{"3", one(serviceTrust(nil, "sts:AssumeRole")), true, true, ""},
		{"4", one(serviceTrust(pinned("team-a"))), false, true, ""},
		{"5", one(serviceTrust(pinned("team-b"))), false, false, "sts:AssumeRole"},
		{"6", one(serviceTrust(pinned("team-a"))), true, false, "sts:AssumeRole"},
		{"7", one(serviceTrust(when("StringEqualsIfExists", "aws:RequestTag/kubernetes-namespace", "team-b"))), true, true, ""},
		{"7 with tags", one(serviceTrust(when("StringEqualsIfExists", "aws:RequestTag/kubernetes-namespace", "team-b"))), false, false, "sts:AssumeRole"},
		{"8", one(serviceTrust(when("Null", "aws:RequestTag/eks-cluster-arn", "true"))), false, false, "sts:AssumeRole"},
		{"9", one(serviceTrust(when("StringEquals", "aws:RequestTag/eks-cluster-arn", strings.Replace(clusterARN, "c1", "c2", 1)))), false, false, "sts:AssumeRole"},
		{"9, the right one", one(serviceTrust(when("StringEquals", "aws:RequestTag/eks-cluster-arn", clusterARN))), false, true, ""},
		{"10", one(serviceTrust(when("StringLike", "aws:RequestTag/kubernetes-pod-name", "app-*"))), false, true, ""},
		{"11", one(serviceTrust(map[string]any{
			"ArnEquals": map[string]any{"aws:SourceArn": clusterARN}, "StringEquals": map[string]any{"aws:SourceAccount": accountA},
		})), false, true, ""},
		{"11, another cluster", one(serviceTrust(when("ArnEquals", "aws:SourceArn", strings.Replace(clusterARN, "c1", "c2", 1)))), false, false, "sts:AssumeRole"},
		{"12", of(map[string]any{"AWS": "*"}), false, false, "sts:AssumeRole"},
		{"12 for everyone", of("*"), false, false, "sts:AssumeRole"},
		{"13", federated, false, false, "sts:AssumeRole"},
		{"14", []map[string]any{serviceTrust(nil), {"Effect": "Deny", "Principal": map[string]any{"Service": "pods.eks.amazonaws.com"}, "Action": "sts:TagSession"}},
			false, false, "sts:TagSession"},
		{"14 for everyone", []map[string]any{serviceTrust(nil), {"Effect": "Deny", "Principal": "*", "Action": "sts:TagSession"}}, false, false, "sts:TagSession"},
		{"15", []map[string]any{serviceTrust(pinned("team-a"), "sts:AssumeRole"), serviceTrust(nil, "sts:TagSession")}, false, true, ""},
		{"16", one(serviceTrust(when("ForAllValues:StringEquals", "sts:TransitiveTagKeys", []string{"eks-cluster-arn"}))), false, false, "sts:AssumeRole"},
		{"16, all six", one(serviceTrust(when("ForAllValues:StringLike", "sts:TransitiveTagKeys", []string{"eks-cluster-*", "kubernetes-*"}))), false, true, ""},

		{"the name of the service", one(serviceTrust(map[string]any{"StringEquals": map[string]any{"aws:PrincipalServiceName": "pods.eks.amazonaws.com"},
			"Bool": map[string]any{"aws:PrincipalIsAWSService": "true"}})), false, true, ""},
		{"an external id, which is for targets", one(serviceTrust(when("Null", "sts:ExternalId", "false"))), false, false, "sts:AssumeRole"},
		{"the ARN of a principal", one(serviceTrust(when("Null", "aws:PrincipalArn", "false"))), false, false, "sts:AssumeRole"},
		{"tags of a principal", one(serviceTrust(when("Null", "aws:PrincipalTag/kubernetes-namespace", "false"))), false, false, "sts:AssumeRole"},
		{"the address of the agent", one(serviceTrust(when("IpAddress", "aws:SourceIp", "127.0.0.0/8"))), false, false, "sts:AssumeRole"},
		{"the name of the session", one(serviceTrust(when("StringLike", "sts:RoleSessionName", "eks-c1-*"))), false, true, ""},
		{"another service", of(map[string]any{"Service": "eks.amazonaws.com"}), false, false, "sts:AssumeRole"},
	} {
		w.trust("app-role", c.trust...)
		w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": c.noTags}).good(t, c.name)
		got := w.exchange(w.podToken(nil))
		if c.allowed {
			if got.status != 200 {
				t.Errorf("example %s: %s, since %s", c.name, got.raw, w.LastDenial().Reason)
			}
			continue
		}
		got.is(t, "example "+c.name, 400, "AccessDeniedException", cannotAssume)
		e := w.LastDenial()
		if e.Step != "trust" || e.Action != c.action || e.Resource != appRole || e.Remedy == nil {
			t.Errorf("example %s: event %+v", c.name, e)
			continue
		}
		if len(e.Remedy.Additions) == 0 { // an explicit denial
			continue
		}
		// What the page says would allow it does, or at least the next thing is lacking.
		for range 2 {
			follow(t, w.AWS, w.LastDenial().Remedy, "")
			if got = w.exchange(w.podToken(nil)); got.status == 200 {
				break
			}
		}
		if got.status != 200 {
			t.Errorf("example %s: after its remedy %s, since %s", c.name, got.raw, w.LastDenial().Reason)
		}
	}
	for name, trust := range map[string][]map[string]any{"12": of(map[string]any{"AWS": "*"}), "13": federated} {
		w.trust("app-role", trust...)
		w.eks("POST", associations, w.association(map[string]any{"serviceAccount": "new"})).
			is(t, "example "+name+", create", 400, "InvalidParameterException", "Trust policy of the role provided is invalid")
	}
}

// TestPodIdentityOrganization: the trust policy sees the organization of the cluster's account, if it is in one.
func TestPodIdentityOrganization(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	w.associate(nil)
	try := func(name string, condition map[string]any, allowed bool) {
		t.Helper()
		w.trust("app-role", serviceTrust(condition))
		got := w.exchange(w.podToken(nil))
		if allowed {
			got.good(t, name)
			return
		}
		got.is(t, name, 400, "AccessDeniedException", cannotAssume)
		if e := w.LastDenial(); e.Step != "trust" || e.Action != "sts:AssumeRole" {
			t.Errorf("%s: event %+v", name, e)
		}
	}
	for _, key := range []string{"aws:SourceOrgID", "aws:SourceOrgPaths"} {
		try("no organization", when("Null", key, "true"), true)
		try("no organization", when("Null", key, "false"), false)
	}
	o, root, _ := organization(t, w.AWS)
	id := at(o.do("DescribeOrganization", nil), "Organization", "Id")
	try("the organization", when("StringEquals", "aws:SourceOrgID", id), true)
	try("another organization", when("StringEquals", "aws:SourceOrgID", "o-aaaaaaaaaa"), false)
	if e := w.LastDenial(); !slices.Equal(e.Expected, []string{"o-aaaaaaaaaa"}) || !slices.Equal(e.Found, []string{id}) {
		t.Errorf("another organization: event %+v", e)
	}
	try("the path", when("ForAnyValue:StringEquals", "aws:SourceOrgPaths", id+"/"+root+"/"), true)
	try("below the path", when("ForAnyValue:StringLike", "aws:SourceOrgPaths", id+"/"+root+"/*"), true)
	try("another path", when("ForAnyValue:StringLike", "aws:SourceOrgPaths", id+"/"+root+"/ou-*"), false)
}

// TestPodIdentityPolicies: tags of the session go before those of the role, and session
// policies limit.
func TestPodIdentityPolicies(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(nil)
	client := iam.NewFromConfig(w.ConfigIn(accountA))
	if _, err := client.TagRole(t.Context(), &iam.TagRoleInput{RoleName: new("app-role"), Tags: []iamtypes.Tag{
		{Key: new("eks-cluster-name"), Value: new("other")}, {Key: new("team"), Value: new("a")},
	}}); err != nil {
		t.Fatal(err)
	}
	lists := func(c aws.Config) bool {
		_, err := iam.NewFromConfig(c).ListGroups(t.Context(), nil)
		return err == nil
	}
	for name, c := range map[string]struct {
		key, value string
		allowed    bool
	}{
		"17":                  {"aws:PrincipalTag/eks-cluster-name", "c1", true},
		"17, the role's":      {"aws:PrincipalTag/eks-cluster-name", "other", false},
		"another of the role": {"aws:PrincipalTag/team", "a", true},
		"the pod":             {"aws:PrincipalTag/kubernetes-pod-uid", podUID, true},
		"the role":            {"aws:PrincipalArn", appRole, true},
		"the cluster":         {"aws:PrincipalTag/eks-cluster-arn", clusterARN, true},
	} {
		s := allowing(nil, "iam:ListGroups", "*")
		s["Condition"] = when("StringEquals", c.key, c.value)
		w.allow("app-role", s)
		if got := lists(w.session(w.exchange(w.podToken(nil)))); got != c.allowed {
			t.Errorf("example %s: allowed %v", name, got)
		}
	}
	oidc := allowing(nil, "iam:ListGroups", "*")
	oidc["Condition"] = when("Null", "aws:FederatedProvider", "false")
	w.allow("app-role", oidc)
	if lists(w.session(w.exchange(w.podToken(nil)))) {
		t.Error("the session has the key of a federated provider")
	}

	root := w.AWS.S3(w.ConfigIn(accountA))
	if _, err := root.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("data")}); err != nil {
		t.Fatal(err)
	}
	put := func(c aws.Config) bool {
		_, err := w.AWS.S3(c).PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("data"), Key: new("k"), Body: strings.NewReader("x")})
		return err == nil
	}
	get := func(c aws.Config) bool {
		_, err := w.AWS.S3(c).GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("data"), Key: new("k")})
		return err == nil
	}
	w.allow("app-role", allowing(nil, "s3:*", "*"))
	if !put(w.session(w.exchange(w.podToken(nil)))) {
		t.Fatal("without a session policy")
	}
	policy := func(document string) aws.Config {
		w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": true, "policy": document}).good(t, "update")
		return w.session(w.exchange(w.podToken(nil)))
	}
	if c := policy(document(allowing(nil, "s3:GetObject", "*"))); !get(c) || put(c) {
		t.Error("example 23")
	}
	longest := document(allowing(nil, "s3:GetObject", "*"))
	if c := policy(longest + strings.Repeat(" ", 2048-len(longest))); !get(c) || put(c) {
		t.Error("the longest session policy")
	}
	w.allow("app-role", allowing(nil, "iam:ListUsers", "*"))
	if c := policy(document(allowing(nil, "*", "*"))); get(c) {
		t.Error("example 24: a session policy grants")
	}
}

// TestPodIdentityChain: what the second hop needs, of both roles.
func TestPodIdentityChain(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	target := roleIn(t, w.AWS, accountB, "target", document(targetTrust("app", "sts:TagSession")...))
	other := iam.NewFromConfig(w.ConfigIn(accountB))
	id := w.associate(map[string]any{"targetRoleArn": target})
	may := []map[string]any{allowing(nil, "sts:AssumeRole", target), allowing(nil, "sts:TagSession", target)}
	tags := func(on bool) {
		w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": !on}).good(t, "update")
	}
	trusts := func(statements ...map[string]any) {
		t.Helper()
		if _, err := other.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: new("target"), PolicyDocument: new(document(statements...))}); err != nil {
			t.Fatal(err)
		}
	}
	try := func(name string, allowed bool, action string) {
		t.Helper()
		got := w.exchange(w.podToken(nil))
		if allowed {
			got.good(t, "example "+name)
			return
		}
		got.is(t, "example "+name, 400, "AccessDeniedException", cannotAssume)
		if e := w.LastDenial(); e.Action != action || e.Resource != target || !strings.HasPrefix(e.Caller, "arn:aws:sts::"+accountA+":assumed-role/app-role/eks-c1-") {
			t.Errorf("example %s: event %+v", name, e)
		}
	}
	try("22", false, "sts:AssumeRole")
	w.allow("app-role", may[:1]...)
	try("22, sts:TagSession", false, "sts:TagSession")
	w.allow("app-role", may...)
	try("19", true, "")
	trusts(targetTrust("x", "sts:TagSession")...)
	try("20", false, "sts:AssumeRole")
	trusts(targetTrust("app")...)
	try("21", false, "sts:TagSession")
	tags(false)
	try("21 without tags", true, "")
	tags(true)
	inherited := allowing(map[string]any{"AWS": "arn:aws:iam::" + accountA + ":root"}, "sts:AssumeRole", "")
	inherited["Action"] = []string{"sts:AssumeRole", "sts:TagSession"}
	inherited["Condition"] = map[string]any{"ArnEquals": map[string]any{"aws:PrincipalArn": appRole}, "StringEquals": map[string]any{
		"aws:RequestTag/kubernetes-namespace": "team-a", "aws:PrincipalTag/kubernetes-service-account": "app", "sts:ExternalId": "us-east-1/" + accountA + "/c1/team-a/app",
	}}
	trusts(inherited)
	try("both kinds of tags", true, "")

	// The policy is the target session's, and not that of the first hop.
	trusts(targetTrust("app", "sts:TagSession")...)
	if _, err := other.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: new("target"), PolicyName: new("p"), PolicyDocument: new(document(allowing(nil, "iam:*", "*")))}); err != nil {
		t.Fatal(err)
	}
	w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": true, "policy": document(allowing(nil, "iam:ListGroups", "*"))}).good(t, "update")
	config := w.session(w.exchange(w.podToken(nil)))
	client := iam.NewFromConfig(config)
	if _, err := client.ListGroups(t.Context(), nil); err != nil {
		t.Errorf("example 25: %v", err)
	}
	if _, err := client.ListUsers(t.Context(), nil); err == nil {
		t.Error("example 25: the policy does not limit the target")
	}
	if _, err := other.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: new("target"), PolicyName: new("p")}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: new("target")}); err != nil {
		t.Fatal(err)
	}
	try("a target that was deleted", false, "sts:AssumeRole")
	if _, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); err == nil {
		t.Error("a session outlives its role")
	}
}
