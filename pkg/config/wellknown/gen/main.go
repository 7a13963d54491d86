// Gen brings the well-known policies up to date: it takes each from a checkout
// of the project that publishes it, and notes the version.
//
//	go run ./pkg/config/wellknown/gen -from ~/src -to pkg/config/wellknown
//
// -from is a folder with the checkouts, each named as its repository is;
// sources.json in -to says which they are, and what to take of them.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/plain"
)

func main() {
	from := flag.String("from", "", "folder with the checkouts")
	to := flag.String("to", "pkg/config/wellknown", "folder of the policies")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		plain.Error(plain.NewWriter(os.Stderr), "gen", err)
		os.Exit(1)
	}
}

// source is where a policy is from.
type source struct {
	// Policy is the name of the policy, and of its file.
	Policy string `json:"policy"`
	// Repository and Path are the file that publishes it: the document itself,
	// a page (.md), or a template of CloudFormation (.yaml).
	Repository string `json:"repository"`
	Path       string `json:"path"`
	// After is the heading of a page below which the document is.
	After string `json:"after,omitempty"`
	// Version is that of the project whose document the policy is, and Date the
	// day on which it was the newest.
	Version string `json:"version"`
	Date    string `json:"date"`
	Licence string `json:"licence"`
}

func run(from, to string) error {
	if from == "" {
		return errors.New("-from is missing: a folder with the checkouts of sources.json")
	}
	list := filepath.Join(to, "sources.json")
	body, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var sources []source
	if err := json.Unmarshal(body, &sources); err != nil {
		return fmt.Errorf("reading %s: %w", list, err)
	}
	for i := range sources {
		if err := sources[i].take(from, to); err != nil {
			return fmt.Errorf("%s: %w", sources[i].Policy, err)
		}
	}
	if body, err = json.MarshalIndent(sources, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(list, append(body, '\n'), 0o644)
}

// take writes the policy that the checkout has, and notes its version.
func (s *source) take(from, to string) error {
	checkout := filepath.Join(from, path.Base(s.Repository))
	body, err := os.ReadFile(filepath.Join(checkout, filepath.FromSlash(s.Path)))
	if err != nil {
		return err
	}
	document, err := s.document(body)
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.Path, err)
	}
	version, err := exec.Command("git", "-C", checkout, "describe", "--tags", "--always").Output()
	if err != nil {
		return fmt.Errorf("asking git for the version of %s: %w", checkout, err)
	}
	date, err := exec.Command("git", "-C", checkout, "log", "-1", "--format=%cs").Output()
	if err != nil {
		return fmt.Errorf("asking git for the date of %s: %w", checkout, err)
	}
	s.Version, s.Date = strings.TrimSpace(string(version)), strings.TrimSpace(string(date))
	return os.WriteFile(filepath.Join(to, s.Policy+".json"), document, 0o644)
}

// document is the policy in a file.
func (s *source) document(body []byte) ([]byte, error) {
	switch path.Ext(s.Path) {
	case ".md":
		_, below, ok := strings.Cut(string(body), s.After+"\n")
		if !ok || s.After == "" {
			return nil, fmt.Errorf("no heading %q", s.After)
		}
		_, rest, ok := strings.Cut(below, "```json\n")
		text, _, closed := strings.Cut(rest, "```")
		if !ok || !closed {
			return nil, fmt.Errorf("no JSON below %q", s.After)
		}
		body = []byte(text)
	case ".yaml":
		var err error
		if body, err = controllerPolicy(body); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(body), "", "  "); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}

// controllerPolicy joins the managed policies of a template, in their order.
// What the template has CloudFormation put in stays, except attributes of its
// own resources, which are spelt out.
func controllerPolicy(template []byte) ([]byte, error) {
	var file struct {
		Resources yaml.Node `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(template, &file); err != nil {
		return nil, err
	}
	type policy struct {
		Version   string
		Statement []json.RawMessage
	}
	var joined policy
	for i := 1; i < len(file.Resources.Content); i += 2 {
		var resource struct {
			Type       string `yaml:"Type"`
			Properties struct {
				PolicyDocument yaml.Node `yaml:"PolicyDocument"`
			} `yaml:"Properties"`
		}
		if err := file.Resources.Content[i].Decode(&resource); err != nil || resource.Type != "AWS::IAM::ManagedPolicy" {
			continue
		}
		text := attributes.Replace(resource.Properties.PolicyDocument.Value)
		var one policy
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			return nil, fmt.Errorf("line %d: %w", resource.Properties.PolicyDocument.Line, err)
		}
		joined.Version, joined.Statement = one.Version, append(joined.Statement, one.Statement...)
	}
	if len(joined.Statement) == 0 {
		return nil, errors.New("no managed policy in the template")
	}
	return json.Marshal(joined)
}

// attributes are what Karpenter's template says of its own resources.
var attributes = strings.NewReplacer(
	"${KarpenterInterruptionQueue.Arn}", "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${ClusterName}",
	"${KarpenterNodeRole.Arn}", "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/KarpenterNodeRole-${ClusterName}",
)
