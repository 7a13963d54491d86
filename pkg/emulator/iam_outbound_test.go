package emulator_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// issuerDocument reads a JSON document of an account's issuer, at the emulator's address and
// by the name of a host.
func issuerDocument(t *testing.T, address, host, path string, to any) int {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, nil))
	if host != "" {
		r.Host = host
	}
	response := must(http.DefaultClient.Do(r))
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		if err := json.NewDecoder(response.Body).Decode(to); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode
}

// verified are the claims of a token, once it verifies as a stranger would have it:
// by the documents of its issuer, read at the emulator's address.
func verified(t *testing.T, address, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	decode := func(part string, to any) {
		t.Helper()
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(part)), to); err != nil {
			t.Fatal(err)
		}
	}
	var header struct{ Alg, Kid, Typ string }
	var claims map[string]any
	decode(parts[0], &header)
	decode(parts[1], &claims)
	issuer := claims["iss"].(string)
	host := strings.TrimPrefix(issuer, "https://")
	var discovery struct {
		Issuer  string
		JWKSURI string `json:"jwks_uri"`
	}
	if status := issuerDocument(t, address, host, "/.well-known/openid-configuration", &discovery); status != 200 || discovery.Issuer != issuer {
		t.Fatalf("the discovery document: %d %+v", status, discovery)
	}
	var set struct{ Keys []map[string]string }
	issuerDocument(t, address, host, strings.TrimPrefix(discovery.JWKSURI, issuer), &set)
	number := func(text string) *big.Int {
		return new(big.Int).SetBytes(must(base64.RawURLEncoding.DecodeString(text)))
	}
	signed, signature := parts[0]+"."+parts[1], must(base64.RawURLEncoding.DecodeString(parts[2]))
	for _, k := range set.Keys {
		switch {
		case k["kid"] != header.Kid:
		case header.Alg == "RS256":
			digest := sha256.Sum256([]byte(signed))
			public := &rsa.PublicKey{N: number(k["n"]), E: int(number(k["e"]).Int64())}
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
				t.Error(err)
			}
			return claims
		case header.Alg == "ES384":
			digest := sha512.Sum384([]byte(signed))
			point := append([]byte{4}, append(number(k["x"]).FillBytes(make([]byte, 48)), number(k["y"]).FillBytes(make([]byte, 48))...)...)
			public := must(ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point))
			r, s := new(big.Int).SetBytes(signature[:48]), new(big.Int).SetBytes(signature[48:])
			if !ecdsa.Verify(public, digest[:], r, s) {
				t.Error("the signature does not verify")
			}
			return claims
		}
	}
	t.Fatalf("no key verifies %+v", header)
	return nil
}

