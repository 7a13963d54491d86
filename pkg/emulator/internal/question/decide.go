package question

// Answer is what the policies say to one question.
type Answer struct {
	Allowed  bool
	Explicit bool // a Deny statement denies it
}

// Verdict is what the policies say to all questions of a call.
type Verdict struct {
	Allowed bool
	// Denied is the index of the question that is to blame, -1 if the call is allowed: one
	// that was denied itself.
	Denied int
	// Items are the indexes of denied questions about parts of the call, which the
	// service answers with errors while it carries out the rest.
	Items []int
	// Later are the indexes of questions that only the answer can decide: see
	// [Question.FromAnswer].
	Later []int
}

// Decide asks the questions of a call, by their indexes, in their order, until one is denied. Of the
// questions with the same number in Either one must be allowed, and none may be
// denied explicitly: they spell one resource, and a Deny statement that names
// either spelling means it. A call without questions is allowed.
func Decide(questions []Question, ask func(i int) Answer) Verdict {
	v := Verdict{Allowed: true, Denied: -1}
	for i := 0; i < len(questions); i++ {
		first, blame := i, i
		if questions[i].FromAnswer != "" {
			v.Later = append(v.Later, i)
			continue
		}
		answer := ask(i)
		for questions[first].Either != 0 && i+1 < len(questions) && questions[i+1].Either == questions[first].Either {
			i++
			if answer.Explicit {
				continue
			}
			other := ask(i)
			if other.Explicit {
				blame = i
			}
			answer.Allowed = other.Allowed || answer.Allowed && !other.Explicit
			answer.Explicit = other.Explicit
		}
		switch {
		case answer.Allowed:
		case questions[first].Item != "":
			v.Items = append(v.Items, blame)
		default:
			v.Allowed, v.Denied = false, blame
			return v
		}
	}
	return v
}
