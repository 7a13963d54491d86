package kindenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
)

type choice struct {
	route Route
	why   string
	image string // node image, on route Kind
}

// machine is what the choice of a route depends on.
type machine struct {
	daemon func(context.Context) error                 // nil if a container daemon answers
	image  func(ctx context.Context, ref string) error // nil if the daemon has the image or got it from a registry
	root   bool
	goos   string
	lacks  func(programs ...string) []string
}

func choose(ctx context.Context, want Route, log *logger) (choice, error) {
	return chooseOn(ctx, want, thisMachine(log))
}

func thisMachine(log *logger) machine {
	return machine{
		daemon: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
			defer cancel()
			_, err := run(ctx, "docker", "version", "--format", "{{.Server.Version}}")
			return err
		},
		image: func(ctx context.Context, ref string) error { return haveImage(ctx, ref, log) },
		root:  os.Geteuid() == 0,
		goos:  runtime.GOOS,
		lacks: missing,
	}
}

func chooseOn(ctx context.Context, want Route, m machine) (choice, error) {
	image := defaults.Image
	var notKind error
	if want != Built {
		if notKind = m.daemon(ctx); notKind != nil {
			notKind = fmt.Errorf("no docker daemon answers: %w", notKind)
		} else if notKind = m.image(ctx, image); notKind != nil {
			notKind = fmt.Errorf("a docker daemon answers, but it cannot get %s: %w", image, notKind)
		} else {
			return choice{Kind, "a docker daemon answers and has kind's own node image or could get it", image}, nil
		}
		if err := context.Cause(ctx); err != nil {
			return choice{}, err
		}
	}
	if want == Kind {
		return choice{}, fmt.Errorf("%w: %w", ErrImpossible, notKind)
	}
	var notBuilt error
	switch lacks := m.lacks("apt-get", "go"); {
	case m.goos != "linux":
		notBuilt = fmt.Errorf("a node image can be built on Linux only, this is %s", m.goos)
	case !m.root:
		notBuilt = errors.New("a node image can be built and run by root only")
	case len(lacks) > 0:
		notBuilt = fmt.Errorf("a node image is built with apt-get and go, and %v is missing", lacks)
	default:
		why := "asked for"
		if notKind != nil {
			why = notKind.Error()
		}
		return choice{route: Built, why: why}, nil
	}
	if notKind != nil {
		notBuilt = fmt.Errorf("%w; %w", notKind, notBuilt)
	}
	return choice{}, fmt.Errorf("%w: %w", ErrImpossible, notBuilt)
}

// haveImage gets an image from a registry unless the daemon has it. Asking for the manifest first tells in
// seconds whether a registry answers; the image itself may take minutes.
func haveImage(ctx context.Context, ref string, log *logger) error {
	if _, err := run(ctx, "docker", "image", "inspect", ref); err == nil {
		return nil
	}
	probe, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := run(probe, "docker", "manifest", "inspect", ref); err != nil {
		return err
	}
	defer log.step("pulled kind's node image")()
	pull, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	_, err := run(pull, "docker", "pull", "--quiet", ref)
	return err
}
