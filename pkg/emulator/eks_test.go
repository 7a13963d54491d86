package emulator_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

var associationID = regexp.MustCompile(`^a-[a-z0-9]{17}$`)

// TestAssociations goes through the life of associations, with the answers of AWS that
// the model, the guide and users' reports show.
func TestAssociations(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	first := w.eks("POST", associations, w.association(map[string]any{"clientRequestToken": "one"})).good(t, "A01")
	id := first.text("association", "associationId")
	made := first.body["association"].(map[string]any)
	at, _ := made["createdAt"].(float64)
	want := map[string]any{
		"clusterName": "c1", "namespace": "team-a", "serviceAccount": "app", "roleArn": appRole, "associationId": id, "tags": map[string]any{},
		"associationArn": "arn:aws:eks:us-east-1:" + accountA + ":podidentityassociation/c1/" + id,
		"createdAt":      at, "modifiedAt": at, "disableSessionTags": false,
	}
	if !associationID.MatchString(id) || !maps.EqualFunc(want, made, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) || at < 1e9 {
		t.Errorf("A01: %s", first.raw)
	}
	w.eks("POST", associations, w.association(map[string]any{"clientRequestToken": "two"})).
		is(t, "A02", 409, "ResourceInUseException", "Association already exists: "+id)
	again := w.eks("POST", associations, w.association(map[string]any{"clientRequestToken": "one"})).good(t, "A03")
	if again.raw != first.raw {
		t.Errorf("A03: %s", again.raw)
	}
	w.eks("POST", associations, w.association(map[string]any{"clientRequestToken": "one", "serviceAccount": "else"})).
		is(t, "the same token for another", 400, "InvalidRequestException", "The clientRequestToken was used before")
	w.eks("POST", strings.Replace(associations, "c1", "c9", 1), w.association(nil)).
		is(t, "A04", 404, "ResourceNotFoundException", "No cluster found for name: c9.")

	target := w.eks("POST", associations, w.association(map[string]any{"serviceAccount": "to", "targetRoleArn": "arn:aws:iam::" + accountB + ":role/target"})).good(t, "A08")
	if got := target.text("association", "externalId"); got != "us-east-1/"+accountA+"/c1/team-a/to" || !strings.Contains(target.raw, `"disableSessionTags":false`) {
		t.Errorf("A08: %s", target.raw)
	}
	to := associations + "/" + target.text("association", "associationId")
	changed := w.eks("POST", to, map[string]any{"targetRoleArn": ""}).good(t, "A13")
	if strings.Contains(changed.raw, "targetRoleArn") || strings.Contains(changed.raw, "externalId") {
		t.Errorf("A13: %s", changed.raw)
	}
	w.eks("POST", to, map[string]any{"clientRequestToken": "x"}).is(t, "A14", 400, "InvalidParameterException", "At least one")
	w.eks("POST", to, map[string]any{"policy": `{"Version":"2012-10-17","Statement":[]}`}).is(t, "a policy beside tags", 400, "InvalidParameterException", "The p")

	gone := w.eks("DELETE", associations+"/"+id, nil).good(t, "A15")
	if gone.raw != first.raw {
		t.Errorf("A15: %s", gone.raw)
	}
	w.eks("GET", associations+"/"+id, nil).is(t, "A15 describe", 404, "ResourceNotFoundException", "No pod identity association found for id: "+id+".")
	if other := w.associate(nil); other == id {
		t.Errorf("A15: the id %s again", id)
	}
}

// TestAssociationToken: a clientRequestToken stands for its call for a day.
func TestAssociationToken(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	body := w.association(map[string]any{"clientRequestToken": "one"})
	first := w.eks("POST", associations, body).good(t, "create")
	w.FastForward(24*time.Hour - time.Minute)
	if again := w.eks("POST", associations, body).good(t, "within a day"); again.raw != first.raw {
		t.Errorf("within a day: %s", again.raw)
	}
	w.FastForward(2 * time.Minute)
	w.eks("POST", associations, body).
		is(t, "after a day", 409, "ResourceInUseException", "Association already exists: "+first.text("association", "associationId"))
	body["serviceAccount"] = "else"
	w.eks("POST", associations, body).good(t, "after a day, for another")
}

