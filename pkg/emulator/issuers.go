package emulator

// issuerCache keeps the keys of issuers.
type issuerCache struct{}
