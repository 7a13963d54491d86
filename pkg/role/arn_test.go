package role_test

import (
	"testing"

	"github.com/openirsa/openirsa/pkg/role"
)

func TestParseARN(t *testing.T) {
	for s, want := range map[string]string{
		"arn:aws:iam::123456789012:role/app":           "role/app",
		"arn:aws-cn:iam::123456789012:role/jobs/a/app": "role/jobs/a/app",
		"arn:aws:iam:::role/app":                       "role/app",
		"arn:aws:iam::123456789012:user/app":           "",
		"arn:aws:s3:::role/app":                        "",
		"role/app":                                     "",
		"":                                             "",
	} {
		got, err := role.ParseARN(s)
		if got.Resource != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", s, got.Resource, err)
		}
	}
}
