package question

// Resources are the ARNs that the answer to a call names, of a question that has
// FromAnswer.
func (q *Question) Resources(answer any) []string {
	if q.FromAnswer == "" {
		return nil
	}
	return strs(answer, q.FromAnswer)
}
