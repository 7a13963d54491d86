// Package doctor finds the first broken link of the chain between a cluster's
// signing key and a pod's credentials.
//
// AWS answers every fault in that chain with one of three sentences. Here the
// chain is walked on facts that were gathered before, by whoever can reach the
// systems, and each link is held against its neighbours:
//
//	findings := doctor.Diagnose(facts)
//	if broken, ok := doctor.First(findings); ok {
//		fmt.Println(broken.Link, broken.Expected, broken.Found, broken.Fix.Shell("setup"))
//	}
//
// The package reaches nothing. A fact that could not be gathered is an error in
// [Facts], and what depends on it is [Unknown], not broken.
package doctor

// Diagnose walks the chain in its order and returns what every check found. Without
// the name of a service account it checks only what all of them share.
func Diagnose(f Facts) []Finding {
	d := &diagnosis{Facts: f}
	d.readToken()
	d.apiServers()
	d.signingKey()
	if f.Name != "" {
		d.freshToken()
	}
	d.documents()
	if d.irsa() {
		d.provider()
	}
	if f.Name != "" && d.irsa() {
		d.role()
		d.serviceAccount()
	} else if d.ServiceAccount != nil {
		d.ignored()
	}
	d.podIdentity()
	d.webhook()
	if f.Name == "" {
		return d.findings
	}
	d.pods()
	if d.irsa() {
		d.credentials()
	}
	if d.associated() {
		d.exchange()
	}
	return d.findings
}
