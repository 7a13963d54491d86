package role_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// What is missing of a role, and that nothing is after it was made.
func ExamplePlan() {
	ctx := context.Background()
	cfg, stop := emulated()
	defer stop()
	client := iam.NewFromConfig(cfg)

	iss, err := issuer.Parse("https://oidc.example.com/dev")
	check(err)
	document, err := trust.Policy{Providers: []trust.Provider{{
		ARN: iss.ProviderARN("aws", "123456789012"), Issuer: iss,
		Audience: "sts.amazonaws.com", Subjects: []string{"system:serviceaccount:default:app"},
	}}}.Document()
	check(err)
	want := role.Role{
		Name:       role.NameFor("dev", "default", "app"),
		Path:       role.PathFor("dev"),
		Trust:      document,
		PolicyARNs: []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"},
		Tags:       owner.Tags("dev", "the uid of kube-system"),
	}

	steps, err := role.Plan(ctx, client, want)
	check(err)
	for _, step := range steps {
		fmt.Println(step)
	}
	check(plan.Run(ctx, steps, nil))

	steps, err = role.Plan(ctx, client, want)
	check(err)
	fmt.Println(len(steps), "steps are left")
	// Output:
	// create role openirsa-dev-default-app
	// update role openirsa-dev-default-app
	// 0 steps are left
}

// emulated is an AWS account to show this in.
func emulated() (cfg aws.Config, stop func()) {
	server, err := emulator.New(emulator.Config{Account: "123456789012"})
	if err != nil {
		panic(err)
	}
	web := httptest.NewServer(server)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &web.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, web.Close
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
