package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/plain"
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
		// What EKS alone has.
		PodIdentityAssociations            ignored `yaml:"podIdentityAssociations"`
		AutoCreatePodIdentityAssociations  ignored `yaml:"autoCreatePodIdentityAssociations"`
		ServiceRoleARN                     ignored `yaml:"serviceRoleARN"`
		ServiceRolePermissionsBoundary     ignored `yaml:"serviceRolePermissionsBoundary"`
		FargatePodExecutionRoleARN         ignored `yaml:"fargatePodExecutionRoleARN"`
		FargatePodExecutionRolePermissions ignored `yaml:"fargatePodExecutionRolePermissionsBoundary"`
		VPCResourceControllerPolicy        ignored `yaml:"vpcResourceControllerPolicy"`
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
	// Status is what eksctl writes back. It is read in the list that eksctl
	// prints, which tells of nothing else.
	Status struct {
		RoleARN string `yaml:"roleARN"`
	} `yaml:"status"`
}

// String is NAMESPACE/NAME.
func (sa *iamServiceAccount) String() string { return sa.Metadata.Namespace + "/" + sa.Metadata.Name }

// inlinePolicy is a policy document as JSON, written as YAML.
type inlinePolicy []byte

// ignored is a field of eksctl's that has no meaning here.
type ignored struct{}

// readConfig reads a configuration file, "-" being standard input, and says what
// of it is ignored. An error names the line and the field.
func (a *app) readConfig(path string) (clusterFile, error) {
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
	file, unread, err := parseFile(body)
	if err != nil {
		return clusterFile{}, &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	if len(unread) > 0 {
		plain.Fprintf(a.err, "note: %s: ignored, since it has no meaning here: %s\n", path, strings.Join(unread, ", "))
	}
	return file, nil
}

func parseConfig(body []byte) (clusterFile, error) {
	file, _, err := parseFile(body)
	return file, err
}

// parseFile reads a configuration file: our own, a ClusterConfig of eksctl, or
// the list that `eksctl get iamserviceaccount` prints. unread is what of it has
// no meaning here.
func parseFile(body []byte) (file clusterFile, unread []string, err error) {
	roots, err := documents(body)
	if err != nil {
		return clusterFile{}, nil, err
	}
	root, others, err := chooseDocument(roots)
	if err != nil {
		return clusterFile{}, nil, err
	}
	d := &decoder{}
	at := []string{"iamServiceAccounts", "iam.serviceAccounts"}
	switch {
	case root.Kind == yaml.SequenceNode:
		d.lenient, at = true, []string{""}
		err = d.value(root, reflect.ValueOf(&file.IAMServiceAccounts).Elem(), "")
		for i := range file.IAMServiceAccounts {
			file.IAMServiceAccounts[i].adopt(d, fmt.Sprintf("[%d]", i))
		}
		file.IAMServiceAccounts = slices.DeleteFunc(file.IAMServiceAccounts, func(sa iamServiceAccount) bool {
			return sa.AttachRoleARN != "" && sa.RoleOnly // there is nothing to do
		})
	case field(root, "kind") == eksctlKind:
		d.lenient = true
		var theirs eksctlFile
		err = d.value(root, reflect.ValueOf(&theirs).Elem(), "")
		file = theirs.file()
	default:
		err = d.value(root, reflect.ValueOf(&file).Elem(), "")
	}
	if err != nil {
		return clusterFile{}, nil, err
	}
	var paths []string // of the service accounts
	for i, list := range [][]iamServiceAccount{file.IAMServiceAccounts, file.IAM.ServiceAccounts} {
		for j := range list {
			paths = append(paths, fmt.Sprintf("%s[%d]", at[min(i, len(at)-1)], j))
		}
	}
	file.IAMServiceAccounts = append(file.IAMServiceAccounts, file.IAM.ServiceAccounts...)
	if err := file.check(d.lines); err != nil {
		return clusterFile{}, nil, err
	}
	if err := checkAccounts(file.IAMServiceAccounts, paths, d.lines); err != nil {
		return clusterFile{}, nil, err
	}
	return file, append(d.ignored, others...), nil
}

// check refuses fields that do not go together.
func (file *clusterFile) check(lines map[string]int) error {
	where := documentFlags{
		bucket: file.Bucket, issuerURL: file.IssuerURL, emulator: file.Emulator, private: file.PrivateBucket, distribution: file.DistributionARN,
	}
	waits := admission{file.FailurePolicy, file.IgnoreNamespaces, file.ExcludeNamespaces}
	for _, fault := range []func() (string, error){where.fault, waits.fault} {
		if flag, err := fault(); err != nil {
			return fmt.Errorf("line %d: %s", lines[inFile.Replace(flag)], inFile.Replace(err.Error()))
		}
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
			return fmt.Errorf("line %d: %s and %s exclude each other", lines[pair.first], pair.first, pair.second)
		}
	}
	return nil
}

// checkAccounts refuses service accounts that cannot be made, alone or together.
// Their fields are at paths.
func checkAccounts(accounts []iamServiceAccount, paths []string, lines map[string]int) error {
	// where names a field, and its line if it is one of the file.
	where := func(i int, field string) string {
		path := strings.TrimPrefix(join(paths[i], field), ".")
		if line := lines[path]; line != 0 {
			return fmt.Sprintf("(%s, line %d)", path, line)
		}
		return "(" + path + ")"
	}
	seen, sharers := map[string]int{}, map[string][]int{} // which share a role, IAM telling no names apart by case
	for i := range accounts {
		sa, line := &accounts[i], lines[paths[i]]
		sa.Metadata.Namespace = cmp.Or(sa.Metadata.Namespace, "default") // as in eksctl
		if err := sa.check(); err != nil {
			at := ""
			if e, ok := errors.AsType[*fieldError](err); ok {
				at = " " + where(i, e.field)
			}
			return fmt.Errorf("line %d: %w%s", line, err, at)
		}
		if first := seen[sa.String()]; first != 0 {
			return fmt.Errorf("line %d: service account %s is on line %d already %s", line, sa, first, where(i, "metadata.name"))
		}
		seen[sa.String()] = line
		if sa.RoleName == "" {
			continue
		}
		name := strings.ToLower(sa.RoleName)
		for _, j := range sharers[name] {
			other := &accounts[j]
			field := sa.differs(other)
			if sa.RoleName != other.RoleName {
				field = "roleName"
			}
			if field != "" {
				return fmt.Errorf("line %d: %s: %s and %s on line %d share role %s and ask for different %s %s",
					line, plan.Role, sa, other, lines[paths[j]], sa.RoleName, field, where(i, field))
			}
		}
		sharers[name] = append(sharers[name], i)
	}
	return nil
}

// inFile has errors about flags speak of the fields that stand for them.
var inFile = strings.NewReplacer("--bucket", "bucket", "--issuer-url", "issuerURL", "--private-bucket", "privateBucket", "--distribution-arn", "distributionARN", "--emulator", "emulator",
	"--failure-policy", "failurePolicy", "--ignore-namespaces", "ignoreNamespaces", "--exclude-namespaces", "excludeNamespaces")

// apply sets what flags have not set.
func (file *clusterFile) apply(a *app, o *upOptions) {
	for _, p := range []struct {
		flag *string
		file string
	}{
		{&o.name, file.Metadata.Name}, {&a.region, file.Metadata.Region}, {&o.bucket, file.Bucket}, {&o.issuerURL, file.IssuerURL},
		{&o.image, file.Image}, {&o.distribution, file.DistributionARN}, {&o.failurePolicy, file.FailurePolicy},
	} {
		*p.flag = cmp.Or(*p.flag, p.file)
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
