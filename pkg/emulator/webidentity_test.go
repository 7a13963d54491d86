package emulator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
)

func TestAssumeRoleWithWebIdentity(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{Account: "123456789012"})
	idp.register()
	role := a.Role("FederatedWebIdentityRole", idp.usual(), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")

	before := time.Now()
	out, err := assume(t, a, role, idp.token(idp.claims()))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{
		aws.ToString(out.Audience), aws.ToString(out.Provider), aws.ToString(out.SubjectFromWebIdentityToken),
		aws.ToString(out.AssumedRoleUser.Arn), aws.ToString(out.AssumedRoleUser.AssumedRoleId)[:12],
		aws.ToString(out.Credentials.AccessKeyId)[:12],
	}
	want := []string{
		"sts.amazonaws.com", idp.arn(), subject,
		"arn:aws:sts::123456789012:assumed-role/FederatedWebIdentityRole/app1", "AROARZPUZDIK", "ASIARZPUZDIK",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	if n := aws.ToInt32(out.PackedPolicySize); n < 1 || n > 100 {
		t.Errorf("PackedPolicySize = %d", n)
	}
	if d := out.Credentials.Expiration.Sub(before); d < 3599*time.Second || d > 3601*time.Second {
		t.Errorf("expires after %s", d)
	}

	config := a.ConfigFor(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *who.Arn != *out.AssumedRoleUser.Arn || *who.UserId != *out.AssumedRoleUser.AssumedRoleId || *who.Account != "123456789012" {
		t.Errorf("caller identity %s %s %s", *who.Arn, *who.UserId, *who.Account)
	}
	a.Groups("admins", "developers")
	groups, err := iam.NewFromConfig(config).ListGroups(t.Context(), nil)
	if err != nil || len(groups.Groups) != 2 {
		t.Fatalf("ListGroups = %v, %v", groups, err)
	}
}

const (
	notJWT       = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	notValidated = "The web identity token provided could not be validated. See the AssumeRoleWithWebIdentity documentation for requirements."
	noKey        = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
	notAllowed   = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
)

func TestWebIdentityRefused(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	a, idp := start(t, emulator.Config{Now: func() time.Time { return now }})
	idp.register("sts.amazonaws.com", "other")
	role := a.Role("R", idp.usual())
	a.Role("open", idp.trust(nil))
	good := idp.claims()
	header := map[string]any{"alg": "RS256", "kid": "one"}
	foreign := sign(t, header, good, keyOther())
	tagged := func(tags any) string { return idp.token(good.with(claims{"https://aws.amazon.com/tags": tags})) }

	for _, c := range []struct {
		name, role, token   string
		status              int
		code, message, step string
		reason              string // a part of it
	}{
		{"garbage", role, "garbage", 400, "InvalidIdentityToken", notJWT, "token", "three parts (1)"},
		{"four parts", role, idp.token(good) + ".x", 400, "InvalidIdentityToken", notJWT, "token", "three parts (4)"},
		{"trailing newline", role, idp.token(good) + "\n", 400, "InvalidIdentityToken", notJWT, "token", "base64url"},
		{"header is no object", role, encode("x") + ".e30.AA", 400, "InvalidIdentityToken", notJWT, "token", "header is not a JSON object"},
		{"claims are no object", role, sign(t, header, []string{"x"}, keyOne()), 400, "InvalidIdentityToken", notJWT, "token", "claims are not a JSON object"},
		{"crit", role, sign(t, map[string]any{"alg": "RS256", "kid": "one", "crit": []string{"x"}}, good, keyOne()), 400, "InvalidIdentityToken", notJWT, "token", "crit"},
		{"none", role, encode(map[string]any{"alg": "none"}) + "." + encode(good) + ".", 400, "InvalidIdentityToken", notJWT, "token", `"none"`},
		{"HS256", role, encode(map[string]any{"alg": "HS256"}) + "." + encode(good) + ".AA", 400, "InvalidIdentityToken", notJWT, "token", `"HS256"`},

		{"no iss", role, idp.token(good.with(claims{"iss": nil})), 400, "InvalidIdentityToken", "Missing a required claim: iss", "claims", "no iss"},
		{"no sub", role, idp.token(good.with(claims{"sub": nil})), 400, "InvalidIdentityToken", "Missing a required claim: sub", "claims", "no sub"},
		{"no aud", role, idp.token(good.with(claims{"aud": nil})), 400, "InvalidIdentityToken", "Missing a required claim: aud", "claims", "no aud"},
		{"no exp", role, idp.token(good.with(claims{"exp": nil})), 400, "InvalidIdentityToken", "Missing a required claim: exp", "claims", "no exp"},
		{"no iat", role, idp.token(good.with(claims{"iat": nil})), 400, "InvalidIdentityToken", "Missing a required claim: iat", "claims", "no iat"},
		{"ISS is not iss", role, idp.token(good.with(claims{"iss": nil, "ISS": good["iss"]})), 400, "InvalidIdentityToken", "Missing a required claim: iss", "claims", "no iss"},
		{"empty aud", role, idp.token(good.with(claims{"aud": []string{}})), 400, "InvalidIdentityToken", "Claim is not allowed to be empty: aud", "claims", "empty"},
		{"two auds", role, idp.token(good.with(claims{"aud": []string{"sts.amazonaws.com", "other"}})), 400, "InvalidIdentityToken",
			"Token audience contains more than one audience while authorized party is not present", "claims", "without azp"},
		{"fraction", role, idp.token(good.with(claims{"exp": 1.5})), 400, "InvalidIdentityToken", "Invalid timestamp in token claims.", "claims", "exp"},
		{"null", role, idp.token(good.with(claims{"iat": jsonNull})), 400, "InvalidIdentityToken", "Invalid timestamp in token claims.", "claims", "iat"},
		{"expired by 61 s", role, idp.token(good.with(claims{"exp": now.Unix() - 61})), 400, "ExpiredTokenException",
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix()-60, now.Unix()-61), "claims", "expired at"},
		{"issued in the future", role, idp.token(good.with(claims{"iat": now.Unix() + 61})), 400, "InvalidIdentityToken",
			fmt.Sprintf("Token issued in the future: %d", now.Unix()+61), "claims", "iat"},
		{"not yet valid", role, idp.token(good.with(claims{"nbf": now.Unix() + 61})), 400, "InvalidIdentityToken",
			fmt.Sprintf("Token not yet valid: current date/time %d must be after or equal to the not-before date/time %d", now.Unix()+60, now.Unix()+61), "claims", "nbf"},

		{"unknown issuer", role, idp.token(good.with(claims{"iss": "https://elsewhere.example"})), 400, "InvalidIdentityToken", notValidated, "provider", "https://elsewhere.example"},
		{"issuer with a slash", role, idp.token(good.with(claims{"iss": good["iss"].(string) + "/"})), 400, "InvalidIdentityToken", notValidated, "provider", "/c1/"},
		{"role of another account", "arn:aws:iam::999999999999:role/R", idp.token(good), 400, "InvalidIdentityToken", notValidated, "provider", "999999999999"},
		{"wrong aud", role, idp.token(good.with(claims{"aud": "kubernetes"})), 400, "InvalidIdentityToken", notValidated, "audience", `"kubernetes"`},
		{"wrong azp", role, idp.token(good.with(claims{"azp": "kubernetes"})), 400, "InvalidIdentityToken", notValidated, "audience", `"kubernetes"`},
		{"empty azp", role, idp.token(good.with(claims{"azp": ""})), 400, "InvalidIdentityToken", notValidated, "audience", `""`},

		{"unknown kid", role, sign(t, map[string]any{"alg": "RS256", "kid": "two"}, good, keyOne()), 400, "InvalidIdentityToken", noKey, "keys", `"two"`},
		{"key of another cluster", role, foreign, 400, "InvalidIdentityToken", notValidated, "signature", `"one"`},
		{"RS256 key and ES256 header", role, sign(t, map[string]any{"alg": "ES256", "kid": "one"}, good, keyEC()), 400, "InvalidIdentityToken", notValidated, "signature", "RSA key"},

		{"wrong service account", role, idp.token(good.with(claims{"sub": "system:serviceaccount:ns1:other"})), 403, "AccessDenied", notAllowed, "trust", "ns1:other"},
		{"missing role", "arn:aws:iam::000000000000:role/missing", idp.token(good), 403, "AccessDenied", notAllowed, "trust", "there is no role"},
		{"wrong path", "arn:aws:iam::000000000000:role/path/R", idp.token(good), 403, "AccessDenied", notAllowed, "trust", "arn:aws:iam::000000000000:role/R"},
		{"not the ARN of a role", idp.arn(), idp.token(good), 400, "ValidationError", "Request ARN is invalid", "parameters", "not the ARN of a role"},
		{"roles claim", role, idp.token(good.with(claims{"https://aws.amazon.com/roles": []string{"arn:aws:iam::000000000000:role/other"}})), 400, "InvalidIdentityToken",
			"The target role ARN is not present in the roles claim of the identity token", "roles claim", "role/other"},
		{"bad tags", role, idp.token(good.with(claims{"https://aws.amazon.com/tags": "x"})), 400, "InvalidIdentityToken",
			"principal_tags passed in claim is not in correct format.", "claims", "principal_tags"},
		{"tags that differ in case", role, tagged(map[string]any{"principal_tags": map[string]any{"a": []string{"x"}, "A": []string{"y"}}}), 400, "InvalidIdentityToken",
			"principal_tags passed in claim is not in correct format.", "claims", "is there twice"},
		{"a nested tag and one that differs in case", role, idp.token(good.with(claims{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"a": []string{"x"}}},
			"https://aws.amazon.com/tags/principal_tags/A": "x"})), 400, "InvalidIdentityToken",
			"principal_tags passed in claim is not in correct format.", "claims", "is there twice"},
		{"reserved tag", role, tagged(map[string]any{"principal_tags": map[string]any{"AWS:a": []string{"x"}}}), 400, "InvalidIdentityToken",
			"principal_tags passed in claim is not in correct format.", "claims", "begins with aws:"},
		{"transitive tag that is not there", role, tagged(map[string]any{"principal_tags": map[string]any{"a": []string{"x"}}, "transitive_tag_keys": []string{"b"}}), 400, "InvalidIdentityToken",
			"principal_tags passed in claim is not in correct format.", "claims", `"b", which is not among the tags`},
		{"tags that the trust policy does not allow", role, idp.token(good.with(claims{"https://aws.amazon.com/tags/principal_tags/team": "a"})), 403, "AccessDenied", notAllowed, "trust", "sts:TagSession"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := assume(t, a, c.role, c.token)
			refused(t, err, c.status, c.code, c.message)
			event := a.LastDenial()
			if event.Step != c.step || !strings.Contains(event.Reason, c.reason) || event.Code != c.code {
				t.Errorf("event: step %q, code %q, reason %q; want step %q and a reason with %q", event.Step, event.Code, event.Reason, c.step, c.reason)
			}
			if strings.Contains(event.Reason, c.token[max(0, len(c.token)-20):]) && len(c.token) > 20 {
				t.Error("the token is in the event")
			}
		})
	}
}

