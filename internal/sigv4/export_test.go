package sigv4

// MaxKeys is the bound on the keys that a [Verifier] remembers.
const MaxKeys = maxKeys

// Keys counts the keys that are remembered.
func Keys(v *Verifier) int { return len(v.cache.keys) }
