package emulator_test

import (
	"fmt"
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
		{"expired by 301 s", role, idp.token(good.with(claims{"exp": now.Unix() - 301})), 400, "ExpiredTokenException",
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix()-300, now.Unix()-301), "claims", "expired at"},
		{"issued in the future", role, idp.token(good.with(claims{"iat": now.Unix() + 301})), 400, "InvalidIdentityToken",
			fmt.Sprintf("Token issued in the future: %d", now.Unix()+301), "claims", "iat"},
		{"not yet valid", role, idp.token(good.with(claims{"nbf": now.Unix() + 301})), 400, "InvalidIdentityToken",
			fmt.Sprintf("Token not yet valid: current date/time %d must be after or equal to the not-before date/time %d", now.Unix()+300, now.Unix()+301), "claims", "nbf"},

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
