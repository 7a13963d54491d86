package record

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// Kind is what a [Change] replaces. Its text is for people too.
type Kind string

// The kinds of change.
const (
	KeyRotation     Kind = "key rotation"
	IssuerMigration Kind = "issuer migration"
)

// Stage is one of the stages through which every [Change] goes: work, which may
// be done again, or a wait.
type Stage string

// The stages, in their order.
const (
	Prepare    Stage = "prepare"     // the new is made, published, and accepted by everything
	WaitCaches Stage = "wait-caches" // until every cache has the documents with it
	Sign       Stage = "sign"        // new tokens are signed with the new
	WaitTokens Stage = "wait-tokens" // until no token of the old key or issuer is left
	Prune      Stage = "prune"       // the old is accepted by nothing, and removed
)

// Stages are all of them in their order.
func Stages() []Stage { return []Stage{Prepare, WaitCaches, Sign, WaitTokens, Prune} }

// Before reports whether s comes before t.
func (s Stage) Before(t Stage) bool { return slices.Index(Stages(), s) < slices.Index(Stages(), t) }

// Next is the stage after s; none, which is empty, after the last.
func (s Stage) Next() Stage {
	if i := slices.Index(Stages(), s) + 1; i < len(Stages()) {
		return Stages()[i]
	}
	return ""
}

// Change is a change in stages that is under way: a key rotation or an issuer
// migration. Its JSON form is what is recorded, and what commands print.
type Change struct {
	Kind Kind `json:"kind"`
	// ID tells one change from the next, and names the files of new keys.
	ID string `json:"id"`
	// Stage is the one that the change has come to. Rollback says that the
	// stages are those of the way back.
	Stage    Stage `json:"stage"`
	Rollback bool  `json:"rollback,omitempty"`
	// CacheWait and TokenLifetime are how long the two waits last at least.
	CacheWait     Duration `json:"cacheWait"`
	TokenLifetime Duration `json:"tokenLifetime"`
	// Prepared and Signed are when the work of these stages last changed
	// something, Signing when it first could have: from then on there may be
	// tokens of the new.
	Prepared time.Time `json:"prepared,omitzero"`
	Signing  time.Time `json:"signing,omitzero"`
	Signed   time.Time `json:"signed,omitzero"`
	// Clear is since when no token has been seen that still needs what goes.
	Clear time.Time `json:"clear,omitzero"`

	// Rotation is what is recorded of a [KeyRotation], Migration of an
	// [IssuerMigration]; the other is nil.
	Rotation  *Rotation  `json:"rotation,omitempty"`
	Migration *Migration `json:"migration,omitempty"`
}

// String is one line about the change.
func (c *Change) String() string {
	s := string(c.Kind) + " " + c.ID + ": stage " + string(c.Stage)
	if c.Rollback {
		s += " of the rollback"
	}
	return s
}

// Rotation is what is recorded of a key rotation: names of files and ids of keys.
type Rotation struct {
	// Algorithm is what the new keys sign with; empty for that of the old ones.
	Algorithm string `json:"algorithm,omitempty"`
	// Nodes are the files of the control-plane nodes before the rotation, by the
	// names of the nodes.
	Nodes map[string]KeyFiles `json:"nodes"`
	// Old are the ids of the keys that go, New of those that replace them.
	Old []string `json:"old"`
	New []string `json:"new,omitempty"`
}

// KeyFiles are the files of keys that the programs on a control-plane node are given.
// All are paths on the node, which the programs' containers see under the same names.
type KeyFiles struct {
	// KeyFiles are the files of public keys that the API server accepts.
	KeyFiles []string `json:"keyFiles"`
	// PublicKeyFile is the one of KeyFiles that holds the public half of the
	// signing key: kubeadm's sa.pub.
	PublicKeyFile string `json:"publicKeyFile"`
	// SigningKeyFile is the private key with which the API server signs: kubeadm's
	// sa.key.
	SigningKeyFile string `json:"signingKeyFile"`
	// PrivateKeyFile is the private key with which the controller manager signs
	// the tokens in Secrets. Empty where it signs none, or with a key that is
	// not to be replaced.
	PrivateKeyFile string `json:"privateKeyFile,omitempty"`
}

// Migration is what is recorded of an issuer migration.
type Migration struct {
	From, To Location
}

// Target is the location to which the migration goes as users name it: BUCKET or
// BUCKET/PREFIX, or the URL of the issuer where the documents are not in S3.
func (m *Migration) Target() string {
	switch {
	case m.To.Bucket == "":
		return m.To.Issuer
	case m.To.Prefix == "":
		return m.To.Bucket
	}
	return m.To.Bucket + "/" + m.To.Prefix
}

// migration is a [Migration] as it is written, with locations as in the data of
// the ConfigMap, all of whose values are strings.
type migration struct {
	From location `json:"from"`
	To   location `json:"to"`
}

type location struct {
	Issuer        string `json:"issuer"`
	Provider      string `json:"provider"`
	Bucket        string `json:"bucket,omitempty"`
	Prefix        string `json:"prefix,omitempty"`
	BucketOwned   string `json:"bucketOwned,omitempty"`
	PrivateBucket string `json:"privateBucket,omitempty"`
	Distribution  string `json:"distribution,omitempty"`
}

// MarshalJSON writes the migration.
func (m Migration) MarshalJSON() ([]byte, error) {
	written := func(l Location) location {
		return location{l.Issuer, l.Provider, l.Bucket, l.Prefix, truth(l.BucketOwned), truth(l.PrivateBucket), l.Distribution}
	}
	return json.Marshal(migration{written(m.From), written(m.To)})
}

// UnmarshalJSON reads what [Migration.MarshalJSON] has written.
func (m *Migration) UnmarshalJSON(b []byte) error {
	var w migration
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	read := func(w location) Location {
		return Location{w.Issuer, w.Provider, w.Bucket, w.Prefix, w.BucketOwned == yes, w.PrivateBucket == yes, w.Distribution}
	}
	m.From, m.To = read(w.From), read(w.To)
	return nil
}

// Duration is a time.Duration that is written as people write it, such as 10m0s.
type Duration time.Duration

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what [time.ParseDuration] takes.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// encode is the change as JSON, and empty for none.
func (c *Change) encode() string {
	if c == nil {
		return ""
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // no time in it is beyond the year 9999
	}
	return string(b)
}

// parseChange reads what encode has written.
func parseChange(text string) (*Change, error) {
	var c Change
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, err
	}
	if !slices.Contains(Stages(), c.Stage) || c.Rotation == nil && c.Migration == nil {
		return nil, errors.New("it was written by another version of this program")
	}
	return &c, nil
}
