package s3

import (
	"sync/atomic"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// MaxObject is the size of a single upload in bytes (S3 User Guide, "Uploading
// objects").
const MaxObject = 5 << 30

// Config is what S3 needs to know beside the account.
type Config struct {
	Hosts Hosts
	// MaxObject is the size in bytes up to which it takes an object, or a part of
	// one, in a single request.
	MaxObject int64
	// Principals are the unique ids of the users and roles among the principals
	// of a bucket policy. Unknown is the first of the emulator's accounts that does
	// not exist, "" if all do.
	Principals func(names []string) (ids map[string]string, unknown string)
	// Own reports whether an account is one of the emulator's.
	Own func(account string) bool
	// Together reports whether two accounts are in one organization.
	Together func(a, b string) bool
}

// Service is S3. Whatever no other service takes is a request to it.
type Service struct {
	account *api.Account
	config  Config
	state   *state
	changes atomic.Uint64
	backend Backend // not nil: it has the buckets
}

// Hosts are the host names of S3.
func (s *Service) Hosts() *Hosts { return &s.config.Hosts }

// Changes grows after each change of what a stranger may read.
func (s *Service) Changes() uint64 { return s.changes.Load() }

// OperationNames are the names that calls can have, those of the control API among
// them.
func OperationNames() []string {
	var names []string
	for _, all := range []map[string]operation{Operations, controlOperations} {
		for _, op := range all {
			names = append(names, op.name)
		}
	}
	return names
}

// Buckets is how many buckets there are.
func (s *Service) Buckets() int {
	s.state.mu.RLock()
	defer s.state.mu.RUnlock()
	return len(s.state.buckets)
}

func (s *Service) bucketARN(bucket string) string {
	return "arn:" + s.account.Partition + ":s3:::" + bucket
}
