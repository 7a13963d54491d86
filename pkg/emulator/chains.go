package emulator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/policy"
)

// maxChains bounds the chains that are shown: whoever can connect can send tokens
// with any subject.
const maxChains = 200

// chainView is the chain from the signing key of an issuer to what a service account
// was told last.
type chainView struct {
	// Name is NAMESPACE/NAME of the service account, or the subject of what is none.
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"` // without a scheme
	Role    string `json:"role"`   // ARN
	// State is [chainIntact], [chainBroken] or [chainUnused].
	State string     `json:"state"`
	Links []linkView `json:"links"`
	// Decision is the latest one, null if there is none.
	Decision *Event `json:"decision"`
}

// States of a chain.
const (
	chainIntact = "intact"
	chainBroken = "broken"
	chainUnused = "unused" // nobody has come yet
)

// linkView is a link of a chain.
type linkView struct {
	// Kind is one of the kinds below, in this order.
	Kind string `json:"kind"`
	// State is one of the states below.
	State string `json:"state"`
	// Value says which it is, in short, and Details in full.
	Value   string   `json:"value"`
	Details []string `json:"details,omitempty"`
	// Problem says in words what is wrong, and Expected and Found are the two values
	// that disagree; without Found there was nothing.
	Problem  string   `json:"problem,omitempty"`
	Expected []string `json:"expected,omitempty"`
	Found    []string `json:"found,omitempty"`
}

// Kinds of links, in the order of a chain.
const (
	linkKey = iota
	linkDocuments
	linkProvider
	linkRole
	linkAccount
	linkPod
	linkDecision
	links
)

var linkKinds = [links]string{"key", "documents", "provider", "role", "account", "pod", "decision"}

// States of links.
const (
	linkGood     = "good"
	linkBroken   = "broken"
	linkDoubtful = "doubtful" // it works, and is hardly meant so
	linkUnknown  = "unknown"  // it was not needed yet
	linkDenied   = "denied"   // of a decision: the chain is broken before
)

// linkOf is the link that a step of AssumeRoleWithWebIdentity is about.
var linkOf = map[string]int{
	"parameters": linkPod, "token": linkPod, "claims": linkPod, "duration": linkPod, "session policy": linkPod,
	"provider": linkProvider, "audience": linkProvider,
	"keys": linkKey, "signature": linkKey,
	"roles claim": linkAccount, "trust": linkRole,
}

// chainKey tells chains apart. The cluster is the ARN of one of EKS, of chains by EKS Pod
// Identity, whose role the association says.
type chainKey struct{ issuer, subject, role, cluster string }

// chain is a chain while it is put together.
type chain struct {
	chainKey
	trusted  bool   // the role's trust policy names the subject
	pattern  bool   // ... by a pattern
	assumed  *entry // the latest decision on its token
	called   *entry // the latest decision on a call by a session
	provider *providerView
	role     *roleView
}

// chains are the chains of the service accounts that trust policies name, and of
// those that recent decisions tell of, and how many more there are.
func (s *Server) chains(view *webIdentityView, entries []*entry) ([]chainView, int) {
	all := map[chainKey]*chain{}
	at := func(key chainKey) *chain {
		if all[key] == nil {
			all[key] = &chain{chainKey: key}
		}
		return all[key]
	}
	roleARNs := map[string]string{} // by account and name
	for i := range view.Roles {
		r := &view.Roles[i]
		roleARNs[accountOf(r.ARN)+"/"+nameOf(r.ARN)] = r.ARN
		for _, subject := range r.subjects {
			_, issuer, _ := strings.Cut(subject.Provider, ":oidc-provider/")
			c := at(chainKey{issuer, subject.Name, r.ARN, ""})
			c.trusted, c.pattern = true, subject.Pattern
		}
	}
	for key := range view.pods {
		at(key).trusted = true
	}
	came := map[[2]string]bool{} // issuers and roles that somebody has assumed
	for _, e := range entries {
		if e.Subject == "" {
			continue
		}
		key := chainKey{strings.TrimPrefix(e.Issuer, "https://"), e.Subject, e.Resource, e.Cluster}
		if e.Cluster != "" {
			c := at(view.podKey(key))
			if e.Operation == "AssumeRoleForPodIdentity" {
				c.assumed = e
			} else if e.Step != "warning" {
				c.called = e
			}
			continue
		}
		if e.Operation == "AssumeRoleWithWebIdentity" {
			at(key).assumed = e
			came[[2]string{key.issuer, key.role}] = came[[2]string{key.issuer, key.role}] || e.Decision == Allow
		} else if _, session, ok := strings.Cut(e.Caller, ":assumed-role/"); ok && e.Step != "warning" {
			name, _, _ := strings.Cut(session, "/")
			key.role = roleARNs[accountOf(e.Caller)+"/"+name]
			at(key).called = e
		}
	}
	var list []*chain
	for key, c := range all {
		if !c.pattern || c.assumed != nil || !came[[2]string{key.issuer, key.role}] { // whom a pattern lets in has a chain of its own
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *chain) int {
		return cmp.Or(a.strange()-b.strange(), cmp.Compare(b.seq(), a.seq()), strings.Compare(a.subject, b.subject),
			strings.Compare(a.chainKey.role, b.chainKey.role))
	})
	left := max(0, len(list)-maxChains)
	views := []chainView{}
	for _, c := range list[:len(list)-left] {
		c.place(view)
		views = append(views, c.view(s))
	}
	rank := map[string]int{chainBroken: 0, chainIntact: 1, chainUnused: 2}
	order.By(views, func(a, b chainView) int { return rank[a.State] - rank[b.State] })
	return views, left
}

