package trust

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Add returns the policy document existing with the statements of ours, another
// document, appended. The statements of both stay as they are.
func Add(existing, ours []byte) ([]byte, error) {
	doc, err := parse(existing)
	if err != nil {
		return nil, err
	}
	add, err := parse(ours)
	if err != nil {
		return nil, err
	}
	doc.Statement = append(doc.Statement, add.Statement...)
	return doc.marshal()
}

// AddValue returns the policy document existing with one more value in a condition
// of one statement, counted from 0. The condition is added if the statement has
// none with that operator on that key.
func AddValue(existing []byte, statement int, operator, key, value string) ([]byte, error) {
	doc, err := parse(existing)
	if err != nil {
		return nil, err
	}
	if statement < 0 || statement >= len(doc.Statement) {
		return nil, fmt.Errorf("changing a trust policy: it has no statement %d", statement)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(doc.Statement[statement], &all); err != nil {
		return nil, fmt.Errorf("reading a trust policy: %w", err)
	}
	conditions := map[string]map[string]json.RawMessage{}
	if raw, ok := all["Condition"]; ok {
		if err := json.Unmarshal(raw, &conditions); err != nil {
			return nil, fmt.Errorf("reading a trust policy: %w", err)
		}
	}
	if conditions[operator] == nil {
		conditions[operator] = map[string]json.RawMessage{}
	}
	for written := range conditions[operator] {
		if strings.EqualFold(written, key) { // as IAM compares them
			key = written
		}
	}
	var values list
	if raw, ok := conditions[operator][key]; ok {
		if err := json.Unmarshal(raw, &values); err != nil {
			return nil, fmt.Errorf("reading a trust policy: %w", err)
		}
	}
	if !slices.Contains(values, value) {
		values = append(values, value)
	}
	if conditions[operator][key], err = marshal(oneOrMany(values)); err != nil {
		return nil, err
	}
	if all["Condition"], err = marshal(conditions); err != nil {
		return nil, err
	}
	if doc.Statement[statement], err = marshal(all); err != nil {
		return nil, err
	}
	return doc.marshal()
}
