package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
)

// ErrJoinedWithOldKey says that a node joined while the old keys were being
// removed, and signs with one of them.
var ErrJoinedWithOldKey = errors.New("a node joined with a key that is being removed")

// SettleKeys ends a rotation: the new keys replace the old ones in the previous
// files, whose flags come back, and every old key is gone. This cannot be undone.
// Everything must sign with the new keys. The error wraps [ErrJoinedWithOldKey]
// where something does not.
func (c *ControlPlane) SettleKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	// First every private key, whose public half the PublicKeyFile has already,
	// then the files of public keys: at any moment the previous files fit each
	// other, on all nodes.
	private, err := c.eachNode(r, func(r nodeRotation) ([]plan.Step, error) { return r.settlePrivate(ctx) })
	if err != nil {
		return nil, err
	}
	rest, err := c.eachNode(r, func(r nodeRotation) ([]plan.Step, error) {
		there, err := r.node.Existing(ctx, rotationDir(r.was))
		if err != nil {
			return nil, err
		}
		if former, _, err := r.inFile(ctx); err != nil || len(there)+len(former) == 0 {
			return nil, err
		}
		return r.alone(ctx, "the new keys alone", r.settle)
	})
	return append(private, rest...), err
}

// settlePrivate puts the new private key into the previous files.
func (r nodeRotation) settlePrivate(ctx context.Context) ([]plan.Step, error) {
	there, err := r.node.Existing(ctx, r.newKeyFile())
	if err != nil {
		return nil, err
	}
	if len(there) == 0 { // it is there already, or the node joined late
		signs, err := onePublicKey(ctx, r.node, r.was.SigningKeyFile)
		if err == nil && !slices.Contains(r.New, signs.KID) {
			err = fmt.Errorf("%w: the API server on node %s signs with %s", ErrJoinedWithOldKey, r.node.Name, signs.KID)
		}
		return nil, err
	}
	var steps []plan.Step
	for _, file := range slices.Compact([]string{r.was.SigningKeyFile, cmp.Or(r.was.PrivateKeyFile, r.was.SigningKeyFile)}) {
		steps = append(steps, plan.Step{
			Link: plan.SigningKey, Action: plan.Update, Summary: "private key " + file + " on node " + r.node.Name + ": the new one",
			Do: func(ctx context.Context) error { return r.node.CopyFile(ctx, r.newKeyFile(), file) },
		})
	}
	return steps, nil
}

// settle gives the node its previous flags with the new keys, and removes the
// files of the rotation.
func (r nodeRotation) settle(ctx context.Context) error {
	signingKeyFile := r.newKeyFile()
	there, err := r.node.Existing(ctx, signingKeyFile)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		signingKeyFile = r.was.SigningKeyFile
		former, added, err := r.inFile(ctx)
		if err != nil {
			return err
		}
		if len(former) > 0 { // it joined late, and has none of the files
			if _, err := r.writeAccepted(ctx, added); err != nil {
				return err
			}
		}
	}
	rest := []string{r.file(newPublicFile), r.newKeyFile(), rotationDir(r.was), controllerTempFile} // removed in this order
	if there, err := r.node.Existing(ctx, rest[0]); err != nil {
		return err
	} else if len(there) == 0 {
		return r.node.Remove(ctx, rest...) // a run before this one came as far as this
	}
	if err := r.putBack(ctx, newPublicFile, signingKeyFile); err != nil {
		return err
	}
	return r.node.Remove(ctx, rest...)
}

// DropNewKeys undoes AcceptKeys and MakeKeys: the API servers accept the previous
// keys and no others, and the new ones are gone. Nothing may sign with them.
func (c *ControlPlane) DropNewKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.eachNode(r, func(r nodeRotation) ([]plan.Step, error) {
		there, err := r.node.Existing(ctx, rotationDir(r.was))
		if err != nil {
			return nil, err
		}
		if _, added, err := r.inFile(ctx); err != nil || len(there)+len(added) == 0 {
			return nil, err
		}
		return r.alone(ctx, "the previous key alone", r.drop)
	})
}

