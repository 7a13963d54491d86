package trust

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// PodIdentityPrincipal is the service that assumes roles for pods with EKS Pod
// Identity (EKS User Guide, "Create IAM role with trust policy required by EKS Pod
// Identity").
const PodIdentityPrincipal = "pods.eks.amazonaws.com"

// Pods are those of one service account of a cluster, or more. The zero Pods are all of
// all clusters of the account, which eksctl and the console of EKS let in.
type Pods struct {
	// ClusterARN is arn:aws:eks:REGION:ACCOUNT:cluster/NAME.
	ClusterARN string
	// Namespace and ServiceAccount may be empty, together: all of the cluster. They
	// are pinned by the session's tags.
	Namespace, ServiceAccount string
}

// The keys by which a statement pins pods: the tags of their session, and, where an
// association has switched these off, the cluster for which the service acts (EKS
// User Guide, "Grant Pods access to AWS resources based on tags").
const (
	clusterTag        = "aws:RequestTag/eks-cluster-arn"
	namespaceTag      = "aws:RequestTag/kubernetes-namespace"
	serviceAccountTag = "aws:RequestTag/kubernetes-service-account"
	sourceARN         = "aws:SourceArn"
)

type podsStatement struct {
	Effect    string
	Principal map[string]string
	Action    []string
	Condition map[string]map[string]string `json:",omitempty"`
}

// statement lets in the pods, and nobody else.
func (p Pods) statement() (json.RawMessage, error) {
	if (p.Namespace == "") != (p.ServiceAccount == "") || p.ClusterARN == "" && p.Namespace != "" {
		return nil, errors.New("trust policy: pods are those of a cluster, or of a namespace and a service account of it")
	}
	s := podsStatement{
		Effect: "Allow", Principal: map[string]string{"Service": PodIdentityPrincipal}, Action: []string{"sts:AssumeRole", "sts:TagSession"},
	}
	switch {
	case p.Namespace != "":
		s.Condition = map[string]map[string]string{"StringEquals": {
			clusterTag: p.ClusterARN, namespaceTag: p.Namespace, serviceAccountTag: p.ServiceAccount,
		}}
	case p.ClusterARN != "":
		s.Condition = map[string]map[string]string{"ArnEquals": {sourceARN: p.ClusterARN}}
	}
	return marshal(s)
}

// WithPods returns the policy document existing, which may be empty, with a statement
// for each of the pods that it does not have. The others stay as they are. The result
// may be longer than IAM allows; see [CheckSize].
func WithPods(existing []byte, all ...Pods) ([]byte, error) {
	doc := foreign{Version: "2012-10-17"}
	if len(existing) > 0 {
		var err error
		if doc, err = parse(existing); err != nil {
			return nil, err
		}
	}
	for _, p := range all {
		ours, err := p.statement()
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(doc.Statement, func(s json.RawMessage) bool { return same(s, ours) }) {
			doc.Statement = append(doc.Statement, ours)
		}
	}
	if doc.Statement == nil {
		return nil, errors.New("trust policy: it lets in nobody")
	}
	return doc.marshal()
}

// WithoutPods returns the policy document existing without the statements for the
// pods, as [WithPods] writes them. It is nil if that leaves nobody who is let in.
func WithoutPods(existing []byte, all ...Pods) ([]byte, error) {
	doc, err := parse(existing)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		ours, err := p.statement()
		if err != nil {
			return nil, err
		}
		doc.Statement = slices.DeleteFunc(doc.Statement, func(s json.RawMessage) bool { return same(s, ours) })
	}
	if !slices.ContainsFunc(doc.Statement, func(s json.RawMessage) bool { return effect(s) == "Allow" }) {
		return nil, nil
	}
	return doc.marshal()
}

// PodsOf are the pods for which a policy document has statements as [WithPods] writes
// them, in their order.
func PodsOf(document []byte) []Pods {
	doc, err := parse(document)
	if err != nil {
		return nil
	}
	var all []Pods
	for _, raw := range doc.Statement {
		var s struct {
			Condition map[string]map[string]list
		}
		if json.Unmarshal(raw, &s) != nil {
			continue
		}
		one := func(operator, key string) string {
			if v := s.Condition[operator][key]; len(v) == 1 {
				return v[0]
			}
			return ""
		}
		for _, p := range []Pods{
			{one("StringEquals", clusterTag), one("StringEquals", namespaceTag), one("StringEquals", serviceAccountTag)},
			{ClusterARN: one("ArnEquals", sourceARN)},
		} {
			if ours, err := p.statement(); err == nil && same(raw, ours) {
				all = append(all, p)
				break
			}
		}
	}
	return all
}

// NamesPodIdentity reports whether a statement of a policy document lets in the
// service of EKS Pod Identity, on whatever conditions. EKS takes no other role for an
// association.
func NamesPodIdentity(document []byte) bool {
	doc, err := parse(document)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(doc.Statement, func(raw json.RawMessage) bool {
		var s struct{ Principal map[string]list }
		return effect(raw) == "Allow" && json.Unmarshal(raw, &s) == nil && slices.ContainsFunc(s.Principal["Service"],
			func(name string) bool { return strings.EqualFold(name, PodIdentityPrincipal) })
	})
}

// same is [Equal] of two statements, but for a Sid.
func same(a, b json.RawMessage) bool {
	var all map[string]json.RawMessage
	if json.Unmarshal(a, &all) != nil {
		return false
	}
	delete(all, "Sid")
	plain, err := marshal(all)
	return err == nil && Equal(plain, b)
}
