package eks

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Limits of the service model.
const (
	maxTags       = 50
	maxTagKey     = 128 // characters
	maxTagValue   = 256 // characters
	idLength      = 19  // of the id of an association
	maxNamespace  = 63
	maxAccount    = 253
	maxToken      = 256 // of clientRequestToken, which the model does not bound
	maxClusterArn = 2048
)

var (
	clusterName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`)
	dnsLabel    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
)

// IsClusterName reports whether a text can be the name of a cluster.
func IsClusterName(name string) bool { return clusterName.MatchString(name) }

func checkClusterName(name string) *wire.Failure {
	if IsClusterName(name) {
		return nil
	}
	return invalid("The cluster name should match the pattern ^[0-9A-Za-z][A-Za-z0-9\\-_]* and have 1 to 100 characters.")
}

// isSubdomain reports whether a text is a DNS subdomain, as names of service accounts
// are (Kubernetes, "Object Names and IDs").
func isSubdomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !dnsLabel.MatchString(label) {
			return false
		}
	}
	return len(s) <= maxAccount
}

// checkPair refuses what is no service account of a namespace.
func checkPair(namespace, serviceAccount string) *wire.Failure {
	switch {
	case namespace == "":
		return invalid("The parameter namespace is required.")
	case serviceAccount == "":
		return invalid("The parameter serviceAccount is required.")
	case len(namespace) > maxNamespace || !dnsLabel.MatchString(namespace):
		return invalid("The parameter namespace is not a name of a Kubernetes namespace.")
	case !isSubdomain(serviceAccount):
		return invalid("The parameter serviceAccount is not a name of a Kubernetes service account.")
	}
	return nil
}

// checkTags refuses tags that cannot be.
func checkTags(tags map[string]string) *wire.Failure {
	if len(tags) > maxTags {
		return invalid("There can be %d tags, and there are %d.", maxTags, len(tags))
	}
	for key, value := range tags {
		switch n := utf8.RuneCountInString(key); {
		case n < 1 || n > maxTagKey:
			return invalid("A tag key has 1 to %d characters.", maxTagKey)
		case utf8.RuneCountInString(value) > maxTagValue:
			return invalid("A tag value has %d characters at most.", maxTagValue)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return invalid("Tag keys that begin with aws: are reserved.")
		}
	}
	return nil
}

// checkPolicy refuses a session policy that AssumeRole would.
func (s *Service) checkPolicy(document string) *wire.Failure {
	if document == "" {
		return nil
	}
	if n := utf8.RuneCountInString(document); n > policy.MaxSession {
		return invalid("The policy has %d characters, and it can have %d.", n, policy.MaxSession)
	}
	p, err := policy.Parse(policy.Session, []byte(document))
	if err == nil {
		err = p.CheckNew(s.account.Partition)
	}
	if err != nil {
		return invalid("The policy is not valid: %s", strings.TrimPrefix(err.Error(), "MalformedPolicyDocument: "))
	}
	return nil
}

// roleAccount is the account of a role's ARN, or false for what is none.
func (s *Service) roleAccount(arn string) (account string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || len(arn) > maxClusterArn || parts[0] != "arn" || parts[1] != s.account.Partition || parts[2] != "iam" ||
		parts[3] != "" || len(parts[4]) != 12 || strings.Trim(parts[4], "0123456789") != "" {
		return "", false
	}
	name, isRole := strings.CutPrefix(parts[5], "role/")
	return parts[4], isRole && name != "" && !strings.HasSuffix(name, "/")
}

// checkTarget refuses a target role that cannot be; "" is none.
func (s *Service) checkTarget(arn string) *wire.Failure {
	if _, ok := s.roleAccount(arn); arn != "" && !ok {
		return invalid("The parameter targetRoleArn is not the ARN of a role.")
	}
	return nil
}

// passRole asks whether the caller may hand a role to EKS (User Guide, "Assign an IAM
// role to a Kubernetes service account": the permission iam:PassRole).
func (s *Service) passRole(c *api.Call, arn, service string) *wire.Failure {
	q := &api.Question{Action: "iam:PassRole", Resource: arn}
	q.Keys.Set("iam:PassedToService", service)
	if role, ok := s.account.Role(arn); ok {
		for _, t := range role.Tags {
			q.Keys.Set("aws:ResourceTag/"+t.Key, t.Value)
			q.Keys.Set("iam:ResourceTag/"+t.Key, t.Value)
		}
	}
	return s.account.Gate.Authorize(c, q)
}

// useRole refuses a role that EKS Pod Identity could not assume for a cluster, once the
// caller may hand it over: one of another account, one that is not there, and one whose
// trust policy does not name the service. Conditions and sts:TagSession are not looked
// at; whether AWS demands the latter is not known.
func (s *Service) useRole(c *api.Call, cluster *Cluster, arn string) *wire.Failure {
	owner, ok := s.roleAccount(arn)
	switch {
	case !ok:
		return s.refuse(c, &why{Failure: invalid("The parameter roleArn is not the ARN of a role.")})
	case owner != cluster.Account:
		return s.refuse(c, &why{
			Failure:  invalid("The role must be in the account of the cluster. Use targetRoleArn for a role of another account."),
			resource: arn, expected: []string{cluster.Account}, found: []string{owner},
		})
	}
	if e := s.passRole(c, arn, ServicePrincipal); e != nil {
		return e
	}
	role, found := s.account.Role(arn)
	switch {
	case !found:
		return s.refuse(c, &why{
			Failure:  invalid("Role provided in the request does not exist."),
			reason:   "there is no role " + arn,
			resource: arn, expected: []string{arn},
		})
	case !role.Trust.LetsService(ServicePrincipal, "sts:AssumeRole"):
		return s.refuse(c, &why{
			Failure: invalid("Trust policy of the role provided is invalid."),
			reason: "no Allow statement of the role's trust policy names the service " + ServicePrincipal +
				" and the action sts:AssumeRole",
			resource: arn, expected: []string{ServicePrincipal}, found: role.Trust.Principals(),
		})
	}
	return nil
}