// TestAssociationRefused: what cannot be is refused, in AWS's words where they are known.
func TestAssociationRefused(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	ec2 := roleIn(t, w.AWS, accountA, "ec2", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}))
	tag := roleIn(t, w.AWS, accountA, "tag", document(serviceTrust(nil, "sts:TagSession")))
	other := roleIn(t, w.AWS, accountB, "other", document(serviceTrust(nil)))
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	session := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	const invalid = "InvalidParameterException"
	for _, c := range []struct {
		name    string
		change  map[string]any
		message string
	}{
		{"A05", map[string]any{"roleArn": "arn:aws:iam::" + accountA + ":role/none"}, "Role provided in the request does not exist"},
		{"A06", map[string]any{"roleArn": ec2}, "Trust policy of the role provided is invalid"},
		{"only TagSession", map[string]any{"roleArn": tag}, "Trust policy of the role provided is invalid"},
		{"A07", map[string]any{"policy": session}, "The parameter policy"},
		{"a policy with tags on", map[string]any{"policy": session, "disableSessionTags": false}, "The parameter policy"},
		{"a policy that is none", map[string]any{"policy": `{"a":1}`, "disableSessionTags": true}, "The policy is not valid"},
		{"a long policy", map[string]any{"policy": session + strings.Repeat(" ", 2048), "disableSessionTags": true}, "The policy has"},
		{"another account's role", map[string]any{"roleArn": other}, "The role must be in the account"},
		{"no role", map[string]any{"roleArn": ""}, "The parameter roleArn"},
		{"no ARN", map[string]any{"roleArn": "app-role"}, "The parameter roleArn"},
		{"no target", map[string]any{"targetRoleArn": "arn:aws:iam::1:role/x"}, "The parameter targetRoleArn"},
		{"no namespace", map[string]any{"namespace": nil}, "The parameter namespace"},
		{"a namespace with a dot", map[string]any{"namespace": "a.b"}, "The parameter namespace"},
		{"a long namespace", map[string]any{"namespace": strings.Repeat("a", 64)}, "The parameter namespace"},
		{"no account", map[string]any{"serviceAccount": ""}, "The parameter serviceAccount"},
		{"an account in capitals", map[string]any{"serviceAccount": "App"}, "The parameter serviceAccount"},
		{"many tags", map[string]any{"tags": many}, "There can be 50 tags"},
		{"AWS's tag", map[string]any{"tags": map[string]string{"aws:x": "y"}}, "Tag keys"},
	} {
		w.eks("POST", associations, w.association(c.change)).is(t, c.name, 400, invalid, c.message)
		if e := w.LastDenial(); e.Step != "parameters" || e.Code != invalid || e.Reason == "" {
			t.Errorf("%s: event %+v", c.name, e)
		}
	}
	w.eks("POST", associations, w.association(map[string]any{"roleArn": ec2}))
	if e := w.LastDenial(); !slices.Equal(e.Expected, []string{"pods.eks.amazonaws.com"}) || !slices.Equal(e.Found, []string{"ec2.amazonaws.com"}) {
		t.Errorf("A06: event %+v", e)
	}
	w.eks("POST", associations, w.association(map[string]any{"serviceAccount": "app.of.dots"})).good(t, "a subdomain")
	w.eks("GET", associations+"/a-1", nil).is(t, "A09", 400, invalid, "The parameter associationId should be 19 characters long.")
	w.eks("GET", associations+"/a-"+strings.Repeat("0", 17), nil).is(t, "A10", 404, "ResourceNotFoundException", "")
	w.eks("GET", "/clusters/"+strings.Repeat("c", 101), nil).is(t, "a long name", 400, invalid, "The cluster name")
	w.call(w.root(), "eks", "POST", associations, "{").is(t, "no JSON", 400, "SerializationException", "")
	w.eks("GET", "/clusters/c1/node-groups", nil).is(t, "what is not here", 400, "UnknownOperationException", "This emulator does not have this operation of eks; it has CreateCluster, ")
}

