package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/pkg/plan"
)

// The header of a configuration file.
const (
	configVersion = "openirsa.dev/v1alpha1"
	configKind    = "Cluster"
)

// clusterFile is a configuration file: everything that the flags of `up` say,
// and the service accounts with their roles. docs/cluster.schema.json describes
// it for editors.
type clusterFile struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		// Name is --name.
		Name string `yaml:"name"`
		// Region is --region.
		Region string `yaml:"region"`
	} `yaml:"metadata"`

	KindName   string `yaml:"kindName"`
	Kubeconfig string `yaml:"kubeconfig"`
	Context    string `yaml:"context"`

	Emulator bool `yaml:"emulator"`
	// KeepIssuer is nil where the file does not say.
	KeepIssuer *bool  `yaml:"keepIssuer"`
	Bucket     string `yaml:"bucket"`
	IssuerURL  string `yaml:"issuerURL"`
	// PrivateBucket is --private-bucket, DistributionARN --distribution-arn.
	PrivateBucket   bool   `yaml:"privateBucket"`
	DistributionARN string `yaml:"distributionARN"`
	Image           string `yaml:"image"`
	PodEndpointURL  string `yaml:"podEndpointURL"`
	// FailurePolicy is --failure-policy, and so are the others.
	FailurePolicy     string   `yaml:"failurePolicy"`
	IgnoreNamespaces  []string `yaml:"ignoreNamespaces"`
	ExcludeNamespaces []string `yaml:"excludeNamespaces"`

	IAMServiceAccounts []iamServiceAccount `yaml:"iamServiceAccounts"`
	// IAM is the section of eksctl's ClusterConfig, as it is.
	IAM struct {
		WithOIDC        bool                `yaml:"withOIDC"`
		ServiceAccounts []iamServiceAccount `yaml:"serviceAccounts"`
	} `yaml:"iam"`
}

// iamServiceAccount is a service account and its role, in the fields of eksctl's
// iam.serviceAccounts.
type iamServiceAccount struct {
	Metadata struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	AttachPolicyARNs    []string          `yaml:"attachPolicyARNs"`
	AttachPolicy        inlinePolicy      `yaml:"attachPolicy"`
	WellKnownPolicies   map[string]bool   `yaml:"wellKnownPolicies"`
	AttachRoleARN       string            `yaml:"attachRoleARN"`
	PermissionsBoundary string            `yaml:"permissionsBoundary"`
	RoleName            string            `yaml:"roleName"`
	ShareRole           bool              `yaml:"shareRole"`
	RolePath            string            `yaml:"rolePath"`
	RoleOnly            bool              `yaml:"roleOnly"`
	SubjectPattern      string            `yaml:"subjectPattern"`
	Tags                map[string]string `yaml:"tags"`
	// Status is what eksctl writes back; it is not read.
	Status struct {
		RoleARN string `yaml:"roleARN"`
	} `yaml:"status"`
}

// String is NAMESPACE/NAME.
func (sa *iamServiceAccount) String() string { return sa.Metadata.Namespace + "/" + sa.Metadata.Name }

// inlinePolicy is a policy document, written as YAML.
type inlinePolicy []byte

// UnmarshalYAML makes JSON of it, which has no dates: what YAML takes for one,
// such as an unquoted Version, is the text that it is.
func (p *inlinePolicy) UnmarshalYAML(node *yaml.Node) error {
	datesAreTexts(node, map[*yaml.Node]bool{})
	var v any
	if err := node.Decode(&v); err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("line %d: the policy is not JSON: %w", node.Line, err)
	}
	*p = body
	return nil
}

func datesAreTexts(node *yaml.Node, seen map[*yaml.Node]bool) {
	if node == nil || seen[node] {
		return
	}
	seen[node] = true
	if node.ShortTag() == "!!timestamp" {
		node.Tag = "!!str"
	}
	datesAreTexts(node.Alias, seen)
	for _, child := range node.Content {
		datesAreTexts(child, seen)
	}
}

