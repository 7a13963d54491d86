package change_test

import (
	"context"
	"fmt"
	"log"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
)

// A job that runs every hour continues a rotation as far as it can.
func ExampleRotate() {
	ctx := context.Background()
	ch, err := chain.Open(ctx, chain.Options{KindName: "dev"})
	if err != nil {
		log.Fatal(err)
	}
	out, err := change.Rotate(ctx, ch, change.RotateOptions{Options: change.Options{NoWait: true}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if out.Waiting != nil {
		fmt.Println("waiting for", out.Waiting.For, "until", out.Waiting.Until)
	}
}
