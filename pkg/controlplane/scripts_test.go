package controlplane

import (
	"context"
	"errors"
	"io"

	"github.com/openirsa/openirsa/pkg/node"
)

// The scripts by which a node is read and changed, as a fake node gets them.
var (
	readScript     = script(func(ctx context.Context, n node.Node) { n.ReadFile(ctx, "") })
	writeScript    = script(func(ctx context.Context, n node.Node) { n.WriteFile(ctx, "", nil, "") })
	existsScript   = script(func(ctx context.Context, n node.Node) { n.Existing(ctx) })
	copyScript     = script(func(ctx context.Context, n node.Node) { n.CopyFile(ctx, "", "") })
	modifiedScript = script(func(ctx context.Context, n node.Node) { n.Modified(ctx, "") })
	untilScript    = script(func(ctx context.Context, n node.Node) { n.Until(ctx, 1, "") })
	tokensScript   = script(func(ctx context.Context, n node.Node) { n.ProjectedTokens(ctx, nil) })
)

// script is what a call has the shell of a node do.
func script(call func(context.Context, node.Node)) (text string) {
	call(context.Background(), node.Node{Exec: func(_ context.Context, _ io.Reader, _ io.Writer, _ string, args ...string) error {
		text = args[1]
		return errors.New("that is all we need to know")
	}})
	return text
}
