package link

// EnsureKind is Ensure for links of another kind.
var EnsureKind = ensure

// Local is whether what is sent to an address stays on this machine.
var Local = local