// jsonNull is null where a nil would remove a claim.
var jsonNull = (*int)(nil)

// TestLeeway: a minute is tolerated unless told otherwise. What AWS tolerates is
// not known; it has refused a token 198 s past its exp.
func TestLeeway(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	a, idp := start(t, emulator.Config{Now: func() time.Time { return now }})
	idp.register()
	role := a.Role("R", idp.usual())
	for _, c := range []claims{
		{"exp": now.Unix() - 59},
		{"exp": now.Unix() - 60},
		{"iat": now.Unix() + 60},
		{"nbf": now.Unix() + 60},
		{"exp": fmt.Sprint(now.Unix() + 60)}, // a string of an integer
		{"nbf": nil},
		{"iat": now.Unix() - 1e6},
		{"sub": subject, "aud": "sts.amazonaws.com"},
		{"azp": "sts.amazonaws.com", "aud": []string{"a", "b"}},
	} {
		if _, err := assume(t, a, role, idp.token(idp.claims().with(c))); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	// Of a repeated claim the last one counts.
	body, _ := json.Marshal(idp.claims())
	twice := strings.Replace(string(body), `"sub":`, `"sub":"system:serviceaccount:x:y","sub":`, 1)
	if _, err := assume(t, a, role, sign(t, map[string]any{"alg": "RS256", "kid": "one"}, base64.RawURLEncoding.EncodeToString([]byte(twice)), keyOne())); err != nil {
		t.Error(err)
	}
	// The session outlives the token.
	out, err := assume(t, a, role, idp.token(idp.claims().with(claims{"exp": now.Unix() + 60})), func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = new(int32(3600)) })
	if err != nil || !out.Credentials.Expiration.Equal(now.Add(time.Hour)) {
		t.Errorf("%v, %v", out, err)
	}
}