// TestAssociationLists: pages, filters, and members that lists do not have.
func TestAssociationLists(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t, func(c *emulator.Config) { c.MaxPodIdentityAssociations = 4 })
	var ids []string
	for _, name := range []string{"app", "b", "c"} {
		ids = append(ids, w.associate(map[string]any{"serviceAccount": name}))
	}
	w.associate(map[string]any{"namespace": "team-b"})
	list := func(query string) (found []string, next string) {
		t.Helper()
		got := w.eks("GET", associations+query, nil).good(t, query)
		for _, item := range got.body["associations"].([]any) {
			m := item.(map[string]any)
			if names := slices.Sorted(maps.Keys(m)); !slices.Equal(names, []string{"associationArn", "associationId", "clusterName", "namespace", "serviceAccount"}) {
				t.Errorf("members %v", names)
			}
			found = append(found, m["associationId"].(string))
		}
		next, _ = got.body["nextToken"].(string)
		return found, next
	}
	page, next := list("?namespace=team-a&maxResults=2")
	if !slices.Equal(page, ids[:2]) || next == "" {
		t.Errorf("A11: %v %q, want of %v", page, next, ids)
	}
	if page, last := list("?namespace=team-a&maxResults=2&nextToken=" + url.QueryEscape(next)); !slices.Equal(page, ids[2:]) || last != "" {
		t.Errorf("A11: the second page %v %q", page, last)
	}
	if page, _ := list("?namespace=team-a&serviceAccount=app"); !slices.Equal(page, ids[:1]) {
		t.Errorf("A12: %v", page)
	}
	if page, _ := list("?serviceAccount=app"); len(page) != 2 {
		t.Errorf("of all namespaces: %v", page)
	}
	if page, next := list("?namespace=none"); len(page) != 0 || next != "" {
		t.Errorf("of none: %v", page)
	}
	cluster := w.eks("GET", "/clusters?maxResults=1", nil).good(t, "clusters").text("nextToken")
	for _, query := range []string{
		"?maxResults=0", "?maxResults=101", "?maxResults=x", "?nextToken=%21", "?nextToken=foo", "?nextToken=" + next,
		"?namespace=team-b&nextToken=" + next, "?nextToken=" + cluster,
	} {
		w.eks("GET", associations+query, nil).is(t, query, 400, "InvalidParameterException", "The parameter ")
		if e := w.LastDenial(); e.Step != "parameters" || e.Code != "InvalidParameterException" {
			t.Errorf("%s: event %+v", query, e)
		}
	}
	for _, token := range []string{"foo", next} {
		w.eks("GET", "/clusters?nextToken="+token, nil).is(t, "clusters", 400, "InvalidParameterException", "The parameter nextToken")
	}
	w.eks("GET", strings.Replace(associations, "c1", "c2", 1)+"?namespace=team-a&nextToken="+next, nil).
		is(t, "of another cluster", 400, "InvalidParameterException", "The parameter nextToken")
	w.eks("POST", associations, w.association(map[string]any{"serviceAccount": "e"})).is(t, "one too many", 400, "ResourceLimitExceededException", "The cluster c1 has 4")
}

