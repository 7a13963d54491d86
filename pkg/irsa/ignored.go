package irsa

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// IncludeContainers, on a pod or a service account, is written by people who
// expect the opposite of [Prefix.SkipContainers]. No webhook has ever read it.
func (p Prefix) IncludeContainers() string { return string(p) + "/include-containers" }

// OnServiceAccounts are the annotations of service accounts that mean something.
func (p Prefix) OnServiceAccounts() []string {
	return []string{p.RoleARN(), p.AudienceKey(), p.TokenExpiration(), p.RegionalSTS(), p.RoleSessionName()}
}

// forPods are the annotations of pods. Some versions of the original read the
// last one; here a pod does not wait longer for it.
func (p Prefix) forPods() []string {
	return []string{p.TokenExpiration(), p.SkipContainers(), p.RoleSessionName(), string(p) + "/service-account-lookup-grace-period"}
}

// mostIgnored bounds the lists of ignored annotations, whatever an object holds.
const mostIgnored = 4

// Ignored describes the annotations of a service account that were meant to have
// an effect and have none: a sentence each, for a few of them.
func (p Prefix) Ignored(annotations map[string]string) []string {
	mistakes, others := p.ignored(annotations, p.OnServiceAccounts(), p.ignoredOnServiceAccount)
	return slices.Concat(mistakes, others)
}

// IgnoredKeys are the keys that [Prefix.Ignored] describes, and perhaps a few more.
func (p Prefix) IgnoredKeys(annotations map[string]string) (keys []string) {
	for key := range annotations {
		if strings.HasPrefix(key, string(p)+"/") && !slices.Contains(p.OnServiceAccounts(), key) || p.foreign(key) != "" {
			if keys = append(keys, key); len(keys) == 2*mostIgnored {
				break
			}
		}
	}
	return keys
}

func (p Prefix) ignoredOnServiceAccount(key string) string {
	switch key {
	case p.SkipContainers():
		return "means nothing on a service account; it belongs on pods, or on the pod template of what makes them"
	case p.IncludeContainers():
		return "is not known; all containers get the identity but those that the pod's " + p.SkipContainers() + " lists"
	}
	return p.foreign(key)
}

// IgnoredOnPod is Ignored for the annotations of a pod. Mistakes are of a fixed
// number of kinds; others repeat what the pod's author wrote.
func (p Prefix) IgnoredOnPod(annotations map[string]string) (mistakes, others []string) {
	return p.ignored(annotations, p.forPods(), func(key string) string {
		switch {
		case slices.Contains(p.OnServiceAccounts(), key):
			return "means nothing on a pod; it belongs on the pod's service account"
		case key == p.IncludeContainers():
			return "is not known; all containers get the identity but those that " + p.SkipContainers() + " lists"
		case key == SkipLabel:
			return "means nothing as an annotation; it is a label"
		}
		return p.foreign(key)
	})
}

// foreign explains the annotation of somebody who does not know that this
// webhook uses another prefix.
func (p Prefix) foreign(key string) string {
	if p == DefaultPrefix || key != DefaultPrefix.RoleARN() {
		return ""
	}
	return fmt.Sprintf("means nothing here, where the prefix of annotations is %q", string(p))
}

// ignored explains the unknown keys. why may know more about a key.
func (p Prefix) ignored(annotations map[string]string, known []string, why func(key string) string) (mistakes, others []string) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if slices.Contains(known, key) {
			continue
		}
		switch reason := why(key); {
		case reason != "" && len(mistakes) < mostIgnored:
			mistakes = append(mistakes, fmt.Sprintf("annotation %s %s", key, reason))
		case reason == "" && strings.HasPrefix(key, string(p)+"/") && len(others) < mostIgnored:
			others = append(others, fmt.Sprintf("annotation %.100q is not known and means nothing", key))
		}
	}
	return mistakes, others
}
