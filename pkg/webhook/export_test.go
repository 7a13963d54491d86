package webhook

import "context"

// ReviewObject is the object of an AdmissionReview.
func ReviewObject(data []byte) ([]byte, error) {
	r, err := parseReview(data)
	return r.Object, err
}

// KeepAtMost bounds what the directory keeps, in bytes.
func (d *Directory) KeepAtMost(bytes int64) {
	d.init()
	d.known.most = bytes
}

// Kept is what it keeps, in bytes as it counts them.
func (d *Directory) Kept() int64 {
	d.known.mu.RLock()
	defer d.known.mu.RUnlock()
	return d.known.all.size
}

// TooMany refuses a review for now.
var TooMany = tooMany

// Find is whether a service account has an association, known or asked for.
func (a *Associations) Find(ctx context.Context, namespace, account string) (bool, error) {
	a.init()
	if a.has(namespace, account) {
		return true, nil
	}
	return a.find(ctx, namespace, account)
}

// Number is how many associations are known.
func (a *Associations) Number() int { return a.number() }
