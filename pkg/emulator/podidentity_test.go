package emulator_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/token"
)

const (
	uuidPattern    = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	cannotAssume   = "Unauthorized Exception! EKS does not have permissions to assume the associated role."
	exchangeAction = "eks-auth:AssumeRoleForPodIdentity"
)

var podSessionARN = regexp.MustCompile(`^arn:aws:sts::` + accountA + `:assumed-role/app-role/eks-c1-app-7d9c5b-` + uuidPattern + `$`)

// TestPodIdentity is the good exchange: what the answer has, and what the session is.
func TestPodIdentity(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(nil)
	got := w.exchange(w.podToken(nil)).good(t, "A20")
	expires, _ := got.body["credentials"].(map[string]any)["expiration"].(float64)
	if left := expires - float64(w.Now().Unix()); math.Abs(left-21600) > 2 {
		t.Errorf("A20: it lasts %v s", left)
	}
	arn := got.text("assumedRoleUser", "arn")
	if !podSessionARN.MatchString(arn) || !regexp.MustCompile(`^AROA[A-Z2-7]{17}:eks-c1-app-7d9c5b-`+uuidPattern+`$`).MatchString(got.text("assumedRoleUser", "assumeRoleId")) {
		t.Errorf("A20: %v", got.body["assumedRoleUser"])
	}
	for want, path := range map[string][]string{
		"team-a": {"subject", "namespace"}, "app": {"subject", "serviceAccount"}, "pods.eks.amazonaws.com": {"audience"},
		id: {"podIdentityAssociation", "associationId"},
		"arn:aws:eks:us-east-1:" + accountA + ":podidentityassociation/c1/" + id: {"podIdentityAssociation", "associationArn"},
	} {
		if got.text(path...) != want {
			t.Errorf("A20: %v is %q, want %q", path, got.text(path...), want)
		}
	}
	if who := whoIs(t, w.session(got)); who != accountA+" "+arn {
		t.Errorf("the session is of %s, want %s", who, arn)
	}
	if again := w.exchange(w.podToken(nil)); again.text("assumedRoleUser", "arn") == arn {
		t.Error("two sessions have one name")
	}
	events := w.Events(emulator.EventFilter{Decision: emulator.Allow, Action: "sts:AssumeRole"})
	e := events[len(events)-1]
	if e.Step != "trust" || e.Operation != "AssumeRoleForPodIdentity" || e.Resource != appRole || e.Subject != "system:serviceaccount:team-a:app" ||
		e.Issuer != w.idp.URL+"/c1" || e.Pod != "team-a/"+podName || e.KeyID != "one" || e.Session == nil || e.Session.AccessKeyID[:4] != "ASIA" {
		t.Errorf("event %+v", e)
	}

	// What the agent of AWS sends, of before 2026 and since.
	for _, more := range []string{"", `,"eksNodeName":"n1","instanceId":"i-0abc","zone":"us-east-1a","further":{"x":[1]}`} {
		w.call(w.root(), "eks-auth", "POST", "/clusters/c1/assume-role-for-pod-identity", `{"token":"`+w.podToken(nil)+`"`+more+`}`).good(t, "with "+more)
	}
	events = w.Events(emulator.EventFilter{Action: "sts:AssumeRole"})
	if e := events[len(events)-1]; e.Node != "n1 i-0abc us-east-1a" {
		t.Errorf("the node is %q", e.Node)
	}
	// The role's maximum is no matter, as with AWS's own calls.
	if _, err := iam.NewFromConfig(w.ConfigIn(accountA)).UpdateRole(t.Context(), &iam.UpdateRoleInput{RoleName: new("app-role"), MaxSessionDuration: new(int32(3600))}); err != nil {
		t.Fatal(err)
	}
	config := w.session(w.exchange(w.podToken(nil)))
	w.FastForward(5*time.Hour + 59*time.Minute)
	whoIs(t, config)
	w.FastForward(2 * time.Minute)
	if _, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil); err == nil {
		t.Error("the session does not end after six hours")
	}
}

