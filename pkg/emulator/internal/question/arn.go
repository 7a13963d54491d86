package question

import "strings"

// arn is an ARN in its parts: arn:partition:service:region:account:resource.
type arn struct {
	partition, service, region, account, resource string
}

// parseARN cuts an ARN into its parts.
func parseARN(s string) (arn, bool) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[1] == "" || p[2] == "" {
		return arn{}, false
	}
	return arn{p[1], p[2], p[3], p[4], p[5]}, true
}

func (a arn) String() string {
	return "arn:" + a.partition + ":" + a.service + ":" + a.region + ":" + a.account + ":" + a.resource
}

// accountOf is the account in an ARN, "" if there is none.
func accountOf(s string) string {
	a, _ := parseARN(s)
	if !isAccount(a.account) {
		return ""
	}
	return a.account
}

// isAccount reports whether s is the id of an account: twelve digits.
func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}
