package question

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
)

// ec2 are the actions of Amazon EC2 (Amazon EC2 User Guide, "Example policies to
// control access the Amazon EC2 API" and "Grant permission to tag Amazon EC2
// resources during creation"; Service Authorization Reference, "Actions, resources,
// and condition keys for Amazon EC2").
var ec2 = family{
	rules:     map[string]rule{},
	otherwise: ec2Other,
	keys:      ec2Keys,
	computed: []string{
		"ec2:CreateAction", "ec2:Region", "ec2:InstanceType", "ec2:VolumeSize", "ec2:VolumeType", "ec2:VolumeIops",
		"ec2:VolumeThroughput", "ec2:Encrypted", "ec2:AvailabilityZone", "ec2:Subnet", "ec2:Tenancy", "ec2:MetadataHttpTokens",
		"ec2:MetadataHttpEndpoint", "ec2:MetadataHttpPutResponseHopLimit", "ec2:EbsOptimized", "ec2:InstanceMarketType",
		"ec2:ParentSnapshot", "ec2:KeyPairName", "ec2:AssociatePublicIpAddress", "ec2:InstanceProfile", "ec2:PlacementGroup",
		"ec2:InstanceID", "ec2:ImageID", "ec2:SubnetID", "ec2:SecurityGroupID", "ec2:VolumeID", "ec2:SnapshotID", "ec2:VpcID",
		"ec2:NetworkInterfaceID", "ec2:PlacementGroupName", "ec2:IsLaunchTemplateResource", "ec2:LaunchTemplate",
	},
}

func init() {
	ec2.on(asks("", taggedIDs), "CreateTags DeleteTags")
}

// ec2Types are the types of resources by how their ids begin (Amazon EC2 User Guide,
// "Resource IDs").
var ec2Types = map[string]string{
	"i": "instance", "vol": "volume", "snap": "snapshot", "ami": "image", "aki": "image", "ari": "image", "subnet": "subnet",
	"sg": "security-group", "sgr": "security-group-rule", "eni": "network-interface", "vpc": "vpc", "rtb": "route-table",
	"igw": "internet-gateway", "nat": "natgateway", "eipalloc": "elastic-ip", "acl": "network-acl", "dopt": "dhcp-options",
	"lt": "launch-template", "vpce": "vpc-endpoint", "vpce-svc": "vpc-endpoint-service", "pcx": "vpc-peering-connection",
	"tgw": "transit-gateway", "tgw-attach": "transit-gateway-attachment", "tgw-rtb": "transit-gateway-route-table",
	"cgw": "customer-gateway", "vgw": "vpn-gateway", "vpn": "vpn-connection", "eigw": "egress-only-internet-gateway",
	"pl": "prefix-list", "fl": "vpc-flow-log", "cr": "capacity-reservation", "h": "dedicated-host", "sir": "spot-instances-request",
	"sfr": "spot-fleet-request", "fleet": "fleet", "eice": "instance-connect-endpoint", "ipam": "ipam", "ipam-pool": "ipam-pool",
	"ipam-scope": "ipam-scope", "cagw": "carrier-gateway", "iew": "instance-event-window", "lgw": "local-gateway",
	"lgw-rtb": "local-gateway-route-table", "tmf": "traffic-mirror-filter", "tms": "traffic-mirror-session",
	"tmt": "traffic-mirror-target", "cvpn-endpoint": "client-vpn-endpoint", "export-ami": "export-image-task",
	"import-ami": "import-image-task", "import-snap": "import-snapshot-task", "key": "key-pair", "pg": "placement-group",
}

// typeOfID is the type of a resource by its id, "" if it is no id.
func typeOfID(id string) string {
	prefix, rest, found := cutLast(id, "-")
	if !found || rest == "" || len(rest) > 32 {
		return ""
	}
	for _, r := range rest {
		if !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z') {
			return ""
		}
	}
	return ec2Types[prefix]
}

