package eksauth_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/openirsa/openirsa/internal/eksauth"
)

// EKS Auth is found where the AWS SDKs find it.
func TestEndpoint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("[profile p]\nservices = s\n[services s]\neks_auth =\n  endpoint_url = http://profile\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"AWS_REGION": "us-east-1"}, "https://eks-auth.us-east-1.api.aws"},
		{map[string]string{"AWS_REGION": "cn-north-1"}, "https://eks-auth.cn-north-1.api.amazonwebservices.com.cn"},
		{map[string]string{"AWS_REGION": "us-gov-west-1", "AWS_USE_FIPS_ENDPOINT": "true"}, "https://eks-auth-fips.us-gov-west-1.api.aws"},
		{map[string]string{"AWS_REGION": "eusc-de-east-1"}, "https://eks-auth.eusc-de-east-1.api.amazonwebservices.eu"},
		{map[string]string{"AWS_REGION": "us-isob-east-1"}, "https://eks-auth.us-isob-east-1.api.aws.scloud"},
		{map[string]string{"AWS_REGION": "us-iso-east-1"}, "https://eks-auth.us-iso-east-1.api.aws.ic.gov"},
		{map[string]string{"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://all"}, "http://all"},
		{map[string]string{"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_EKS_AUTH": "http://one"}, "http://one"},
		{map[string]string{"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_EKS_AUTH": "http://one", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "https://eks-auth.us-east-1.api.aws"},
		{map[string]string{"AWS_REGION": "us-east-1", "AWS_PROFILE": "p"}, "http://profile"},
		{map[string]string{"AWS_REGION": "evil.test/"}, ""},
	} {
		t.Run(c.want, func(t *testing.T) {
			for _, name := range []string{"AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EKS_AUTH", "AWS_USE_FIPS_ENDPOINT", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"} {
				t.Setenv(name, c.env[name])
			}
			t.Setenv("AWS_REGION", c.env["AWS_REGION"])
			t.Setenv("AWS_CONFIG_FILE", file)
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
			cfg, err := config.LoadDefaultConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := eksauth.Endpoint(cfg); got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%v: %q, %v, want %q", c.env, got, err, c.want)
			}
		})
	}
}
