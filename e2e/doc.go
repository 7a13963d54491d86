// Package e2e holds the end-to-end tests: the project's real programs on real kind clusters, with AWS's own
// clients in the pods.
//
//	make build && cd e2e && go test -count=1 -parallel 5 -timeout 80m -v .
//
// The first test that needs the two shared clusters brings them up (package kindenv says how, and keeps what it builds
// outside the checkout); TestMain takes them down at the end, also after a failure or an interrupt. Where no cluster is
// possible, the tests fail if CI=true and are skipped otherwise, with the reason.
//
// The environment:
//
//	OPENIRSA_BIN             folder of setup and emulator (default ../bin)
//	OPENIRSA_E2E_KEEP=1      leave the clusters up at the end, and take those that are up at the start
//	OPENIRSA_E2E_INSTANCE    keeps test runs on one machine apart, 1 to 99 (default 1)
//	OPENIRSA_E2E_ROUTE       "kind" or "built" instead of the first that works
//	OPENIRSA_E2E_TOKEN_LIFETIME  how long Rotation and Migration use a token (default 90s, at most 10m)
//
// TestControlPlanes makes a cluster of three control planes, and runs before the others. These run side by side, each on
// clusters of its own. TestMainCluster and TestOtherCluster tell the stories of the two shared clusters, one after the
// other; TestKubeadm makes a cluster of two control planes, TestExamples has the examples make theirs, and then
// TestThirdCluster tells the stories of a third shared one. The steps of a story are subtests in order. A step that needs
// the chain makes it if it is not there, so that with OPENIRSA_E2E_KEEP=1 a single one can be run again and again:
//
//	OPENIRSA_E2E_KEEP=1 go test -count=1 -v -run TestMainCluster/Chain/S3 .
//
// While Rotation, Migration and TestControlPlanes change what signs tokens, a pod (client load) presents tokens of all
// ages to STS and to the API servers, and a single refusal fails the test.
//
// Kubelet of the clusters that the tests share, and of the one with three control planes, starts what has ended again
// within seconds. That of TestKubeadm's has its own defaults.
package e2e