// TestPodIdentityRefused: requests and tokens that are refused, each with an event that
// says at which step, and never with the token.
func TestPodIdentityRefused(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	w.associate(nil)
	const path = "/clusters/c1/assume-role-for-pod-identity"
	good := w.podToken(nil)
	w.call(aws.Credentials{}, "", "POST", path, `{"token":"`+good+`"}`).is(t, "A21", 403, "MissingAuthenticationTokenException", "")
	w.call(w.user("nobody"), "eks-auth", "POST", path, `{"token":"`+good+`"}`).is(t, "A22", 403, "AccessDeniedException",
		"User: arn:aws:iam::"+accountA+":user/nobody is not authorized to perform: "+exchangeAction+" on resource: "+clusterARN)
	may := w.user("agent", allowing(nil, exchangeAction, clusterARN))
	w.call(may, "eks-auth", "POST", path, `{"token":"`+good+`"}`).good(t, "an agent that may")
	w.call(may, "eks-auth", "POST", strings.Replace(path, "c1", "c2", 1), `{"token":"`+good+`"}`).is(t, "another cluster", 403, "AccessDeniedException", "User: ")
	w.call(w.root(), "eks-auth", "POST", strings.Replace(path, "c1", "c9", 1), `{"token":"`+good+`"}`).is(t, "no cluster", 404, "ResourceNotFoundException", "No cluster found for name: c9.")
	w.call(w.root(), "eks", "POST", path, `{"token":"`+good+`"}`).is(t, "signed for eks", 400, "UnknownOperationException", "")
	bad := w.root()
	bad.SecretAccessKey = "x"
	w.call(bad, "eks-auth", "POST", path, `{"token":"`+good+`"}`).is(t, "a wrong signature", 403, "InvalidSignatureException", "")
	for _, token := range []string{"", "a.b", "a.b.c.d", "a.b.ü", "a..c", strings.Repeat("a", 20000) + ".b.c"} {
		w.exchange(token).is(t, "the form of a token", 400, "InvalidParameterException", "The parameter token")
	}
	w.call(w.root(), "eks-auth", "POST", "/clusters/-c/assume-role-for-pod-identity", `{"token":"`+good+`"}`).is(t, "a bad name", 400, "InvalidParameterException", "The parameter clusterName")

	now := w.Now().Unix()
	flipped := func(token string) string {
		at := strings.LastIndexByte(token, '.') + 10
		b := byte('A')
		if token[at] == b {
			b = 'B'
		}
		return token[:at] + string(b) + token[at+1:]
	}
	without := func(path ...string) claims {
		k := bound("team-a", "app", podName)
		if len(path) == 1 {
			delete(k, path[0])
		} else {
			k[path[0]].(map[string]any)[path[1]] = " "
		}
		return claims{"kubernetes.io": k}
	}
	der, err := x509.MarshalPKIXPublicKey(&keyOne().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signed := encode(map[string]any{"alg": "HS256", "kid": "one"}) + "." + encode(w.podClaims())
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(signed))
	hs256 := signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	const invalid = "InvalidTokenException"
	for _, c := range []struct {
		name, token, code, step string
		expected, found         []string
	}{
		{"A23", w.podToken(claims{"aud": "sts.amazonaws.com"}), invalid, "audience", []string{"pods.eks.amazonaws.com"}, []string{"sts.amazonaws.com"}},
		{"A24", w.podToken(claims{"iss": w.idp.URL + "/c2"}), invalid, "issuer", []string{w.idp.URL + "/c1"}, []string{w.idp.URL + "/c2"}},
		{"A25", w.podToken(claims{"exp": now - 1}), "ExpiredTokenException", "claims", nil, nil},
		{"A26", flipped(w.podToken(claims{"exp": now - 1})), invalid, "signature", nil, nil},
		{"another key", sign(t, map[string]any{"alg": "RS256", "kid": "one"}, w.podClaims(), keyOther()), invalid, "signature", nil, nil},
		{"an unknown key", sign(t, map[string]any{"alg": "RS256", "kid": "two"}, w.podClaims(), keyOne()), invalid, "keys", []string{"one"}, []string{"two"}},
		{"A27", w.podToken(without("pod")), invalid, "claims", []string{"kubernetes.io pod.name"}, nil},
		{"no claim at all", w.podToken(claims{"kubernetes.io": nil}), invalid, "claims", []string{"a claim kubernetes.io"}, nil},
		{"no uid of the pod", w.podToken(without("pod", "uid")), invalid, "claims", []string{"kubernetes.io pod.uid"}, nil},
		{"no uid of the account", w.podToken(without("serviceaccount", "uid")), invalid, "claims", []string{"kubernetes.io serviceaccount.uid"}, nil},
		{"a pod that is no name", w.podToken(claims{"kubernetes.io": bound("team-a", "app", "a b")}), invalid, "claims", nil, nil},
		{"A28 none", encode(map[string]any{"alg": "none"}) + "." + encode(w.podClaims()) + ".AAAA", invalid, "token", nil, nil},
		{"A28 HS256", hs256, invalid, "token", nil, nil},
		{"another account's claim", w.podToken(claims{"kubernetes.io": bound("team-a", "admin", podName)}), invalid, "claims",
			[]string{"system:serviceaccount:team-a:admin"}, []string{"system:serviceaccount:team-a:app"}},
		{"of tomorrow", w.podToken(claims{"iat": now + 600}), invalid, "claims", nil, nil},
		{"not yet", w.podToken(claims{"nbf": now + 600}), invalid, "claims", nil, nil},
		{"A29", w.podToken(claims{"sub": "system:serviceaccount:team-a:other", "kubernetes.io": bound("team-a", "other", podName)}), "ResourceNotFoundException", "association",
			[]string{"an association of team-a/other"}, []string{"team-a/app"}},
	} {
		status := 400
		if c.code == "ResourceNotFoundException" {
			status = 404
		}
		got := w.exchange(c.token)
		got.is(t, c.name, status, c.code, "")
		e := w.LastDenial()
		if e.Step != c.step || e.Code != c.code || e.Reason == "" || c.expected != nil && !slices.Equal(e.Expected, c.expected) || c.found != nil && !slices.Equal(e.Found, c.found) {
			t.Errorf("%s: event %+v", c.name, e)
		}
		if c.name == "A25" && !regexp.MustCompile(`^The token included in the request is expired: current date/time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z must be before the `+
			`expiration date/time `+time.Unix(now-1, 0).UTC().Format(time.RFC3339)+`\.$`).MatchString(got.text("message")) {
			t.Errorf("A25: %s", got.raw)
		}
		for _, secret := range []string{c.token, strings.Split(c.token, ".")[1]} {
			if text := strings.Join([]string{got.raw, e.Reason, e.Resource, strings.Join(e.Found, " ")}, " "); strings.Contains(text, secret) {
				t.Errorf("%s: the token is in %s", c.name, text)
			}
		}
	}
	w.exchange(w.podToken(claims{"aud": []string{"else", "pods.eks.amazonaws.com"}})).good(t, "two audiences")
	w.exchange(w.podToken(claims{"nbf": now + 30, "iat": now + 30})).good(t, "a clock that is behind a little")
	config := w.ConfigIn(accountA)
	config.Credentials = aws.AnonymousCredentials{}
	if _, err := sts.NewFromConfig(config).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: new(appRole), RoleSessionName: new("pod"), WebIdentityToken: &good,
	}); err == nil {
		t.Error("STS takes the token of EKS Pod Identity")
	}
}

