package webhook

// ReviewObject is the object of an AdmissionReview.
func ReviewObject(data []byte) ([]byte, error) {
	r, err := parseReview(data)
	return r.Object, err
}