// TestSameDenial: nobody can tell a wrong service account
// from a role that is not there or one that denies.
func TestSameDenial(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	a.Role("R", idp.usual())
	a.Role("denies", document(
		map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": idp.arn()}, "Action": "sts:AssumeRoleWithWebIdentity"},
		map[string]any{"Effect": "Deny", "Principal": map[string]any{"Federated": idp.arn()}, "Action": "sts:*"}))
	var bodies []string
	for role, token := range map[string]string{
		"R":       idp.token(idp.claims().with(claims{"sub": "system:serviceaccount:ns1:wrong"})),
		"missing": idp.token(idp.claims()),
		"denies":  idp.token(idp.claims()),
	} {
		status, body := post(t, a, form("Action", "AssumeRoleWithWebIdentity", "Version", "2011-06-15", "RoleArn", "arn:aws:iam::000000000000:role/"+role, "RoleSessionName", "app", "WebIdentityToken", token))
		if status != 403 {
			t.Errorf("%s: status %d", role, status)
		}
		bodies = append(bodies, body)
	}
	if bodies[0] != bodies[1] || bodies[1] != bodies[2] {
		t.Errorf("the answers differ: %q", bodies)
	}
}

// TestDurations holds the life of sessions against the role's and STS's limits.
func TestDurations(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.usual())
	seconds := func(n int32) func(*sts.AssumeRoleWithWebIdentityInput) {
		return func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = &n }
	}
	_, err := assume(t, a, role, idp.token(idp.claims()), seconds(7200))
	refused(t, err, 400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	if _, err := iam.NewFromConfig(a.Config()).UpdateRole(t.Context(), &iam.UpdateRoleInput{RoleName: new("R"), MaxSessionDuration: new(int32(7200))}); err != nil {
		t.Fatal(err)
	}
	if _, err := assume(t, a, role, idp.token(idp.claims()), seconds(7200)); err != nil {
		t.Error(err)
	}
}

