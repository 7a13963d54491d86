package chain

import (
	"context"
	"net/http"
	"net/http/httptest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/plan"
)

// loadImage puts the image into the nodes that lack it.
func (u *upRun) loadImage(ctx context.Context) error {
	if u.img == nil {
		return nil // pulled from a registry
	}
	return u.run.Link(ctx, plan.Image, u.Record.Image, func(ctx context.Context) ([]plan.Step, error) {
		return u.Cluster.LoadImage(ctx, u.Record.Image, u.img.Archive)
	})
}

// installEmulator installs the emulator and connects to it. In a dry run in
// which it is not there yet, an empty one in this process takes its place and
// answers as the new one would.
func (u *upRun) installEmulator(ctx context.Context) error {
	if !u.emulator {
		return nil
	}
	objects, err := deploy.Emulator(u.EmulatorParams())
	if err != nil {
		return err
	}
	address, err := u.emulatorAddress(ctx)
	if err != nil {
		return err
	}
	err = u.run.Link(ctx, plan.Emulator, deploy.Namespace+"/"+deploy.EmulatorName+": AWS STS, IAM and S3",
		func(ctx context.Context) ([]plan.Step, error) {
			steps, err := u.Cluster.MakeNodeState(ctx)
			if err != nil {
				return nil, err
			}
			more, err := u.rollout(ctx, plan.Emulator, deploy.EmulatorName, objects[1:]) // the namespace is there
			steps = append(steps, more...)
			if address == "" || address != u.Record.Endpoint {
				steps = append(steps, plan.Step{Link: plan.Emulator, Action: plan.Update, Summary: "its address in the record", Do: u.recordAddress})
			}
			return steps, err
		})
	if err != nil {
		return err
	}
	if u.o.DryRun && address == "" {
		server, err := emulator.New(emulator.Config{Account: u.Record.Account})
		if err != nil {
			return err
		}
		if err := u.Use(ctx, "http://127.0.0.1", &http.Client{Transport: inProcess{server}}); err != nil {
			return err
		}
		return u.checkAWS(ctx)
	}
	if err := u.Connect(ctx); err != nil {
		return err
	}
	return u.checkAWS(ctx)
}

// recordAddress records the address that the emulator was given.
func (u *upRun) recordAddress(ctx context.Context) error {
	var err error
	if u.Record.Endpoint, err = u.emulatorAddress(ctx); err != nil {
		return err
	}
	steps, err := u.Cluster.SetState(ctx, u.toRecord())
	if err != nil {
		return err
	}
	return plan.Run(ctx, steps, nil)
}

// inProcess is a transport that has a handler of this process answer.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	server := r.Clone(r.Context())
	server.RequestURI = r.URL.RequestURI()
	server.RemoteAddr = "127.0.0.1:0"
	if server.Host == "" {
		server.Host = r.URL.Host
	}
	if server.Body == nil {
		server.Body = http.NoBody
	}
	t.handler.ServeHTTP(w, server)
	return w.Result(), nil
}

// webhook is link 7. The configuration that makes API servers ask it comes last,
// when the webhook is there to answer.
func (u *upRun) webhook(ctx context.Context) error {
	objects, err := u.WebhookObjects(ctx)
	if err != nil {
		return err
	}
	last := len(objects) - 1
	return u.run.Link(ctx, plan.Webhook, deploy.Namespace+"/"+deploy.WebhookName, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := u.rollout(ctx, plan.Webhook, deploy.WebhookName, objects[1:last]) // the namespace is there
		if err != nil {
			return nil, err
		}
		register, err := u.Cluster.Apply(ctx, objects[last:], plan.Webhook)
		if err != nil {
			return nil, err
		}
		step := func(summary string, do func(context.Context) error) plan.Step {
			return plan.Step{Link: plan.Webhook, Action: plan.Update, Summary: summary, Do: do}
		}
		missing := ""
		if len(register) == 0 {
			if missing, err = u.Cluster.FirstWithoutCABundle(ctx, deploy.WebhookConfiguration); err != nil {
				return nil, err
			}
			if missing == "" && len(steps) == 0 && u.Cluster.Unreached(ctx, deploy.PodWebhook) == nil {
				return nil, nil
			}
		}
		steps = append(steps, register...)
		if len(register) > 0 || missing != "" {
			steps = append(steps, step("wait for the webhook's certificate in its configuration", func(ctx context.Context) error {
				return u.Cluster.WaitForCABundle(ctx, deploy.WebhookConfiguration, u.o.Wait)
			}))
		}
		return append(steps, step("wait until the API server reaches the webhook", func(ctx context.Context) error {
			return u.Cluster.WaitUntilReached(ctx, deploy.PodWebhook, u.o.Wait)
		})), nil
	})
}

// rollout applies objects, with a Deployment among them, and waits for that; also
// where only an earlier run has changed it and did not wait. Nothing after it works
// without it.
func (u *upRun) rollout(ctx context.Context, link, name string, objects []*unstructured.Unstructured) ([]plan.Step, error) {
	steps, err := u.Cluster.Apply(ctx, objects, link)
	if err != nil {
		return nil, err
	}
	done, err := u.Cluster.RolledOut(ctx, objects)
	if err != nil || done && len(steps) == 0 {
		return steps, err
	}
	return append(steps, plan.Step{Link: link, Action: plan.Update, Summary: "rollout of " + name, Do: func(ctx context.Context) error {
		return u.Cluster.Rollout(ctx, objects, u.o.Wait)
	}}), nil
}