// readConfig reads a configuration file, "-" being standard input. Unknown
// fields are errors that name the field and the line.
func readConfig(path string) (clusterFile, error) {
	var body []byte
	var err error
	if path == "-" {
		body, err = io.ReadAll(os.Stdin)
	} else {
		body, err = os.ReadFile(path)
	}
	if err != nil {
		return clusterFile{}, fmt.Errorf("reading the configuration: %w", err)
	}
	file, err := parseConfig(body)
	if err != nil {
		return clusterFile{}, &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return file, nil
}

func parseConfig(body []byte) (clusterFile, error) {
	var file clusterFile
	d := yaml.NewDecoder(bytes.NewReader(body))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		if e, ok := errors.AsType[*yaml.TypeError](err); ok {
			text := strings.Join(e.Errors, "; ")
			return clusterFile{}, errors.New(inType.ReplaceAllString(text, ""))
		}
		return clusterFile{}, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return clusterFile{}, errors.New("it holds more than one document")
	}
	if file.APIVersion != configVersion || file.Kind != configKind {
		return clusterFile{}, fmt.Errorf("it is %s %s, not %s %s", file.APIVersion, file.Kind, configVersion, configKind)
	}
	// The same once more, for the lines on which things are.
	var fields map[string]yaml.Node
	if err := yaml.Unmarshal(body, &fields); err != nil {
		return clusterFile{}, err
	}
	var items struct {
		IAMServiceAccounts []yaml.Node `yaml:"iamServiceAccounts"`
		IAM                struct {
			ServiceAccounts []yaml.Node `yaml:"serviceAccounts"`
		} `yaml:"iam"`
	}
	if err := yaml.Unmarshal(body, &items); err != nil {
		return clusterFile{}, err
	}
	nodes := append(items.IAMServiceAccounts, items.IAM.ServiceAccounts...)
	// What is empty is no account.
	nodes = slices.DeleteFunc(nodes, func(n yaml.Node) bool { return n.ShortTag() == "!!null" })
	file.IAMServiceAccounts = append(file.IAMServiceAccounts, file.IAM.ServiceAccounts...)
	where := place{bucket: file.Bucket, issuerURL: file.IssuerURL, emulator: file.Emulator, private: file.PrivateBucket, distribution: file.DistributionARN}
	if flag, err := where.fault(); err != nil {
		return clusterFile{}, fmt.Errorf("line %d: %s", fields[inFile.Replace(flag)].Line, inFile.Replace(err.Error()))
	}
	waits := admission{file.FailurePolicy, file.IgnoreNamespaces, file.ExcludeNamespaces}
	if flag, err := waits.fault(); err != nil {
		return clusterFile{}, fmt.Errorf("line %d: %s", fields[inFile.Replace(flag)].Line, inFile.Replace(err.Error()))
	}
	for _, pair := range []struct {
		first, second string
		both          bool
	}{
		{"keepIssuer", "bucket", file.KeepIssuer != nil && *file.KeepIssuer && file.Bucket != ""},
		{"podEndpointURL", "emulator", file.PodEndpointURL != "" && file.Emulator},
		{"kindName", "context", file.KindName != "" && file.Context != ""},
		{"kindName", "kubeconfig", file.KindName != "" && file.Kubeconfig != ""},
	} {
		if pair.both {
			return clusterFile{}, fmt.Errorf("line %d: %s and %s exclude each other", fields[pair.first].Line, pair.first, pair.second)
		}
	}
	seen, sharers := map[string]int{}, map[string][]int{} // which share a role, IAM telling no names apart by case
	for i := range file.IAMServiceAccounts {
		sa, line := &file.IAMServiceAccounts[i], nodes[i].Line
		sa.Metadata.Namespace = orDefault(sa.Metadata.Namespace, "default") // as in eksctl
		if err := sa.check(); err != nil {
			return clusterFile{}, fmt.Errorf("line %d: %w", line, err)
		}
		if first := seen[sa.String()]; first != 0 {
			return clusterFile{}, fmt.Errorf("line %d: service account %s is on line %d already", line, sa, first)
		}
		seen[sa.String()] = line
		if sa.RoleName == "" {
			continue
		}
		name := strings.ToLower(sa.RoleName)
		for _, j := range sharers[name] {
			other := &file.IAMServiceAccounts[j]
			field := sa.differs(other)
			if sa.RoleName != other.RoleName {
				field = "roleName"
			}
			if field != "" {
				return clusterFile{}, fmt.Errorf("line %d: %s: %s and %s on line %d share role %s and ask for different %s", line, plan.Role, sa, other, nodes[j].Line, sa.RoleName, field)
			}
		}
		sharers[name] = append(sharers[name], i)
	}
	return file, nil
}

// inFile has errors about flags speak of the fields that stand for them.
var inFile = strings.NewReplacer("--bucket", "bucket", "--issuer-url", "issuerURL", "--private-bucket", "privateBucket", "--distribution-arn", "distributionARN", "--emulator", "emulator",
	"--failure-policy", "failurePolicy", "--ignore-namespaces", "ignoreNamespaces", "--exclude-namespaces", "excludeNamespaces")

// inType is how yaml.v3 names Go's types in its errors.
var inType = regexp.MustCompile(` in type (main\.\w+|struct \{.*?\}$)`)

// apply sets what flags have not set.
func (file *clusterFile) apply(a *app, o *upOptions) {
	for _, p := range []struct {
		flag *string
		file string
	}{
		{&o.name, file.Metadata.Name}, {&a.region, file.Metadata.Region}, {&o.bucket, file.Bucket}, {&o.issuerURL, file.IssuerURL},
		{&o.image, file.Image}, {&o.distribution, file.DistributionARN}, {&o.failurePolicy, file.FailurePolicy},
	} {
		*p.flag = orDefault(*p.flag, p.file)
	}
	if a.kindName == "" && a.context == "" && a.kubeconfig == "" {
		a.kindName, a.context, a.kubeconfig = file.KindName, file.Context, file.Kubeconfig
	}
	if !o.emulator && o.endpoint == "" {
		o.emulator, o.endpoint = file.Emulator, file.PodEndpointURL
	}
	o.private = o.private || file.PrivateBucket
	if o.ignore == nil {
		o.ignore = file.IgnoreNamespaces
	}
	if o.exclude == nil {
		o.exclude = file.ExcludeNamespaces
	}
	if file.KeepIssuer != nil && !o.keepSet && !o.keep {
		o.keep, o.keepSet = *file.KeepIssuer, true
	}
}
