package e2e

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// Stories on the first two clusters, and those on clusters of their own, are told side by side, in three lanes: that
// takes two processors whole, and each lane half an hour. TestControlPlanes has three nodes, and is told before them:
// beside them it would take twice as long, and each node takes an eighth of a processor for as long as it is there.

// ownClusters is closed when the last story in the lane of clusters of their own has ended.
var ownClusters = closed()

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// onOwnCluster has the test run beside those of other lanes, after those of its own that stand before it in the source.
func onOwnCluster(t *testing.T) {
	former, ended := ownClusters, make(chan struct{})
	ownClusters = ended
	t.Cleanup(func() { close(ended) })
	t.Parallel()
	<-former
}

// TestMainCluster tells the stories of the first cluster, on which the chain stays up between them; the last one removes it.
func TestMainCluster(t *testing.T) {
	needClusters(t)
	meetForeigner(t)
	t.Parallel()
	tell(t, []story{
		{"Chain", testChain},
		{"Doctor", testDoctor},
		{"Issuer", testIssuer},
		{"Load", testLoad},
		{"Rotation", testRotation},
	})
}

// TestOtherCluster tells the stories of the second cluster, each of which begins and ends without a chain.
func TestOtherCluster(t *testing.T) {
	needClusters(t)
	t.Parallel()
	tell(t, []story{
		{"BadInput", testBadInput},
		{"Permissions", testPermissions},
		{"KeepIssuer", testKeepIssuer},
		{"Stranger", testStranger},
		{"Readme", testReadme},
		{"PrivateBucket", testPrivateBucket},
		{"Chart", testChart},
	})
}

const thirdCluster = "openirsa-e2e-third"

// TestThirdCluster tells more such stories, on a cluster like the second one that there is only for them.
func TestThirdCluster(t *testing.T) {
	onOwnCluster(t)
	k := addCluster(t, thirdCluster, kindenv.Shape{ControlPlanes: 1, Tuned: true}, client)
	tell(t, []story{
		{"Migration", func(t *testing.T) { testMigration(t, k) }},
		{"Webhook", func(t *testing.T) { testWebhook(t, k) }},
	})
}

// addCluster makes a cluster that goes with the test, and loads images into it.
func addCluster(t *testing.T, name string, shape kindenv.Shape, images ...kindenv.Image) *kube {
	t.Helper()
	start := time.Now()
	c, err := environment.Add(suite, name, shape)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Remove(c); err != nil {
			t.Error(err)
		}
	})
	k, err := newKube(c, filepath.Join(t.TempDir(), "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Load(suite, images...); err != nil {
		t.Fatal(err)
	}
	t.Logf("the cluster %s after %.0fs", name, time.Since(start).Seconds())
	return k
}

type story struct {
	name string
	run  func(*testing.T)
}

// tell runs stories that share a cluster one after the other. One that fails does not end the others.
func tell(t *testing.T, stories []story) {
	for _, s := range stories {
		start := time.Now()
		t.Run(s.name, s.run)
		t.Logf("%-16s %.1fs", s.name, time.Since(start).Seconds())
		if err := context.Cause(suite); err != nil {
			t.Fatal(err)
		}
	}
}
