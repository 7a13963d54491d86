package question

import (
	"context"
	"maps"
)

// Resources are the ARNs that the answer to a call names, of a question that has
// FromAnswer.
func (q *Question) Resources(answer any) []string {
	if q.FromAnswer == "" {
		return nil
	}
	return strs(answer, q.FromAnswer)
}

// Told are the questions about a resource that only the answer to a call has named, in
// place of one that has FromAnswer: those that would be asked if the call had named it.
// The errors are those of [Questions].
func Told(ctx context.Context, call *Call, q *Question, arn string, world World) ([]Question, error) {
	named := *call
	named.Input = map[string]any{}
	maps.Copy(named.Input, call.Input)
	switch q.Action {
	case "secretsmanager:GetSecretValue": // BatchGetSecretValue reads each secret as if alone
		named.Operation, named.Input = "GetSecretValue", map[string]any{"SecretId": arn}
	case "kms:ReEncryptFrom":
		delete(named.Input, ciphertext)
		named.Input["SourceKeyId"] = arn
	default:
		delete(named.Input, ciphertext)
		named.Input["KeyId"] = arn
	}
	return Questions(ctx, &named, world)
}
