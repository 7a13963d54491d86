package e2e

import (
	"context"
	"testing"
	"time"
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
		{"Migration", testMigration},
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
		{"Webhook", testWebhook},
		{"Chart", testChart},
	})
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
