package main

// migrationRecord is what is recorded of an issuer migration: the places of
// the documents, and the providers.
type migrationRecord struct {
	From chainPlace `json:"from"`
	To   chainPlace `json:"to"`
}

// chainPlace is where an issuer's documents are, and who trusts it: the part of
// the state that a migration replaces.
type chainPlace struct {
	Issuer      string `json:"issuer"`
	Provider    string `json:"provider"`
	Bucket      string `json:"bucket,omitempty"`
	Prefix      string `json:"prefix,omitempty"`
	Region      string `json:"region,omitempty"`
	BucketOwned string `json:"bucketOwned,omitempty"`
}

// to is the flag --to with which the migration was begun.
func (m *migrationRecord) to() string {
	if m.To.Bucket == "" {
		return m.To.Issuer
	}
	if m.To.Prefix == "" {
		return m.To.Bucket
	}
	return m.To.Bucket + "/" + m.To.Prefix
}
