package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/irsa"
)

// ConfigMap is the ConfigMap that may grant roles besides the service
// accounts' own annotations; they are under its key ConfigMapKey.
const (
	ConfigMap    = "pod-identity-webhook"
	ConfigMapKey = "config"
)

// maxRoles is how many entries [ConfigMap] may have. A ConfigMap has a megabyte at
// most, which does for half of them.
const maxRoles = 20_000

// roleMap is what [ConfigMap] grants.
type roleMap struct {
	exact map[string]roleEntry // by "namespace/name"
	globs []roleGlob           // the most specific first
}

type roleEntry struct {
	id       irsa.Identity
	warnings []string
	err      error // an [*irsa.AnnotationError]: the entry is malformed
	// malformed is an [*irsa.AnnotationError] about what a default stands in for.
	malformed error
}

type roleGlob struct {
	namespace string // a pattern as of [path.Match]
	name      string
	roleEntry
}

// parseRoleMap reads the ConfigMap's JSON, {"namespace/name": {"RoleARN",
// "Audience", "UseRegionalSTS", "TokenExpiration"}}. The namespace may be a
// pattern: "*" or "test-*". "" is an empty map.
//
// If the text cannot be read at all the map is nil; if only some entries
// cannot, the map has all others, and the error tells about those.
func parseRoleMap(text []byte, d irsa.Defaults) (*roleMap, error) {
	m := &roleMap{exact: map[string]roleEntry{}}
	if len(text) == 0 {
		return m, nil
	}
	var entries map[string]struct {
		RoleARN         string
		Audience        string
		UseRegionalSTS  bool
		TokenExpiration int64
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, fmt.Errorf("reading key %q of the ConfigMap: %w", ConfigMapKey, err)
	}
	if len(entries) > maxRoles {
		return nil, fmt.Errorf("key %q of the ConfigMap has %d entries, more than %d", ConfigMapKey, len(entries), maxRoles)
	}
	var errs []error
	for key, e := range entries {
		namespace, name, ok := strings.Cut(key, "/")
		if _, err := path.Match(namespace, ""); !ok || namespace == "" || name == "" || strings.Contains(name, "/") || err != nil {
			errs = append(errs, fmt.Errorf("%.300q is not <namespace>/<service account>", key))
			continue
		}
		// What an entry says is what annotations could say, so the same rules
		// read it.
		annotations := map[string]string{}
		annotate := func(k string, set bool, v any) {
			if set {
				annotations[k] = fmt.Sprint(v)
			}
		}
		p := irsa.DefaultPrefix
		annotate(p.RoleARN(), true, e.RoleARN)
		annotate(p.AudienceKey(), e.Audience != "", e.Audience)
		annotate(p.TokenExpiration(), e.TokenExpiration != 0, e.TokenExpiration)
		annotate(p.RegionalSTS(), true, e.UseRegionalSTS)
		var entry roleEntry
		if e.RoleARN == "" {
			entry.err = &irsa.AnnotationError{Key: "RoleARN", Reason: "empty"}
		} else {
			entry.id, entry.warnings, entry.err = p.Identity(annotations, d)
		}
		named := func(err error) error {
			ae, ok := errors.AsType[*irsa.AnnotationError](err)
			if !ok {
				return nil
			}
			err = &irsa.AnnotationError{Value: ae.Value, Reason: ae.Reason,
				Key: fmt.Sprintf("entry %.300q of ConfigMap %s, %s", key, ConfigMap, strings.TrimPrefix(ae.Key, string(p)+"/"))}
			errs = append(errs, err)
			return err
		}
		if entry.err = named(entry.err); entry.err == nil {
			entry.malformed = named(p.Malformed(annotations))
		}
		if strings.ContainsAny(namespace, `*?[\`) {
			m.globs = append(m.globs, roleGlob{namespace: namespace, name: name, roleEntry: entry})
		} else {
			m.exact[key] = entry
		}
	}
	order.By(m.globs, func(a, b roleGlob) int {
		return cmp.Or(cmp.Compare(len(b.namespace), len(a.namespace)), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	order.By(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	const most = 20 // each has its error with it; these are for the log
	if n := len(errs); n > most {
		errs = append(errs[:most], fmt.Errorf("and %d more", n-most))
	}
	return m, errors.Join(errs...)
}

// find is the entry of a service account: the one with its namespace, else
// the longest pattern that matches it.
func (m *roleMap) find(namespace, name string) (roleEntry, bool) {
	if e, ok := m.exact[namespace+"/"+name]; ok {
		return e, true
	}
	for _, g := range m.globs {
		if ok, _ := path.Match(g.namespace, namespace); ok && g.name == name {
			return g.roleEntry, true
		}
	}
	return roleEntry{}, false
}

// in are the names of the service accounts of a namespace that have an entry.
func (m *roleMap) in(namespace string) (names []string) {
	for key := range m.exact {
		if name, ok := strings.CutPrefix(key, namespace+"/"); ok {
			names = append(names, name)
		}
	}
	for _, g := range m.globs {
		if ok, _ := path.Match(g.namespace, namespace); ok {
			names = append(names, g.name)
		}
	}
	return names
}
