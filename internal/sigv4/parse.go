package sigv4

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Parse reads the signature of a request from its Authorization header or its
// query string. All errors are of type [*Error]; of a request with neither
// the kind is [Missing].
func Parse(r *http.Request) (Signature, error) {
	_, query := splitURI(r)
	auth := r.Header.Get("Authorization")
	if query != "" {
		if alg, ok := queryValue(query, "X-Amz-Algorithm"); ok {
			if auth != "" {
				return Signature{}, &Error{Kind: TwoSignatures}
			}
			return parseQuery(query, alg)
		}
	}
	switch {
	case auth != "":
		return parseHeader(r, auth)
	case query == "":
		return Signature{}, &Error{Kind: Missing}
	}
	if _, ok := queryValue(query, "X-Amz-Signature"); ok {
		return parseQuery(query, "")
	}
	if _, ok := queryValue(query, "AWSAccessKeyId"); ok { // Signature Version 2
		return Signature{}, &Error{Kind: UnknownAlgorithm, Value: "AWS"}
	}
	return Signature{}, &Error{Kind: Missing}
}

// parseHeader reads the signature from the Authorization header.
func parseHeader(r *http.Request, auth string) (Signature, error) {
	alg, rest, _ := strings.Cut(auth, " ")
	if alg != Algorithm {
		return Signature{}, &Error{Kind: UnknownAlgorithm, Value: alg}
	}
	var credential string
	var s Signature
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.signedHeaders = value
		case "Signature":
			s.signature = value
		}
	}
	var missing []string
	if credential == "" {
		missing = append(missing, "Credential")
	}
	if s.signature == "" {
		missing = append(missing, "Signature")
	}
	if s.signedHeaders == "" {
		missing = append(missing, "SignedHeaders")
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	if date == "" {
		missing = append(missing, "Date")
	}
	if missing != nil {
		return Signature{}, &Error{Kind: MissingFields, Fields: missing}
	}
	s.SessionToken = r.Header.Get("X-Amz-Security-Token")
	return finish(s, credential, date)
}

// parseQuery reads the signature of a presigned request, with the algorithm that it
// names; "" if it names none.
func parseQuery(query, alg string) (Signature, error) {
	if alg != "" && alg != Algorithm {
		return Signature{}, &Error{Kind: UnknownAlgorithm, Value: alg, Presigned: true}
	}
	var missing []string
	get := func(name string) string {
		v, _ := queryValue(query, name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	if alg == "" {
		missing = append(missing, "X-Amz-Algorithm")
	}
	s := Signature{Presigned: true}
	credential := get("X-Amz-Credential")
	s.signature = get("X-Amz-Signature")
	s.signedHeaders = get("X-Amz-SignedHeaders")
	date := get("X-Amz-Date")
	if missing != nil {
		return Signature{}, &Error{Kind: MissingFields, Fields: missing, Presigned: true}
	}
	s.SessionToken, _ = queryValue(query, "X-Amz-Security-Token")

	s, err := finish(s, credential, date)
	if err != nil {
		return Signature{}, err
	}
	expires, given := queryValue(query, "X-Amz-Expires")
	switch n, err := strconv.ParseInt(expires, 10, 64); {
	case !given && s.Service == "s3":
		return Signature{}, &Error{Kind: MissingFields, Fields: []string{"X-Amz-Expires"}, Presigned: true}
	case !given:
	case err != nil, n < 0, n == 0 && s.Service == "s3", n > 604800:
		return Signature{}, &Error{Kind: BadExpires, Value: expires, Presigned: true}
	default:
		s.Expires = time.Duration(n) * time.Second
	}
	return s, nil
}

// finish splits credential and date, which both forms have.
func finish(s Signature, credential, date string) (Signature, error) {
	key, scope, _ := strings.Cut(credential, "/")
	day, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, last, found := strings.Cut(rest, "/")
	if !found || key == "" || day == "" || service == "" || last != terminator {
		return Signature{}, &Error{Kind: BadCredential, Value: credential, Presigned: s.Presigned}
	}
	s.AccessKeyID, s.scope, s.Region, s.Service = key, scope, region, service

	t, err := time.Parse(basicISO, date)
	if err != nil {
		// Only the plain Date header may have HTTP's own format.
		if t, err = http.ParseTime(date); err != nil || s.Presigned {
			return Signature{}, &Error{Kind: BadDate, Value: date, Presigned: s.Presigned}
		}
		t = t.UTC()
		date = t.Format(basicISO)
	}
	s.Time, s.timestamp = t, date
	if day != date[:len("20060102")] {
		return Signature{}, &Error{Kind: ScopeDate, Value: day, Time: t, Presigned: s.Presigned}
	}
	if !s.SignedHeader("host") && !s.SignedHeader(authority) {
		return Signature{}, &Error{Kind: UnsignedHeaders, Fields: []string{"host"}, Presigned: s.Presigned}
	}
	return s, nil
}
