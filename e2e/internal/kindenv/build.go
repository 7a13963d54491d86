package kindenv

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cmd/kind/version"
)

//go:embed scripts
var scripts embed.FS

// What is assembled depends on these files as much as on the scripts.
var (
	//go:embed build.go
	buildSource string
	//go:embed image.go
	imageSource string
)

func mustScript(name string) string {
	b, err := scripts.ReadFile("scripts/" + name)
	if err != nil {
		panic(err) // the name is a constant and the file is embedded
	}
	return string(b)
}

// runScript runs an embedded script with these settings in its environment.
func runScript(ctx context.Context, name string, env ...string) error {
	if _, err := (command{env: env}).run(ctx, "bash", "-c", mustScript(name), name); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func kubernetesKey() string {
	return keyOf(mustScript("kubernetes.sh"), Kubernetes, criTools, strings.Join(shared, " "), runtime.Version())
}

// programs are Kubernetes' programs and etcd, in a folder of the cache.
func programs(ctx context.Context, c cache) (string, error) {
	return c.entry(ctx, "kubernetes", kubernetesKey(), func(ctx context.Context, dir string) error {
		return runScript(ctx, "kubernetes.sh", "OUT="+dir, "VERSION="+Kubernetes, "CRI_TOOLS="+criTools, "SHARED="+strings.Join(shared, "\n"))
	})
}

// Programs builds Kubernetes' programs and etcd, or takes them from the cache, for tests that need no more of a
// cluster than these, and returns their folder.
func Programs(ctx context.Context, o Options) (string, error) {
	c, err := newCache(newLogger(o.Log))
	if err != nil {
		return "", err
	}
	return programs(ctx, c)
}

// nodeImage builds everything from nothing, or takes it from the cache: the archive of a kind node's root file
// system, and the key of its content.
func nodeImage(ctx context.Context, log *logger) (archive, key string, err error) {
	c, err := newCache(log)
	if err != nil {
		return "", "", err
	}
	kindVersion := "v" + version.Version() // of the library that this program is linked with
	rootfsKey := keyOf(mustScript("rootfs.sh"))
	key = keyOf(kubernetesKey(), rootfsKey, mustScript("nodeimage.sh"), mustScript("pause/main.go"), kindVersion, buildSource, imageSource)

	dir, err := c.entry(ctx, "node", key, func(ctx context.Context, dir string) error {
		var bin, base string
		g, gctx := errgroup.WithContext(ctx)
		g.Go(func() (err error) {
			bin, err = programs(gctx, c)
			return err
		})
		g.Go(func() (err error) {
			base, err = c.entry(gctx, "rootfs", rootfsKey, func(ctx context.Context, dir string) error {
				m, err := mirror(ctx)
				if err != nil {
					return err
				}
				return runScript(ctx, "rootfs.sh", "OUT="+dir, "MIRROR="+m)
			})
			return err
		})
		if err := g.Wait(); err != nil {
			return err
		}
		return assembleNode(ctx, dir, bin, filepath.Join(base, "rootfs.tar"), kindVersion)
	})
	return filepath.Join(dir, "node.tar"), key, err
}

// assembleNode makes the node image. An image of the control plane is one static program; kube-proxy's has nft and
// conntrack with their libraries and the names of protocols too.
func assembleNode(ctx context.Context, dir, bin, base, kindVersion string) error {
	root, images := filepath.Join(dir, "rootfs"), filepath.Join(dir, "images")
	for _, d := range []string{root, images} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if _, err := run(ctx, "tar", "-C", root, "--numeric-owner", "-xf", base); err != nil {
		return err
	}
	list, err := run(ctx, filepath.Join(bin, "kubeadm"), "config", "images", "list", "--kubernetes-version", Kubernetes)
	if err != nil {
		return err
	}
	pause := ""
	for ref := range strings.FieldsSeq(list) {
		name, _, _ := strings.Cut(path.Base(ref), ":")
		im := Image{Ref: ref, Archive: filepath.Join(images, name+".tar")}
		files := []File{{Path: "/usr/local/bin/" + name, Source: filepath.Join(bin, name)}}
		switch name {
		case "coredns":
			continue
		case "pause":
			pause = ref
			files[0].Source = filepath.Join(dir, "pause")
			if err := buildPause(ctx, dir); err != nil {
				return err
			}
		case "kube-proxy":
			more, err := withLibraries(ctx, root, "/usr/sbin/nft", "/usr/sbin/conntrack")
			if err != nil {
				return err
			}
			// Without it nft lists protocols as numbers, and each time that kube-proxy compares its rules with what
			// nft lists, when it starts and once an hour, it takes away those that are there.
			const protocols = "/etc/protocols"
			files = append(append(files, more...), File{Path: protocols, Source: filepath.Join(root, protocols)})
		}
		if err := WriteImage(im, "/usr/local/bin/"+name, files...); err != nil {
			return err
		}
	}
	kindFiles, err := moduleDir(ctx, "sigs.k8s.io/kind", kindVersion)
	if err != nil {
		return err
	}
	err = runScript(ctx, "nodeimage.sh", "OUT="+dir, "ROOT="+root, "BIN="+bin, "IMAGES="+images,
		"KIND_FILES="+filepath.Join(kindFiles, "images", "base", "files"), "VERSION="+Kubernetes, "PAUSE="+pause)
	if err != nil {
		return err
	}
	for _, d := range []string{root, images, filepath.Join(dir, "pause"), filepath.Join(dir, "pause.go")} {
		if err := removeTree(d); err != nil {
			return err
		}
	}
	return nil
}

func buildPause(ctx context.Context, dir string) error {
	source := filepath.Join(dir, "pause.go")
	if err := os.WriteFile(source, []byte(mustScript("pause/main.go")), 0o644); err != nil {
		return err
	}
	build := command{dir: dir, env: []string{"CGO_ENABLED=0", "GO111MODULE=off"}}
	_, err := build.run(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "pause"), source)
	return err
}

// withLibraries returns programs of a root file system with the libraries they are linked to.
func withLibraries(ctx context.Context, root string, programs ...string) ([]File, error) {
	var files []File
	seen := map[string]bool{}
	add := func(p string) error {
		if seen[p] {
			return nil
		}
		seen[p] = true
		// A link is absolute or relative inside the root; readlink there, not here.
		real, err := run(ctx, "chroot", root, "readlink", "-f", p)
		if err != nil {
			return err
		}
		files = append(files, File{Path: p, Source: filepath.Join(root, real)})
		return nil
	}
	for _, p := range programs {
		out, err := run(ctx, "chroot", root, "ldd", p)
		if err != nil {
			return nil, err
		}
		if err := add(p); err != nil {
			return nil, err
		}
		for _, lib := range libraries(out) {
			if err := add(lib); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// libraries returns the paths in the output of ldd(1).
func libraries(ldd string) []string {
	var libs []string
	for f := range strings.FieldsSeq(ldd) {
		if strings.HasPrefix(f, "/") {
			libs = append(libs, f)
		}
	}
	return libs
}

// moduleDir is the folder of a module in the module cache; it is downloaded if it is not there.
func moduleDir(ctx context.Context, module, version string) (string, error) {
	// Outside every module, so that no go.mod has a say.
	outside := command{dir: "/", env: []string{"GOWORK=off", "GOFLAGS=-mod=mod"}}
	out, err := outside.run(ctx, "go", "mod", "download", "-json", module+"@"+version)
	if err != nil {
		return "", err
	}
	return jsonField(out, "Dir")
}