// TestPodIdentityRotation: keys are read anew when a token does not verify under those
// that are known, as for IRSA.
func TestPodIdentityRotation(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	w.associate(nil)
	w.exchange(w.podToken(nil)).good(t, "the first key")
	before := w.idp.count()
	w.exchange(w.podToken(nil)).good(t, "again")
	if w.idp.count() != before {
		t.Error("the keys were read again")
	}
	w.idp.publish(rsaJWK("two", &keyOther().PublicKey))
	w.exchange(sign(t, map[string]any{"alg": "RS256", "kid": "two"}, w.podClaims(), keyOther())).good(t, "another key")
	if w.idp.count() == before {
		t.Error("nobody asked for the other key")
	}
}

// TestPodIdentityOutage: a token whose keys cannot be fetched is not said to be invalid, so that agents keep what they
// have. A signature that is bad under a key that is known is, and so is an unknown key when the documents are there.
func TestPodIdentityOutage(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	w.associate(nil)
	by := func(kid string) string {
		return sign(t, map[string]any{"alg": "RS256", "kid": kid}, w.podClaims(), keyOther())
	}
	documents := func(status int) {
		w.idp.mu.Lock()
		defer w.idp.mu.Unlock()
		w.idp.status = status
	}
	unread := func(name, token string) {
		t.Helper()
		w.exchange(token).is(t, name, 503, "ServiceUnavailableException", "The service is unavailable.")
		if e := w.LastDenial(); e.Step != "keys" || e.Code != "ServiceUnavailableException" || e.Reason == "" {
			t.Errorf("%s: event %+v", name, e)
		}
	}
	w.exchange(w.podToken(nil)).good(t, "before")
	documents(500)
	w.exchange(w.podToken(nil)).good(t, "with the keys that are known")
	for _, fetched := range []string{"one", "two"} {
		w.FastForward(15 * time.Second) // then it is fetched again, for the first of the tokens
		w.exchange(by(fetched))
		unread("a key that may be new", by("two"))
		w.exchange(by("one")).is(t, "a bad signature", 400, "InvalidTokenException", "")
	}
	w.FastForward(time.Hour)
	for range 3 {
		unread("the keys are too old", w.podToken(nil))
		unread("a bad signature, of which nobody knows", by("one"))
	}
	documents(0)
	w.FastForward(time.Minute)
	w.exchange(w.podToken(nil)).good(t, "after")
	w.exchange(by("two")).is(t, "an unknown key", 400, "InvalidTokenException", "")
}