// drop gives the node its previous flags and keys, and removes the files of the
// rotation.
func (r nodeRotation) drop(ctx context.Context) error {
	if _, added, err := r.inFile(ctx); err != nil {
		return err
	} else if len(added) > 0 { // it may have joined late, and have none of the files
		if _, err := r.writeAccepted(ctx, added); err != nil {
			return err
		}
	}
	// Without the way back, which is written first, nothing has changed yet.
	if there, err := r.node.Existing(ctx, r.file(formerPublicFile)); err != nil {
		return err
	} else if len(there) > 0 {
		if err := r.putBack(ctx, formerPublicFile, r.was.SigningKeyFile); err != nil {
			return err
		}
	}
	return r.node.Remove(ctx, rotationDir(r.was), controllerTempFile)
}

// inFile are the keys in the node's PublicKeyFile, by generation.
func (r nodeRotation) inFile(ctx context.Context) (former, added []keys.Public, err error) {
	all, err := publicKeys(ctx, r.node, r.was.PublicKeyFile)
	former, added = r.generations(all)
	return former, added, err
}

// alone is the step at whose end the API server has the previous flags and accepts
// one generation of keys alone.
func (r nodeRotation) alone(ctx context.Context, what string, do func(context.Context) error) ([]plan.Step, error) {
	server, err := readAPIServer(ctx, r.node)
	if err != nil {
		return nil, err
	}
	return []plan.Step{{
		Link: plan.SigningKey, Action: plan.Update, Summary: "API server on node " + r.node.Name + ": " + what,
		Diff: plan.DiffLines(server.Flags.lines(), withFiles(r.was, apiServerPod, server.Flags).lines()),
		Do:   do,
	}}, nil
}

// putBack gives both programs the previous flags about keys, after it has put the
// keys in a file of the rotation into the PublicKeyFile, and proves that the API
// server accepts those and no others. SigningKeyFile is with what it signs until
// then.
func (r nodeRotation) putBack(ctx context.Context, name, signingKeyFile string) error {
	public, err := publicKeys(ctx, r.node, r.file(name))
	if err != nil {
		return err
	}
	if err := r.node.CopyFile(ctx, r.file(name), r.was.PublicKeyFile); err != nil {
		return err
	}
	if err := r.reread(ctx, signingKeyFile, public); err != nil {
		return err
	}
	if err := r.restoreFlags(ctx); err != nil {
		return err
	}
	return accepts(ctx, r.node, public, len(r.was.KeyFiles) == 1, r.wait())
}

// reread is for an API server that has the previous flags already, and so will not
// be restarted to get them, but accepts other keys than those in the previous
// files: something else has put the flags back meanwhile, such as a kubeadm
// upgrade. Other flags in between make it restart, and read the files again.
func (r nodeRotation) reread(ctx context.Context, signingKeyFile string, want []keys.Public) error {
	server, err := readAPIServer(ctx, r.node)
	if err != nil {
		return err
	}
	if !withFiles(r.was, apiServerPod, server.Flags).equal(server.Flags) || accepts(ctx, r.node, want, len(r.was.KeyFiles) == 1, 0) == nil {
		return nil
	}
	added, err := publicKeys(ctx, r.node, r.file(newPublicFile))
	if err != nil {
		return err
	}
	files, err := r.publicFiles(ctx, added)
	if err != nil {
		return err
	}
	return replaceManifest(ctx, r.node, apiServerPod, r.wait(), func(now *podOnNode) ([]byte, error) {
		want, _ := r.acceptedFlags(now.Flags, files.both)
		want.SigningKeyFile = signingKeyFile
		return now.With(want)
	})
}

// restoreFlags gives both programs the previous flags about keys.
func (r nodeRotation) restoreFlags(ctx context.Context) error {
	for _, pod := range []staticPod{apiServerPod, controllerPod} {
		if pod == controllerPod && r.was.PrivateKeyFile == "" {
			continue
		}
		change := func(now *podOnNode) ([]byte, error) { return now.With(withFiles(r.was, pod, now.Flags)) }
		if err := replaceManifest(ctx, r.node, pod, r.wait(), change); err != nil {
			return err
		}
	}
	return nil
}
