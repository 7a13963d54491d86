package emulator

import (
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/policy/least"
)

// reference is the Service Authorization Reference for the least policy.
type reference struct{}

// action is an action of a service, nil if the reference has none.
func (reference) action(name string) (*awsapi.Service, *awsapi.Action) {
	prefix, name, _ := strings.Cut(name, ":")
	service := awsapi.Reference(strings.ToLower(prefix))
	if service == nil {
		return nil, nil
	}
	if a := service.Actions[name]; a != nil {
		return service, a
	}
	for known, a := range service.Actions {
		if strings.EqualFold(known, name) {
			return service, a
		}
	}
	return service, nil
}

// Types implements [least.Reference]. They are all of the service, since some actions
// are on two pages of the reference, and its tables have the types of one.
func (r reference) Types(name string) ([]least.Type, bool) {
	service, a := r.action(name)
	if a == nil || len(a.Types) == 0 {
		return nil, a != nil
	}
	var types []least.Type
	for _, t := range slices.Sorted(maps.Keys(service.Types)) {
		types = append(types, least.Type{Name: t, Templates: service.Types[t].Templates})
	}
	return types, true
}

// Level implements [least.Reference].
func (r reference) Level(name string) string {
	if _, a := r.action(name); a != nil {
		return a.Level
	}
	return ""
}

// Actions implements [least.Reference].
func (reference) Actions(prefix string) []string {
	service := awsapi.Reference(strings.ToLower(prefix))
	if service == nil {
		return nil
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(service.Actions)) {
		all = append(all, service.Prefix+":"+name)
	}
	return all
}
