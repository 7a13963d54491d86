package main

import (
	"embed"
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/role"
)

// The policies that go by a name, which are eksctl's wellKnownPolicies: some are
// managed policies of AWS, whose names are here; the others are documents in the
// folder wellknown, which become inline policies. What they allow is what
// eksctl's allow (its pkg/cfn/builder/statement.go), which follows the
// documentation of the programs: cluster-autoscaler, aws-load-balancer-controller
// (docs/install/iam_policy.json), external-dns and cert-manager (Route 53).
var wellKnownManaged = map[string]string{
	"imageBuilder":     "AmazonEC2ContainerRegistryPowerUser",
	"ebsCSIController": "service-role/AmazonEBSCSIDriverPolicy",
	"efsCSIController": "service-role/AmazonEFSCSIDriverPolicy",
}

//go:embed wellknown/*.json
var wellKnownDocuments embed.FS

// wellKnownNames are all the names, sorted.
func wellKnownNames() []string {
	names := slices.Collect(maps.Keys(wellKnownManaged))
	files, err := wellKnownDocuments.ReadDir("wellknown")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".json"))
	}
	slices.Sort(names)
	return names
}

// wellKnown adds the policy of a name to a role. ok is false if there is none.
func wellKnown(name, partition string, want *role.Role) (ok bool) {
	if managed, ok := wellKnownManaged[name]; ok {
		want.PolicyARNs = append(want.PolicyARNs, "arn:"+partition+":iam::aws:policy/"+managed)
		return true
	}
	document, err := wellKnownDocuments.ReadFile("wellknown/" + name + ".json")
	if err != nil {
		return false
	}
	if want.Inline == nil {
		want.Inline = map[string][]byte{}
	}
	want.Inline[name] = []byte(strings.ReplaceAll(string(document), `"arn:aws:`, `"arn:`+partition+":"))
	return true
}