// TestLegacyMessages holds the texts that STS had before 2026.
func TestLegacyMessages(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{LegacyMessages: true})
	idp.register()
	role := a.Role("R", idp.usual())
	_, err := assume(t, a, role, idp.token(idp.claims().with(claims{"aud": "x"})))
	refused(t, err, 400, "InvalidIdentityToken", "Incorrect token audience")
	_, err = assume(t, a, role, idp.token(idp.claims().with(claims{"iss": "https://x.example"})))
	refused(t, err, 400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x.example")
}

// TestTrustVectors are vectors of trust policies: a condition, with the token
// for system:serviceaccount:ns1:app, and whether the role may be assumed.
func TestTrustVectors(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	p := idp.hostPath()
	eq := func(op, key string, values ...string) map[string]any {
		return map[string]any{op: map[string]any{key: values}}
	}
	statement := func(change map[string]any) string {
		s := map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": idp.arn()}, "Action": "sts:AssumeRoleWithWebIdentity"}
		maps.Copy(s, change)
		return document(s)
	}
	other := "arn:aws:iam::999999999999:oidc-provider/" + p
	for i, c := range []struct {
		trust   string
		allowed bool
	}{
		1:  {idp.usual(), true},
		2:  {idp.trust(nil), true},
		3:  {idp.trust(eq("StringLike", p+":sub", "system:serviceaccount:ns1:*")), true},
		4:  {idp.trust(eq("StringEquals", p+":sub", "system:serviceaccount:ns1:*")), false},
		5:  {idp.trust(eq("StringLike", strings.ToUpper(p+":sub"), "system:serviceaccount:ns?:app")), true},
		6:  {idp.trust(eq("StringEquals", p+":sub", "System:ServiceAccount:ns1:app")), false},
		7:  {idp.trust(eq("StringEqualsIgnoreCase", p+":sub", "System:ServiceAccount:ns1:app")), true},
		8:  {idp.trust(eq("StringEquals", strings.TrimSuffix(p, "/c1")+":sub", subject)), false},
		9:  {idp.trust(eq("StringEquals", "https://"+p+":sub", subject)), false},
		10: {idp.trust(eq("StringNotEquals", p+":nope", "x")), true},
		11: {idp.trust(eq("StringEqualsIfExists", p+":nope", "x")), true},
		12: {idp.trust(eq("Null", p+":sub", "false")), true},
		13: {idp.trust(eq("ForAllValues:StringEquals", p+":amr", "pwd")), true},
		14: {idp.trust(eq("ForAnyValue:StringEquals", p+":amr", "pwd")), false},
		15: {idp.trust(eq("StringEquals", p+":sub", "a", subject)), true},
		16: {document(
			map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": idp.arn()}, "Action": "sts:AssumeRoleWithWebIdentity"},
			map[string]any{"Effect": "Deny", "Principal": map[string]any{"Federated": idp.arn()}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": eq("StringEquals", "sts:RoleSessionName", "app1")}), false},
		17: {statement(map[string]any{"Principal": map[string]any{"Federated": []string{other, idp.arn()}}}), true},
		18: {statement(map[string]any{"Principal": map[string]any{"Federated": other}}), false},
		19: {statement(map[string]any{"Action": "sts:AssumeRole"}), false},
		20: {statement(map[string]any{"Principal": "*"}), false},
		21: {idp.trust(map[string]any{"Bool": map[string]any{"aws:SecureTransport": "true"}}), false},
		22: {idp.trust(eq("StringEquals", p+":iss", "https://"+p)), false}, // not a condition key
		23: {statement(map[string]any{"Action": "sts:assumerole*"}), true},
		24: {idp.trust(eq("StringEquals", "aws:FederatedProvider", idp.arn())), true},
		25: {idp.trust(eq("StringEquals", "aws:PrincipalType", "User")), true},
		26: {idp.trust(eq("Null", "aws:PrincipalArn", "true")), true},
		27: {idp.trust(eq("NumericLessThanEquals", "sts:DurationSeconds", "3600")), true},
	} {
		if i == 0 {
			continue
		}
		role := a.Role(fmt.Sprint("R", i), c.trust)
		_, err := assume(t, a, role, idp.token(idp.claims()))
		switch {
		case c.allowed && err != nil:
			t.Errorf("vector %d: %v; %s", i, err, a.LastDenial().Reason)
		case !c.allowed:
			refused(t, err, 403, "AccessDenied", notAllowed)
			if t.Failed() {
				t.Errorf("vector %d: %s", i, c.trust)
			}
		}
	}
}

// TestAfterAssume: the session knows the token's subject, so that policies can
// use it as a variable.
func TestAfterAssume(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.trust(nil))
	a.Policy("R", "p",
		map[string]any{"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*", "Condition": map[string]any{"StringEquals": map[string]any{idp.hostPath() + ":sub": subject, "aws:FederatedProvider": idp.arn()}}},
		map[string]any{"Effect": "Allow", "Action": "iam:ListRoleTags", "Resource": "*", "Condition": map[string]any{"Null": map[string]any{idp.hostPath() + ":email": "false"}}})
	get := func(sub string) error {
		client := iam.NewFromConfig(session(t, a, role, idp.token(idp.claims().with(claims{"sub": sub, "email": "a@b.example"}))))
		if _, err := client.ListRoleTags(t.Context(), &iam.ListRoleTagsInput{RoleName: new("R")}); err == nil {
			t.Error("the session has the claim email, which only the trust policy may see")
		}
		_, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: new("R")})
		return err
	}
	if err := get(subject); err != nil {
		t.Error(err)
	}
	if err := get("system:serviceaccount:ns1:other"); err == nil {
		t.Error("another subject got in")
	}
	used, err := iam.NewFromConfig(a.Config()).GetRole(t.Context(), &iam.GetRoleInput{RoleName: new("R")})
	if err != nil || used.Role.RoleLastUsed == nil || used.Role.RoleLastUsed.LastUsedDate == nil || *used.Role.RoleLastUsed.Region != "us-east-1" {
		t.Errorf("RoleLastUsed %+v, %v", used, err)
	}
}

