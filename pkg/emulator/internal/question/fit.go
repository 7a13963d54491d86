package question

import (
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// hole is a part of a template of the Service Authorization Reference that a call
// must fill; the text before it is literal.
type hole struct {
	before string
	name   string // "" at the end of the template
}

// holes cuts a template such as arn:${Partition}:sqs:${Region}:${Account}:${QueueName}.
func holes(template string) []hole {
	all := make([]hole, 0, 1+strings.Count(template, "${"))
	for {
		before, rest, found := strings.Cut(template, "${")
		if !found {
			return append(all, hole{before: before})
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return append(all, hole{before: template})
		}
		all = append(all, hole{before: before, name: name})
		template = after
	}
}

// standardPart is what every call has for a part of an ARN.
func (a *asker) standardPart(name string) (string, bool) {
	switch name {
	case "Partition":
		return a.Partition, true
	case "Region":
		return a.Region, true
	case "Account", "AccountId", "AccountID", "OwnerAccountId":
		return a.Account, true
	}
	return "", false
}

// isStandard reports whether every call has a part.
func isStandard(name string) bool {
	switch name {
	case "Partition", "Region", "Account", "AccountId", "AccountID", "OwnerAccountId":
		return true
	}
	return false
}

// templatesOf are the templates of a type. Where the reference gives two ARNs for
// one, they are joined by a comma.
func templatesOf(t *awsapi.ResourceType) []string {
	var all []string
	for _, joined := range t.Templates {
		for one := range strings.SplitSeq(joined, ",") {
			if one = strings.TrimSpace(one); one != "" {
				all = append(all, one)
			}
		}
	}
	return all
}

// fits reports whether an ARN has the form of a template, and by how many literal
// characters: of several templates the one with the most is meant. Each hole takes
// as little as it can, but something, unless it is that of a region or account.
func fits(arn, template string) (literal int, ok bool) {
	// Most templates are of other services, or have no chance.
	if !strings.HasPrefix(template, "arn:${Partition}:") {
		return 0, false
	}
	if a, ok := parseARN(arn); !ok || !strings.HasPrefix(template[len("arn:${Partition}:"):], a.service+":") {
		return 0, false
	}
	parts := holes(template)
	literal = len(parts[0].before)
	arn = arn[literal:]
	for i := 1; i < len(parts); i++ {
		next := parts[i]
		standard := isStandard(parts[i-1].name)
		from := 1
		if standard {
			from = 0
		}
		if len(arn) < from {
			return 0, false
		}
		at := len(arn)
		switch {
		case i == len(parts)-1:
			at = len(arn) - len(next.before)
			if at < from || !strings.HasSuffix(arn, next.before) {
				return 0, false
			}
		case next.before != "":
			at = strings.Index(arn[from:], next.before)
			if at < 0 {
				return 0, false
			}
			at += from
		}
		if standard && strings.ContainsAny(arn[:at], ":/") {
			return 0, false
		}
		literal += len(next.before)
		arn = arn[min(len(arn), at+len(next.before)):]
	}
	return literal, true
}

// typeOf is the resource type that an ARN has the form of, of some types of a
// service; "" if it has none.
func typeOf(service *awsapi.Service, arn string, types []string) string {
	best, most := "", -1
	for _, name := range types {
		t := service.Types[name]
		if t == nil {
			continue
		}
		for _, template := range templatesOf(t) {
			if literal, ok := fits(arn, template); ok && literal > most {
				best, most = name, literal
			}
		}
	}
	return best
}
