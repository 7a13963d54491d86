package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// SignWithNewKeys has every API server, and then every controller manager,
// sign with its node's new key. All API servers must accept all of them.
func (c *ControlPlane) SignWithNewKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.sign(ctx, r, "sign with the new key", func(r nodeRotation) record.KeyFiles {
		files := r.was
		files.SigningKeyFile = r.newKeyFile()
		if files.PrivateKeyFile != "" {
			files.PrivateKeyFile = files.SigningKeyFile
		}
		return files
	})
}

// SignWithFormerKeys has everything sign with the previous keys again. The new
// ones are still accepted.
func (c *ControlPlane) SignWithFormerKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	return c.sign(ctx, r, "sign with the previous key", func(r nodeRotation) record.KeyFiles { return r.was })
}

// sign has everything sign with the keys in these files: first all API servers.
func (c *ControlPlane) sign(ctx context.Context, r Rotation, what string, with func(nodeRotation) record.KeyFiles) ([]plan.Step, error) {
	added, err := c.NewKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	for _, pod := range []staticPod{apiServerPod, controllerPod} {
		more, err := c.eachNode(r, func(r nodeRotation) ([]plan.Step, error) {
			if pod == controllerPod && r.was.PrivateKeyFile == "" {
				return nil, nil
			}
			p, err := readPod(ctx, r.node, pod)
			if err != nil {
				return nil, err
			}
			files := with(r)
			step := p.signing(what, files, r.wait())
			if step.Do == nil {
				return nil, nil
			}
			if files.SigningKeyFile != r.was.SigningKeyFile {
				step = after(func(ctx context.Context) error { return c.allAccept(ctx, added, r.wait()) }, step)
			}
			return []plan.Step{step}, nil
		})
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// signing has one program sign with the key in one of the files. The step has no
// Do if it does.
func (s *podOnNode) signing(what string, files record.KeyFiles, patience time.Duration) plan.Step {
	flags := func(have Flags) Flags {
		if s.pod == controllerPod {
			have.PrivateKeyFile = files.PrivateKeyFile
		} else {
			have.SigningKeyFile = files.SigningKeyFile
		}
		return have
	}
	if s.has(flags(s.Flags)) {
		return plan.Step{}
	}
	step := s.step(fmt.Sprintf("%s on node %s: %s", s.pod, s.Name, what), s.Flags, flags, patience)
	step.Link = plan.SigningKey
	return step
}

// allAccept fails unless every API server accepts the keys. It is asked again
// right before one of them signs, whatever has happened since the plan was made.
func (c *ControlPlane) allAccept(ctx context.Context, added []keys.Public, patience time.Duration) error {
	for _, n := range node.ControlPlanes(c.nodes) {
		if err := accepts(ctx, n, added, false, patience); err != nil {
			return err
		}
	}
	return nil
}
