package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

func options(t *testing.T) IssuerOptions {
	t.Helper()
	u, err := issuer.Parse(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	return IssuerOptions{URL: u}
}

func set(ctx context.Context, c *ControlPlane, opts IssuerOptions) error {
	steps, err := c.SetIssuer(ctx, opts)
	if err != nil {
		return err
	}
	return plan.Run(ctx, steps, nil)
}

func unset(ctx context.Context, c *ControlPlane, opts IssuerOptions) error {
	steps, err := c.RemoveIssuer(ctx, opts)
	if err != nil {
		return err
	}
	return plan.Run(ctx, steps, nil)
}

func summaries(steps []plan.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.String())
	}
	return all
}

func TestSetIssuer(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, n)
				former := f.nodes[0].files[manifestFile]
				ctx, opts := t.Context(), options(t)
				steps, err := c.SetIssuer(ctx, opts)
				if err != nil {
					t.Fatal(err)
				}
				want := []string{"update API server on node control-plane0"}
				if n == 3 {
					want = nil
					for i := range 3 {
						want = append(want, fmt.Sprintf("update API server on node control-plane%d: accept the issuer", i))
					}
					for i := range 3 {
						want = append(want, fmt.Sprintf("update API server on node control-plane%d", i))
					}
				}
				if diff := cmp.Diff(want, summaries(steps)); diff != "" {
					t.Fatal(diff)
				}
				start := time.Now()
				if err := plan.Run(ctx, steps, nil); err != nil {
					t.Fatal(err)
				}
				if each := time.Since(start) / time.Duration(len(steps)); each > 20*time.Second {
					t.Errorf("%s for each API server: it was not told to hurry", each)
				}
				for _, node := range f.nodes {
					wantFlags := Flags{Issuers: []string{testIssuer, oldIssuer}, JWKSURI: testJWKS, APIAudiences: []string{oldIssuer}, KeyFiles: []string{"/etc/kubernetes/pki/sa.pub"}}
					if diff := cmp.Diff(wantFlags, node.flags()); diff != "" {
						t.Errorf("%s: %s", node.name, diff)
					}
					files := slices.Sorted(maps.Keys(node.files))
					if !slices.Equal(files, []string{manifestFile, formerFile}) || node.files[formerFile] != former {
						t.Errorf("%s has %q", node.name, files)
					}
				}
				ran := len(f.ran)
				again, err := c.SetIssuer(ctx, opts)
				if err != nil || len(again) > 0 {
					t.Errorf("second run: %q, %v", summaries(again), err)
				}
				if len(f.ran) == ran {
					t.Error("the second run did not look")
				}

				for _, node := range f.nodes { // a pod of the time between
					node.issue()
				}
				start = time.Now()
				if err := unset(ctx, c, opts); err != nil {
					t.Fatal(err)
				}
				t.Logf("removal took %s", time.Since(start))
				for _, node := range f.nodes {
					if len(node.files) != 1 || node.files[manifestFile] != former {
						t.Errorf("%s is not as before: %q\n%s", node.name, slices.Collect(maps.Keys(node.files)), cmp.Diff(former, node.files[manifestFile]))
					}
					if node.restarted != 1 {
						t.Errorf("%s: kubelet restarted %d times", node.name, node.restarted)
					}
				}
				if steps, err := c.RemoveIssuer(ctx, opts); err != nil || len(steps) > 0 {
					t.Errorf("second removal: %q, %v", summaries(steps), err)
				}
			})
		})
	}
}

// distinct are the numbers of the commands to be killed at: all, but of
// questions that are asked again and again only the first ones.
//
// Being killed after a question is being killed before the next command, so
// only what changes something is of interest there.
func distinct(ran []string, after bool) []int {
	var ks []int
	for k := range ran {
		changes := strings.Contains(ran[k], writeScript) || strings.Contains(ran[k], copyScript) || strings.Contains(ran[k], makeKeyScript) || strings.Contains(ran[k], "rm-rf") || strings.Contains(ran[k], "systemctl") || strings.Contains(ran[k], hastenScript)
		if after && !changes {
			continue
		}
		if changes || k < 6 || ran[k] != ran[k-2] || ran[k] != ran[k-4] || ran[k] != ran[k-6] {
			ks = append(ks, k)
		}
	}
	return ks
}