// TestPodIdentityTrust: the role's trust policy decides as it does at AWS, and the
// session has what its tags and policies say.
func TestPodIdentityTrust(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(nil)
	denied := func(name string, a reply) emulator.Event {
		t.Helper()
		a.is(t, name, 400, "AccessDeniedException", cannotAssume)
		e := w.LastDenial()
		if strings.Contains(a.raw, "tatement") || strings.Contains(a.raw, "TagSession") {
			t.Errorf("%s: the client learns %s", name, a.raw)
		}
		return e
	}
	w.trust("app-role", serviceTrust(nil, "sts:AssumeRole"))
	if e := denied("A30", w.exchange(w.podToken(nil))); e.Step != "trust" || e.Action != "sts:TagSession" || !slices.Equal(e.Found, []string{"sts:TagSession"}) || e.Resource != appRole {
		t.Errorf("A30: event %+v", e)
	}
	w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": true}).good(t, "update")
	config := w.session(w.exchange(w.podToken(nil)))
	if who := whoIs(t, config); !podSessionARN.MatchString(strings.TrimPrefix(who, accountA+" ")) {
		t.Errorf("A31: %s", who)
	}
	tagged := allowing(nil, "iam:ListGroups", "*")
	tagged["Condition"] = map[string]any{"Null": map[string]any{"aws:PrincipalTag/kubernetes-namespace": "false"}}
	w.allow("app-role", tagged)
	if _, err := iam.NewFromConfig(config).ListGroups(t.Context(), nil); err == nil {
		t.Error("A31: the session has tags")
	}
	w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": false}).good(t, "update")
	w.trust("app-role", serviceTrust(nil))
	if _, err := iam.NewFromConfig(w.session(w.exchange(w.podToken(nil)))).ListGroups(t.Context(), nil); err != nil {
		t.Errorf("the session has no tags: %v", err)
	}
	w.trust("app-role", serviceTrust(map[string]any{"StringEquals": map[string]any{"aws:RequestTag/kubernetes-namespace": "team-b"}}))
	if e := denied("A32", w.exchange(w.podToken(nil))); e.Action != "sts:AssumeRole" || !slices.Equal(e.Expected, []string{"team-b"}) || !slices.Equal(e.Found, []string{"team-a"}) ||
		e.Remedy == nil || !strings.Contains(string(e.Remedy.Additions[0].Statement), `"aws:RequestTag/kubernetes-service-account":"app"`) {
		t.Errorf("A32: event %+v, remedy %+v", e, e.Remedy)
	}
}

// TestPodIdentityData is what the tags are for: one role and one policy for many service
// accounts.
func TestPodIdentityData(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	id := w.associate(nil)
	root := w.AWS.S3(w.ConfigIn(accountA))
	if _, err := root.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("data")}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"team-a/x", "team-b/x"} {
		if _, err := root.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("data"), Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(c aws.Config, key string) error {
		_, err := w.AWS.S3(c).GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("data"), Key: &key})
		return err
	}
	// In the bucket's policy, while the role itself may do nothing.
	w.associate(map[string]any{"namespace": "team-b"})
	policy := document(allowing(map[string]any{"AWS": appRole}, "s3:GetObject", "arn:aws:s3:::data/${aws:PrincipalTag/kubernetes-namespace}/*"))
	if _, err := root.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: new("data"), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"team-a", "team-b"} {
		pod := w.sessionOf(namespace)
		for _, of := range []string{"team-a", "team-b"} {
			want := ""
			if of != namespace {
				want = "AccessDenied"
			}
			if got := code(get(pod, of+"/x")); got != want {
				t.Errorf("by the bucket's policy a pod of %s gets %q for an object of %s, want %q", namespace, got, of, want)
			}
		}
	}
	if _, err := root.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: new("data")}); err != nil {
		t.Fatal(err)
	}
	w.allow("app-role", allowing(nil, "s3:*", "arn:aws:s3:::data/${aws:PrincipalTag/kubernetes-namespace}/*"), allowing(nil, "s3:ListBucket", "arn:aws:s3:::data"))
	pod := w.session(w.exchange(w.podToken(nil)))
	if err := get(pod, "team-a/x"); err != nil {
		t.Errorf("A33: %v", err)
	}
	if err := get(pod, "team-b/x"); err == nil {
		t.Error("A33: another namespace's object")
	}
	w.allow("app-role", allowing(nil, "s3:*", "*"))
	w.eks("POST", associations+"/"+id, map[string]any{"disableSessionTags": true, "policy": document(allowing(nil, "s3:GetObject", "*"))}).good(t, "update")
	limited := w.session(w.exchange(w.podToken(nil)))
	if err := get(limited, "team-a/x"); err != nil {
		t.Errorf("A36: %v", err)
	}
	if _, err := w.AWS.S3(limited).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("data")}); err == nil {
		t.Error("A36: the session policy does not limit")
	}
}

