package policy

// Parse reads a document. What it refuses is an [*Error] with AWS's own code
// and text; the order of the checks is AWS's too, so a document with several
// faults is refused for the same one.
//
// Sources: "Grammar of the IAM JSON policy language" for what is a fault; the
// texts are quoted in public reports and in the tests of other projects that
// took them from AWS.
func Parse(kind Kind, doc []byte) (*Policy, error) {
	var p *Policy
	var err *Error
	switch kind {
	case Trust:
		p, err = parseTrust(doc)
	case Bucket, Resource:
		p, err = parseBucket(kind, doc)
	case ServiceControl:
		p, err = parseServiceControl(doc)
	case ResourceControl:
		p, err = parseResourceControl(doc)
	default:
		p, err = parseIdentity(kind, doc)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
