package chaintest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/token"
)

// Refused are the requests that the emulator denied to a service account since a
// time: the exchange of its tokens, and what it called with the credentials that it
// got for one since then. The emulator keeps the latest events only.
func (c *Chain) Refused(ctx context.Context, namespace, name string, since time.Time) ([]emulator.Event, error) {
	// An age, not a time: the clocks of the emulator and of this machine differ.
	events, err := c.events(ctx, map[string]string{"since": time.Since(since).Round(time.Second).String()})
	if err != nil {
		return nil, fmt.Errorf("reading the emulator's events: %w", err)
	}
	return refusedTo(token.Subject(namespace, name), events), nil
}

// refusedTo are the denials among events that hit the holder of tokens with a
// subject.
func refusedTo(subject string, events []emulator.Event) (refused []emulator.Event) {
	its := map[string]bool{} // access keys
	for _, e := range events {
		if e.Subject == subject && e.Session != nil {
			its[e.Session.AccessKeyID] = true
		}
		if e.Decision == emulator.Deny && (e.Subject == subject || its[e.AccessKeyID]) {
			refused = append(refused, e)
		}
	}
	return refused
}

// events asks the emulator, through the API server.
func (c *Chain) events(ctx context.Context, query map[string]string) ([]emulator.Event, error) {
	const most = 10000
	query["limit"] = strconv.Itoa(most)
	request := c.Chain.Cluster.Client().REST().Get().AbsPath("/api/v1").Namespace(deploy.Namespace).Resource("services").
		Name(fmt.Sprintf("http:%s:%d", deploy.EmulatorName, deploy.EmulatorPort)).SubResource("proxy").Suffix("/_openirsa/events")
	for key, value := range query {
		request.Param(key, value)
	}
	body, err := request.DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var answer struct{ Events []emulator.Event }
	err = json.Unmarshal(body, &answer)
	return answer.Events, err
}

// explanation is what a test says of a service account when it fails.
type explanation struct {
	t               testing.TB
	namespace, name string
}

// explain writes into the log of a test that failed what was refused to a service
// account since it was first called.
func (c *Chain) explain(t testing.TB, namespace, name string) {
	if _, again := c.explained.LoadOrStore(explanation{t, namespace, name}, true); again {
		return
	}
	since := time.Now()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		refused, err := c.Refused(ctx, namespace, name, since)
		if err != nil {
			t.Logf("chaintest: %v", err)
		}
		for _, e := range refused {
			t.Logf("refused to service account %s/%s: %s: %s: %s", namespace, name, e.Operation, e.Code, e.Reason)
		}
	})
}