// ec2Resource is a resource by its type and id; without one it is any, with a
// sample. Images and snapshots have no account.
func (a *asker) ec2Resource(kind, id string) target {
	base := a.arn(kind + "/")
	if kind == "image" || kind == "snapshot" {
		base = withAccount(base, "")
	}
	if id != "" {
		return target{arn: base + id}
	}
	sample := sampleName
	for prefix, name := range ec2Types {
		if name == kind && prefix != "aki" && prefix != "ari" && kind != "key-pair" && kind != "placement-group" {
			sample = prefix + "-" + sampleHex
		}
	}
	return target{arn: base + sample, spelled: base + "*", unknown: true}
}

// taggedIDs are the resources of CreateTags and DeleteTags, whose types their ids
// tell.
func taggedIDs(a *asker) []target {
	var targets []target
	for _, id := range unique(texts(a.Input["Resources"])) {
		kind := typeOfID(id)
		if kind == "" {
			targets = append(targets, target{arn: a.arn(sampleName + "/" + id), spelled: a.arn("*/" + id), unknown: true})
			continue
		}
		targets = append(targets, a.ec2Resource(kind, id))
	}
	if targets == nil {
		targets = []target{{arn: a.arn(sampleName + "/" + sampleHex), spelled: a.arn("*/*"), unknown: true}}
	}
	return targets
}

// ec2Makes are the first words of operations that make something.
var ec2Makes = []string{"Create", "Run", "Allocate", "Request", "Import", "Copy", "Register"}

// ec2Other asks about the resources whose ids the call has, of the types that the
// action lists, and about any one of the required types that it makes.
func ec2Other(a *asker) {
	name := a.action("")
	action := a.listed(name)
	if action == nil || len(action.Types) == 0 {
		general(a)
		return
	}
	found := a.ec2Named(action)
	makes := slices.Contains(ec2Makes, verb(a.Operation))
	some := len(found) > 0
	var targets []target
	for _, use := range action.Types {
		own := found[use.Name]
		targets = append(targets, own...)
		copies := verb(a.Operation) == "Copy" && normal(use.Name) == normal(noun(a.Operation))
		// A request for spot instances is asked about if it is tagged, as the guide says.
		launches := a.Operation == "RunInstances" &&
			(use.Name == "volume" || use.Name == "spot-instances-request" && len(a.ec2Tags(use.Name)) > 0)
		if use.Required && (makes && len(own) == 0 || copies || !makes && !some) || launches && len(own) == 0 {
			t := a.ec2Resource(use.Name, "")
			t.created = makes
			targets = append(targets, t)
		}
	}
	if len(targets) == 0 {
		targets = []target{anything}
	}
	a.ask(name, targets...)
	a.tagNew()
}

// tagNew asks about tagging what a call makes, by type.
func (a *asker) tagNew() {
	if !slices.Contains(ec2Makes, verb(a.Operation)) && a.Operation != "StartInstances" {
		return
	}
	for _, kind := range unique(strs(a.Input, "TagSpecifications[].ResourceType")) {
		if len(a.ec2Tags(kind)) == 0 {
			continue
		}
		t := a.ec2Resource(kind, "")
		t.created, t.keys = true, []key{{"ec2:CreateAction", []string{a.Operation}, false}}
		a.ask("CreateTags", t)
	}
}

// ec2Tags are the tags that a call gives to new resources of a type.
func (a *asker) ec2Tags(kind string) []tag {
	var tags []tag
	for _, spec := range list(a.Input["TagSpecifications"]) {
		if str(spec, "ResourceType") == kind {
			tags = append(tags, readTags(dict(spec)["Tags"], false)...)
		}
	}
	return tags
}

// ec2Search looks for ids of resources at any depth.
type ec2Search struct {
	nodes int
	ids   []string
}

func (s *ec2Search) walk(name string, v any, depth int) {
	if s.nodes++; s.nodes > maxNodes || depth > 16 || len(s.ids) > MaxQuestions {
		return
	}
	switch v := v.(type) {
	case string:
		if typeOfID(v) != "" {
			s.ids = append(s.ids, v)
		}
	case []any:
		for _, entry := range v {
			s.walk(name, entry, depth+1)
		}
	case map[string]any:
		for _, key := range sorted(v) {
			if plain := normal(key); strings.HasPrefix(plain, "tag") || plain == "filters" || strings.HasSuffix(plain, "token") {
				continue
			}
			s.walk(key, v[key], depth+1)
		}
	}
}

