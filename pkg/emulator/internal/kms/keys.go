package kms

import (
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

// keyRing are the KMS keys of an account.
type keyRing struct {
	account *api.Account

	mu   sync.RWMutex // guards keys; the keys themselves never change
	keys map[string]*key
}

// key is an asymmetric key for signatures.
type key struct {
	ID          string    `json:"id"`
	Region      string    `json:"region"`
	Spec        string    `json:"spec"`
	Description string    `json:"description"`
	Created     time.Time `json:"created"`
	Tags        []tag     `json:"tags,omitempty"`
	Private     []byte    `json:"private"` // PKCS #8

	signer crypto.Signer
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
		k.signer = signer
		keys[id] = &k
		return nil
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
// nil. Conditions, if not nil, sets condition keys that only it has.
func (r *keyRing) authorize(c *api.Call, resource string, key *key, conditions func(*policy.Context)) *wire.Failure {
	q := &api.Question{Action: "kms:" + c.Operation, Resource: resource}
	if key != nil {
		q.Keys.Set("kms:KeySpec", key.Spec)
		q.Keys.Set("kms:KeyUsage", "SIGN_VERIFY")
		q.Keys.Set("kms:KeyOrigin", "AWS_KMS")
		for _, t := range key.Tags {
			q.Keys.Set("aws:ResourceTag/"+t.Key, t.Value)
		}
	}
	if conditions != nil {
		conditions(&q.Keys)
	}
	return r.account.Gate.Authorize(c, q)
}

func (r *keyRing) arn(region, id string) string { return r.account.ARN("kms", region, "key/"+id) }

// find is the key that a call is for, once the caller may do the operation
// to it. A key is found in its own region only.
func (r *keyRing) find(c *api.Call, id string, conditions func(*policy.Context)) (*key, *wire.Failure) {
	name := id
	if strings.HasPrefix(id, "arn:") {
		prefix := r.arn(c.Region, "")
		if !strings.HasPrefix(id, prefix) {
			return nil, failure("NotFoundException", "Invalid arn %s", c.Region)
		}
		name = strings.TrimPrefix(id, prefix)
	}
	if name == "" {
		return nil, invalid("1 validation error detected: Value '%s' at 'keyId' failed to satisfy constraint: Member must have "+
			"length greater than or equal to 1", id)
	}
	r.mu.RLock()
	key := r.keys[name]
	r.mu.RUnlock()
	if key != nil && key.Region != c.Region {
		key = nil
	}
	arn := r.arn(c.Region, name)
	if strings.HasPrefix(name, "alias/") {
		arn = strings.TrimSuffix(r.arn(c.Region, ""), "key/") + name
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