// TestKilledAnywhere ends the program before and after each of its commands on
// nodes, or only has that command fail, and expects the next run to reach the
// same end.
func TestKilledAnywhere(t *testing.T) {
	for _, n := range []int{1, 2} {
		for _, how := range []struct{ after, once bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			for _, what := range []string{"set", "remove", "remove unused", "remove at once"} {
				after := how.after
				t.Run(fmt.Sprintf("%s %d nodes after=%t once=%t", what, n, after, how.once), func(t *testing.T) {
					t.Parallel()
					opts := options(t)
					one := func(t *testing.T, k int) (ran []string) {
						f, c := newFake(t, n)
						former := f.nodes[0].files[manifestFile]
						ctx := t.Context()
						if what != "set" {
							if err := set(ctx, c, opts); err != nil {
								t.Fatal(err)
							}
						}
						switch what {
						case "remove unused":
							time.Sleep(2 * time.Minute)
						case "remove", "remove at once":
							f.hasty = what == "remove at once"
							for _, node := range f.nodes { // a pod of the time between
								node.issue()
							}
						}
						end := func() error {
							switch what {
							case "set":
								return set(ctx, c, opts)
							case "remove", "remove unused":
								return unset(ctx, c, opts)
							}
							now := opts
							now.Immediately = true
							return unset(ctx, c, now)
						}
						f.kill, f.after, f.once, f.ran = k, after, how.once, nil
						err := end()
						f.kill = -1
						ran = f.ran
						if k >= 0 && !how.once && !errors.Is(err, errKilled) {
							t.Fatalf("killed at %d: %v", k, err)
						}
						if k%3 == 0 { // sometimes the second run comes late
							time.Sleep(time.Minute)
						}
						if err := end(); err != nil {
							t.Fatalf("run after the one killed at %d: %v", k, err)
						}
						time.Sleep(time.Minute) // kubelet has renewed tokens, if it was told to
						for _, node := range f.nodes {
							if what != "set" && (len(node.files) != 1 || node.files[manifestFile] != former) {
								t.Errorf("killed at %d: %s is not as before: %q", k, node.name, slices.Collect(maps.Keys(node.files)))
							}
							node.pass()
							if got := node.tokens[0].Issuer; what != "set" && got != oldIssuer {
								t.Errorf("killed at %d: %s has a token of %s", k, node.name, got)
							}
							if want := []string{testIssuer, oldIssuer}; what == "set" && !slices.Equal(node.flags().Issuers, want) {
								t.Errorf("killed at %d: %s has %v", k, node.name, node.flags())
							}
							if _, ok := node.files[provenFile]; ok {
								t.Errorf("killed at %d: %s still has %s", k, node.name, provenFile)
							}
							if what == "set" && node.files[formerFile] != former {
								t.Errorf("killed at %d: %s has lost the previous manifest", k, node.name)
							}
						}
						return ran
					}
					var ran []string
					synctest.Test(t, func(t *testing.T) { ran = one(t, -1) })
					ks := distinct(ran, after)
					if len(ks) < 4 {
						t.Errorf("only %d commands to be killed at", len(ks))
					}
					for _, k := range ks {
						synctest.Test(t, func(t *testing.T) { one(t, k) })
						if t.Failed() {
							return
						}
					}
				})
			}
		}
	}
}

func TestRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 3)
		former := f.nodes[1].files[manifestFile]
		f.nodes[1].refuses = func(flags Flags) bool { return slices.Contains(flags.Issuers, testIssuer) }
		opts := options(t)
		opts.Wait = time.Minute
		err := set(t.Context(), c, opts)
		failure, ok := errors.AsType[*APIServerError](err)
		if !ok {
			t.Fatalf("error = %v", err)
		}
		if failure.Node != "control-plane1" || failure.Restore != nil || !strings.Contains(failure.Log, "something is wrong") {
			t.Errorf("failure %+v", failure)
		}
		for _, want := range []string{"control-plane1 was not healthy within 1m0s", "connection refused", "its previous manifest is back and it is healthy again", "something is wrong"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q lacks %q", err, want)
			}
		}
		if f.nodes[1].files[manifestFile] != former || !f.nodes[1].serving {
			t.Error("the previous manifest is not back")
		}
		if strings.Contains(f.nodes[2].files[manifestFile], testIssuer) || f.nodes[0].flags().Issuers[0] != oldIssuer {
			t.Error("it went on with other nodes")
		}
		// Nothing that another attempt, or the removal, would not mend.
		f.nodes[1].refuses = func(Flags) bool { return false }
		if err := set(t.Context(), c, opts); err != nil {
			t.Fatal(err)
		}
		if err := unset(t.Context(), c, opts); err != nil {
			t.Fatal(err)
		}
		if f.nodes[1].files[manifestFile] != former {
			t.Error("the removal did not bring the previous manifest back")
		}
	})
}

// A run is killed while it waits, and the manifest turns out to be one with
// which the API server does not come up: the next run goes back.
func TestRollbackAfterKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		former := f.nodes[0].files[manifestFile]
		f.nodes[0].refuses = func(flags Flags) bool { return slices.Contains(flags.Issuers, testIssuer) }
		opts := options(t)
		opts.Wait = time.Minute
		f.kill = 30
		if err := set(t.Context(), c, opts); !errors.Is(err, errKilled) || f.nodes[0].files[manifestFile] == former {
			t.Fatalf("error = %v", err)
		}
		f.kill = -1
		err := set(t.Context(), c, opts)
		if failure, ok := errors.AsType[*APIServerError](err); !ok || failure.Restore != nil {
			t.Fatalf("error = %v", err)
		}
		if f.nodes[0].files[manifestFile] != former {
			t.Error("the previous manifest is not back")
		}
	})
}

// Two changes in a row fail, the first one unseen: the manifest to go back to
// is the last healthy one, not the first change.
func TestRollbackToTheLastHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		former := f.nodes[0].files[manifestFile]
		f.nodes[0].refuses = func(flags Flags) bool { return len(flags.Issuers) > 1 }
		f.kill = 30
		if err := set(t.Context(), c, options(t)); !errors.Is(err, errKilled) || f.nodes[0].files[manifestFile] == former {
			t.Fatalf("error = %v", err)
		}
		f.kill = -1
		other, err := issuer.Parse("https://openirsa-other.s3.eu-west-1.amazonaws.com")
		if err != nil {
			t.Fatal(err)
		}
		err = set(t.Context(), c, IssuerOptions{URL: other, Own: []string{testIssuer}})
		if failure, ok := errors.AsType[*APIServerError](err); !ok || failure.Restore != nil {
			t.Fatalf("error = %v", err)
		}
		if f.nodes[0].files[manifestFile] != former {
			t.Error("the last healthy manifest is not back")
		}
	})
}

func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newFake(t, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("interrupted by the user")
		time.AfterFunc(8*time.Second, func() { cancel(cause) })
		if err := set(ctx, c, options(t)); !errors.Is(err, cause) {
			t.Errorf("error = %v", err)
		}
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestOtherIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 2)
		node := f.nodes[1]
		node.files[manifestFile] = strings.ReplaceAll(node.files[manifestFile], oldIssuer, "https://oidc.example.com/them")
		for _, n := range f.nodes {
			n.tokens = nil
		}
		other, ok := errors.AsType[*OtherIssuerError](set(t.Context(), c, options(t)))
		if !ok || other.Issuer != "https://oidc.example.com/them" || other.Node != "control-plane1" {
			t.Fatalf("error = %v", other)
		}
		if strings.Contains(f.nodes[0].files[manifestFile], testIssuer) {
			t.Error("another node was changed all the same")
		}
	})
}

