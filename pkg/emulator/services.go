package emulator

import (
	_ "embed"
	"strings"
	"sync"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

//go:generate go run ./gen -from botocore/data -services services.txt

// servicesText is the table of AWS's services; its head says how to read it.
//
//go:embed services.txt
var servicesText string

// awsService is what tells a service of AWS from the others on the wire.
type awsService struct {
	name     string // that clients have for it, such as "dynamodb"
	signs    string // the service in the scope of its signatures
	protocol string // as botocore calls it
	target   string // before the operation in X-Amz-Target; "" for none
	version  string // of its interface in the Query protocol; "" if it does not speak that
	id       string // of its clients, such as "DynamoDB"
}

// rest is the protocol of a request that names no operation.
func (a *awsService) rest() wire.Protocol {
	switch a.protocol {
	case "query":
		return wire.Query
	case "ec2":
		return wire.QueryEC2
	case "rest-xml":
		return wire.RESTXML
	}
	return wire.RESTJSON
}

// awsServices are those that there are, by name.
var awsServices = sync.OnceValue(func() []*awsService {
	var all []*awsService
	for line := range strings.Lines(servicesText) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			continue
		}
		none := func(s string) string { return strings.Trim(s, "-") }
		all = append(all, &awsService{f[0], f[1], f[2], none(f[3]), none(f[4]), f[5]})
	}
	return all
})

// servicesWhere are the services of which something is true.
func servicesWhere(is func(*awsService) bool) []*awsService {
	var found []*awsService
	for _, a := range awsServices() {
		if is(a) {
			found = append(found, a)
		}
	}
	return found
}
