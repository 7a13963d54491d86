package emulator

import (
	"maps"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/kms"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// CheckAnswer holds an answer of STS or IAM against the service's model: which
// members it has that the model does not know, and which it lacks that the model
// says are always there.
var CheckAnswer = wire.CheckAnswer

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
func KMSOperations() []string {
	return slices.Sorted(maps.Keys(kms.New(nil).(*api.JSONService).Operations))
}
func S3Operations() []string { return slices.Sorted(maps.Keys(s3.Operations)) }
