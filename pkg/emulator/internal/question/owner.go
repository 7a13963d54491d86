package question

import (
	"errors"
	"fmt"
	"strings"
)

// ErrAccounts is the error of a call that names resources of several accounts where one
// account cannot stand for all of them.
var ErrAccounts = errors.New("it names resources of several accounts")

// Owner is the account as whose a call is sent to a backend: the one of the resources that it
// names, or the caller's if they have none. A backend is told one account, and may look there
// for whatever an ARN names, by the name alone. So a call whose first resource, or the one
// that it makes, is the caller's is the caller's, though it names others of other kinds, such
// as the layers of a function. Resources of one kind in several accounts, as the tables of a
// batch may be, are an error that wraps [ErrAccounts]: the caller's own of the same name would
// be taken for the other's, and nobody was asked about that.
func Owner(call *Call, questions []Question) (account string, err error) {
	var main *Question
	for i := range questions {
		if q := &questions[i]; q.direct(call) && (main == nil || q.created && !main.created) {
			main = q
		}
	}
	if main == nil {
		return call.Account, nil
	}
	for i := range questions {
		q := &questions[i]
		if !q.direct(call) || q.Account == main.Account {
			continue
		}
		if main.Account != call.Account || !main.created && kindOf(q.Resource) == kindOf(main.Resource) {
			return "", fmt.Errorf("%w: %s and %s", ErrAccounts, main.Shown(), q.Shown())
		}
	}
	return main.Account, nil
}

// direct reports whether a question is about a resource of the service that is called, and
// that an account owns.
func (q *Question) direct(call *Call) bool {
	return q.Account != "" && q.Via == "" && strings.HasPrefix(q.Action, call.prefix()+":")
}

// kindOf is the kind of resource that an ARN is of: "dynamodb:table". Services that have only
// one kind, as SQS, do not name it.
func kindOf(s string) string {
	r, _ := parseARN(s)
	if end := strings.IndexAny(r.resource, "/:"); end >= 0 {
		return r.service + ":" + r.resource[:end]
	}
	return r.service
}
