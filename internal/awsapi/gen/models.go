package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A model is a service model of botocore.
type model struct {
	name, signing, prefix, protocol string
	Metadata                        struct {
		APIVersion, EndpointPrefix, JSONVersion, Protocol string
		ServiceID, SigningName, TargetPrefix              string
		XMLNamespace                                      string
		Protocols, Auth                                   []string
		AWSQueryCompatible                                *struct{}
	}
	Operations map[string]operation
	Shapes     map[string]shape
}

type operation struct {
	HTTP struct {
		Method, RequestURI string
	}
	Endpoint        struct{ HostPrefix string }
	Input, Output   reference
	Auth            []string
	AuthType        string
	UnsignedPayload bool
	Deprecated      bool
}

type shape struct {
	Type        string
	Members     map[string]reference // of a structure
	Required    []string
	Member      reference  // of a list
	Key, Value  *reference // of a map
	Flattened   bool
	Payload     string // a member's name
	EventStream bool
	Document    bool
	Exception   bool
	Error       struct {
		Code           string
		HTTPStatusCode int
	}
}

// A reference is to a shape.
type reference struct {
	Shape                             string
	Location, LocationName, QueryName string
	Flattened, EventStream            bool
}

// prefixes are those of the models whose signing name is no prefix of actions.
var prefixes = map[string]string{
	"cloudcontrol":             "cloudformation",
	"cloudwatch":               "cloudwatch",
	"iot-data":                 "iot",
	"iot-jobs-data":            "iotjobsdata",
	"iotevents-data":           "iotevents",
	"iotsecuretunneling":       "iot",
	"mturk":                    "mechanicalturk",
	"partnercentral-account":   "partnercentral",
	"partnercentral-benefits":  "partnercentral",
	"partnercentral-channel":   "partnercentral",
	"partnercentral-selling":   "partnercentral",
	"resourcegroupstaggingapi": "tag",
	"sso":                      "sso",
	// Not in the reference.
	"applicationcostprofiler": "",
	"iotthingsgraph":          "",
}

// readModels reads the models, by name.
func readModels(data string, services map[string]*service) (map[string]*model, error) {
	files, err := modelFiles(data, botocoreSHA256)
	if err != nil {
		return nil, err
	}
	models := map[string]*model{}
	for name, file := range files {
		m := &model{name: name}
		if err := json.Unmarshal(file, m); err != nil {
			return nil, fmt.Errorf("reading model of %s: %w", name, err)
		}
		m.signing = cmp.Or(m.Metadata.SigningName, m.Metadata.EndpointPrefix)
		m.prefix = m.signing
		prefix, exception := prefixes[name]
		known := services[m.signing] != nil
		switch {
		case exception && known || exception && prefix != "" && services[prefix] == nil:
			return nil, fmt.Errorf("model of %s: the exception for its prefix is not right any more", name)
		case exception:
			m.prefix = prefix
		case !known:
			return nil, fmt.Errorf("model of %s: %s is no prefix of actions", name, m.signing)
		}
		if m.protocol, err = m.speaks(); err != nil {
			return nil, fmt.Errorf("model of %s: %w", name, err)
		}
		models[name] = m
	}
	return models, nil
}

// speaks is the protocol by awsapi's name.
func (m *model) speaks() (string, error) {
	switch p := m.Metadata.Protocol; p {
	case "query", "ec2", "rest-json", "rest-xml":
		return p, nil
	case "json", "smithy-rpc-v2-cbor":
		if v := m.Metadata.JSONVersion; v == "1.0" || v == "1.1" {
			return "json-" + v, nil
		}
	}
	return "", fmt.Errorf("unknown protocol %q %q", m.Metadata.Protocol, m.Metadata.JSONVersion)
}

// denied is the error for a caller without permission, and its status.
func (m *model) denied() (code string, status int) {
	for _, name := range []string{"AccessDeniedException", "AccessDenied", "AccessDeniedFault", "AuthorizationErrorException"} {
		if s, ok := m.Shapes[name]; ok && s.Exception {
			return cmp.Or(s.Error.Code, name), s.Error.HTTPStatusCode
		}
	}
	return "", 0
}

// oldQuery is whether old clients speak Query, and new ones another protocol.
func (m *model) oldQuery() bool {
	return m.protocol != "query" && (m.Metadata.AWSQueryCompatible != nil || slices.Contains(m.Metadata.Protocols, "query"))
}

// rest is whether operations have routes.
func (m *model) rest() bool { return strings.HasPrefix(m.protocol, "rest-") }