func TestPublic(t *testing.T) {
	for iss, want := range map[string]bool{
		"https://kubernetes.default.svc.cluster.local": false,
		"https://kubernetes.default.svc":               false,
		"https://kubernetes.default.svc.corp.internal": false,
		"https://kubernetes.default":                   false,
		"https://Kubernetes.Default.svc.":              false,
		"https://oidc.tenant.svc.cluster.local":        false,
		"kubernetes/serviceaccount":                    false,
		"http://oidc.example.com":                      false,
		"api":                                          false,
		"https://oidc.example.com/x":                   true,
		"https://kubernetes.default.svc@example.com":   true,
		"https://kubernetes.default.example.com":       true,
		testIssuer:                                     true,
	} {
		if public(iss) != want {
			t.Errorf("public(%q) = %t", iss, !want)
		}
	}
}

// An API server that was created with the issuer keeps it.
func TestRemoveIssuerNotSetByUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		node := f.nodes[0]
		m, err := parseManifest([]byte(node.files[manifestFile]))
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.With(Flags{Issuers: []string{testIssuer, oldIssuer}, JWKSURI: testJWKS, KeyFiles: m.Flags.KeyFiles})
		if err != nil {
			t.Fatal(err)
		}
		node.files[manifestFile] = string(text)
		node.start()
		if steps, err := c.SetIssuer(t.Context(), options(t)); err != nil || len(steps) > 0 {
			t.Errorf("set: %q, %v", summaries(steps), err)
		}
		if steps, err := c.RemoveIssuer(t.Context(), options(t)); err != nil || len(steps) > 0 {
			t.Errorf("remove: %q, %v", summaries(steps), err)
		}
	})
}

// What others change in the manifest meanwhile stays; what an upgrade writes
// again becomes what to go back to.
func TestManifestChangedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		node := f.nodes[0]
		former := node.files[manifestFile]
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		edit := func(old, new string) {
			t.Helper()
			text := strings.Replace(node.files[manifestFile], old, new, 1)
			if text == node.files[manifestFile] {
				t.Fatalf("no %q", old)
			}
			node.files[manifestFile] = text
			node.changed = time.Now()
			time.Sleep(time.Minute)
			node.pass()
		}
		edit("    - --secure-port=6443\n", "    # theirs\n    - --v=4\n    - --secure-port=6443\n")
		edit("    - --service-account-issuer="+oldIssuer+"\n", "    - --service-account-issuer="+oldIssuer+"\n    - --service-account-issuer=https://third.example\n")
		if err := unset(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		want := strings.Replace(former, "    - --secure-port=6443\n", "    # theirs\n    - --v=4\n    - --secure-port=6443\n", 1)
		want = strings.Replace(want, "    - --service-account-issuer="+oldIssuer+"\n", "    - --service-account-issuer="+oldIssuer+"\n    - --service-account-issuer=https://third.example\n", 1)
		if diff := cmp.Diff(want, node.files[manifestFile]); diff != "" {
			t.Errorf("after the removal (-want +got):\n%s", diff)
		}

		f, c = newFake(t, 1)
		node = f.nodes[0]
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		upgraded := strings.Replace(former, "v1.37.2", "v1.38.0", 1)
		node.files[manifestFile] = upgraded
		node.changed = time.Now()
		node.tokens = nil
		time.Sleep(time.Minute)
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		if err := unset(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(upgraded, node.files[manifestFile]); diff != "" {
			t.Errorf("after the removal (-want +got):\n%s", diff)
		}
	})
}

func TestTokensNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		node := f.nodes[0]
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		node.issue()
		node.noKubelet = true
		err := unset(t.Context(), c, options(t))
		if err == nil || !strings.Contains(err.Error(), "1 pods still have tokens of the issuer to be removed, such as pod default/pod on node control-plane0") {
			t.Errorf("error = %v", err)
		}
		if got := node.flags().Issuers; !slices.Equal(got, []string{oldIssuer, testIssuer}) {
			t.Errorf("issuers %v: the token in the pod must still be accepted", got)
		}
	})
}

// A pod whose service account was deleted keeps a token that is void and that
// kubelet cannot renew; nobody waits for it.
func TestTokenOfADeletedServiceAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		node := f.nodes[0]
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		void := fakeToken{Issuer: testIssuer, Audience: node.flags().audiences(), IssuedAt: time.Now().Unix()}
		void.Account = deletedAccount
		node.tokens = append(node.tokens, void)
		if err := unset(t.Context(), c, options(t)); err != nil {
			t.Error(err)
		}
		if got := node.flags().Issuers; !slices.Equal(got, []string{oldIssuer}) {
			t.Errorf("issuers %v", got)
		}
	})
}

