package awsapi

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// modelOf is a model of the index, as gen writes it.
func modelOf(prefix string, f []string) *Model {
	m := &Model{Name: f[0], SigningName: f[1], Prefix: prefix, Protocol: f[2], Target: f[4], Version: f[5],
		Namespace: f[6], ServiceID: f[7], Denied: f[8]}
	m.CBOR = strings.Contains(f[3], "c")
	m.QueryCompatible = strings.Contains(f[3], "q")
	m.OldQuery = strings.Contains(f[3], "o")
	if m.CBOR {
		m.Shape = m.Target // they are of one name
	}
	m.DeniedStatus, _ = strconv.Atoi(f[9])
	return m
}

// Date is the day of the reference that the tables were made of, such as
// "2026-09-26", and Botocore the version of the models, such as "1.43.11".
func Date() string     { return tables().date }
func Botocore() string { return tables().botocore }

// Models are all models, by name.
func Models() []*Model { return slices.Clone(tables().models) }

// ByName is the model with a name that botocore and the AWS CLI have, nil for
// none.
func ByName(name string) *Model {
	models := tables().models
	i, found := slices.BinarySearchFunc(models, name, func(m *Model, name string) int { return strings.Compare(m.Name, name) })
	if !found {
		return nil
	}
	return models[i]
}

// where are the models of which something is true.
func where(is func(*Model) bool) []*Model {
	var found []*Model
	for _, m := range tables().models {
		if is(m) {
			found = append(found, m)
		}
	}
	return found
}

func (m *Model) signing() string { return m.SigningName }
func (m *Model) target() string  { return m.Target }

// sortedBy are models in the order of one of their names; those that have the same stay
// in theirs.
func sortedBy(models []*Model, name func(*Model) string) []*Model {
	sorted := slices.Clone(models)
	slices.SortStableFunc(sorted, func(a, b *Model) int { return cmp.Compare(name(a), name(b)) })
	return sorted
}

// having are those of sorted models that have a name.
func having(sorted []*Model, name func(*Model) string, want string) []*Model {
	i, _ := slices.BinarySearchFunc(sorted, want, func(m *Model, want string) int { return cmp.Compare(name(m), want) })
	end := i
	for end < len(sorted) && name(sorted[end]) == want {
		end++
	}
	return slices.Clone(sorted[i:end])
}

// ByTarget are the models that have a prefix in X-Amz-Target, which is what is
// before its last dot. There is one at most but for Timestream, of which the
// operation tells.
func ByTarget(prefix string) []*Model {
	if prefix == "" {
		return nil
	}
	return having(tables().byTarget, (*Model).target, prefix)
}

// BySigning are the models that are signed for under a name.
func BySigning(name string) []*Model {
	return having(tables().bySigning, (*Model).signing, name)
}

// ByVersion are the models that speak Query or EC2, if only with old clients, in a
// version of their interface, and of those the ones that are signed for under a
// name; under any if it is "". Those of rds, docdb and neptune cannot be told apart.
func ByVersion(version, signing string) []*Model {
	return where(func(m *Model) bool {
		return version != "" && m.Version == version && (signing == "" || m.SigningName == signing)
	})
}

// ByShape are the models that have a name in the paths of RPC v2 CBOR: one at
// most.
func ByShape(shape string) []*Model {
	return where(func(m *Model) bool { return shape != "" && m.Shape == shape })
}

// ByServiceID are the models that SDKs call by a name, whatever its case and the
// spaces, hyphens and underscores in it: one at most.
func ByServiceID(id string) []*Model {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(s))
	}
	id = plain(id)
	return where(func(m *Model) bool { return id != "" && plain(m.ServiceID) == id })
}

// Named are the models that have a name in any of the ways that users know: that
// of the AWS CLI, the prefix of actions or the one of signatures.
func Named(name string) []*Model {
	return where(func(m *Model) bool {
		return name != "" && (m.Name == name || m.Prefix == name || m.SigningName == name)
	})
}

// Prefixes are all prefixes of actions, in order: those without a model too.
func Prefixes() []string {
	var all []string
	for prefix := range tables().references {
		if prefix != "" {
			all = append(all, prefix)
		}
	}
	slices.Sort(all)
	return all
}

// Reference is what the reference has of a prefix, nil for an unknown one.
func Reference(prefix string) *Service {
	r := tables().references[prefix]
	if r == nil || prefix == "" {
		return nil
	}
	r.once.Do(func() { r.read = parseService(prefix, r.block.section(0)) })
	return r.read
}

// Action is the action that has the name of an operation, in another case if need
// be; nil if none has.
func (m *Model) Action(operation string) *Action {
	s := Reference(m.Prefix)
	if s == nil {
		return nil
	}
	if a := s.Actions[operation]; a != nil {
		return a
	}
	for name, a := range s.Actions {
		if strings.EqualFold(name, operation) {
			return a
		}
	}
	return nil
}

// A Match is an operation that a request is for.
type Match struct {
	Model     *Model
	Operation *Operation
	Labels    map[string]string // as of [Model.Route]
}

// Route is [Model.Route] with all models that are signed for under a name. Where
// those of several models say the same of the request all are returned, by the
// names of the models: AWS tells them apart by the host. Their actions are mostly
// the same.
func Route(signing, method, escapedPath string, query url.Values) []Match {
	var best []*found
	var models []*Model
	for _, m := range BySigning(signing) {
		f := m.find(method, escapedPath, query)
		if f == nil {
			continue
		}
		order := -1
		if best != nil {
			order = cmp.Or(cmp.Compare(f.try, best[0].try), f.route.compare(best[0].route))
		}
		if order < 0 {
			best, models = nil, nil
		}
		if order <= 0 {
			best, models = append(best, f), append(models, m)
		}
	}
	var matches []Match
	for i, f := range best {
		matches = append(matches, Match{models[i], f.operation, f.labels()})
	}
	return matches
}
