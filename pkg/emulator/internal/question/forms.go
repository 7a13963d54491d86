package question

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// form is the form of names that have no separators in them, as the API References of
// their services say. Of a value with another form, what follows its last slash or colon
// is a name too, for whoever looks for one there.
type form struct {
	pattern *regexp.Regexp
	paths   string // where such names are, with spaces between the paths
	code    string // of the service's error; "" is ValidationException
}

// The forms of some names, perhaps with the beginning of an ARN before them.
var (
	tableForm  = regexp.MustCompile(`^(arn:[^:/]+:dynamodb:[^:/]*:[0-9]*:table/)?[a-zA-Z0-9_.-]{1,255}$`)
	streamForm = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
	topicForm  = regexp.MustCompile(`^(arn:[^:/]+:sns:[^:/]*:[0-9]*:)?[a-zA-Z0-9_-]{1,256}(\.fifo)?$`)
	// Of a platform application, whose ARN has the platform, its name and an id.
	endpointForm = regexp.MustCompile(`^(arn:[^:/]+:sns:[^:/]*:[0-9]*:)?([a-zA-Z0-9_-]{1,256}(\.fifo)?|endpoint(/[^:/]+){3})$`)
	functionForm = regexp.MustCompile(`^(arn:[^:/]+:lambda:[^:/]*:[0-9]*:function:|([0-9]{12}:)?function:)?` +
		`[a-zA-Z0-9_.-]{1,140}(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9_-]{1,128}))?$`)
	zoneForm = regexp.MustCompile(`^(/?(hostedzone|change|healthcheck|delegationset)/)?[a-zA-Z0-9_-]{1,64}$`)
)

// checkForms refuses a call in which a name has another form.
func (a *asker) checkForms() {
	for _, f := range a.family.forms {
		for path := range strings.FieldsSeq(f.paths) {
			for _, name := range strs(a.Input, path) {
				if f.pattern.MatchString(name) {
					continue
				}
				code := f.code
				if code == "" {
					code = "ValidationException"
				}
				a.err = &Refusal{http.StatusBadRequest, code, fmt.Sprintf("1 validation error detected: Value '%.200s' at '%s' failed to "+
					"satisfy constraint: Member must satisfy regular expression pattern: %s", name, path, f.pattern)}
				return
			}
		}
	}
}