// strange is 1 if neither a trust policy names the subject nor an issuer has vouched
// for it, so that it may be anybody's invention.
func (c *chain) strange() int {
	if c.trusted || c.called != nil || c.assumed != nil && vouched(&c.assumed.Event) {
		return 0
	}
	return 1
}

// vouched reports whether the token of an event was verified.
func vouched(e *Event) bool {
	if e.Cluster != "" && slices.Contains([]string{"association", "permission"}, e.Step) {
		return true
	}
	return e.Decision == Allow || slices.Contains([]string{"roles claim", "trust", "duration", "session policy"}, e.Step)
}

// latest is the latest decision on a chain, nil if there is none.
func (c *chain) latest() *entry {
	if c.called != nil && (c.assumed == nil || c.called.Seq > c.assumed.Seq) {
		return c.called
	}
	return c.assumed
}

func (c *chain) seq() uint64 {
	if e := c.latest(); e != nil {
		return e.Seq
	}
	return 0
}

// place finds the provider and the role of a chain.
func (c *chain) place(view *webIdentityView) {
	if c.cluster != "" {
		c.provider = view.clusters[c.cluster]
	}
	owner := accountOf(c.chainKey.role)
	ours := func(p providerView) bool {
		return p.URL == c.issuer && (view.Accounts == nil || accountOf(p.ARN) == owner)
	}
	if i := slices.IndexFunc(view.Providers, ours); i >= 0 && c.cluster == "" {
		c.provider = &view.Providers[i]
	}
	if i := slices.IndexFunc(view.Roles, func(r roleView) bool { return r.ARN == c.chainKey.role }); i >= 0 {
		c.role = &view.Roles[i]
	}
}

// view is the chain as it is shown.
func (c *chain) view(s *Server) chainView {
	v := chainView{Name: c.subject, Subject: c.subject, Issuer: c.issuer, Role: c.chainKey.role, State: chainUnused}
	if account, ok := strings.CutPrefix(c.subject, "system:serviceaccount:"); ok {
		v.Name = strings.Replace(account, ":", "/", 1)
	}
	v.Links = make([]linkView, links)
	for i := range v.Links {
		v.Links[i].Kind, v.Links[i].State = linkKinds[i], linkUnknown
	}
	c.standing(&v)
	latest := c.latest()
	if latest == nil {
		c.standingPod(&v)
		v.Links[linkDecision].Value = "none yet"
		return v
	}
	if c.assumed != nil {
		c.decided(&v, c.assumed.read())
	}
	c.standingPod(&v)
	event := s.readEvent(latest)
	v.Decision = &event
	last := &v.Links[linkDecision]
	last.Value, last.Details = event.Decision+" "+event.Action, []string{event.Reason}
	switch {
	case event.Decision == Allow:
		last.State = linkGood
	case event.Decision == WouldDeny:
		last.State, last.Problem = linkDoubtful, "NOT ENFORCED: AWS would have denied it. "+event.Reason
	case latest == c.called:
		last.breakAt(&event)
	default:
		last.State = linkDenied
	}
	if event.Decision != Deny && v.State == chainUnused {
		v.State = chainIntact
	}
	if slices.ContainsFunc(v.Links, func(l linkView) bool { return l.State == linkBroken }) {
		v.State = chainBroken
	}
	return v
}

