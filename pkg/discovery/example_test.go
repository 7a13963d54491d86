package discovery_test

import (
	"fmt"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// The two documents of an issuer, and where they have to be served.
func ExampleDocuments() {
	iss, err := issuer.Parse("https://oidc.example.com/dev")
	if err != nil {
		panic(err)
	}
	// The cluster's own key set, as `kubectl get --raw /openid/v1/jwks` prints it.
	set, err := keys.ParseJWKS([]byte(`{"keys":[{"use":"sig","kty":"EC","kid":"one","crv":"P-256","alg":"ES256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	if err != nil {
		panic(err)
	}
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		panic(err)
	}
	for _, doc := range docs {
		fmt.Println("https://"+iss.HostPath()+doc.Path, doc.ContentType)
	}
	fmt.Printf("%s", docs[1].Body)
	// Output:
	// https://oidc.example.com/dev/openid/v1/jwks application/jwk-set+json
	// https://oidc.example.com/dev/.well-known/openid-configuration application/json
	// {"issuer":"https://oidc.example.com/dev","jwks_uri":"https://oidc.example.com/dev/openid/v1/jwks","authorization_endpoint":"urn:kubernetes:programmatic_authorization","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"],"claims_supported":["sub","iss"]}
}