// TestSpecialClaims: session tags, source identity and roles in the token.
func TestSpecialClaims(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": idp.arn()},
		"Action":    []string{"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"},
		"Condition": map[string]any{"StringEqualsIfExists": map[string]any{"aws:RequestTag/team": "blue", "sts:SourceIdentity": "ann"}}}))
	a.Policy("R", "p", map[string]any{"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*",
		"Condition": map[string]any{"StringEquals": map[string]any{"aws:PrincipalTag/team": "blue", "aws:SourceIdentity": "ann"}}})
	nested := claims{"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"team": []string{"blue"}}, "transitive_tag_keys": []string{"Team"}},
		"https://aws.amazon.com/source_identity": "ann", "https://aws.amazon.com/roles": "x; " + role}
	flat := claims{"https://aws.amazon.com/tags/principal_tags/team": "blue", "https://aws.amazon.com/source_identity": "ann", "https://aws.amazon.com/roles": []any{1, role}}
	for _, c := range []claims{nested, flat} {
		client := iam.NewFromConfig(session(t, a, role, idp.token(idp.claims().with(c))))
		if _, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: new("R")}); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	_, err := assume(t, a, role, idp.token(idp.claims().with(flat).with(claims{"https://aws.amazon.com/tags/principal_tags/team": "red"})))
	refused(t, err, 403, "AccessDenied", notAllowed)

	// Chained, the transitive tag and the source identity stay.
	next := a.Role("next", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": role}, "Action": []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}}))
	a.Policy("next", "p", map[string]any{"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*",
		"Condition": map[string]any{"StringEquals": map[string]any{"aws:PrincipalTag/team": "blue", "aws:SourceIdentity": "ann"}}})
	first := session(t, a, role, idp.token(idp.claims().with(nested)))
	out, err := sts.NewFromConfig(first).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &next, RoleSessionName: new("chained")})
	if err != nil {
		t.Fatal(err, a.LastDenial().Reason)
	}
	c := out.Credentials
	if _, err := iam.NewFromConfig(a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)).GetRole(t.Context(), &iam.GetRoleInput{RoleName: new("next")}); err != nil {
		t.Error(err)
	}
}
