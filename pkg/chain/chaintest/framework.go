package chaintest

import (
	"context"
	"errors"

	"github.com/openirsa/openirsa/pkg/chain"
)

// key is that of the chain in a context, optionsKey that of its options.
type key struct{}
type optionsKey struct{}

// With is a context with which [Setup] makes the chain of other than the zero
// Options.
func With(ctx context.Context, o Options) context.Context {
	return context.WithValue(ctx, optionsKey{}, o)
}

// From is the chain that [Setup] made. It panics if there is none, which is a
// mistake in the suite.
func From(ctx context.Context) *Chain { return ctx.Value(key{}).(*Chain) }

// Setup is an env.Func of sigs.k8s.io/e2e-framework, to be given to its Setup. It
// makes the chain on the cluster of the environment's configuration, if that names
// one, and otherwise as the Options of [With] say.
//
//	testenv.Setup(chaintest.Setup).Finish(chaintest.Finish)
func Setup[Config any](ctx context.Context, config Config) (context.Context, error) {
	o, _ := ctx.Value(optionsKey{}).(Options)
	if c, ok := any(config).(configuration); ok && o.Cluster.Kubeconfig == "" {
		o.Cluster = named(o.Cluster, c)
	}
	c, err := Start(ctx, o)
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, key{}, c), nil
}

// configuration is what *envconf.Config says of the cluster.
type configuration interface {
	KubeconfigFile() string
	KubeContext() string
}

func named(o chain.Options, c configuration) chain.Options {
	o.Kubeconfig = c.KubeconfigFile()
	if o.Context == "" {
		o.Context = c.KubeContext()
	}
	return o
}

// Finish is an env.Func that removes the chain of [Setup].
func Finish[Config any](ctx context.Context, _ Config) (context.Context, error) {
	c, ok := ctx.Value(key{}).(*Chain)
	if !ok {
		return ctx, errors.New("chaintest: there is no chain, since Setup was not run")
	}
	return ctx, c.Down(ctx)
}