// ec2Named are the resources that a call names, by type, of those that the action
// lists.
func (a *asker) ec2Named(action *awsapi.Action) map[string][]target {
	var search ec2Search
	search.walk("", a.Input, 0)
	found := map[string][]target{}
	add := func(kind string, t target) {
		if slices.ContainsFunc(action.Types, func(u awsapi.TypeUse) bool { return u.Name == kind }) {
			found[kind] = append(found[kind], t)
		}
	}
	for _, id := range unique(search.ids) {
		if isEC2ID(id) {
			add(typeOfID(id), a.ec2Resource(typeOfID(id), id))
		}
	}
	// Some emulators let ids have any form.
	for _, use := range action.Types {
		for _, member := range sorted(a.Input) {
			if plain := normal(member); plain != normal(use.Name)+"id" && plain != normal(use.Name)+"ids" {
				continue
			}
			for _, id := range unique(texts(a.Input[member])) {
				if typeOfID(id) != use.Name && !hasWord("key-pair placement-group", use.Name) {
					add(use.Name, a.ec2Resource(use.Name, id))
				}
			}
		}
	}
	for _, named := range ec2InARNs {
		for _, name := range strs(a.Input, named[1]) {
			add(named[0], a.ec2Resource(named[0], name))
		}
	}
	// What stands beside an id, and that AWS refuses, is what counts for some.
	for _, named := range ec2NotInARNs {
		names := slices.DeleteFunc(strs(a.Input, named[1]), isEC2ID)
		if len(names) > 0 && !(named[1] == "GroupName" && verb(a.Operation) == "Create") {
			add(named[0], a.ec2Resource(named[0], ""))
		}
	}
	return found
}

// isEC2ID reports whether a name is the id that is in an ARN.
func isEC2ID(name string) bool {
	kind := typeOfID(name)
	return kind != "" && kind != "key-pair" && kind != "placement-group"
}

// Members that name resources otherwise than by their ids, by type. Names of keys and
// placement groups are in their ARNs; those of security groups and launch templates,
// the addresses of elastic IPs, and ids of keys and placement groups are not.
var (
	ec2InARNs = [][2]string{
		{"key-pair", "KeyName"}, {"placement-group", "Placement.GroupName"}, {"placement-group", "GroupName"},
	}
	ec2NotInARNs = [][2]string{
		{"launch-template", "LaunchTemplateName"}, {"launch-template", "LaunchTemplate.LaunchTemplateName"},
		{"security-group", "SecurityGroups"}, {"security-group", "GroupName"}, {"elastic-ip", "PublicIp"},
		{"key-pair", "KeyPairId"}, {"placement-group", "Placement.GroupId"}, {"placement-group", "GroupId"},
	}
)

// ec2Paths are where a request has the value of a key, by the type of the resource
// that the key is about; the first that is there.
var ec2Paths = map[string]map[string]string{
	"instance": {
		"ec2:InstanceType": "InstanceType", "ec2:AvailabilityZone": "Placement.AvailabilityZone", "ec2:EbsOptimized": "EbsOptimized",
		"ec2:Tenancy": "Placement.Tenancy", "ec2:MetadataHttpTokens": "MetadataOptions.HttpTokens",
		"ec2:MetadataHttpEndpoint": "MetadataOptions.HttpEndpoint", "ec2:InstanceProfile": "IamInstanceProfile.Arn",
		"ec2:MetadataHttpPutResponseHopLimit": "MetadataOptions.HttpPutResponseHopLimit",
		"ec2:InstanceMarketType":              "InstanceMarketOptions.MarketType",
	},
	"volume": {
		"ec2:VolumeSize": "Size|BlockDeviceMappings[].Ebs.VolumeSize", "ec2:VolumeType": "VolumeType|BlockDeviceMappings[].Ebs.VolumeType",
		"ec2:VolumeIops": "Iops|BlockDeviceMappings[].Ebs.Iops", "ec2:Encrypted": "Encrypted|BlockDeviceMappings[].Ebs.Encrypted",
		"ec2:VolumeThroughput": "Throughput|BlockDeviceMappings[].Ebs.Throughput",
		"ec2:AvailabilityZone": "AvailabilityZone|Placement.AvailabilityZone",
		"ec2:ParentSnapshot":   "SnapshotId|BlockDeviceMappings[].Ebs.SnapshotId",
	},
	"network-interface": {
		"ec2:Subnet": "SubnetId|NetworkInterfaces[].SubnetId", "ec2:AvailabilityZone": "Placement.AvailabilityZone",
		"ec2:AssociatePublicIpAddress": "NetworkInterfaces[].AssociatePublicIpAddress",
	},
	"key-pair": {"ec2:KeyPairName": "KeyName"},
}

