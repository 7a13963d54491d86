package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const servicesHead = `# Made by pkg/emulator/gen from the service models in botocore. Do not edit.
#
# A line tells of a service, with tabs between: the name that botocore and the AWS CLI have for it, the service in the
# scope of its signatures, its protocol, what is before the operation in X-Amz-Target, the version of its interface in the
# Query protocol, and the id by which SDKs make the names of variables. - is none.
`

// metadata is the head of a service model.
type metadata struct {
	Metadata struct {
		APIVersion, EndpointPrefix, Protocol, ServiceID, SigningName, TargetPrefix string
		Protocols                                                                  []string
		AWSQueryCompatible                                                         *struct{}
	}
}

// writeServices writes the table of services, by the latest model of each.
func writeServices(from, out string) error {
	paths, err := filepath.Glob(filepath.Join(from, "*", "*", "service-2.json.gz"))
	if err != nil {
		return err
	}
	slices.Sort(paths)           // and so the versions of each service
	lines := map[string]string{} // by name; a later version replaces an earlier one
	for _, path := range paths {
		model := new(metadata)
		if err := read(path, model); err != nil {
			return err
		}
		m := model.Metadata
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		version := "-"
		speaks := func(protocol string) bool { return m.Protocol == protocol || slices.Contains(m.Protocols, protocol) }
		if speaks("query") || speaks("ec2") || m.AWSQueryCompatible != nil {
			version = m.APIVersion
		}
		signs := m.SigningName
		if signs == "" {
			signs = m.EndpointPrefix
		}
		target := m.TargetPrefix
		if target == "" {
			target = "-"
		}
		lines[name] = strings.Join([]string{name, signs, m.Protocol, target, version, m.ServiceID}, "\t")
	}
	var b strings.Builder
	b.WriteString(servicesHead)
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintln(&b, lines[name])
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}
