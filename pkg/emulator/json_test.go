package emulator_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// postForm sends a form that nobody signed, and is the answer's status, type and
// body.
func postForm(t *testing.T, a *emulatortest.AWS, accept, form string) (int, string, string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL, strings.NewReader(form)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	response := must(http.DefaultClient.Do(r))
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("Content-Type"), string(must(io.ReadAll(response.Body)))
}

// TestJSONWebIdentity: what Envoy asks for, and reads.
func TestJSONWebIdentity(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	a, idp := start(t, emulator.Config{Now: func() time.Time { return now }})
	idp.register()
	role := a.Role("r", idp.usual())
	form := "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=app1&RoleArn=" + role + "&WebIdentityToken="
	status, kind, text := postForm(t, a, "application/json", form+idp.token(idp.claims()))
	if status != 200 || kind != "application/json" {
		t.Fatalf("%d %s: %s", status, kind, text)
	}
	var got struct {
		AssumeRoleWithWebIdentityResponse struct {
			AssumeRoleWithWebIdentityResult map[string]any
			ResponseMetadata                struct{ RequestId string }
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	result := got.AssumeRoleWithWebIdentityResponse.AssumeRoleWithWebIdentityResult
	creds := result["Credentials"].(map[string]any)
	if creds["Expiration"] != float64(now.Unix()+3600) || !strings.HasPrefix(creds["AccessKeyId"].(string), "ASIA") {
		t.Errorf("credentials %v", creds)
	}
	if _, there := result["SourceIdentity"]; !there || result["SourceIdentity"] != nil {
		t.Errorf("SourceIdentity is not null: %v", result)
	}
	if len(got.AssumeRoleWithWebIdentityResponse.ResponseMetadata.RequestId) != 36 {
		t.Errorf("no request id: %s", text)
	}

	status, kind, text = postForm(t, a, "application/json", form+"garbage")
	var refusal map[string]any
	if err := json.Unmarshal([]byte(text), &refusal); err != nil || status != 400 || kind != "application/json" {
		t.Fatalf("%d %s: %s", status, kind, text)
	}
	delete(refusal, "RequestId")
	if diff := cmp.Diff(map[string]any{"Error": map[string]any{"Type": "Sender", "Code": "InvalidIdentityToken",
		"Message": "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"}}, refusal); diff != "" {
		t.Error(diff)
	}
	if _, _, text := postForm(t, a, "application/json", "Action=Nope&Version=2011-06-15"); !strings.HasPrefix(text, `{"Error":{"Code":"InvalidAction"`) {
		t.Error(text)
	}
	for accept, want := range map[string]string{
		"": "text/xml", "*/*": "text/xml", "text/xml": "text/xml", "text/xml, application/json;q=0.5": "text/xml", "application/json;q=0": "text/xml",
		"Application/JSON": "application/json", "application/json, */*": "application/json", "text/html, application/json;q=0.9": "application/json",
	} {
		if _, kind, text := postForm(t, a, accept, form+"x"); kind != want {
			t.Errorf("Accept %q: %s %s", accept, kind, text)
		}
	}
}

// TestJSONPresigned: how aws-iam-authenticator verifies who a token is of.
func TestJSONPresigned(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	signed := must(sts.NewPresignClient(sts.NewFromConfig(a.Config())).PresignGetCallerIdentity(t.Context(), nil))
	r := must(http.NewRequestWithContext(t.Context(), signed.Method, signed.URL, nil))
	r.Header = signed.SignedHeader
	r.Header.Set("Accept", "application/json")
	response := must(http.DefaultClient.Do(r))
	defer response.Body.Close()
	text := string(must(io.ReadAll(response.Body)))
	if want := `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"000000000000",`; !strings.HasPrefix(text, want) {
		t.Errorf("%s: %s", signed.Method, text)
	}
}

// inJSON is an option that asks for JSON and keeps the answer, which the SDK
// cannot read.
func inJSON(answer *string) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		ask := middleware.FinalizeMiddlewareFunc("ask", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			in.Request.(*smithyhttp.Request).Header.Set("Accept", "application/json")
			return next.HandleFinalize(ctx, in)
		})
		keep := middleware.DeserializeMiddlewareFunc("keep", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			if response, ok := out.RawResponse.(*smithyhttp.Response); ok {
				*answer = string(must(io.ReadAll(response.Body)))
				response.Body.Close()
				response.Body = http.NoBody
			}
			return out, metadata, err
		})
		if err := stack.Finalize.Add(ask, middleware.Before); err != nil {
			return err
		}
		return stack.Deserialize.Add(keep, middleware.After)
	}
}

