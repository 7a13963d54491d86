package policy

const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// element is a statement between its JSON and its compiled form.
type element struct {
	node
	sid                    string
	effect                 string
	actions, resources     []string
	notAction, notResource bool
	hasAction, hasResource bool
	conditions             []condition
}

// statementNodes are the statements of a document: an object or a list.
func statementNodes(root node) ([]node, bool) {
	n, ok := root.get("Statement")
	switch {
	case !ok:
		return nil, false
	case n.kind == objectNode:
		n.after = n.start + 1
		return []node{n}, true
	case n.kind == listNode:
		after := n.start + 1
		for i := range n.list {
			n.list[i].after, after = after, n.list[i].end
		}
		return n.list, true
	}
	return nil, false
}

// setList takes Action, NotAction, Resource or NotResource. Having one and
// its complement is a fault.
func (e *element) setList(m member) bool {
	list, ok := m.value.strings()
	if !ok {
		return false
	}
	switch m.name {
	case "Action", "NotAction":
		if e.hasAction {
			return false
		}
		e.hasAction, e.notAction, e.actions = true, m.name == "NotAction", list
	default:
		if e.hasResource {
			return false
		}
		e.hasResource, e.notResource, e.resources = true, m.name == "NotResource", list
	}
	return true
}

// parseConditions compiles a Condition element. An operator that does not
// exist is a fault unless it has no keys.
func parseConditions(n node, variables bool) ([]condition, bool) {
	if n.kind != objectNode {
		return nil, false
	}
	var all []condition
	for _, m := range n.members {
		if m.value.kind != objectNode {
			return nil, false
		}
		op, quantifier, ifExists, ok := parseOperator(m.name)
		if !ok && len(m.value.members) > 0 {
			return nil, false
		}
		for _, kv := range m.value.members {
			raw, ok := kv.value.scalars()
			if !ok {
				return nil, false
			}
			c := condition{name: m.name, key: kv.name, raw: raw, op: op, quantifier: quantifier, ifExists: ifExists}
			for _, v := range raw {
				c.operands = append(c.operands, compileOperand(op.class, v, variables))
			}
			all = append(all, c)
		}
	}
	return all, true
}

func (e *element) compile(variables bool) statement {
	s := statement{
		sid: e.sid, start: e.start, end: e.end, after: e.after,
		deny:    e.effect == "Deny",
		actions: compileActions(e.actions), notAction: e.notAction,
		notResource: e.notResource, rawResources: e.resources,
		conditions: e.conditions,
	}
	for _, r := range e.resources {
		s.resources = append(s.resources, compileResource(r, variables))
	}
	return s
}
