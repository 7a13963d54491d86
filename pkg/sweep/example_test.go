package sweep_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/sweep"
)

// Two clusters were made for a job, and the first one has expired.
func Example() {
	ctx := context.Background()
	server, err := emulator.New(emulator.Config{})
	check(err)
	web := httptest.NewServer(server)
	defer web.Close()
	acct, err := account.Connect(ctx, account.Options{Endpoint: web.URL})
	check(err)
	leave(ctx, acct, "ci-1", time.Now().Add(-time.Minute))
	leave(ctx, acct, "ci-2", time.Now().Add(time.Hour))

	all, err := sweep.Find(ctx, acct)
	check(err)
	var due []sweep.Removal
	for _, r := range all {
		verdict, err := sweep.Rules{}.Judge(r, time.Now())
		check(err)
		fmt.Println(r.Cluster, len(r.Things), verdict.Reason)
		if !verdict.Due {
			continue
		}
		steps, err := r.Plan(ctx, acct)
		check(err)
		due = append(due, sweep.Removal{Remains: r, Steps: steps})
	}
	sweep.Remove(ctx, acct, due, func(i int, err error) {
		fmt.Println(due[i].Cluster, "is gone:", err == nil)
	})
	all, err = sweep.Find(ctx, acct)
	check(err)
	fmt.Println("left:", len(all))
	// Output:
	// ci-1 4 expired
	// ci-2 4 lives
	// ci-1 is gone: true
	// left: 1
}

// leave makes what a cluster leaves that is not taken down.
func leave(ctx context.Context, acct *account.Account, cluster string, expires time.Time) {
	key, err := keys.Generate(keys.ES256)
	check(err)
	set, err := keys.NewSet(key.Public())
	check(err)
	f, err := federation.InS3(ctx, acct, "openirsa-"+cluster)
	check(err)
	tags := owner.Tags(cluster, "uid-of-"+cluster)
	tags[owner.ExpiresTag] = expires.UTC().Format(time.RFC3339)
	f.Mark(tags)
	check(f.Up(ctx, nil, set))
	role, err := f.Role(cluster, "default", "app")
	check(err)
	check(f.Grant(ctx, nil, role))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
