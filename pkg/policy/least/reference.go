package least

import "strings"

// Reference is what AWS says of actions and resources: the Service Authorization
// Reference.
type Reference interface {
	// Types are the types of resources that an action has, none if it is for all
	// resources only. It is not known of an action that the reference does not have.
	Types(action string) (types []Type, known bool)
	// Level is the access level of an action, such as "Read"; "" if it is not known.
	Level(action string) string
	// Actions are all actions of a service, which is given as in "s3:GetObject"; nil if
	// they are not known.
	Actions(service string) []string
}

// Type is a type of resources.
type Type struct {
	Name string // such as "table"
	// Templates are forms of its ARNs, such as
	// "arn:${Partition}:dynamodb:${Region}:${Account}:table/${TableName}".
	Templates []string
}

// noReference knows nothing.
type noReference struct{}

func (noReference) Types(string) ([]Type, bool) { return nil, false }
func (noReference) Level(string) string         { return "" }
func (noReference) Actions(string) []string     { return nil }

// levels are the access levels in the order in which statements stand.
var levels = []string{"List", "Read", "Tagging", "Write", "Permissions management"}

// rank is the place of an access level; one that is not known comes last.
func rank(level string) int {
	for i, l := range levels {
		if strings.EqualFold(l, level) {
			return i
		}
	}
	return len(levels)
}
