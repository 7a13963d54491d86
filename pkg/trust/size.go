package trust

import (
	"fmt"
	"strings"
)

// Sizes that IAM allows for a trust policy, in characters that are not white
// space (IAM quotas, "Role trust policy length"): the default, and what a
// quota increase can reach.
const (
	MaxSize      = 2048
	MaxSizeQuota = 4096
)

// Size is the length of a policy as IAM counts it: white space is free.
func Size(document []byte) int {
	n := 0
	for _, r := range string(document) {
		if !strings.ContainsRune(" \t\r\n", r) {
			n++
		}
	}
	return n
}

// SizeError says that IAM would refuse a trust policy for its length.
type SizeError struct{ Size, Limit int }

func (e *SizeError) Error() string {
	way := "use a subject pattern or several roles, or raise the quota \"Role trust policy length\" (up to 4096)"
	if e.Limit >= MaxSizeQuota {
		way = "use a subject pattern or several roles"
	}
	return fmt.Sprintf("the trust policy has %d characters, %d more than the %d that IAM allows: %s", e.Size, e.Size-e.Limit, e.Limit, way)
}

// CheckSize returns a [*SizeError] if the document is longer than limit, which is
// [MaxSize] or the account's raised quota.
func CheckSize(document []byte, limit int) error {
	if n := Size(document); n > limit {
		return &SizeError{Size: n, Limit: limit}
	}
	return nil
}
