package kindenv

import "context"

// UpDocker is [Up] with a container daemon and no clusters: the machine's own, or one as on the route Built. The process
// then has DOCKER_HOST and PATH for it. Of the options only Instance, Route and Log count.
func UpDocker(ctx context.Context, o Options) (*Env, error) {
	return start(ctx, o, (*Env).upDocker)
}

func (e *Env) upDocker(ctx context.Context) error {
	if err := e.clean(ctx); err != nil {
		return err
	}
	m := thisMachine(e.log)
	m.image = func(context.Context, string) error { return nil } // none is needed
	r, err := chooseOn(ctx, e.opts.Route, m)
	if err != nil {
		return err
	}
	e.Route, e.Why = r.route, r.why
	if e.Route == Kind {
		e.Why = "a docker daemon answers"
	}
	e.log.printf("docker on route %q: %s", e.Route, e.Why)
	if e.Route == Built {
		if err := installBuilt(ctx, e.log); err != nil {
			return err
		}
		d := newDaemon(e.opts.Instance, e.Dir, e.log)
		if err := d.start(ctx); err != nil {
			return err
		}
		e.daemon = d
	}
	return e.setenv()
}

// PublishedAt is the address at which ports of containers are published, where a client of the daemon does not find it out
// by itself; "" elsewhere.
func (e *Env) PublishedAt() string {
	if e.daemon == nil {
		return ""
	}
	return address(e.opts.Instance)
}
