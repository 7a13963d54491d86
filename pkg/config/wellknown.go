package config

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/trust"
)

// The policies that go by a name, which are eksctl's wellKnownPolicies and
// karpenter: some are managed policies of AWS, whose names are here; the others
// are documents in the folder wellknown, which become inline policies. Its README
// says where they are from and how they are kept up to date.
//
// The EBS CSI driver's own documentation names AmazonEBSCSIDriverPolicyV2, which
// has no path; the one before it is below service-role/.
var wellKnownManaged = map[string]string{
	"imageBuilder":     "AmazonEC2ContainerRegistryPowerUser",
	"ebsCSIController": "AmazonEBSCSIDriverPolicyV2",
	"efsCSIController": "service-role/AmazonEFSCSIDriverPolicy",
}

//go:embed wellknown/*.json
var wellKnownDocuments embed.FS

// wellKnownSources tells where the documents are from; it is none.
const wellKnownSources = "sources"

// WellKnownNames are all the names of policies that [WellKnown] has, sorted.
func WellKnownNames() []string {
	names := slices.Collect(maps.Keys(wellKnownManaged))
	files, err := wellKnownDocuments.ReadDir("wellknown")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, f := range files {
		if name := strings.TrimSuffix(f.Name(), ".json"); name != wellKnownSources {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Surroundings are what a well-known policy may name. The program that uses it must
// know the cluster by the same name. What is empty is not known.
type Surroundings struct{ Partition, Account, Region, Cluster string }

// WellKnown is the policy of a name: a managed policy of AWS, by its ARN, or a document
// to be an inline policy. It fails if there is none, or if it needs to know more of the
// surroundings than is known.
func WellKnown(name string, s Surroundings) (arn string, document []byte, err error) {
	if managed, ok := wellKnownManaged[name]; ok {
		return "arn:" + s.Partition + ":iam::aws:policy/" + managed, nil, nil
	}
	template, err := wellKnownDocuments.ReadFile("wellknown/" + name + ".json")
	if err != nil || name == wellKnownSources {
		return "", nil, fmt.Errorf("well-known policy %q is not one of %s", name, strings.Join(WellKnownNames(), ", "))
	}
	text := strings.ReplaceAll(string(template), `"arn:aws:`, `"arn:${AWS::Partition}:`)
	for place, value := range map[string]string{
		"${AWS::Partition}": s.Partition, "${AWS::AccountId}": s.Account, "${AWS::Region}": s.Region, "${ClusterName}": s.Cluster,
	} {
		if value == "" && strings.Contains(text, place) {
			what := strings.Trim(strings.TrimPrefix(place, "${AWS::"), "${}")
			return "", nil, fmt.Errorf("well-known policy %s names the %s, which is not known", name, what)
		}
		text = strings.ReplaceAll(text, place, value)
	}
	return "", []byte(text), nil
}

// maxInline is IAM's quota for all inline policies of a role together, in
// characters without blanks, which cannot be raised.
const maxInline = 10240

// CheckInline refuses inline policies that IAM would refuse together.
func CheckInline(inline map[string][]byte) error {
	size := 0
	for _, document := range inline {
		size += trust.Size(document)
	}
	if size > maxInline {
		return fmt.Errorf("its inline policies %s have %d characters together, and IAM takes %d: "+
			"give the service accounts roles of their own, or make one a managed policy",
			strings.Join(slices.Sorted(maps.Keys(inline)), ", "), size, maxInline)
	}
	return nil
}