// standing says how the links are without looking at decisions.
func (c *chain) standing(v *chainView) {
	key, documents, provider, role := &v.Links[linkKey], &v.Links[linkDocuments], &v.Links[linkProvider], &v.Links[linkRole]
	documents.Value, provider.Value, role.Value = "not fetched yet", c.issuer, nameOf(c.chainKey.role)
	v.Links[linkAccount].Value, v.Links[linkPod].Value = v.Name, "none seen yet"
	v.Links[linkAccount].Details = []string{c.subject}
	key.Value = "not seen yet"
	switch p := c.provider; {
	case p == nil && c.cluster != "":
		provider.State, provider.Problem, provider.Expected = linkBroken, "the cluster is not registered", []string{c.cluster}
		v.State = chainBroken
	case p == nil:
		provider.State, provider.Problem = linkBroken, "there is no OIDC provider of the issuer"
		provider.Expected = []string{"a provider for https://" + c.issuer}
		v.State = chainBroken
	default:
		provider.State, provider.Details = linkGood, append([]string{p.ARN}, p.ClientIDs...)
		if p.Fetched == nil {
			break
		}
		for _, f := range p.Fetches {
			documents.Details = append(documents.Details, f.words())
		}
		if len(p.Keys) == 0 {
			documents.broken(strings.Join(p.Problems, "; "), p.Fetches)
			v.State = chainBroken
			break
		}
		documents.State, documents.Value, key.State = linkGood, fmt.Sprintf("fetched, %d keys", len(p.Keys)), linkGood
		if len(p.Keys) == 1 {
			documents.Value = "fetched, 1 key"
		}
		for _, k := range p.Keys {
			key.Details = append(key.Details, k.Type+" "+k.KID)
		}
		key.Value = key.Details[0]
	}
	switch r := c.role; {
	case r == nil && c.chainKey.role == "": // nothing says which it would be
	case r == nil:
		role.State, role.Problem, role.Expected = linkBroken, "there is no such role", []string{c.chainKey.role}
		v.State = chainBroken
	default:
		role.State, role.Details = linkGood, []string{r.ARN}
		if len(r.Warnings) > 0 {
			role.State, role.Problem = linkDoubtful, strings.Join(r.Warnings, " ")
		}
	}
	if v.Name == "" {
		v.Name = "(empty subject)"
	}
}

// words are how the fetch of a document ended.
func (f Fetch) words() string {
	if f.Error != "" {
		return f.Error
	}
	return fmt.Sprintf("%s: %d", f.URL, f.Status)
}

// broken marks the link of documents.
func (l *linkView) broken(why string, fetches []Fetch) {
	l.State, l.Problem, l.Value = linkBroken, why, "not readable"
	l.Expected, l.Found = []string{"a discovery document and a key set that anybody may read"}, []string{why}
	if n := len(fetches); n > 0 && (fetches[n-1].Status != 200 || fetches[n-1].Error != "") {
		l.Expected, l.Found = []string{fetches[n-1].URL + ": 200"}, []string{fetches[n-1].words()}
	}
}

func (l *linkView) breakAt(e *Event) {
	l.State, l.Problem, l.Expected, l.Found = linkBroken, e.Reason, e.Expected, e.Found
}

// decided says what the latest decision on a token tells about the links.
func (c *chain) decided(v *chainView, e Event) {
	pod := &v.Links[linkPod]
	pod.Value = cmp.Or(e.Pod, e.SourceIP)
	pod.Details = []string{"from " + e.SourceIP}
	good := func(kinds ...int) {
		for _, k := range kinds {
			if l := &v.Links[k]; l.State != linkDoubtful {
				l.State, l.Problem, l.Expected, l.Found = linkGood, "", nil, nil
			}
		}
	}
	at, isStep := linkOf[e.Step]
	if link, ok := podLinkOf[e.Step]; ok && c.cluster != "" {
		at, isStep = link, true
	}
	if e.Decision == Allow {
		at = links
	}
	verified := vouched(&e)
	if verified {
		good(linkKey, linkDocuments, linkProvider, linkAccount, linkPod)
		v.Links[linkDocuments].Value = cmp.Or(v.Links[linkDocuments].Value, "fetched")
		if i := slices.IndexFunc(v.Links[linkKey].Details, func(d string) bool { return strings.HasSuffix(d, " "+e.KeyID) }); i >= 0 {
			v.Links[linkKey].Value = v.Links[linkKey].Details[i]
		} else if e.KeyID != "" {
			v.Links[linkKey].Value = e.KeyID
		}
	}
	switch {
	case e.Decision == Allow:
		good(linkRole)
		return
	case !isStep:
		return
	case at == linkKey && e.Step == "keys" && len(e.Expected) == 0 && len(e.Found) == 0:
		good(linkProvider)
		v.Links[linkDocuments].broken(e.Reason, e.Fetches)
	default:
		if at == linkKey {
			good(linkProvider, linkDocuments)
			v.Links[at].Value = cmp.Or(e.KeyID, "no kid")
		}
		v.Links[at].breakAt(&e)
	}
	if at == linkPod && verified {
		good(linkRole)
		v.Links[linkPod].breakAt(&e)
	}
	v.State = chainBroken
}

// subjectsOf are the subjects that a role's trust policy names.
func subjectsOf(p *policy.Policy) []policy.Subject {
	subjects := p.Subjects()
	return subjects[:min(len(subjects), maxShownList)]
}
