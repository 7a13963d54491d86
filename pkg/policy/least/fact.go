package least

import (
	"regexp"
	"slices"
	"strings"
)

// Fact is something that a role was seen to need.
type Fact struct {
	// Action is the action with its service, such as "s3:GetObject".
	Action string `json:"action"`
	// Resource is an ARN, or "*" for a call that has no resource.
	Resource string `json:"resource"`
	// Instance is not empty if Resource is a pattern, in the language of policies: then
	// it is a resource that the pattern stood for.
	Instance string `json:"instance,omitempty"`
	// Merged says that the pattern is what many resources have in common; otherwise an
	// id was not known when it was asked for.
	Merged bool `json:"merged,omitempty"`
	// Keys are the condition keys of the call that carry its meaning, in the order of
	// [MeaningfulKeys].
	Keys []Key `json:"keys,omitempty"`
}

// Key is a condition key with one value.
type Key struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// seen is a resource of which it was seen that the fact needs it.
func (f *Fact) seen() string {
	if f.Instance != "" {
		return f.Instance
	}
	return f.Resource
}

// Pattern is the resource of a [Fact] whose id was not known. spelled has * for what was
// not known, and instance is the sample that policies were asked about. What the two
// have in common is a name, even if it has a * in it.
func Pattern(spelled, instance string) string {
	begin, end := 0, 0
	for begin < min(len(spelled), len(instance)) && spelled[begin] == instance[begin] {
		begin++
	}
	for end < min(len(spelled), len(instance))-begin && spelled[len(spelled)-1-end] == instance[len(instance)-1-end] {
		end++
	}
	unknown := spelled[begin : len(spelled)-end]
	if strings.Contains(spelled, ":secretsmanager:") && unknown == "*" && strings.HasSuffix(spelled[:begin], "-") {
		unknown = "??????" // the six characters that the service chooses
	}
	return escape(spelled[:begin]) + unknown + escape(spelled[len(spelled)-end:])
}

// portable are facts for wherever the policy is used. The six characters at the end of
// a secret's ARN are chosen anew when the secret is made again, there as here (AWS
// Secrets Manager User Guide, "Secret ARN"), so they become wildcards.
func portable(facts []Fact) []Fact {
	all := slices.Clone(facts)
	for i := range all {
		f := &all[i]
		if m := secretARN.FindStringSubmatch(f.Resource); m != nil && f.Instance == "" {
			f.Resource, f.Instance = escape(m[1])+"??????", f.Resource
		}
	}
	return all
}

var secretARN = regexp.MustCompile(`^(arn:[^:]+:secretsmanager:[^:]*:[^:]*:secret:.+-)[A-Za-z0-9]{6}$`)

// escape writes a text so that nothing in it is a wildcard or a variable ("IAM policy
// elements: Variables and tags", "Policy variables with special characters").
func escape(text string) string { return escaper.Replace(text) }

var escaper = strings.NewReplacer("*", "${*}", "?", "${?}", "${", "${$}{")

// MeaningfulKeys are the condition keys without which a permission for an action is
// quite another one: to which service a role is passed, for which service a key of KMS
// is used, and which call of EC2's sets tags. What a call has of them belongs into its
// [Fact].
func MeaningfulKeys(action string) []string {
	switch service, _, _ := strings.Cut(action, ":"); {
	case strings.EqualFold(action, "iam:PassRole"):
		return []string{"iam:PassedToService"}
	case strings.EqualFold(action, "ec2:CreateTags"):
		return []string{"ec2:CreateAction"}
	case strings.EqualFold(service, "kms"):
		return []string{"kms:ViaService"}
	}
	return nil
}
