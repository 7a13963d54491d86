package account

import (
	"context"
	"slices"
	"strings"
	"sync"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// count counts the calls to AWS.
type count struct {
	mu     sync.Mutex // guards the rest
	total  int
	writes int
}

func (c *count) add(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("openirsa/count",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error) {
			name := awsmiddleware.GetOperationName(ctx)
			read := slices.ContainsFunc([]string{"Get", "List", "Head"}, func(p string) bool { return strings.HasPrefix(name, p) })
			c.mu.Lock()
			c.total++
			if !read {
				c.writes++
			}
			c.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
}
