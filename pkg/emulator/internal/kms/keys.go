package kms

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// bucketKey is the bucket of the state file with KMS keys, by key id.
const bucketKey = "kms"

// keyRing are the KMS keys of all accounts.
type keyRing struct {
	account *api.Account

	mu   sync.RWMutex // guards keys; a key itself never changes
	keys map[string]*key
}

// key is an asymmetric key for signatures.
type key struct {
	ID          string    `json:"id"`
	Account     string    `json:"account,omitempty"` // "" in older state files, of the home account
	Region      string    `json:"region"`
	Spec        string    `json:"spec"`
	Description string    `json:"description"`
	Created     time.Time `json:"created"`
	Tags        []tag     `json:"tags,omitempty"`
	Private     []byte    `json:"private"` // PKCS #8
	// Policy is the key policy as it was submitted, "" for the default one, and
	// Principals are the unique ids of the users and roles that it names, as of then.
	Policy     string            `json:"policy,omitempty"`
	Principals map[string]string `json:"principals,omitempty"`

	signer crypto.Signer
	parsed *policy.Policy // the key policy
}

type tag struct {
	Key   string `json:"TagKey"`
	Value string `json:"TagValue"`
}

// load reads the keys of the state file.
func (r *keyRing) load() error {
	keys := map[string]*key{}
	err := r.account.Store.Load(bucketKey, func(id string, value []byte) error {
		var k key
		if err := json.Unmarshal(value, &k); err != nil {
			return err
		}
		private, err := x509.ParsePKCS8PrivateKey(k.Private)
		if err != nil {
			return err
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return fmt.Errorf("a key of type %T", private)
		}
		k.signer, k.Account = signer, cmp.Or(k.Account, r.account.ID)
		keys[id] = &k
		return r.parse(&k)
	})
	if err == nil {
		r.keys = keys
	}
	return err
}

// keep adds a key. When it returns nil the key is on disk, if there is a file.
func (r *keyRing) keep(k *key) *wire.Failure {
	var change store.Change
	change.Put(bucketKey, k.ID, k)
	if change.Err != nil {
		return wire.ErrInternal
	}
	r.mu.Lock()
	r.keys[k.ID] = k
	batch := r.account.Store.Queue(change.Records...)
	r.mu.Unlock()
	if r.account.Store.Commit(batch) != nil {
		return wire.ErrInternal
	}
	return nil
}

func failure(code, format string, args ...any) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, code, format, args...)
}

func invalid(format string, args ...any) *wire.Failure {
	return failure("ValidationException", format, args...)
}

func unsupported(format string, args ...any) *wire.Failure {
	return failure("UnsupportedOperationException", format, args...)
}

// authorize asks whether the caller may do the operation to a key, which may be
// nil; the resource says whose it is. Conditions, if not nil, sets condition keys
// that only it has.
func (r *keyRing) authorize(c *api.Call, resource string, key *key, conditions func(*policy.Context)) *wire.Failure {
	q := r.question("kms:"+c.Operation, resource, key)
	if conditions != nil {
		conditions(&q.Keys)
	}
	return r.account.Gate.Authorize(c, q)
}

// question is what policies are asked about an action on a key, which may be nil. A
// key is for those whom its policy lets in.
func (r *keyRing) question(action, resource string, key *key) *api.Question {
	q := &api.Question{Action: action, Resource: resource, Stranger: stranger}
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 {
		q.Account = parts[4]
	}
	if key != nil {
		for _, name := range []string{"KeySpec", "CustomerMasterKeySpec"} { // the second is deprecated
			q.Keys.Set("kms:"+name, key.Spec)
		}
		for _, name := range []string{"KeyUsage", "CustomerMasterKeyUsage"} {
			q.Keys.Set("kms:"+name, "SIGN_VERIFY")
		}
		q.Keys.Set("kms:KeyOrigin", "AWS_KMS")
		q.Keys.Set("kms:MultiRegion", "false")
		for _, t := range key.Tags {
			q.Keys.Set("aws:ResourceTag/"+t.Key, t.Value)
		}
		if key.parsed != nil {
			q.Attached, q.MustAllow = &policy.Named{Name: "policy of key " + key.ID, Policy: key.parsed}, true
		}
	}
	return q
}

func (r *keyRing) arn(k *key) string { return r.account.ARNOf(k.Account, "kms", k.Region, "key/"+k.ID) }

// find is the key that a call is for, once the caller may do the operation
// to it. A key is found in its own region only, and in another account by its ARN
// only.
func (r *keyRing) find(c *api.Call, id string, conditions func(*policy.Context)) (*key, *wire.Failure) {
	name, owner := id, c.Caller.Account
	if strings.HasPrefix(id, "arn:") {
		parts := strings.SplitN(id, ":", 6)
		if len(parts) == 6 {
			owner = parts[4]
		}
		var ok bool
		if name, ok = strings.CutPrefix(id, r.account.ARNOf(owner, "kms", c.Region, "key/")); !ok {
			return nil, failure("NotFoundException", "Invalid arn %s", c.Region)
		}
	}
	if name == "" {
		return nil, invalid("1 validation error detected: Value '%s' at 'keyId' failed to satisfy constraint: Member must have "+
			"length greater than or equal to 1", id)
	}
	r.mu.RLock()
	key := r.keys[name]
	r.mu.RUnlock()
	if key != nil && (key.Region != c.Region || key.Account != owner) {
		key = nil
	}
	arn := r.account.ARNOf(owner, "kms", c.Region, "key/"+name)
	if strings.HasPrefix(name, "alias/") {
		arn = r.account.ARNOf(owner, "kms", c.Region, name)
	}
	if e := r.authorize(c, arn, key, conditions); e != nil {
		return nil, e
	}
	switch {
	case key != nil:
		return key, nil
	case strings.HasPrefix(name, "alias/"):
		return nil, failure("NotFoundException", "Alias %s is not found.", arn)
	}
	return nil, failure("NotFoundException", "Key '%s' does not exist", arn)
}
