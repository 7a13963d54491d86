package emulator

import (
	"maps"
	"slices"
)

// CheckAnswer holds an answer of STS or IAM against the service's model: which
// members it has that the model does not know, and which it lacks that the model
// says are always there.
func CheckAnswer(service, operation string, answer []byte) (unknown, missing []string, err error) {
	root, err := parseElement(answer)
	if err != nil {
		return nil, nil, err
	}
	s := &shaper{service: shapes()[service]}
	result := new(element)
	for _, e := range root.children[0].children {
		if e.name == operation+"Result" {
			result = e
		}
	}
	s.structure(operation, result)
	return s.unknown, s.missing, nil
}

// Operations are those of a service that can succeed.
func Operations(service string) map[string]bool {
	all := make(map[string]bool)
	if service == "sts" {
		for name := range stsOperations {
			all[name] = true
		}
		return all
	}
	for name := range maps.Keys(iamOperations) {
		all[name] = true
	}
	for name := range absentOperations {
		if name[:4] == "List" && name[len(name)-4:] != "Tags" {
			all[name] = true
		}
	}
	return all
}

// Names of all operations, for tests that are to leave none out.
func STSOperations() []string { return slices.Sorted(maps.Keys(stsOperations)) }
func IAMOperations() []string { return slices.Sorted(maps.Keys(iamOperations)) }
func KMSOperations() []string { return slices.Sorted(maps.Keys(kmsOperations)) }
func S3Operations() []string  { return slices.Sorted(maps.Keys(s3Operations)) }