// TestAssociationPermissions: the cluster's ARN for what makes and lists, that of the
// association for the rest, and iam:PassRole.
func TestAssociationPermissions(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(map[string]any{"tags": map[string]string{"team": "a"}})
	arn := "arn:aws:eks:us-east-1:" + accountA + ":podidentityassociation/c1/" + id
	onCluster := w.user("cluster", allowing(nil, "eks:*", clusterARN), allowing(nil, "iam:PassRole", "*"))
	w.call(onCluster, "eks", "DELETE", associations+"/"+id, "").is(t, "A16", 403, "AccessDeniedException",
		"User: arn:aws:iam::"+accountA+":user/cluster is not authorized to perform: eks:DeletePodIdentityAssociation on resource: "+arn)
	w.call(onCluster, "eks", "GET", associations, "").good(t, "a list by who may on the cluster")
	body := func(changes map[string]any) string {
		text, err := json.Marshal(w.association(changes))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	w.call(onCluster, "eks", "POST", associations, body(map[string]any{"serviceAccount": "b"})).good(t, "create by who may")
	noPass := w.user("nopass", allowing(nil, "eks:*", "*"))
	w.call(noPass, "eks", "POST", associations, body(map[string]any{"serviceAccount": "c"})).is(t, "A17", 403, "AccessDeniedException",
		"User: arn:aws:iam::"+accountA+":user/nopass is not authorized to perform: iam:PassRole on resource: "+appRole)
	w.call(noPass, "eks", "POST", associations+"/"+id, `{"disableSessionTags":true}`).good(t, "an update that passes no role")
	w.call(noPass, "eks", "POST", associations+"/"+id, `{"roleArn":"`+appRole+`"}`).is(t, "an update that does", 403, "AccessDeniedException", "User: ")

	to := func(service string) map[string]any {
		s := allowing(nil, "iam:PassRole", appRole)
		s["Condition"] = map[string]any{"StringEquals": map[string]any{"iam:PassedToService": service}}
		return s
	}
	right := w.user("right", allowing(nil, "eks:*", "*"), to("pods.eks.amazonaws.com"))
	w.call(right, "eks", "POST", associations, body(map[string]any{"serviceAccount": "d"})).good(t, "the role for pods")
	wrong := w.user("wrong", allowing(nil, "eks:*", "*"), to("eks.amazonaws.com"))
	w.call(wrong, "eks", "POST", associations, body(map[string]any{"serviceAccount": "e"})).is(t, "the role for clusters", 403, "AccessDeniedException", "User: ")

	tagged := allowing(nil, "eks:*", "*")
	tagged["Condition"] = map[string]any{"StringEquals": map[string]any{"aws:ResourceTag/team": "a"}}
	byTag := w.user("bytag", tagged)
	w.call(byTag, "eks", "GET", associations+"/"+id, "").good(t, "by the tag of the association")
	w.call(byTag, "eks", "GET", associations, "").is(t, "the cluster has no such tag", 403, "AccessDeniedException", "")
	asked := allowing(nil, "eks:CreatePodIdentityAssociation", "*")
	asked["Condition"] = map[string]any{"StringEquals": map[string]any{"aws:RequestTag/team": "b"}, "ForAllValues:StringEquals": map[string]any{"aws:TagKeys": "team"}}
	byRequest := w.user("byrequest", asked, to("pods.eks.amazonaws.com"))
	w.call(byRequest, "eks", "POST", associations, body(map[string]any{"serviceAccount": "f", "tags": map[string]string{"team": "b"}})).good(t, "by the tag that is asked for")
	w.call(byRequest, "eks", "POST", associations, body(map[string]any{"serviceAccount": "g"})).is(t, "without it", 403, "AccessDeniedException", "")
}

// inPath is an ARN as clients of AWS put it into a path.
func inPath(arn string) string { return strings.ReplaceAll(url.PathEscape(arn), ":", "%3A") }

// TestEKSTags: ARNs stand in paths with their slashes encoded.
func TestEKSTags(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(nil)
	arn := "arn:aws:eks:us-east-1:" + accountA + ":podidentityassociation/c1/" + id
	for what, arn := range map[string]string{"A18": arn, "a cluster": clusterARN} {
		path := "/tags/" + inPath(arn)
		if !strings.Contains(path, "%2F") {
			t.Fatal(path)
		}
		w.eks("POST", path, map[string]any{"tags": map[string]string{"a": "1", "b": "2"}}).good(t, what)
		if got := w.eks("GET", path, nil).good(t, what); got.raw != `{"tags":{"a":"1","b":"2"}}` {
			t.Errorf("%s: %s", what, got.raw)
		}
		w.eks("DELETE", path+"?tagKeys=a&tagKeys=x", nil).good(t, what)
		if got := w.eks("GET", path, nil).good(t, what); got.raw != `{"tags":{"b":"2"}}` {
			t.Errorf("%s: %s", what, got.raw)
		}
	}
	if got := w.eks("GET", associations+"/"+id, nil).good(t, "A18"); !strings.Contains(got.raw, `"tags":{"b":"2"}`) {
		t.Errorf("A18: %s", got.raw)
	}
	w.exchange(w.podToken(nil)).good(t, "after the cluster was tagged")
	unknown := "/tags/" + inPath(strings.Replace(arn, id, "a-00000000000000000", 1))
	w.eks("POST", unknown, map[string]any{"tags": map[string]string{"a": "1"}}).is(t, "A19", 404, "NotFoundException", "")
	w.eks("GET", "/tags/"+inPath("arn:aws:s3:::b"), nil).is(t, "not of EKS", 400, "BadRequestException", "")
	w.eks("DELETE", "/tags/"+inPath(arn), nil).is(t, "no keys", 400, "BadRequestException", "")
	for name, body := range map[string]map[string]any{"no tags": {}, "empty tags": {"tags": map[string]string{}}} {
		w.eks("POST", "/tags/"+inPath(arn), body).is(t, name, 400, "BadRequestException", "There must be 1 to 50 tags.")
		w.denied(name, "TagResource", "parameters", "BadRequestException")
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint(i)] = ""
	}
	for _, arn := range []string{arn, clusterARN} { // with the one that is there
		w.eks("POST", "/tags/"+inPath(arn), map[string]any{"tags": many}).is(t, "too many", 400, "BadRequestException", "There can be 50 tags, and there are 51.")
		if e := w.denied("too many", "TagResource", "parameters", "BadRequestException"); e.Resource != arn {
			t.Errorf("too many: event %+v", e)
		}
	}
	w.eks("POST", "/tags/"+inPath(arn), map[string]any{"tags": map[string]string{"aws:a": "1"}}).is(t, "AWS's key", 400, "BadRequestException", "")
}

