package least

import (
	"fmt"
	"strings"
)

// Terraform is the suggestion as a Terraform configuration for the provider
// hashicorp/aws: a managed policy for each document, attached to the role.
func (s *Suggestion) Terraform(role string) string {
	var b strings.Builder
	for _, w := range s.Widenings {
		fmt.Fprintf(&b, "# wider than what was seen: %s\n", strings.ReplaceAll(w.String(), "\n", " "))
	}
	for _, p := range s.Policies {
		name := identifier(p.Name)
		fmt.Fprintf(&b, "resource \"aws_iam_policy\" %q {\n  name   = %q\n  policy = <<-EOT\n", name, p.Name)
		document := strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(p.Document))
		for line := range strings.Lines(document) {
			b.WriteString("    " + line)
		}
		fmt.Fprintf(&b, "\n  EOT\n}\n\nresource \"aws_iam_role_policy_attachment\" %q {\n  role       = %q\n", name, role)
		fmt.Fprintf(&b, "  policy_arn = aws_iam_policy.%s.arn\n}\n\n", name)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// identifier is a name as Terraform has names.
func identifier(name string) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, name)
	if id == "" || id[0] >= '0' && id[0] <= '9' || id[0] == '-' {
		id = "_" + id
	}
	return id
}
