package emulator

import "strings"

// podLinkOf is the link that a step of AssumeRoleForPodIdentity is about, where that is
// another than of IRSA.
var podLinkOf = map[string]int{
	"issuer": linkProvider, "audience": linkPod, "association": linkAccount, "permission": linkRole,
}

// podChains are the chains by EKS Pod Identity that there are, and their clusters.
func (s *Server) podChains(view *webIdentityView) {
	view.pods, view.clusters = map[chainKey]bool{}, map[string]*providerView{}
	for _, c := range s.eks.Clusters() {
		arn := s.eks.ARN(c)
		v := providerView{ARN: arn, URL: strings.TrimPrefix(c.Issuer, "https://"), ClientIDs: []string{podAudience}}
		if list := issuersOf(c); list != nil {
			v = s.viewProvider(list[0])
			v.ClientIDs = []string{podAudience}
		}
		view.clusters[arn] = &v
		for _, a := range s.eks.Associations(c) {
			view.pods[chainKey{v.URL, "system:serviceaccount:" + a.Namespace + ":" + a.ServiceAccount, a.RoleARN, arn}] = true
		}
	}
}

// podKey is the key of the chain that an event of a pod is about: the role is that of
// the association, if there is one, and not the one that was asked about.
func (view *webIdentityView) podKey(key chainKey) chainKey {
	key.role = ""
	for there := range view.pods {
		if there.subject == key.subject && there.cluster == key.cluster {
			return there
		}
	}
	return key
}

// standingPod says what is different of a chain of EKS Pod Identity. One without an
// association is broken, whatever was decided when there was one.
func (c *chain) standingPod(v *chainView) {
	if c.cluster == "" {
		return
	}
	v.Links[linkProvider].Kind, v.Links[linkProvider].Value = "cluster", nameOf(c.cluster)
	if c.trusted {
		return
	}
	v.Links[linkRole].State, v.Links[linkRole].Value = linkUnknown, "none"
	if account := &v.Links[linkAccount]; account.State != linkBroken && v.Links[linkProvider].State == linkGood {
		account.State, account.Problem = linkBroken, "there is no pod identity association for it"
		account.Expected, account.Found = []string{"an association of " + v.Name}, nil
	}
	v.State = chainBroken
}
