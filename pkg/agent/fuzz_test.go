package agent_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/agent"
)

// Whatever a stranger sends as a token is read or refused, and what is refused says
// nothing.
func FuzzToken(f *testing.F) {
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"ES256"}`))
	f.Add(token(f, podUID))
	f.Add("")
	f.Add("..")
	for _, payload := range []string{
		`{"exp":1e300,"nbf":-1e300,"iat":1.5}`, `{"exp":null,"aud":null}`, `{"exp":"1"}`, `{"aud":[1]}`, `{"kubernetes.io":[]}`,
		`{"kubernetes.io":{"namespace":"n","pod":{"uid":1}}}`, `{"iss":1,"kubernetes.io":{"namespace":"n"}}`, `[]`, `null`,
	} {
		f.Add(header + "." + encode([]byte(payload)) + ".c2ln")
	}
	f.Fuzz(func(t *testing.T, token string) {
		says, err := agent.ParseInsecure(token)
		if err != nil && (says || !strings.HasPrefix(err.Error(), "token is ")) {
			t.Errorf("%q: %v, and it says something: %t", token, err, says)
		}
	})
}
