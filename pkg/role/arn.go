package role

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// ParseARN reads the ARN of a role: of IAM, or of another STS that has roles (see
// [irsa.CheckForeignRoleARN]).
func ParseARN(s string) (arn.ARN, error) {
	parsed, err := arn.Parse(s)
	if err != nil || parsed.Service != "iam" && irsa.CheckForeignRoleARN(s) != nil || !strings.HasPrefix(parsed.Resource, "role/") {
		return arn.ARN{}, errors.New("not the ARN of a role")
	}
	return parsed, nil
}

// ARNIn is the ARN of a role of this path and name in an account, whose id has twelve
// digits (IAM User Guide, "IAM identifiers").
func (r Role) ARNIn(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":role" + r.Path + r.Name
}
