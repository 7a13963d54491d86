package question

import "strings"

// arn is an ARN in its parts: arn:partition:service:region:account:resource.
type arn struct {
	partition, service, region, account, resource string
}

// parseARN cuts an ARN into its parts.
func parseARN(s string) (arn, bool) {
	var a arn
	rest, ok := strings.CutPrefix(s, "arn:")
	for _, part := range []*string{&a.partition, &a.service, &a.region, &a.account} {
		if ok {
			*part, rest, ok = strings.Cut(rest, ":")
		}
	}
	if !ok || a.partition == "" || a.service == "" {
		return arn{}, false
	}
	a.resource = rest
	return a, true
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