// ec2Defaults are the values of keys that a request does not give, for RunInstances
// and CreateVolume.
var ec2Defaults = map[string]map[string]string{
	"instance": {
		"ec2:Tenancy": "default", "ec2:EbsOptimized": "false", "ec2:MetadataHttpTokens": "optional", "ec2:MetadataHttpEndpoint": "enabled",
		"ec2:InstanceMarketType": "on-demand",
	},
	"volume": {"ec2:Encrypted": "false"},
}

// ec2IDs are the keys that hold the id of the resource itself.
var ec2IDs = map[string]string{
	"instance": "ec2:InstanceID", "image": "ec2:ImageID", "subnet": "ec2:SubnetID", "security-group": "ec2:SecurityGroupID",
	"volume": "ec2:VolumeID", "snapshot": "ec2:SnapshotID", "vpc": "ec2:VpcID", "network-interface": "ec2:NetworkInterfaceID",
	"placement-group": "ec2:PlacementGroupName",
}

// ec2Keys sets the keys of one resource of a call: the type of the instance is none
// of its volumes' keys.
func ec2Keys(a *asker, q *Question) {
	q.Keys.Set("ec2:Region", a.Region)
	resource, _ := parseARN(q.Resource)
	kind, id, found := strings.Cut(resource.resource, "/")
	if !found {
		return
	}
	if name := ec2IDs[kind]; name != "" && q.Known {
		q.Keys.Set(name, id)
	}
	switch a.Operation {
	case "CreateTags", "DeleteTags":
		setTags(q, readTagsOf(a.Input["Tags"], a.Operation == "DeleteTags"))
	default:
		setTags(q, a.ec2Tags(kind))
	}
	if strings.HasSuffix(q.Action, ":CreateTags") {
		return
	}
	for name, paths := range ec2Paths[kind] {
		for path := range strings.SplitSeq(paths, "|") {
			s := str(a.Input, path)
			if s == "" {
				continue
			}
			switch name { // whose values are ARNs
			case "ec2:Subnet":
				s = a.ec2Resource("subnet", s).arn
			case "ec2:ParentSnapshot":
				s = a.ec2Resource("snapshot", s).arn
			}
			q.Keys.Set(name, s)
			break
		}
		_, set := q.Keys.Values(name)
		if fallback := ec2Defaults[kind][name]; !set && fallback != "" && (a.Operation == "RunInstances" || a.Operation == "CreateVolume") {
			q.Keys.Set(name, fallback)
		}
	}
	if a.Operation == "RunInstances" {
		template := dict(a.Input["LaunchTemplate"])
		q.Keys.Set("ec2:IsLaunchTemplateResource", isTrue(template != nil && !a.overrides(q, kind)))
		if lt := str(template, "LaunchTemplateId"); lt != "" {
			q.Keys.Set("ec2:LaunchTemplate", a.arn("launch-template/"+lt))
		}
	}
}

// overrides reports whether a call names what a resource is, or is made of, in place of
// its launch template.
func (a *asker) overrides(q *Question, kind string) bool {
	switch kind {
	case "launch-template":
		return false
	case "network-interface":
		return q.Known || a.Input["SubnetId"] != nil || a.Input["NetworkInterfaces"] != nil
	case "volume":
		return q.Known || a.Input["BlockDeviceMappings"] != nil
	}
	return q.Known
}

// readTagsOf reads a list of tags, of which those without a value are taken away.
func readTagsOf(v any, removes bool) []tag {
	tags := readTags(v, removes)
	if removes {
		for i := range tags {
			tags[i].removed = tags[i].value == ""
		}
	}
	return tags
}
