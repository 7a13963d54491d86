package kindenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/kind/pkg/cmd/kind/version"
)

// balancerImage is the image in which kind runs the load balancer of a cluster with several API servers. Its name is a
// constant of an internal package, so it is read from the module's source.
func balancerImage(ctx context.Context) (string, error) {
	dir, err := moduleDir(ctx, "sigs.k8s.io/kind", "v"+version.Version())
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pkg", "cluster", "internal", "loadbalancer", "const.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the name of kind's load balancer: %w", err)
	}
	m := regexp.MustCompile(`(?m)^const Image = "(\S+envoy\S+)"$`).FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("reading the name of kind's load balancer: %s does not name an image of Envoy", file)
	}
	return string(m[1]), nil
}

// makeBalancer gives the daemon an image of that name: the node image, which has a shell, with scripts/balancer as
// /usr/local/bin/envoy.
func (d *daemon) makeBalancer(ctx context.Context, node string) error {
	d.balancing.Lock()
	defer d.balancing.Unlock()
	ref, err := balancerImage(ctx)
	if err != nil {
		return err
	}
	const label = "openirsa.dev/e2e/balancer"
	const entrypoint = `ENTRYPOINT ["/usr/bin/env"]` // an empty one would be the node image's, which is not for this
	key := keyOf(mustScript("balancer/main.go"), node, entrypoint)
	have, err := d.docker(ctx, "image", "ls", "-q",
		"--filter", "reference="+strings.TrimPrefix(ref, "docker.io/"), "--filter", "label="+label+"="+key)
	if err != nil || have != "" {
		return err
	}
	defer d.log.step("made the load balancer")()
	dir, err := os.MkdirTemp("", "openirsa-e2e-balancer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "envoy")
	if err := os.WriteFile(source, []byte(mustScript("balancer/main.go")), 0o644); err != nil {
		return err
	}
	build := command{dir: dir, env: []string{"CGO_ENABLED=0", "GOWORK=off"}}
	if _, err := build.run(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source); err != nil {
		return err
	}
	id, err := d.docker(ctx, "create", node)
	if err != nil {
		return err
	}
	_, err = d.docker(ctx, "cp", program, id+":/usr/local/bin/envoy")
	if err == nil {
		_, err = d.docker(ctx, "commit", "--change", entrypoint, "--change", "LABEL "+label+"="+key, id, ref)
	}
	if _, gone := d.docker(context.WithoutCancel(ctx), "rm", "-f", id); err == nil {
		err = gone
	}
	if err != nil {
		return fmt.Errorf("making the image %s: %w", ref, err)
	}
	return nil
}
