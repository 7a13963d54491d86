// Package e2e holds the end-to-end tests: the project's real programs on real kind clusters, with AWS's own
// clients in the pods.
//
//	make build && cd e2e && go test -count=1 -parallel 2 -timeout 75m -v .
//
// TestMain brings two clusters up (package kindenv says how, and keeps what it builds outside the checkout) and
// takes them down at the end, also after a failure or an interrupt. Where no cluster is possible, the tests fail
// if CI=true and are skipped otherwise, with the reason.
//
// The environment:
//
//	OPENIRSA_BIN             folder of setup and emulator (default ../bin)
//	OPENIRSA_E2E_KEEP=1      leave the clusters up at the end, and take those that are up at the start
//	OPENIRSA_E2E_INSTANCE    keeps test runs on one machine apart, 1 to 99 (default 1)
//	OPENIRSA_E2E_ROUTE       "kind" or "built" instead of the first that works
//	OPENIRSA_E2E_TOKEN_LIFETIME  how long TestRotation and TestMigration use a token (default 90s, at most 10m)
//
// TestChain is one story on one cluster, and its steps are subtests in order. A step that needs the chain makes it
// if it is not there, so that with OPENIRSA_E2E_KEEP=1 a single step can be run again and again:
//
//	OPENIRSA_E2E_KEEP=1 go test -count=1 -v -run TestChain/S3 .
//
// TestKubeadm, TestRotation, TestMigration and TestControlPlanes come last and run side by side, on a cluster each: the
// two of TestMain and others with two and three control planes. While the last three change what signs tokens, a pod
// (client load) presents tokens of all ages to STS and to the API servers, and a single refusal fails the test. The
// clusters share the machine: on two cores, no more than two at a time (-parallel 2).
package e2e
