package chain_test

import (
	"context"
	"fmt"
	"log"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/plan"
)

// progress prints what came of each link.
type progress struct{}

func (progress) Start(link, what string) {}
func (progress) Done(r plan.Result)      { fmt.Println(r.Link, r.Outcome, r.Object) }
func (progress) Say(line string)         { fmt.Println(line) }
func (progress) Note(err error)          { fmt.Println(err) }

// The whole chain on the one kind cluster, with the emulator for AWS, from the
// program that `make build` has put into bin/.
func Example() {
	ctx := context.Background()
	ch, err := chain.Open(ctx, chain.Options{Emulator: true})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ch.Up(ctx, chain.UpOptions{Build: chain.Programs("bin")}, progress{}); err != nil {
		log.Fatal(err)
	}
	// Pods whose service account has a role get its credentials, until:
	if _, err := ch.Down(ctx, chain.DownOptions{Immediately: true}, nil); err != nil {
		log.Fatal(err)
	}
}

// What a run would do.
func ExampleChain_Plan() {
	ctx := context.Background()
	ch, err := chain.Open(ctx, chain.Options{KindName: "dev"})
	if err != nil {
		log.Fatal(err)
	}
	steps, err := ch.Plan(ctx, chain.UpOptions{Image: "registry.example.com/openirsa:v1"})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range steps {
		fmt.Println(step)
	}
}