// TestClusters: what was registered is described, what CreateCluster made can be deleted.
func TestClusters(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	got := w.eks("GET", "/clusters/c1", nil).good(t, "describe")
	if got.text("cluster", "arn") != clusterARN || got.text("cluster", "status") != "ACTIVE" || got.text("cluster", "kubernetesNetworkConfig", "ipFamily") != "ipv4" || got.text("cluster", "identity", "oidc", "issuer") != w.idp.URL+"/c1" {
		t.Errorf("describe: %s", got.raw)
	}
	if got := w.eks("GET", "/clusters", nil).good(t, "list"); got.raw != `{"clusters":["c1","c2"]}` {
		t.Errorf("list: %s", got.raw)
	}
	if got := w.eks("GET", "/clusters?maxResults=1", nil).good(t, "list"); !strings.HasPrefix(got.raw, `{"clusters":["c1"],"nextToken":"`) {
		t.Errorf("a page: %s", got.raw)
	}
	w.eks("DELETE", "/clusters/c1", nil).is(t, "one that was registered", 400, "InvalidRequestException", "This cluster was registered")

	role := roleIn(t, w.AWS, accountA, "cluster", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}))
	create := map[string]any{"name": "made", "roleArn": role, "resourcesVpcConfig": map[string]any{"subnetIds": []string{"subnet-1"}}, "version": "1.35"}
	w.eks("POST", "/clusters", create).good(t, "create")
	w.eks("POST", "/clusters", create).is(t, "create again", 409, "ResourceInUseException", "Cluster already exists with name: made")
	if e := w.denied("create again", "CreateCluster", "parameters", "ResourceInUseException"); !slices.Equal(e.Found, []string{"made"}) || !strings.HasSuffix(e.Resource, ":cluster/made") {
		t.Errorf("create again: event %+v", e)
	}
	w.eks("POST", "/clusters", claims(create).with(claims{"name": "_x"})).is(t, "a bad name", 400, "InvalidParameterException", "")
	w.eks("POST", "/clusters", claims(create).with(claims{"name": "y", "roleArn": appRole})).is(t, "a role of pods", 400, "InvalidParameterException", "Role with arn: ")
	w.eks("POST", "/clusters/made/pod-identity-associations", w.association(nil)).good(t, "an association")
	w.call(w.root(), "eks-auth", "POST", "/clusters/made/assume-role-for-pod-identity", `{"token":"`+w.podToken(nil)+`"}`).
		is(t, "no issuer yet", 400, "InvalidTokenException", "")
	if _, err := w.RegisterCluster(emulator.EKSCluster{Account: accountA, Name: "made", Issuer: w.idp.URL + "/made"}); err != nil {
		t.Fatal(err)
	}
	w.call(w.root(), "eks-auth", "POST", "/clusters/made/assume-role-for-pod-identity", `{"token":"`+w.podToken(claims{"iss": w.idp.URL + "/made"})+`"}`).good(t, "with its issuer")
	w.eks("DELETE", "/clusters/made", nil).good(t, "delete")
	w.eks("GET", "/clusters/made", nil).is(t, "a deleted one", 404, "ResourceNotFoundException", "No cluster found for name: made.")
	create["kubernetesNetworkConfig"] = map[string]any{"ipFamily": "ipv5"}
	w.eks("POST", "/clusters", create).is(t, "a bad family", 400, "InvalidParameterException", "The parameter kubernetesNetworkConfig.ipFamily")
	create["kubernetesNetworkConfig"] = map[string]any{"ipFamily": "ipv6"}
	if got := w.eks("POST", "/clusters", create).good(t, "create anew"); got.text("cluster", "kubernetesNetworkConfig", "ipFamily") != "ipv6" {
		t.Errorf("with IPv6: %s", got.raw)
	}
	if got := w.eks("GET", "/clusters/made/pod-identity-associations", nil).good(t, "list"); got.raw != `{"associations":[]}` {
		t.Errorf("associations outlive their cluster: %s", got.raw)
	}

	addon := "/clusters/c1/addons/eks-pod-identity-agent"
	w.eks("GET", addon, nil).is(t, "no agent", 404, "ResourceNotFoundException", "No addon: eks-pod-identity-agent found in cluster: c1")
	if e := w.denied("no agent", "DescribeAddon", "existence", "ResourceNotFoundException"); !strings.Contains(e.Resource, ":addon/c1/eks-pod-identity-agent/") {
		t.Errorf("no agent: event %+v", e)
	}
	w.exchange(w.podToken(claims{"aud": "sts.amazonaws.com"})).is(t, "a token that is not for EKS", 400, "InvalidTokenException", "")
	w.eks("GET", addon, nil).is(t, "no agent with a good token", 404, "ResourceNotFoundException", "No addon: eks-pod-identity-agent found in cluster: c1")
	w.exchange(w.podToken(nil))
	if got := w.eks("GET", addon, nil).good(t, "an agent that has come"); got.text("addon", "status") != "ACTIVE" {
		t.Errorf("addon: %s", got.raw)
	}
	w.eks("GET", "/clusters/c1/addons/vpc-cni", nil).is(t, "another", 404, "ResourceNotFoundException", "No addon: vpc-cni")
	for i := range 97 { // beside c1, c2 and made
		if _, err := w.RegisterCluster(emulator.EKSCluster{Account: accountA, Name: fmt.Sprint("more", i)}); err != nil {
			t.Fatal(err)
		}
	}
	w.eks("POST", "/clusters", claims(create).with(claims{"name": "last"})).is(t, "too many", 400, "ResourceLimitExceededException", "Limit exceeded: there can be 100 clusters.")
	w.denied("too many", "CreateCluster", "parameters", "ResourceLimitExceededException")
}