// TestJSONOfIAM: lists, maps, numbers and times of IAM's answers, and the answer
// without a result.
func TestJSONOfIAM(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	a := startAWS(t, emulator.Config{Now: func() time.Time { return now }})
	ctx := t.Context()
	client := iam.NewFromConfig(a.Config())
	trust := document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
	role := must(client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: &trust,
		Tags: []iamtypes.Tag{{Key: new("k"), Value: new("v")}}})).Role
	var text string
	asked := func(o *iam.Options) { o.APIOptions = append(o.APIOptions, inJSON(&text)) }
	parsed := func(operation string) map[string]any {
		t.Helper()
		var all map[string]map[string]map[string]any
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return all[operation+"Response"][operation+"Result"]
	}

	client.GetRole(ctx, &iam.GetRoleInput{RoleName: new("r")}, asked)
	got := parsed("GetRole")["Role"].(map[string]any)
	want := map[string]any{
		"Path": "/", "RoleName": "r", "RoleId": *role.RoleId, "Arn": *role.Arn, "CreateDate": float64(now.Unix()), "MaxSessionDuration": 3600.0,
		"AssumeRolePolicyDocument": *role.AssumeRolePolicyDocument, "Tags": []any{map[string]any{"Key": "k", "Value": "v"}},
		"Description": nil, "PermissionsBoundary": nil, "RoleLastUsed": map[string]any{"LastUsedDate": nil, "Region": nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	client.ListRoles(ctx, &iam.ListRolesInput{}, asked)
	list := parsed("ListRoles")
	if list["IsTruncated"] != false || list["Marker"] != nil || len(list["Roles"].([]any)) != 1 {
		t.Errorf("list %v", list)
	}
	member := list["Roles"].([]any)[0].(map[string]any)
	for _, absent := range []string{"Description", "PermissionsBoundary", "RoleLastUsed", "Tags"} {
		if value, there := member[absent]; !there || value != nil {
			t.Errorf("%s is %v, there: %t", absent, value, there)
		}
	}
	client.ListUsers(ctx, &iam.ListUsersInput{}, asked)
	if users, ok := parsed("ListUsers")["Users"].([]any); !ok || len(users) != 0 {
		t.Errorf("no users: %s", text)
	}
	client.GetAccountSummary(ctx, &iam.GetAccountSummaryInput{}, asked)
	if summary := parsed("GetAccountSummary")["SummaryMap"].(map[string]any); summary["Roles"] != 1.0 {
		t.Errorf("summary %v", summary)
	}
	client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("r")}, asked)
	if !strings.HasPrefix(text, `{"DeleteRoleResponse":{"ResponseMetadata":{"RequestId":"`) {
		t.Error(text)
	}
	client.GetRole(ctx, &iam.GetRoleInput{RoleName: new("r")}, asked)
	if !strings.HasPrefix(text, `{"Error":{"Code":"NoSuchEntity","Message":"The role with name r cannot be found.","Type":"Sender"},"RequestId":"`) {
		t.Error(text)
	}
	sts.NewFromConfig(a.Config()).GetCallerIdentity(ctx, nil, func(o *sts.Options) { o.APIOptions = append(o.APIOptions, inJSON(&text)) })
	if !strings.HasPrefix(text, `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"000000000000","Arn":"arn:aws:iam::000000000000:root","UserId":"000000000000"},`) {
		t.Error(text)
	}
}
