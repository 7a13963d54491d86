package trust_test

import (
	"fmt"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/trust"
)

// The trust policy of a role for one service account of one cluster.
func ExamplePolicy_Document() {
	iss, err := issuer.Parse("https://oidc.example.com/dev")
	if err != nil {
		panic(err)
	}
	document, err := trust.Policy{Providers: []trust.Provider{{
		ARN:      iss.ProviderARN("aws", "123456789012"),
		Issuer:   iss,
		Audience: "sts.amazonaws.com",
		Subjects: []string{"system:serviceaccount:default:app"},
	}}}.Document()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", document)
	// Output:
	// {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.example.com/dev"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.example.com/dev:aud":"sts.amazonaws.com","oidc.example.com/dev:sub":"system:serviceaccount:default:app"}}}]}
}
