package record

import "strings"

// Location is where an issuer's documents are, and who trusts them: the part of a
// [Record] that a migration replaces.
type Location struct {
	// Issuer is the issuer URL of the tokens, and Provider the ARN of the IAM
	// OIDC provider for it.
	Issuer   string
	Provider string
	// Bucket and Prefix say where the documents are in S3. The Bucket is empty
	// where another server has them.
	Bucket, Prefix string
	// BucketOwned says that the Bucket was made by this project, which then
	// deletes it with its last document.
	BucketOwned bool
	// PrivateBucket says that the Bucket is closed to the public and that a
	// CloudFront distribution serves the documents at the Issuer; Distribution
	// is its ARN if the Bucket's policy is ours to write.
	PrivateBucket bool
	Distribution  string
}

const yes = "true"

func truth(b bool) string {
	if b {
		return yes
	}
	return ""
}

// list is a list of words as it is written in one string; nil for none.
func list(words string) []string {
	if fields := strings.Fields(words); len(fields) > 0 {
		return fields
	}
	return nil
}
