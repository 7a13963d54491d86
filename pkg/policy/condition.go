package policy

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strings"
)

// condition is one key of one operator of a Condition element.
type condition struct {
	name       string // operator as written
	key        string // as written
	raw        []string
	op         operator
	quantifier quantifier
	ifExists   bool
	operands   []operand
}

// operator is a name such as ForAnyValue:StringLikeIfExists without its prefix and
// suffix.
type operator struct {
	class class
	// negate turns the result around: true if none of the operands match.
	negate bool
	// relation are the outcomes of a comparison that count as a match.
	relation relation
}

type class uint8

const (
	stringEquals class = iota
	stringEqualsFold
	stringLike
	numeric
	date
	boolean
	binary
	ipAddress
	arnLike
	null
)

type relation uint8

const (
	less relation = 1 << iota
	equal
	greater
)

func (r relation) holds(comparison int) bool {
	switch {
	case comparison < 0:
		return r&less != 0
	case comparison > 0:
		return r&greater != 0
	}
	return r&equal != 0
}

type quantifier uint8

const (
	noQuantifier quantifier = iota
	forAllValues
	forAnyValue
)

// operators are those of "IAM JSON policy elements: Condition operators".
// Their names are case-sensitive.
var operators = map[string]operator{
	"StringEquals":              {class: stringEquals},
	"StringNotEquals":           {class: stringEquals, negate: true},
	"StringEqualsIgnoreCase":    {class: stringEqualsFold},
	"StringNotEqualsIgnoreCase": {class: stringEqualsFold, negate: true},
	"StringLike":                {class: stringLike},
	"StringNotLike":             {class: stringLike, negate: true},
	"NumericEquals":             {class: numeric, relation: equal},
	"NumericNotEquals":          {class: numeric, relation: equal, negate: true},
	"NumericLessThan":           {class: numeric, relation: less},
	"NumericLessThanEquals":     {class: numeric, relation: less | equal},
	"NumericGreaterThan":        {class: numeric, relation: greater},
	"NumericGreaterThanEquals":  {class: numeric, relation: greater | equal},
	"DateEquals":                {class: date, relation: equal},
	"DateNotEquals":             {class: date, relation: equal, negate: true},
	"DateLessThan":              {class: date, relation: less},
	"DateLessThanEquals":        {class: date, relation: less | equal},
	"DateGreaterThan":           {class: date, relation: greater},
	"DateGreaterThanEquals":     {class: date, relation: greater | equal},
	"Bool":                      {class: boolean},
	"BinaryEquals":              {class: binary},
	"IpAddress":                 {class: ipAddress},
	"NotIpAddress":              {class: ipAddress, negate: true},
	"ArnEquals":                 {class: arnLike},
	"ArnLike":                   {class: arnLike},
	"ArnNotEquals":              {class: arnLike, negate: true},
	"ArnNotLike":                {class: arnLike, negate: true},
	"Null":                      {class: null},
}

// parseOperator splits the name of an operator.
func parseOperator(name string) (op operator, q quantifier, ifExists, ok bool) {
	if rest, found := strings.CutPrefix(name, "ForAllValues:"); found {
		name, q = rest, forAllValues
	} else if rest, found := strings.CutPrefix(name, "ForAnyValue:"); found {
		name, q = rest, forAnyValue
	}
	name, ifExists = strings.CutSuffix(name, "IfExists")
	op, ok = operators[name]
	if op.class == null && ifExists {
		return operator{}, 0, false, false // "except the Null condition"
	}
	return op, q, ifExists, ok
}

// operand is a value in the policy, converted once to what its operator
// compares.
type operand struct {
	ok      bool // the text could be converted
	glob    glob // of strings and ARNs
	text    string
	number  decimal
	date    instant
	truth   bool
	bytes   []byte
	network netip.Prefix
}