// A removal that ends when the tokens are renewed, and one that continues later,
// give the same end as the whole, with less to wait for.
func TestRemoveIssuerInTwoHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 2)
		former := f.nodes[0].files[manifestFile]
		if err := set(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		for _, node := range f.nodes {
			node.issue()
		}
		steps, err := c.RemoveIssuer(t.Context(), options(t))
		if err != nil {
			t.Fatal(err)
		}
		renewed := 1 + slices.IndexFunc(steps, func(s plan.Step) bool { return s.Summary == "tokens of running pods" })
		if renewed != 3 {
			t.Fatalf("steps %q", summaries(steps))
		}
		if err := plan.Run(t.Context(), steps[:renewed], nil); err != nil {
			t.Fatal(err)
		}
		for _, node := range f.nodes {
			if got := node.tokens[0].Issuer; got != oldIssuer {
				t.Errorf("%s: the token in the pod is still of %s", node.name, got)
			}
			if age := time.Since(time.Unix(node.tokens[0].IssuedAt, 0)); age < token.ClientReload {
				t.Errorf("%s: clients had %s to read the new token", node.name, age)
			}
		}
		if again, err := c.RemoveIssuer(t.Context(), options(t)); err != nil || !slices.Equal(summaries(again), summaries(steps[renewed-1:])) {
			t.Errorf("second time: %q, %v", summaries(again), err)
		}
		time.Sleep(2 * time.Minute) // other things to do
		start := time.Now()
		if err := unset(t.Context(), c, options(t)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 50*time.Second {
			t.Errorf("the second half took %s", took)
		}
		for _, node := range f.nodes {
			if len(node.files) != 1 || node.files[manifestFile] != former {
				t.Errorf("%s is not as before", node.name)
			}
		}
	})
}

// Where no pod uses the issuer, one restart is enough.
func TestRemoveIssuerUnused(t *testing.T) {
	const leaving = "default" // the fake pod's namespace
	for name, c := range map[string]struct {
		nodes   int
		carries bool // the pod has a token of the issuer
		leaving string
		recent  bool // the issuer has been used within a minute
		late    bool // a pod gets a token when it is decided
		killed  bool // right after the API server was restarted
		young   bool // the issuer was set a moment ago
		starts  int  // of the API server
	}{
		"unused":                 {nodes: 1, starts: 1},
		"by pods that go before": {nodes: 1, carries: true, leaving: leaving, starts: 1},
		"used":                   {nodes: 1, carries: true, leaving: "another", starts: 2},
		"used a moment ago":      {nodes: 1, recent: true, starts: 2},
		"used a moment later":    {nodes: 1, late: true, starts: 1},
		"killed too early":       {nodes: 1, late: true, killed: true, starts: 1},
		"a young cluster":        {nodes: 1, young: true, starts: 1},
		"several API servers":    {nodes: 2, starts: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, cp := newFake(t, c.nodes)
				former := f.nodes[0].files[manifestFile]
				time.Sleep(time.Second) // as exactly as times are known
				if err := set(t.Context(), cp, options(t)); err != nil {
					t.Fatal(err)
				}
				if !c.young {
					time.Sleep(2 * time.Minute)
				}
				opts := options(t)
				opts.Leaving = c.leaving
				node := f.nodes[0]
				if c.carries {
					f.hasty = c.leaving == leaving // or it would be seen that its token is refused
					node.issue()
				}
				if c.recent {
					node.tokens[0].IssuedAt = time.Now().Add(-time.Minute).Unix()
				}
				unused, err := cp.Unused(t.Context(), opts)
				if want := c.starts == 1; err != nil || unused != want {
					t.Errorf("unused: %t, %v, want %t", unused, err, want)
				}
				steps, err := cp.RemoveIssuer(t.Context(), opts)
				if err != nil {
					t.Fatal(err)
				}
				if c.late {
					f.hasty = true
					node.issue()
				}
				starts, restarted := node.starts, node.restarted
				if c.killed {
					if err := plan.Run(t.Context(), steps[:1], nil); err != nil {
						t.Fatal(err)
					}
					opts.URL = issuer.URL{} // the record is gone by then
					if steps, err = cp.RemoveIssuer(t.Context(), opts); err != nil {
						t.Fatal(err)
					}
				}
				if err := plan.Run(t.Context(), steps, nil); err != nil {
					t.Fatal(err)
				}
				if got := node.starts - starts; got != c.starts {
					t.Errorf("the API server was started %d times, want %d", got, c.starts)
				}
				want := 0
				if c.late || c.carries && c.leaving != leaving {
					want = 1
				}
				if got := node.restarted - restarted; got != want {
					t.Errorf("kubelet was restarted %d times, want %d", got, want)
				}
				time.Sleep(time.Minute)
				node.pass()
				if got := node.tokens[0].Issuer; got != oldIssuer && c.leaving != leaving {
					t.Errorf("the pod has a token of %s", got)
				}
				for _, node := range f.nodes {
					if len(node.files) != 1 || node.files[manifestFile] != former {
						t.Errorf("%s is not as before", node.name)
					}
				}
			})
		})
	}
}

