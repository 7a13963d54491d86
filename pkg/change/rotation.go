package change

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// RotateOptions say how the signing keys are to be replaced.
type RotateOptions struct {
	Options
	// Algorithm is what the new keys sign with: [keys.RS256], [keys.ES256],
	// [keys.ES384] or [keys.ES512]. Empty: as the current key, with its size. It must
	// be the same, or empty, in every run of a rotation.
	Algorithm string
}

// Rotate replaces the keys that sign the tokens of the cluster's service accounts,
// or continues a rotation. The keys are made on the control-plane nodes, which they
// never leave. API servers restart three times, one after the other.
//
// The chain must be installed ([*chain.MissingError]) and nothing else under way in
// it ([*chain.UnderWayError]). Errors that a later run can get past are a
// [*TokensError], a [*SilentError], a [*chain.IssuerError] where somebody else
// serves the documents and has to serve the new keys first, and those of package
// controlplane. The observer learns of each stage and link; nil is silence.
func Rotate(ctx context.Context, ch *chain.Chain, o RotateOptions, observer plan.Observer) (Outcome, error) {
	c, err := begin(ctx, ch, record.KeyRotation, o.Options)
	if err != nil {
		return Outcome{}, err
	}
	if c.Rotation == nil {
		c.Rotation = &record.Rotation{Algorithm: o.Algorithm}
	} else if o.Algorithm != "" && o.Algorithm != c.Rotation.Algorithm {
		err := fmt.Errorf("the rotation that is under way was begun with %q", cmp.Or(c.Rotation.Algorithm, "the default"))
		return Outcome{}, &chain.OptionError{Option: "Algorithm", Err: err}
	}
	k := &keyRotation{share(ch, c, o.Options, observer)}
	return k.through(ctx, k)
}

// keyRotation is a run of [Rotate].
type keyRotation struct{ shared }

// rotation is the cluster's part of the record.
func (k *keyRotation) rotation() controlplane.Rotation {
	r := k.change.Rotation
	return controlplane.Rotation{ID: k.change.ID, Algorithm: r.Algorithm, Nodes: r.Nodes, New: r.New, Wait: k.o.Wait}
}

// Check adds the nodes that the rotation does not know yet. That is recorded
// before anything is done on them. A node may join at any stage, and while a
// run waits.
func (k *keyRotation) Check(ctx context.Context) error {
	r, old, err := controlplane.Of(k.ch.Cluster).PlanRotation(ctx, k.rotation())
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	if len(r.Nodes) == len(k.change.Rotation.Nodes) {
		return nil
	}
	recorded := k.change.Rotation
	recorded.Nodes = r.Nodes
	recorded.Old = union(recorded.Old, kids(old))
	return k.Save(ctx, k.change)
}

// Ready looks for nodes that have joined meanwhile.
func (k *keyRotation) Ready(ctx context.Context) error { return k.Check(ctx) }

func kids(list []keys.Public) []string {
	var ids []string
	for _, key := range list {
		ids = append(ids, key.KID)
	}
	return ids
}

func (k *keyRotation) Prepare(ctx context.Context) error {
	c, run := controlplane.Of(k.ch.Cluster), k.run
	names := "1 new key, made on the nodes"
	if n := len(k.change.Rotation.Nodes); n != 1 {
		names = fmt.Sprintf("%d new keys, made on the nodes", n)
	}
	err := run.Link(ctx, plan.SigningKey, names, func(ctx context.Context) ([]plan.Step, error) { return c.MakeKeys(ctx, k.rotation()) })
	if err != nil {
		return err
	}
	made, err := c.NewKeys(ctx, k.rotation())
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	if all := union(k.change.Rotation.New, kids(made)); !slices.Equal(all, k.change.Rotation.New) {
		k.change.Rotation.New = all
		if err := k.Save(ctx, k.change); err != nil {
			return err
		}
	}
	err = k.ch.Restart(ctx, run, k.o.Wait, "accepts old and new keys", func(ctx context.Context) ([]plan.Step, error) {
		return c.AcceptKeys(ctx, k.rotation())
	})
	if err != nil {
		return err
	}
	if run.DryRun && len(made) < len(k.change.Rotation.Nodes) {
		run.Done(plan.Result{Link: plan.Documents, Outcome: plan.Planned, Object: k.ch.Issuer.JWKS() + " with the new keys beside the old ones"})
		return nil
	}
	return k.publish(ctx)
}

// publish puts those keys into the documents that the API servers accept.
func (k *keyRotation) publish(ctx context.Context) error {
	nodes, err := controlplane.Of(k.ch.Cluster).NodeKeys(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	var all []keys.Public
	for _, n := range nodes {
		if n.Accepts == nil {
			return &SilentError{Node: n.Node}
		}
		all = append(all, n.Accepts...)
	}
	wanted, err := keys.NewSet(all...)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	// What a stranger cannot read is published again.
	_, published, _ := discovery.Read(ctx, k.ch.Stranger(), k.ch.Issuer)
	transition, err := discovery.Transition(k.ch.Issuer, published, wanted)
	if err != nil {
		return fmt.Errorf("%s: %w", plan.Documents, err)
	}
	mark, err := k.ch.Tags(ctx)
	if err != nil {
		return err
	}
	for _, docs := range transition {
		if err := k.ch.Publish(ctx, k.run, mark, docs, k.o.Wait); err != nil {
			return err
		}
	}
	return nil
}

func (k *keyRotation) Sign(ctx context.Context, back bool) error {
	if err := k.Check(ctx); err != nil {
		return err
	}
	what, steps := "signs with the new keys", controlplane.Of(k.ch.Cluster).SignWithNewKeys
	if back {
		what, steps = "signs with the old keys", controlplane.Of(k.ch.Cluster).SignWithFormerKeys
	}
	return k.ch.Restart(ctx, k.run, k.o.Wait, what, func(ctx context.Context) ([]plan.Step, error) { return steps(ctx, k.rotation()) })
}

func (k *keyRotation) Prune(ctx context.Context, back bool) error {
	if err := k.Check(ctx); err != nil {
		return err
	}
	what, steps := "accepts only the new keys", controlplane.Of(k.ch.Cluster).SettleKeys
	if back {
		what, steps = "accepts only the old keys", controlplane.Of(k.ch.Cluster).DropNewKeys
	}
	err := k.ch.Restart(ctx, k.run, k.o.Wait, what, func(ctx context.Context) ([]plan.Step, error) { return steps(ctx, k.rotation()) })
	if err != nil {
		return err
	}
	if k.run.DryRun {
		k.run.Done(plan.Result{Link: plan.Documents, Outcome: plan.Planned, Object: k.ch.Issuer.JWKS() + " without the removed keys"})
		return nil
	}
	return k.publish(ctx)
}

func (k *keyRotation) Stale(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error) {
	going := k.change.Rotation.Old
	if back {
		going = k.change.Rotation.New
	}
	// Tokens in Secrets that name no key are older than any rotation.
	return k.tokens(ctx, func(t cluster.Token) bool {
		return slices.Contains(going, t.KID) || t.KID == "" && t.Secret != "" && !back
	})
}
