// Package chain makes, shows and removes the chain that gives the pods of a
// cluster IAM roles: from the key that signs their tokens to the annotation of
// their service accounts. It is what the command setup does, for Go programs.
//
//	ch, err := chain.Open(ctx, chain.Options{KindName: "dev"})
//	status, err := ch.Status(ctx)
//
// Nothing is printed. A [plan.Observer] learns what happens; what goes wrong
// is an error of this package or of one below it that says what was found, and not
// which flag to set.
package chain