func TestSetIssuerNoNodes(t *testing.T) {
	f := fakeAPI{kubefake.New(t), t}
	c := of(t, f.Config(), nil, false)
	pending := func(nodes ...string) {
		t.Helper()
		_, err := c.SetIssuer(t.Context(), options(t))
		if e, ok := errors.AsType[*PendingError](err); !ok || !errors.Is(err, cluster.ErrNoNodeAccess) || !slices.Equal(e.Nodes, nodes) {
			t.Errorf("error = %v, want one about nodes %q", err, nodes)
		}
	}
	done := func() {
		t.Helper()
		if steps, err := c.SetIssuer(t.Context(), options(t)); err != nil || len(steps) > 0 {
			t.Errorf("%q, %v", summaries(steps), err)
		}
	}
	accepting := func(nodes ...string) {
		t.Helper()
		got, err := c.NodesAccepting(t.Context(), options(t).URL)
		if err != nil || !slices.Equal(got, nodes) {
			t.Errorf("accepted on %q, %v; want %q", got, err, nodes)
		}
	}
	setIssuer := func(iss string) {
		f.Mu.Lock()
		defer f.Mu.Unlock()
		f.Issuer = iss
	}

	// A cluster that does not show its API servers.
	pending("")
	accepting()
	setIssuer("")
	pending("")
	setIssuer(testIssuer) // somebody has set it
	done()
	accepting("")
	setIssuer("https://issuer.example.com")
	if _, err := c.SetIssuer(t.Context(), options(t)); !strings.HasPrefix(fmt.Sprint(err), "the API server already has") {
		t.Errorf("error = %v", err)
	}

	// One that shows them counts each of them.
	setIssuer(testIssuer)
	f.apiServer("cp1", "10.0.0.1", readySince, testIssuer, oldIssuer)
	f.apiServer("cp2", "10.0.0.2", readySince, oldIssuer, testIssuer)
	pending("cp2")
	accepting("cp1", "cp2")
	f.apiServer("cp2", "10.0.0.2", readySince, testIssuer, oldIssuer)
	done()

	// One without a mirror pod, since kubelet replaces it, is waited for.
	for what, check := range map[string]func(){"accepts": func() { accepting("cp1", "cp2", "cp3") }, "does not issue": func() { pending("cp3") }} {
		f.replaced("cp3", "10.0.0.3")
		f.Mu.Lock()
		f.Delete("/api/v1/namespaces/kube-system/pods/kube-apiserver-cp3", corev1.SchemeGroupVersion.WithKind("Pod"))
		f.Mu.Unlock()
		time.AfterFunc(time.Second, func() { f.apiServer("cp3", "10.0.0.3", readySince, oldIssuer, testIssuer) })
		start := time.Now()
		check()
		if took := time.Since(start); took < time.Second {
			t.Errorf("what %s was told after %s", what, took)
		}
	}
}
