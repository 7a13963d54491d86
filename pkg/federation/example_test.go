package federation_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// A key whose tokens AWS trusts, and a role that one of them gets.
func Example() {
	ctx := context.Background()
	acct, stop := emulated()
	defer stop()

	key, err := keys.Generate(keys.ES256)
	check(err)
	set, err := keys.NewSet(key.Public())
	check(err)
	f, err := federation.InS3(ctx, acct, "my-issuer")
	check(err)
	check(f.Up(ctx, nil, set))
	app, err := f.Role("dev", "default", "app", "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	check(err)
	check(f.Grant(ctx, nil, app))

	raw, err := token.Mint(key, token.Claims{
		Issuer: f.Issuer.String(), Subject: token.Subject("default", "app"), Audience: token.Strings{irsa.Audience},
		IssuedAt: token.At(time.Now()), Expiry: token.At(time.Now().Add(time.Hour)),
	})
	check(err)
	out, err := sts.NewFromConfig(acct.Config).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: new(f.RoleARN(app)), RoleSessionName: new("example"), WebIdentityToken: &raw,
	})
	check(err)
	fmt.Println(*out.AssumedRoleUser.Arn)
	// Output: arn:aws:sts::123456789012:assumed-role/openirsa-dev-default-app/example
}

// emulated is an AWS account to show this in.
func emulated() (acct *account.Account, stop func()) {
	server, err := emulator.New(emulator.Config{Account: "123456789012"})
	check(err)
	web := httptest.NewServer(server)
	acct, err = account.Connect(context.Background(), account.Options{Endpoint: web.URL})
	check(err)
	return acct, web.Close
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
