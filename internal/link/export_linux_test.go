package link

// EnsureKind is Ensure for links of another kind.
var EnsureKind = ensure
