package policy

import (
	_ "embed"
	"regexp"
	"strings"
	"sync"
)

//go:generate go run ./gen -from sources -out services.txt

// servicesText lists the names of service principals, one a line and without
// ".amazonaws.com" where they end in that. AWS publishes no such list. This one
// is put together by gen, which says from what; it has names that IAM may not
// know, so that none is missing that somebody uses.
//
//go:embed services.txt
var servicesText string

var services = sync.OnceValue(func() map[string]bool {
	known := make(map[string]bool)
	for line := range strings.Lines(servicesText) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			known[line] = true
		}
	}
	return known
})

// region is the part of a regional service principal that names the region.
var region = regexp.MustCompile(`^(?:af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(?:-[a-z]+)+-[1-9][0-9]?$`)

// suffixes are the ends of service principals by partition; that of "aws" is
// right in all.
var suffixes = map[string]string{
	"aws-cn":    ".amazonaws.com.cn",
	"aws-eusc":  ".amazonaws.eu",
	"aws-iso":   ".c2s.ic.gov",
	"aws-iso-b": ".sc2s.sgov.gov",
	"aws-iso-e": ".cloud.adc-e.uk",
	"aws-iso-f": ".csp.hci.ic.gov",
}

// isService reports whether there is a service principal of a name, as far as is
// known: "lambda.amazonaws.com", or with a region "logs.eu-west-1.amazonaws.com".
func isService(name, partition string) bool {
	short, ok := strings.CutSuffix(name, ".amazonaws.com")
	if suffix := suffixes[partition]; !ok && suffix != "" {
		short, ok = strings.CutSuffix(name, suffix)
	}
	if !ok {
		return strings.HasSuffix(name, ".amazon.com") && services()[name]
	}
	if services()[short] {
		return true
	}
	i := strings.LastIndexByte(short, '.')
	return i > 0 && region.MatchString(short[i+1:]) && services()[short[:i]]
}