// registration is a call of the control API, signed by somebody for a service.
func registration(t *testing.T, a string, by aws.Credentials, service, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, a+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if by.AccessKeyID != "" {
		if err := v4.NewSigner().SignHTTP(t.Context(), by, r, sigv4.HashPayload([]byte(body)), service, "eu-west-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestRegisterCluster: the root user registers clusters, again and again; nobody else
// does, unless the control API is open.
func TestRegisterCluster(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	const path = "/_openirsa/control/clusters"
	jwks, err := json.Marshal(map[string]any{"keys": []any{rsaJWK("one", &keyOne().PublicKey)}})
	if err != nil {
		t.Fatal(err)
	}
	ca := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----"))
	body := `{"name":"c3","issuer":"https://nowhere.example/c3","jwks":` + string(jwks) + `,"endpoint":"https://10.0.0.1:6443","certificateAuthority":"` + ca + `","ipFamily":"ipv6","version":"1.35","tags":{"a":"b"}}`
	root := w.root()
	const arn = `{"arn":"arn:aws:eks:eu-west-1:` + accountA + `:cluster/c3"}`
	for range 2 {
		if status, got := registration(t, w.AWS.URL, root, "eks", "POST", path, body); status != 200 || strings.TrimSpace(got) != arn {
			t.Fatalf("by the root user: %d %s", status, got)
		}
	}
	if _, got := registration(t, w.AWS.URL, root, "eks", "GET", "/clusters/c3", ""); !strings.Contains(got, `"endpoint":"https://10.0.0.1:6443"`) ||
		!strings.Contains(got, `"certificateAuthority":{"data":"`+ca+`"}`) || !strings.Contains(got, `"kubernetesNetworkConfig":{"ipFamily":"ipv6"}`) || !strings.Contains(got, `"version":"1.35"`) {
		t.Errorf("described as %s", got)
	}
	// The keys are those that came with it: nobody is asked at the issuer's address.
	if status, got := registration(t, w.AWS.URL, root, "eks", "POST", "/clusters/c3/pod-identity-associations", `{"namespace":"team-a","serviceAccount":"app","roleArn":"`+w.role+`"}`); status != 200 {
		t.Fatalf("%d %s", status, got)
	}
	exchange := func(changes claims) (int, string) {
		return registration(t, w.AWS.URL, root, "eks-auth", "POST", "/clusters/c3/assume-role-for-pod-identity", `{"token":"`+w.podToken(changes)+`"}`)
	}
	if status, got := exchange(claims{"iss": "https://nowhere.example/c3"}); status != 200 || w.idp.count() != 0 {
		t.Errorf("with the registered keys: %d %s, %d requests", status, got, w.idp.count())
	}

	other := aws.Credentials{AccessKeyID: accountB, SecretAccessKey: "test"}
	may := w.user("admin", allowing(nil, "*", "*"))
	for name, c := range map[string]struct {
		by            aws.Credentials
		service, body string
		status        int
	}{
		"nobody":                 {aws.Credentials{}, "", body, 403},
		"an administrator":       {may, "eks", body, 403},
		"for another service":    {root, "sts", body, 403},
		"with a wrong secret":    {aws.Credentials{AccessKeyID: accountA, SecretAccessKey: "x"}, "eks", body, 403},
		"for another account":    {other, "eks", `{"name":"c3","account":"` + accountA + `"}`, 403},
		"no https":               {root, "eks", `{"name":"c4","issuer":"http://x.example"}`, 400},
		"a bad name":             {root, "eks", `{"name":"-"}`, 400},
		"a bad family":           {root, "eks", `{"name":"c4","ipFamily":"IPv6"}`, 400},
		"no keys":                {root, "eks", `{"name":"c4","issuer":"https://x.example","jwks":{"keys":[]}}`, 400},
		"an unknown member":      {root, "eks", `{"name":"c4","isuer":"https://x.example"}`, 400},
		"other issuers alone":    {root, "eks", `{"name":"c4","otherIssuers":["https://x.example"]}`, 400},
		"an issuer twice":        {root, "eks", `{"name":"c4","issuer":"https://x.example","otherIssuers":["https://x.example"]}`, 400},
		"another without https":  {root, "eks", `{"name":"c4","issuer":"https://x.example","otherIssuers":["http://y.example"]}`, 400},
		"too many issuers":       {root, "eks", `{"name":"c4","issuer":"https://x.example","otherIssuers":["https://1","https://2","https://3","https://4","https://5","https://6","https://7","https://8"]}`, 400},
		"a key set of no issuer": {root, "eks", `{"name":"c4","jwks":` + string(jwks) + `}`, 400},
	} {
		if status, got := registration(t, w.AWS.URL, c.by, c.service, "POST", path, c.body); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, got, c.status)
		}
	}
	for _, method := range []string{"DELETE", "GET"} {
		if status, _ := registration(t, w.AWS.URL, may, "eks", method, path+"/c3", ""); status != 403 {
			t.Errorf("%s by an administrator: %d", method, status)
		}
	}
	// What is read is what was written, and can be written again.
	withTwo := strings.Replace(body, `"jwks"`, `"otherIssuers":["https://nowhere.example/next"],"jwks"`, 1)
	if status, got := registration(t, w.AWS.URL, root, "eks", "POST", path, withTwo); status != 200 {
		t.Fatalf("with another issuer: %d %s", status, got)
	}
	for _, iss := range []string{"c3", "next"} {
		if status, got := exchange(claims{"iss": "https://nowhere.example/" + iss}); status != 200 || w.idp.count() != 0 {
			t.Errorf("a token of %s with the registered keys: %d %s, %d requests", iss, status, got, w.idp.count())
		}
	}
	_, read := registration(t, w.AWS.URL, root, "eks", "GET", path+"/c3", "")
	var got, want map[string]any
	if err := errors.Join(json.Unmarshal([]byte(read), &got), json.Unmarshal([]byte(withTwo), &want)); err != nil {
		t.Fatal(err)
	}
	want["account"], want["region"] = accountA, "eu-west-1"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if status, _ := registration(t, w.AWS.URL, root, "eks", "GET", path+"/c9", ""); status != 404 {
		t.Errorf("an unknown one is read with %d", status)
	}
	for _, want := range []int{204, 404} {
		if status, got := registration(t, w.AWS.URL, root, "eks", "DELETE", path+"/c3", ""); status != want {
			t.Errorf("delete: %d %s, want %d", status, got, want)
		}
	}
	if status, got := exchange(claims{"iss": "https://nowhere.example/c3"}); status != 404 {
		t.Errorf("after it was deleted: %d %s", status, got)
	}
	open := startAWS(t, emulator.Config{Control: true})
	if status, got := registration(t, open.URL, aws.Credentials{}, "", "POST", path, `{"name":"c3"}`); status != 200 || !strings.Contains(got, "us-east-1:"+emulator.DefaultAccount) {
		t.Errorf("with an open control API: %d %s", status, got)
	}
}

// TestEKSState: clusters and associations outlive the process, and Reset does not.
func TestEKSState(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state.db")
	open := func() (*emulator.Server, *httptest.Server) {
		s, err := emulator.New(emulator.Config{State: state, Account: accountA})
		if err != nil {
			t.Fatal(err)
		}
		return s, httptest.NewServer(s)
	}
	s, web := open()
	w := &podWorld{t: t, AWS: nil}
	call := func(method, path, body string) (int, string) {
		t.Helper()
		return registration(t, web.URL, aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, "eks", method, path, body)
	}
	jwks, err := json.Marshal(map[string]any{"keys": []any{rsaJWK("one", &keyOne().PublicKey)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RegisterCluster(emulator.EKSCluster{Region: "eu-west-1", Name: "c1", Issuer: "https://x.example", JWKS: jwks, Tags: map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	iamCall(t, web.URL, "CreateRole", "RoleName", "app-role", "AssumeRolePolicyDocument", document(serviceTrust(nil)))
	w.role = appRole
	body, err := json.Marshal(w.association(map[string]any{"disableSessionTags": true, "policy": document(allowing(nil, "s3:*", "*")), "clientRequestToken": "t"}))
	if err != nil {
		t.Fatal(err)
	}
	status, made := call("POST", associations, string(body))
	if status != 200 {
		t.Fatalf("%d %s", status, made)
	}
	_, cluster := call("GET", "/clusters/c1", "")
	token := sign(t, map[string]any{"alg": "RS256", "kid": "one"}, claims{
		"iss": "https://x.example", "sub": "system:serviceaccount:team-a:app", "aud": "pods.eks.amazonaws.com", "exp": time.Now().Unix() + 60, "iat": time.Now().Unix(),
		"kubernetes.io": bound("team-a", "app", "p"),
	}, keyOne())
	exchange := func() (int, string) {
		return registration(t, web.URL, aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, "eks-auth", "POST", "/clusters/c1/assume-role-for-pod-identity", `{"token":"`+token+`"}`)
	}
	if status, got := exchange(); status != 200 {
		t.Errorf("before a restart: %d %s", status, got)
	}
	web.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, web = open()
	defer func() { web.Close(); s.Close() }()
	if status, got := call("POST", associations, string(body)); status != 200 || got != made {
		t.Errorf("the same token after a restart: %d %s, want %s", status, got, made)
	}
	if _, got := call("GET", "/clusters/c1", ""); got != cluster {
		t.Errorf("the cluster is %s, was %s", got, cluster)
	}
	if status, got := call("GET", "/clusters/c1/addons/eks-pod-identity-agent", ""); status != 200 || !strings.Contains(got, `"status":"ACTIVE"`) {
		t.Errorf("the agent that had come, after a restart: %d %s", status, got)
	}
	if status, got := exchange(); status != 200 {
		t.Errorf("after a restart: %d %s", status, got)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if status, got := exchange(); status != 404 || !strings.Contains(got, "No cluster found") {
		t.Errorf("after Reset: %d %s", status, got)
	}
}

// iamCall is a call of IAM by the root user, which succeeds.
func iamCall(t *testing.T, url string, operation string, pairs ...string) {
	t.Helper()
	body := form(append(pairs, "Action", operation, "Version", "2010-05-08")...)
	if status, got := do(t, signedQuery(t, url, "iam", "test", "test", body, time.Now())); status != 200 {
		t.Fatalf("%s: %d %s", operation, status, got)
	}
}

// TestForwardedEKS: a service that is forwarded by name is the backend's.
func TestForwardedEKS(t *testing.T) {
	t.Parallel()
	for name, forwarded := range map[string]bool{"eks": true, "*": false} {
		g := newGuarded(t, func(c *emulator.Config) { c.Forward = map[string]emulator.Backend{name: {Handler: &stub{}}} })
		g.policy(permitting("eks:*", "*"))
		if _, err := g.RegisterCluster(emulator.EKSCluster{Name: "c1"}); err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		g.ServeHTTP(rec, g.by("eks", "GET", "/clusters/c1", ""))
		if ours := strings.Contains(rec.Body.String(), `"platformVersion":"eks.1"`); ours == forwarded {
			t.Errorf("--forward %s: %d %s", name, rec.Code, rec.Body)
		}
	}
}
