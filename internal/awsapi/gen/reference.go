package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A service is what the reference has of a prefix.
type service struct {
	prefix, name string
	keys         map[string]string // types of condition keys by name
	types        []resourceType    // by name
	actions      []action          // by name
}

type resourceType struct {
	name      string
	templates []string
	keys      []string
}

type action struct {
	name, level string
	types       []typeUse
	keys        []string
	dependent   []string
}

type typeUse struct {
	name     string
	required bool
	keys     []string
}

// What the files of the package have.
type (
	actionData struct {
		Name          string
		AccessLevel   string
		ResourceTypes []struct {
			Name                            string
			Required                        bool
			ConditionKeys, DependentActions []string
		}
		ConditionKeys, DependentActions []string
	}
	typeData struct {
		Key, ARN      string
		ConditionKeys []string
	}
	keyData struct{ Key, Type string }
)

// readReference reads the package of the reference's data, and the older one that
// has the dependent actions, which the newer one has lost.
func readReference(path, dependents string) (map[string]*service, error) {
	files, err := tarball(path, iamDataSHA512)
	if err != nil {
		return nil, err
	}
	older, err := tarball(dependents, dependentsSHA512)
	if err != nil {
		return nil, err
	}
	var names map[string]string
	if err := json.Unmarshal(files["data/serviceNames.json"], &names); err != nil {
		return nil, fmt.Errorf("reading names of services: %w", err)
	}
	services := map[string]*service{}
	for prefix, name := range names {
		s := &service{prefix: prefix, name: name, keys: map[string]string{}}
		err := s.read(files)
		if err == nil {
			err = s.readDependents(older)
		}
		if err != nil {
			return nil, fmt.Errorf("reading reference of %s: %w", prefix, err)
		}
		services[prefix] = s
	}
	return services, nil
}

func part[T any](files map[string][]byte, kind, prefix string) (map[string]T, error) {
	var found map[string]T
	err := json.Unmarshal(files["data/"+kind+"/"+prefix+".json"], &found)
	return found, err
}

func (s *service) read(files map[string][]byte) error {
	keys, err := part[keyData](files, "conditionKeys", s.prefix)
	if err != nil {
		return err
	}
	for _, k := range keys {
		s.keys[k.Key] = k.Type
	}
	types, err := part[typeData](files, "resourceTypes", s.prefix)
	if err != nil {
		return err
	}
	spelled := map[string]string{}
	for _, t := range sorted(types) {
		templates, err := templates(t.ARN)
		if err != nil {
			return fmt.Errorf("type %s: %w", t.Key, err)
		}
		spelled[strings.ToLower(t.Key)] = t.Key
		s.types = append(s.types, resourceType{t.Key, templates, t.ConditionKeys})
	}
	slices.SortFunc(s.types, func(a, b resourceType) int { return strings.Compare(a.name, b.name) })
	actions, err := part[actionData](files, "actions", s.prefix)
	if err != nil {
		return err
	}
	for _, a := range sorted(actions) {
		level, _, _ := strings.Cut(a.AccessLevel, ",") // "Tagging, Write"
		if levels[level] == "" {
			return fmt.Errorf("action %s: unknown level %q", a.Name, a.AccessLevel)
		}
		made := action{name: a.Name, level: level, keys: a.ConditionKeys}
		for _, t := range a.ResourceTypes {
			name := spelled[strings.ToLower(t.Name)]
			if name == "" {
				return fmt.Errorf("action %s: unknown type %q", a.Name, t.Name)
			}
			made.types = append(made.types, typeUse{name, t.Required, t.ConditionKeys})
		}
		s.actions = append(s.actions, made)
	}
	slices.SortFunc(s.actions, func(a, b action) int { return strings.Compare(a.name, b.name) })
	return nil
}

// readDependents adds the dependent actions that the older package has for the
// action or for one of its types.
func (s *service) readDependents(files map[string][]byte) error {
	if files["data/actions/"+s.prefix+".json"] == nil {
		return nil // a newer prefix
	}
	actions, err := part[actionData](files, "actions", s.prefix)
	if err != nil {
		return err
	}
	for i := range s.actions {
		a := actions[strings.ToLower(s.actions[i].name)]
		all := a.DependentActions
		for _, t := range a.ResourceTypes {
			all = append(all, t.DependentActions...)
		}
		slices.Sort(all)
		s.actions[i].dependent = slices.Compact(all)
	}
	return nil
}

func sorted[T any](m map[string]T) []T {
	var all []T
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[k])
	}
	return all
}

// levels are the letters of access levels.
var levels = map[string]string{"List": "L", "Read": "R", "Tagging": "T", "Write": "W", "Permissions management": "P"}

// templateForm is an ARN with placeholders, or with a * for what may be anything.
var templateForm = regexp.MustCompile(`^arn(:([a-z0-9-]*|\*|\$\{[A-Za-z]+\})){4}:([A-Za-z0-9/:._*+-]|\$\{[A-Za-z0-9]+\})+$`)

// mended are templates that the reference has in a form of their own.
var mended = strings.NewReplacer(
	"{Date-and-Time-Stamp-of-Backup}", "${DateAndTimeStampOfBackup}", // opsworks-cm
)

// templates are those of a type of resources: a few have two, with a comma
// between. It fails for placeholders of an unknown form.
func templates(arn string) ([]string, error) {
	var all []string
	for one := range strings.SplitSeq(arn, ",") {
		one = strings.TrimSpace(one)
		if !templateForm.MatchString(one) {
			one = strings.Replace(mended.Replace(one), "$$", "$", 1)
		}
		if !templateForm.MatchString(one) {
			return nil, fmt.Errorf("template of an unknown form %q", one)
		}
		all = append(all, one)
	}
	return all, nil
}
