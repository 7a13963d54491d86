// Package least writes the least policy for what a role was seen to do: every action
// on every resource that it needed, and nothing else.
//
//	s, err := least.Suggest(facts, least.Options{Name: "app", Reference: reference})
//	for _, p := range s.Policies {
//		fmt.Printf("%s\n%s\n", p.Name, p.Document)
//	}
//	for _, w := range s.Widenings {
//		fmt.Println(w) // what it allows beyond that, and what this rests on
//	}
//
// It is pure: the facts come from whoever decided about the calls, such as
// pkg/emulator, and what AWS says of actions and resources from a [Reference].
//
// # Rules
//
// A resource is written as it was seen. When more than [Few] resources of a type, in
// one account and region, differ in one part of their ARN only, this part becomes
// what they begin with up to a separator (/ : - and ., of S3's objects only /) and
// a *: table/orders-*. Names that begin alike in no way stay apart. Where an id was not
// known when it was asked for, the pattern that was asked for stays. Every pattern
// that is wider than what was seen is in [Suggestion.Widenings]. A resource "*" comes
// only of an action that has no other, or that was called without one.
//
// Actions are named singly. Those that share their resources share a statement.
// Conditions are written only where they carry the meaning: see [MeaningfulKeys].
//
// The same facts always give the same bytes.
package least

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Options say how a policy is to be written. The zero Options are good ones.
type Options struct {
	// Name is the name of the policy: of several they are Name-1, Name-2, ... Empty is
	// "least".
	Name string
	// Widen says how resources become patterns. Empty is [Prefix].
	Widen Widen
	// Reference is what AWS says of actions and resources. Nil is nothing: types are
	// then told apart by the form of ARNs alone.
	Reference Reference
	// Limit is how many characters a document may have, white space not counted: 0 is
	// that of a managed policy.
	Limit int
	// Documents is how many there may be: 0 is ten, as many managed policies as a role
	// may have ("IAM and AWS STS quotas").
	Documents int
}

// Suggestion is the least policy.
type Suggestion struct {
	// Policies are the documents, none if there were no facts.
	Policies []Policy `json:"policies"`
	// Widenings are the patterns that allow more than was seen.
	Widenings []Widening `json:"widenings"`
	// Notes are what else is to be known, in sentences.
	Notes []string `json:"notes,omitempty"`
}

// Widening is a pattern that allows more than what was seen.
type Widening struct {
	Pattern string   `json:"pattern"`
	Type    string   `json:"type,omitempty"` // of the resources, such as "table"
	Actions []string `json:"actions"`
	Why     string   `json:"why"`
	// Instances are what it rests on, at most [Shown]; More is how many more there are.
	Instances []string `json:"instances"`
	More      int      `json:"more,omitempty"`
}

// Shown is how many instances of a pattern are listed.
const Shown = 20

// String is the widening in one line.
func (w Widening) String() string {
	text := fmt.Sprintf("%s for %s: %s", w.Pattern, strings.Join(w.Actions, ", "), w.Why)
	if len(w.Instances) > 0 {
		text += ": " + strings.Join(w.Instances, ", ")
	}
	if w.More > 0 {
		text += fmt.Sprintf(" and %d more", w.More)
	}
	return text
}

// ErrTooLarge says that the least policy does not fit.
var ErrTooLarge = errors.New("the least policy is too large")

// Suggest is the least policy for facts. The error is an [ErrTooLarge] if it does not
// fit into the documents that there may be.
//
// If it does not fit, types are widened one after the other, the one that takes most
// room first: from then on two resources that begin alike are enough for a pattern.
func Suggest(facts []Fact, o Options) (*Suggestion, error) {
	o = o.complete()
	if o.Widen != Exact {
		facts = portable(facts)
	}
	needs, notes := needsOf(facts, o.Reference)
	s := &Suggestion{Widenings: []Widening{}, Notes: notes}
	pressed := map[string]bool{}
	for round := 1; ; round++ {
		grants := grantsOf(needs, o.Widen, pressed)
		packed, ok := pack(statementsOf(grants, o.Reference), o)
		if ok {
			s.Policies = packed
			s.Widenings = append(s.Widenings, wideningsOf(grants, o.Widen, pressed)...)
			return s, nil
		}
		more := largestGroups(grants, pressed)
		if o.Widen == Exact || len(more) == 0 {
			return nil, fmt.Errorf("%w: it takes more than %d documents of %d characters", ErrTooLarge, o.Documents, o.Limit)
		}
		if round < maxRounds {
			more = more[:1]
		}
		for _, group := range more {
			pressed[group] = true
		}
	}
}

// maxRounds is how often a type is widened alone; then all are.
const maxRounds = 8

func (o Options) complete() Options {
	if o.Name == "" {
		o.Name = "least"
	}
	if o.Widen == "" {
		o.Widen = Prefix
	}
	if o.Reference == nil {
		o.Reference = noReference{}
	}
	if o.Limit == 0 {
		o.Limit = policy.MaxManaged
	}
	if o.Documents == 0 {
		o.Documents = 10
	}
	return o
}

// wideningsOf are the patterns among grants, those of several actions told once.
func wideningsOf(grants []grant, widen Widen, pressed map[string]bool) []Widening {
	index := map[string]int{}
	var all []Widening
	for _, g := range grants {
		if !g.wide() && !g.open {
			continue
		}
		if g.open {
			g.instances = nil
		}
		id := g.text + "\x00" + strings.Join(g.instances, "\x00")
		at, ok := index[id]
		if !ok {
			at = len(all)
			index[id] = at
			all = append(all, Widening{Pattern: g.text, Type: g.kind, Why: g.why(widen, pressed[g.group])})
			w := &all[at]
			w.Instances = slices.Concat([]string{}, g.instances[:min(len(g.instances), Shown)])
			w.More = len(g.instances) - len(w.Instances)
		}
		if !slices.Contains(all[at].Actions, g.action) {
			all[at].Actions = append(all[at].Actions, g.action)
		}
	}
	order.By(all, func(a, b Widening) int { return strings.Compare(a.Pattern, b.Pattern) })
	return all
}

// Merge puts the resources of facts together that begin alike, as [Suggest] does, for
// who cannot remember each. Those that begin alike in no way are left as they are. of
// are the resources that each of the merged facts stands for. The facts must have no
// keys.
func Merge(facts []Fact, widen Widen, reference Reference) (merged []Fact, of [][]string) {
	if reference == nil {
		reference = noReference{}
	}
	needs, _ := needsOf(facts, reference)
	for _, g := range grantsOf(needs, widen, nil) {
		if g.star {
			merged = append(merged, Fact{Action: g.action, Resource: g.text, Instance: g.instances[0], Merged: true})
			of = append(of, g.instances)
		}
	}
	return merged, of
}
