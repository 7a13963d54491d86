package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
)

// publicFiles are the contents of a rotation's files of public keys on a node.
type publicFiles struct {
	former, added []byte // each generation alone
	both          []byte
}

// publicFiles are those of the node, with the new keys of all nodes.
func (r nodeRotation) publicFiles(ctx context.Context, added []keys.Public) (publicFiles, error) {
	var f publicFiles
	former, ok, err := r.node.ReadFile(ctx, r.file(formerPublicFile))
	if err == nil && !ok {
		former, ok, err = r.node.ReadFile(ctx, r.was.PublicKeyFile)
		if err == nil && ok {
			former, err = r.withoutNew(former)
		}
	}
	if err != nil {
		return publicFiles{}, err
	}
	if !ok {
		return publicFiles{}, fmt.Errorf("node %s has no file %s", r.node.Name, r.was.PublicKeyFile)
	}
	f.former = former
	if f.added, err = pemFile(added); err != nil {
		return publicFiles{}, err
	}
	f.both = slices.Concat(former, f.added)
	if len(former) > 0 && !bytes.HasSuffix(former, []byte("\n")) {
		f.both = slices.Concat(former, []byte("\n"), f.added)
	}
	return f, nil
}

// withoutNew is a file of public keys without the new ones, which a node that
// joined late has in it.
func (r Rotation) withoutNew(file []byte) ([]byte, error) {
	all, err := keys.ParsePEM(file)
	if err != nil {
		return nil, err
	}
	former, added := r.generations(all)
	if added == nil {
		return file, nil
	}
	return pemFile(former)
}

// acceptedFlags are the flags with which the API server accepts the keys of both
// generations. The file's name tells its content, so that a running process that
// has the flag has read it.
func (r nodeRotation) acceptedFlags(have Flags, both []byte) (want Flags, file string) {
	want = have
	sum := sha256.Sum256(both)
	file = r.file(fmt.Sprintf("accepted-%x.pub", sum[:6]))
	want.KeyFiles = slices.Clone(r.was.KeyFiles)
	want.KeyFiles[slices.Index(want.KeyFiles, r.was.PublicKeyFile)] = file
	return want, file
}

// AcceptKeys has every API server accept the tokens of every new key, and of
// the old ones as before. The keys must have been made.
func (c *ControlPlane) AcceptKeys(ctx context.Context, r Rotation) ([]plan.Step, error) {
	added, err := c.NewKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.eachNode(r, func(r nodeRotation) ([]plan.Step, error) {
		server, err := readAPIServer(ctx, r.node)
		if err != nil {
			return nil, err
		}
		files, err := r.publicFiles(ctx, added)
		if err != nil {
			return nil, err
		}
		want, file := r.acceptedFlags(server.Flags, files.both)
		if len(added) == 0 { // a dry run, in which no key is made
			want.KeyFiles[slices.Index(want.KeyFiles, file)] = r.file("accepted-HASH.pub")
		}
		if server.has(want) && accepts(ctx, r.node, added, false, 0) == nil {
			return nil, nil
		}
		return []plan.Step{{
			Link: plan.SigningKey, Action: plan.Update, Summary: "API server on node " + r.node.Name + ": accept the new keys",
			Diff: plan.DiffLines(server.Flags.lines(), want.lines()),
			Do: func(ctx context.Context) error {
				added, err := c.NewKeys(ctx, r.Rotation)
				if err != nil {
					return err
				}
				return r.accept(ctx, added)
			},
		}}, nil
	})
}

// accept has the API server accept these new keys too.
func (r nodeRotation) accept(ctx context.Context, added []keys.Public) error {
	if _, err := onePublicKey(ctx, r.node, r.newKeyFile()); err != nil {
		return err
	}
	both, err := r.writeAccepted(ctx, added)
	if err != nil {
		return err
	}
	err = replaceManifest(ctx, r.node, apiServerPod, r.wait(), func(now *podOnNode) ([]byte, error) {
		want, _ := r.acceptedFlags(now.Flags, both)
		return now.With(want)
	})
	if err != nil {
		return err
	}
	return accepts(ctx, r.node, added, false, r.wait())
}

// writeAccepted writes the rotation's files of public keys, and returns what is
// in the one with all of them.
func (r nodeRotation) writeAccepted(ctx context.Context, added []keys.Public) (both []byte, err error) {
	files, err := r.publicFiles(ctx, added)
	if err != nil {
		return nil, err
	}
	_, accepted := r.acceptedFlags(Flags{}, files.both)
	// What is read later is written first: the way back, then what the flags
	// will name, then the previous file, which a manifest that others write again
	// would name.
	for _, f := range []struct {
		name string
		data []byte
	}{
		{r.file(formerPublicFile), files.former},
		{r.file(newPublicFile), files.added},
		{accepted, files.both},
		{r.was.PublicKeyFile, files.both},
	} {
		if there, ok, err := r.node.ReadFile(ctx, f.name); err != nil {
			return nil, err
		} else if ok && bytes.Equal(there, f.data) {
			continue
		}
		if err := r.node.WriteFile(ctx, f.name, f.data, "0644"); err != nil {
			return nil, err
		}
	}
	return files.both, nil
}
