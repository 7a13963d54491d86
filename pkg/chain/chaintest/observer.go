package chaintest

import (
	"cmp"
	"fmt"

	"github.com/openirsa/openirsa/pkg/plan"
)

// observer writes what was done into a log.
type observer struct{ log func(string) }

func (o observer) Start(string, string) {}

func (o observer) Done(r plan.Result) {
	if o.log != nil {
		o.log(fmt.Sprintf("%s %s %s (%.1fs)", r.Link, r.Outcome, cmp.Or(r.Object, fmt.Sprintf("%d objects", len(r.Objects))), r.Took.Seconds()))
	}
}

func (o observer) Say(line string) {
	if o.log != nil {
		o.log(line)
	}
}

func (o observer) Note(err error) { o.Say(err.Error()) }