// TestPodIdentityGuard: the tags decide on calls of services that are forwarded, too. What
// they forbid does not reach the backend.
func TestPodIdentityGuard(t *testing.T) {
	t.Parallel()
	back := &stub{}
	w := newPodWorld(t, func(c *emulator.Config) { c.Forward = map[string]emulator.Backend{"*": {Handler: back}} })
	function := "arn:aws:lambda:us-east-1:" + accountA + ":function:"
	w.allow("app-role", allowing(nil, "lambda:InvokeFunction", function+"${aws:PrincipalTag/kubernetes-namespace}-*"))
	for _, c := range []struct {
		namespace string
		status    int
		forwarded int
	}{{"team-a", http.StatusOK, 1}, {"team-b", http.StatusForbidden, 0}} {
		w.associate(map[string]any{"namespace": c.namespace})
		pod := credentialsOf(t, w.sessionOf(c.namespace))
		if got, _ := back.take(); len(got) != 0 {
			t.Errorf("%s: the exchange was forwarded: %d requests", c.namespace, len(got))
		}
		a := w.call(pod, "lambda", "POST", "/2015-03-31/functions/team-a-resize/invocations", `{"a":1}`)
		if got, _ := back.take(); a.status != c.status || len(got) != c.forwarded {
			t.Errorf("a pod of %s: %d %s, %d requests reached the backend, want %d and %d", c.namespace, a.status, a.raw, len(got), c.status, c.forwarded)
		}
	}
	if e := w.LastDenial(); e.Action != "lambda:InvokeFunction" || e.Resource != function+"team-a-resize" || e.Step != "permission" ||
		e.Subject != "system:serviceaccount:team-b:app" {
		t.Errorf("event %+v", e)
	}
}

// targetTrust is the trust policy of a target role as the guide has it: the external id
// for AssumeRole, and nothing for TagSession.
func targetTrust(account string, actions ...string) []map[string]any {
	principal := map[string]any{"AWS": appRole}
	assume := allowing(principal, "sts:AssumeRole", "")
	assume["Condition"] = map[string]any{"StringEquals": map[string]any{"sts:ExternalId": "us-east-1/" + accountA + "/c1/team-a/" + account}}
	statements := []map[string]any{assume}
	for _, action := range actions {
		statements = append(statements, allowing(principal, action, ""))
	}
	return statements
}