// TestOutboundFederation: a role's session gets a token that says who it is, and
// that a stranger can verify.
func TestOutboundFederation(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	role := a.Role("sender", idp.usual())
	must(root.TagRole(ctx, &iam.TagRoleInput{RoleName: new("sender"), Tags: []iamtypes.Tag{{Key: new("team"), Value: new("blue")}}}))
	a.Policy("sender", "token", map[string]any{"Effect": "Allow", "Action": []string{"sts:GetWebIdentityToken", "sts:TagGetWebIdentityToken"}, "Resource": "*",
		"Condition": map[string]any{
			"ForAllValues:StringEquals":     map[string]any{"sts:IdentityTokenAudience": []string{"https://api.example", "https://other.example"}},
			"NumericLessThanEqualsIfExists": map[string]any{"sts:DurationSeconds": 900}}})
	sender := sts.NewFromConfig(session(t, a, role, idp.token(idp.claims())))
	ask := func(change ...func(*sts.GetWebIdentityTokenInput)) (*sts.GetWebIdentityTokenOutput, error) {
		in := &sts.GetWebIdentityTokenInput{Audience: []string{"https://api.example"}, SigningAlgorithm: new("ES384")}
		for _, f := range change {
			f(in)
		}
		return sender.GetWebIdentityToken(ctx, in)
	}
	const disabled = "Outbound web identity federation is disabled for your account"
	_, err := ask()
	refused(t, err, 403, "OutboundWebIdentityFederationDisabledException", disabled)
	_, err = root.GetOutboundWebIdentityFederationInfo(ctx, &iam.GetOutboundWebIdentityFederationInfoInput{})
	refused(t, err, 404, "FeatureDisabled", disabled)
	issuer := *must(root.EnableOutboundWebIdentityFederation(ctx, &iam.EnableOutboundWebIdentityFederationInput{})).IssuerIdentifier
	_, err = root.EnableOutboundWebIdentityFederation(ctx, &iam.EnableOutboundWebIdentityFederationInput{})
	refused(t, err, 409, "FeatureEnabled", "Outbound web identity federation is already enabled for your account")
	info := must(root.GetOutboundWebIdentityFederationInfo(ctx, &iam.GetOutboundWebIdentityFederationInfoInput{}))
	if !info.JwtVendingEnabled || *info.IssuerIdentifier != issuer || !strings.HasSuffix(issuer, ".tokens.sts.global.api.aws") {
		t.Errorf("the issuer is %s, %+v", issuer, info)
	}

	before := a.Now()
	out := must(ask())
	claims := verified(t, a.URL, *out.WebIdentityToken)
	own := claims["https://sts.amazonaws.com/"].(map[string]any)
	exp := time.Unix(int64(claims["exp"].(float64)), 0)
	if claims["iss"] != issuer || claims["sub"] != role || claims["aud"] != "https://api.example" || claims["jti"] == "" ||
		exp.Sub(before) < 299*time.Second || exp.Sub(before) > 310*time.Second || !exp.Equal(out.Expiration.Truncate(time.Second)) {
		t.Errorf("claims: %v, expiration %s", claims, out.Expiration)
	}
	if own["aws_account"] != a.Account() || own["source_region"] != "us-east-1" || own["principal_id"] != role ||
		own["federated_provider"] != idp.arn() || own["original_session_exp"] == nil || own["principal_tags"].(map[string]any)["team"] != "blue" {
		t.Errorf("what AWS says: %v", own)
	}
	out = must(ask(func(in *sts.GetWebIdentityTokenInput) {
		in.Audience = append(in.Audience, "https://other.example")
		in.SigningAlgorithm, in.DurationSeconds = new("RS256"), new(int32(900))
		in.Tags = []types.Tag{{Key: new("job"), Value: new("7")}}
	}))
	claims = verified(t, a.URL, *out.WebIdentityToken)
	own = claims["https://sts.amazonaws.com/"].(map[string]any)
	if aud := claims["aud"].([]any); len(aud) != 2 || own["request_tags"].(map[string]any)["job"] != "7" {
		t.Errorf("claims: %v", claims)
	}

	for _, f := range []func(*sts.GetWebIdentityTokenInput){
		func(in *sts.GetWebIdentityTokenInput) { in.Audience = []string{"https://evil.example"} },
		func(in *sts.GetWebIdentityTokenInput) { in.DurationSeconds = new(int32(901)) },
	} {
		_, err = ask(f)
		refused(t, err, 403, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/sender/app1 is not authorized to perform: "+
			"sts:GetWebIdentityToken on resource: * because no identity-based policy allows the sts:GetWebIdentityToken action")
	}
	_, err = ask(func(in *sts.GetWebIdentityTokenInput) { in.SigningAlgorithm = new("HS256") })
	refused(t, err, 400, "ValidationError", "Signing algorithm HS256 is not one of RS256 and ES384.")
	a.FastForward(56 * time.Minute)
	_, err = ask()
	refused(t, err, 403, "SessionDurationEscalationException",
		"The requested token duration would extend the session beyond its original expiration time.")

	must(root.DisableOutboundWebIdentityFederation(ctx, &iam.DisableOutboundWebIdentityFederationInput{}))
	_, err = root.DisableOutboundWebIdentityFederation(ctx, &iam.DisableOutboundWebIdentityFederationInput{})
	refused(t, err, 404, "FeatureDisabled", disabled)
	verified(t, a.URL, *out.WebIdentityToken) // tokens from before still verify
	id := strings.TrimSuffix(strings.TrimPrefix(issuer, "https://"), ".tokens.sts.global.api.aws")
	var here struct{ Issuer string }
	if status := issuerDocument(t, a.URL, "", "/_openirsa/tokens/"+id+"/.well-known/openid-configuration", &here); status != 200 || here.Issuer != issuer {
		t.Errorf("at the emulator's own address: %d %+v", status, here)
	}
	for _, path := range []string{"/_openirsa/tokens/" + id + "/.well-known/x", "/_openirsa/tokens/other/.well-known/openid-configuration"} {
		if status := issuerDocument(t, a.URL, "", path, nil); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestOutboundStays: issuer and keys are in the state file, and a user's token has
// no session in it.
func TestOutboundStays(t *testing.T) {
	t.Parallel()
	config, again := persistent(t)
	ctx := t.Context()
	client := iam.NewFromConfig(config())
	issuer := *must(client.EnableOutboundWebIdentityFederation(ctx, &iam.EnableOutboundWebIdentityFederationInput{})).IssuerIdentifier
	token := must(sts.NewFromConfig(config()).GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{
		Audience: []string{"a"}, SigningAlgorithm: new("RS256")})).WebIdentityToken
	again()
	claims := verified(t, *config().BaseEndpoint, *token)
	own := claims["https://sts.amazonaws.com/"].(map[string]any)
	if claims["iss"] != issuer || claims["sub"] != "arn:aws:iam::000000000000:root" || own["original_session_exp"] != nil || own["principal_tags"] != nil {
		t.Errorf("claims: %v", claims)
	}
	info := must(iam.NewFromConfig(config()).GetOutboundWebIdentityFederationInfo(ctx, &iam.GetOutboundWebIdentityFederationInfoInput{}))
	if aws.ToString(info.IssuerIdentifier) != issuer {
		t.Errorf("the issuer was %s and is %s", issuer, aws.ToString(info.IssuerIdentifier))
	}
}

// TestOutboundOrganization: each account is an issuer of its own, and a token says which
// organization its account is in.
func TestOutboundOrganization(t *testing.T) {
	t.Parallel()
	a := startAWS(t, emulator.Config{Accounts: []string{accountA, accountB}})
	ctx := t.Context()
	token := func(account string) (string, map[string]any) {
		t.Helper()
		config := a.ConfigIn(account)
		enabled := must(iam.NewFromConfig(config).EnableOutboundWebIdentityFederation(ctx, &iam.EnableOutboundWebIdentityFederationInput{}))
		out := must(sts.NewFromConfig(config).GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{
			Audience: []string{"a"}, SigningAlgorithm: new("ES384")}))
		claims := verified(t, a.URL, *out.WebIdentityToken)
		if claims["iss"] != *enabled.IssuerIdentifier {
			t.Errorf("the issuer of %s is %s, and of the token %s", account, *enabled.IssuerIdentifier, claims["iss"])
		}
		return *enabled.IssuerIdentifier, claims["https://sts.amazonaws.com/"].(map[string]any)
	}
	other, own := token(accountB)
	if own["org_id"] != nil || own["ou_path"] != nil || own["aws_account"] != accountB {
		t.Errorf("of none: %v", own)
	}
	o := orgs{t, a.ConfigIn(accountA)}
	id := at(o.do("CreateOrganization", object{"FeatureSet": "ALL"}), "Organization", "Id")
	root := ids(o.do("ListRoots", object{}), "Roots", "Id")[0]
	issuer, own := token(accountA)
	if path, _ := own["ou_path"].([]any); own["org_id"] != id || issuer == other || len(path) != 1 || path[0] != id+"/"+root+"/" {
		t.Errorf("of the organization %s: %v, issuers %s and %s", id, own, issuer, other)
	}
}

// TestSAML: what is not here says so.
func TestSAML(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	config := a.Config()
	config.Credentials = aws.AnonymousCredentials{}
	_, err := sts.NewFromConfig(config).AssumeRoleWithSAML(t.Context(), &sts.AssumeRoleWithSAMLInput{
		PrincipalArn: new("arn:aws:iam::000000000000:saml-provider/x"), RoleArn: new("arn:aws:iam::000000000000:role/r"), SAMLAssertion: new("PHg+"),
	})
	refused(t, err, 400, "InvalidAction", "Could not find operation AssumeRoleWithSAML for version 2011-06-15: this emulator has no SAML providers, "+
		"and leaves SAML to AWS. A role is assumed with a token by AssumeRoleWithWebIdentity")
}
