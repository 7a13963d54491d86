package clients

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"testing"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// guide follows the self-hosted guide of amazon-eks-pod-identity-webhook with AWS CLI 2: documents that access control lists
// publish in a bucket which is addressed by path, and a key set in which the key is twice, once without its id. Then STS
// takes a token of that issuer.
func guide(t *testing.T, clients *kindenv.Clients) {
	a := startAccount(t, "http")
	const bucket = "oidc-test-guide"
	var err error
	if a.issuer, err = issuer.Parse("https://s3-" + region + ".amazonaws.com/" + bucket); err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet(a.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var jwks struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(set.JWKS(), &jwks); err != nil {
		t.Fatal(err)
	}
	nameless := maps.Clone(jwks.Keys[0])
	nameless["kid"] = ""
	jwks.Keys = append(jwks.Keys, nameless)
	document, err := json.Marshal(jwks)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("scenarios")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "keys.json", string(document))
	write(t, dir, "token", a.token(t, "default", "app"))
	write(t, dir, "trust.json", a.trust("default", "app"))
	env := a.environ("")
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "test", "test"
	env["S3_BUCKET"] = bucket
	env["ROLE_ARN"] = "arn:aws:iam::" + accountID + ":role/guide"
	env["CALLER"] = "arn:aws:sts::" + accountID + ":assumed-role/guide/guide"
	passes(t, func(ctx context.Context) (*exec.Cmd, error) {
		return clients.Command(ctx, dir, env, "bash", "guide.sh")
	})
}
