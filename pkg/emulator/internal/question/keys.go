package question

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// keysOf are the condition keys that the Service Authorization Reference lists for
// an action on a resource: those of the type of the resource, or of all types if it
// has the form of none.
func (a *asker) keysOf(action *awsapi.Action, resource string) []string {
	keys := slices.Clone(action.Keys)
	var types []string
	for _, use := range action.Types {
		types = append(types, use.Name)
	}
	kind := typeOf(a.service, resource, types)
	for _, use := range action.Types {
		if kind != "" && use.Name != kind {
			continue
		}
		keys = append(keys, use.Keys...)
		if t := a.service.Types[use.Name]; t != nil {
			keys = append(keys, t.Keys...)
		}
	}
	return keys
}

// setKeys sets the condition keys of a question: those of tags, those that the
// family computes, and for all others the member of like name.
func (a *asker) setKeys(q *Question, tags []tag) {
	prefix, _, _ := strings.Cut(q.Action, ":")
	if prefix != a.prefix {
		return
	}
	action := a.listed(q.Action)
	var listed []string
	if action != nil {
		listed = a.keysOf(action, q.Resource)
	}
	takes := func(key string) bool {
		return action == nil || slices.ContainsFunc(listed, func(k string) bool { return hasPrefix(k, key) })
	}
	if a.prefix != "ec2" && (takes("aws:RequestTag/") || takes("aws:TagKeys")) {
		setTags(q, tags)
	}
	if a.family.keys != nil {
		a.family.keys(a, q)
	}
	a.setMembers(q, listed)
	a.setResourceTags(q)
}

// setMembers sets the keys of the service that are named as a member of the input
// is, if that is a scalar or a list of scalars.
func (a *asker) setMembers(q *Question, listed []string) {
	members := make(map[string][]string, len(a.Input)) // by their normal names
	for _, member := range sorted(a.Input) {
		plain := normal(member)
		members[plain] = append(members[plain], member)
	}
	for _, name := range listed {
		service, bare, found := strings.Cut(name, ":")
		if !found || service == "aws" || strings.ContainsAny(bare, "/$<") {
			continue
		}
		if _, set := q.Keys.Values(name); set || name == "kms:KeySpec" { // the member is of a data key
			continue
		}
		for _, member := range members[normal(bare)] {
			if l := list(a.Input[member]); l != nil {
				if values := texts(l); len(values) == len(l) {
					q.Keys.SetMulti(name, values...)
				}
			} else if s, ok := text(a.Input[member]); ok && strings.HasPrefix(a.service.Keys[name], "ArrayOf") {
				q.Keys.SetMulti(name, s)
			} else if ok {
				q.Keys.Set(name, s)
			}
		}
	}
}

// setResourceTags sets the keys of the tags that the resource has. They are asked
// of the world only if a policy mentions one.
func (a *asker) setResourceTags(q *Question) {
	if q.created {
		return
	}
	own := a.prefix + ":ResourceTag/"
	if a.prefix == "rds" {
		r, _ := parseARN(q.tagsOf)
		kind, _, _ := strings.Cut(r.resource, ":")
		own = "rds:" + kind + "-tag/"
	}
	a.tag(q, "aws:ResourceTag/", own)
}

// tag sets the keys of the tags of a resource, by what the keys begin with, if a policy
// mentions one.
func (a *asker) tag(q *Question, keys ...string) {
	q.tagKeys = keys
	if f, ok := q.Tags(a.mentions); ok {
		known, _ := a.find(f)
		q.SetTags(known.Pairs)
	}
}

// Tags is the fact that has the tags of the resource, if one of the condition keys for them
// is mentioned, which is asked as [World.Mentions] is, and [Question.SetTags] was not called.
// The policies of the caller were asked about it, if the resource was known: what else may
// mention them, such as the policy of the resource, is for the caller of this package.
func (q *Question) Tags(mentioned func(key string) bool) (f Fact, ok bool) {
	r, is := parseARN(q.tagsOf)
	if !is || q.tagged || !slices.ContainsFunc(q.tagKeys, mentioned) {
		return Fact{}, false
	}
	return Fact{Kind: Tags, Region: r.region, Account: q.Account, Name: q.tagsOf}, true
}

// SetTags sets the condition keys of the tags that the resource has.
func (q *Question) SetTags(tags map[string]string) {
	q.tagged = true
	for _, name := range sortedPairs(tags) {
		for _, key := range q.tagKeys {
			q.Keys.Set(key+name, tags[name])
		}
	}
}

func sortedPairs(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// everywhere are the global keys that a request has because of who sends it and
// how, which are not for this package to set, and those of tags.
var everywhere = []string{
	"aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast", "aws:CurrentTime", "aws:EpochTime", "aws:FederatedProvider",
	"aws:MultiFactorAuthPresent", "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalIsAWSService", "aws:PrincipalOrgID",
	"aws:PrincipalOrgPaths", "aws:PrincipalTag/", "aws:PrincipalType", "aws:Referer", "aws:RequestTag/", "aws:RequestedRegion",
	"aws:ResourceAccount", "aws:ResourceOrgID", "aws:ResourceOrgPaths", "aws:ResourceTag/",
	"aws:SecureTransport", "aws:SourceIdentity", "aws:SourceIp", "aws:TagKeys", "aws:TokenIssueTime", "aws:UserAgent",
	"aws:userid", "aws:username", "aws:ViaAWSService",
}

// matches reports whether a key is one of some names, of which those that end in
// "/" or ":" stand for all that begin so.
func matches(names []string, key string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		if strings.HasSuffix(name, "/") || strings.HasSuffix(name, ":") {
			return hasPrefix(key, name)
		}
		return strings.EqualFold(name, key)
	})
}