func compileOperand(c class, raw string, variables bool) operand {
	o := operand{ok: true, text: raw}
	switch c {
	case stringEquals, stringEqualsFold:
		o.glob = compileGlob(raw, globSyntax{variables: variables})
		if c == stringEqualsFold && !o.glob.vars {
			o.text = lower(o.glob.text())
		}
	case stringLike:
		o.glob = compileGlob(raw, globSyntax{variables: variables, wildcards: true})
	case numeric:
		o.number, o.ok = parseDecimal(raw)
	case date:
		o.date, o.ok = parseDate(raw)
	case boolean, null:
		o.truth = strings.EqualFold(raw, "true")
	case binary:
		b, err := base64.StdEncoding.DecodeString(raw)
		o.bytes, o.ok = b, err == nil
	case ipAddress:
		o.network, o.ok = parseNetwork(raw)
	case arnLike:
		o.glob = compileGlob(raw, globSyntax{variables: variables, wildcards: true, arn: true})
		o.ok = o.glob.vars || isARN(raw)
	}
	return o
}

// isARN reports whether s has the six segments of an ARN.
func isARN(s string) bool {
	return strings.HasPrefix(s, "arn:") && strings.Count(s, ":") >= arnColons
}

// holds reports whether the condition is met. Deny says that it stands in a Deny
// statement, where a malformed ARN in the policy counts as met, so that a mistake
// there does not open what should be closed.
//
// A key that the request does not have meets negated operators, IfExists and
// ForAllValues, and no other. A multivalued key never meets an operator
// without ForAllValues or ForAnyValue, not even a negated one.
func (c *condition) holds(ctx *Context, deny bool) bool {
	e := ctx.find(c.key)
	if c.op.class == null {
		for i := range c.operands {
			if c.operands[i].truth == (e == nil) {
				return true
			}
		}
		return false
	}
	if e == nil {
		switch {
		case c.ifExists, c.quantifier == forAllValues:
			return true
		case c.quantifier == forAnyValue:
			return false
		}
		return c.op.negate
	}
	switch {
	case !e.multi:
		return c.meets(e.value, ctx, deny)
	case c.quantifier == forAllValues:
		for _, v := range e.values {
			if !c.meets(v, ctx, deny) {
				return false
			}
		}
		return true
	case c.quantifier == forAnyValue:
		for _, v := range e.values {
			if c.meets(v, ctx, deny) {
				return true
			}
		}
	}
	return false
}

// meets compares one value of the request with all operands: any may match, or for a
// negated operator none. Values that cannot be converted are unequal
// to every number and date; if they should be addresses or ARNs, they meet
// nothing at all, not even a negated operator.
func (c *condition) meets(actual string, ctx *Context, deny bool) bool {
	var (
		num   decimal
		at    instant
		addr  netip.Addr
		truth bool
		raw   []byte
		ok    = true
	)
	switch c.op.class {
	case stringEqualsFold:
		actual = lower(actual)
	case numeric:
		num, ok = parseDecimal(actual)
	case date:
		at, ok = parseDate(actual)
	case boolean:
		truth = strings.EqualFold(actual, "true")
	case binary:
		b, err := base64.StdEncoding.DecodeString(actual)
		raw, ok = b, err == nil
	case ipAddress:
		if addr, ok = parseAddr(actual); !ok {
			return false
		}
		addr = addr.Unmap()
	case arnLike:
		if !isARN(actual) {
			return false
		}
	}
	for i := range c.operands {
		o := &c.operands[i]
		match := false
		switch {
		case c.op.class == arnLike && !o.ok:
			return deny
		case !ok || !o.ok:
		case c.op.class == stringEquals:
			g, found := o.glob.resolve(ctx)
			match = found && g.text() == actual
		case c.op.class == stringEqualsFold:
			if !o.glob.vars {
				match = o.text == actual
				break
			}
			g, found := o.glob.resolve(ctx)
			match = found && lower(g.text()) == actual
		case c.op.class == stringLike, c.op.class == arnLike:
			g, found := o.glob.resolve(ctx)
			match = found && g.match(actual, false)
		case c.op.class == numeric:
			match = c.op.relation.holds(num.compare(o.number))
		case c.op.class == date:
			match = c.op.relation.holds(at.compare(o.date))
		case c.op.class == boolean:
			match = truth == o.truth
		case c.op.class == binary:
			match = bytes.Equal(raw, o.bytes)
		case c.op.class == ipAddress:
			match = o.network.Contains(addr)
		}
		if match {
			return !c.op.negate
		}
	}
	return c.op.negate
}
