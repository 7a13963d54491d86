package role

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/trust"
)

// trustQuota is how long trust policies may be in an account.
type trustQuota struct {
	client IAM
	limit  int // as far as it is known; begins as [trust.MaxSize]
}

// check refuses the trust policy of a role that is too long. The quota, which can
// be raised, is asked for when it first matters.
func (q *trustQuota) check(ctx context.Context, name string, document []byte) error {
	if q.limit == trust.MaxSize && trust.CheckSize(document, q.limit) != nil {
		out, err := q.client.GetAccountSummary(ctx, &iam.GetAccountSummaryInput{})
		if err != nil {
			return fmt.Errorf("reading the account's quota for trust policies: %w", err)
		}
		q.limit = max(trust.MaxSize, int(out.SummaryMap["AssumeRolePolicySizeQuota"]))
	}
	if err := trust.CheckSize(document, q.limit); err != nil {
		return fmt.Errorf("role %s: %w", name, err)
	}
	return nil
}