// TestPodIdentityTarget: the role of the association assumes another, which may be of
// another account.
func TestPodIdentityTarget(t *testing.T) {
	t.Parallel()
	for _, account := range []string{accountA, accountB} {
		w := newPodWorld(t)
		target := roleIn(t, w.AWS, account, "target", document(targetTrust("app", "sts:TagSession")...))
		w.allow("app-role", allowing(nil, "sts:AssumeRole", target), allowing(nil, "sts:TagSession", target))
		w.associate(map[string]any{"targetRoleArn": target})
		got := w.exchange(w.podToken(nil)).good(t, "A34")
		expires, _ := got.body["credentials"].(map[string]any)["expiration"].(float64)
		if left := expires - float64(w.Now().Unix()); left > 3601 || left < 3590 {
			t.Errorf("A34: it lasts %v s", left)
		}
		if who := whoIs(t, w.session(got)); who != account+" "+got.text("assumedRoleUser", "arn") || !strings.Contains(who, ":assumed-role/target/eks-c1-app-7d9c5b-") {
			t.Errorf("A34: %s", who)
		}
		// The tags came along, and go on.
		third := roleIn(t, w.AWS, account, "third", document(allowing(map[string]any{"AWS": target}, "sts:AssumeRole", "")))
		assume := func() error {
			_, err := sts.NewFromConfig(w.session(w.exchange(w.podToken(nil)))).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &third, RoleSessionName: new("x1")})
			return err
		}
		if err := assume(); err == nil || !strings.Contains(err.Error(), "sts:TagSession") {
			t.Errorf("A37: %v", err)
		}
		if _, err := iam.NewFromConfig(w.ConfigIn(account)).UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
			RoleName: new("target"), PolicyDocument: new(document(targetTrust("x", "sts:TagSession")...)),
		}); err != nil {
			t.Fatal(err)
		}
		w.exchange(w.podToken(nil)).is(t, "A35", 400, "AccessDeniedException", cannotAssume)
		if e := w.LastDenial(); e.Action != "sts:AssumeRole" || e.Resource != target || !slices.Equal(e.Expected, []string{"us-east-1/" + accountA + "/c1/team-a/x"}) {
			t.Errorf("A35: event %+v", e)
		}
	}
}

// TestPodIdentityOtherIssuers: while the issuer of a cluster is changed, tokens of both are taken, each verified with the
// keys of the one that it names.
func TestPodIdentityOtherIssuers(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t)
	w.associate(nil)
	of := map[string]*emulatortest.Issuer{}
	for _, name := range []string{"now", "next", "third"} {
		of[name] = w.Issuer(name)
	}
	url := func(name string) string { return of[name].URL.String() }
	signed := func(iss, by string) string {
		t.Helper()
		now := token.At(w.AWS.Now())
		raw, err := token.Mint(of[by].Key, token.Claims{
			Issuer: url(iss), Subject: token.Subject("team-a", "app"), Audience: token.Strings{"pods.eks.amazonaws.com"},
			IssuedAt: now, NotBefore: now, Expiry: token.At(w.AWS.Now().Add(time.Hour)),
			Kubernetes: token.Kubernetes{Namespace: "team-a", ServiceAccount: &token.Ref{Name: "app", UID: "1"}, Pod: &token.Ref{Name: podName, UID: podUID}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	taken := func(when string, names ...string) {
		t.Helper()
		for _, name := range slices.Concat(names, names) { // also with the keys that are known by then
			w.exchange(signed(name, name)).good(t, when+": "+name)
		}
	}
	refused := func(when, iss, by, step string, expected, found []string) {
		t.Helper()
		w.exchange(signed(iss, by)).is(t, when, 400, "InvalidTokenException", "")
		if e := w.LastDenial(); e.Step != step || expected != nil && (!slices.Equal(e.Expected, expected) || !slices.Equal(e.Found, found)) {
			t.Errorf("%s: event %+v", when, e)
		}
	}
	register := func(issuer string, others ...string) {
		t.Helper()
		if _, err := w.RegisterCluster(emulator.EKSCluster{Account: accountA, Name: "c1", Issuer: issuer, OtherIssuers: others}); err != nil {
			t.Fatal(err)
		}
	}
	register(url("now"))
	taken("before", "now")
	refused("before", "next", "next", "issuer", []string{url("now")}, []string{url("next")})
	register(url("now"), url("next"))
	taken("prepared", "now", "next")
	refused("of neither", "third", "third", "issuer", []string{url("now"), url("next")}, []string{url("third")})
	refused("with the keys of the other", "now", "next", "keys", nil, nil)
	refused("with the keys of the other", "next", "now", "keys", nil, nil)
	if got := w.eks("GET", "/clusters/c1", nil).good(t, "describe").text("cluster", "identity", "oidc", "issuer"); got != url("now") {
		t.Errorf("described with issuer %q", got)
	}
	register(url("next"), url("now"))
	taken("changed", "now", "next")
	register(url("next"))
	taken("after", "next")
	refused("after", "now", "now", "issuer", []string{url("next")}, []string{url("now")})

	// The keys of both are kept.
	register(w.idp.URL+"/c1", w.idp.URL+"/next")
	for range 3 {
		for _, path := range []string{"/c1", "/next"} {
			w.exchange(w.podToken(claims{"iss": w.idp.URL + path})).good(t, path)
		}
	}
	if n := w.idp.count(); n != 4 {
		t.Errorf("%d requests for the documents of two issuers, want 2 for each", n)
	}
}
