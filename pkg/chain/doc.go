// Package chain makes, shows and removes the chain that gives the pods of a
// cluster IAM roles: from the key that signs their tokens to the annotation of
// their service accounts. It is what the command openirsa does, for Go programs.
//
//	ch, err := chain.Open(ctx, chain.Options{KindName: "dev", Emulator: true})
//	out, err := ch.Up(ctx, chain.UpOptions{Build: chain.Programs("bin")}, nil)
//	app := config.NewServiceAccount("default", "app", policyARN)
//	out, err = ch.Grant(ctx, chain.GrantOptions{Accounts: []config.ServiceAccount{app}}, nil)
//	status, err := ch.Status(ctx)
//	out, err = ch.Down(ctx, chain.DownOptions{Immediately: true}, nil)
//
// Nothing is printed. A [plan.Observer] learns what happens; what goes wrong
// is an error of this package or of one below it that says what was found, and not
// which flag to set.
package chain
