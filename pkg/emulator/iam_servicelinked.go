package emulator

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// serviceLinkedText is the table of services that have a role of their own in
// an account; its head says how to read it.
//
//go:embed servicelinked.txt
var serviceLinkedText string

// serviceLinked is what a service-linked role is made of.
type serviceLinked struct {
	name, policy string // the policy is one of AWS's, without its path
	suffix       bool   // whether CustomSuffix may be given
}

// serviceLinkedRoles are those roles by service, the first part of its principal.
var serviceLinkedRoles = sync.OnceValue(func() map[string]serviceLinked {
	all := make(map[string]serviceLinked)
	for line := range strings.Lines(serviceLinkedText) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] == "#" {
			continue
		}
		name, suffix := strings.CutPrefix(fields[1], "*")
		all[fields[0]] = serviceLinked{name, fields[2], suffix}
	}
	return all
})

// servicePath begins the paths of service-linked roles.
const servicePath = "/aws-service-role/"

var (
	ruleServiceName = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	ruleSuffix      = wire.Rule{Min: 1, Max: 64, Pattern: patternName}
	ruleTask        = wire.Rule{Required: true, Min: 1, Max: 1000}
)

// checkPath refuses a path that only service-linked roles have.
func checkPath(path string) *wire.Failure {
	if strings.HasPrefix(path, servicePath) {
		return invalidInput("Path prefix '%s' can only be used for AWS Service linked Roles", servicePath)
	}
	return nil
}

// unmodifiable refuses to change a role that is linked to a service. It is for the
// service to change, except for description and tags.
func (e *entity) unmodifiable() *wire.Failure {
	if e.Service == "" {
		return nil
	}
	return wire.Errorf(http.StatusBadRequest, "UnmodifiableEntity",
		"Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", e.Name)
}

func (s *Server) createServiceLinkedRole(c *call) (func(*wire.XML), *wire.Failure) {
	service := c.Text("AWSServiceName", ruleServiceName)
	description := c.Text("Description", ruleDescription)
	suffix := c.Text("CustomSuffix", ruleSuffix)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	linked, known := serviceLinkedRoles()[strings.TrimSuffix(service, ".amazonaws.com")]
	known = known && strings.HasSuffix(service, ".amazonaws.com")
	name, path := linked.name, servicePath+service+"/"
	if suffix != "" {
		name += "_" + suffix
	}
	var keys policy.Context
	keys.Set("iam:AWSServiceName", service)
	arn := roleKind.arn(s, path, name)
	if e := s.permit(c, arn, "", keys); e != nil {
		return nil, e
	}
	switch {
	case !known:
		return nil, s.refusedParameters(c, invalidInput("%s has no service-linked role that is known here.", service))
	case suffix != "" && !linked.suffix:
		return nil, s.refusedParameters(c, invalidInput("Custom suffix is not allowed for %s", service))
	}
	r := &role{
		entity: entity{
			ID: uniqueID(prefixRole, s.account.ID), Name: name, Path: path, ARN: arn, Created: c.At.UTC(), Service: service,
			Attached: []string{"arn:" + s.account.Partition + ":iam::aws:policy" + servicePath + linked.policy},
		},
		Description: description,
		MaxSession:  minMaxSession,
		Trust: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Principal":{"Service":[%q]}}]}`,
			service),
	}
	e := s.iam.edit(func(e *edit) *wire.Failure {
		switch {
		case e.roles[strings.ToLower(name)] != nil:
			return invalidInput("Service role name %s has been taken in this account, please try a different suffix.", name)
		case len(e.roles) >= maxRoles:
			return limitExceeded("Cannot exceed quota for RolesPerAccount: %d", maxRoles)
		}
		return e.putRole(r)
	})
	return func(x *wire.XML) {
		x.Open("Role")
		r.write(x, "Role")
		x.Text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
		x.Optional("Description", r.Description)
		x.Close("Role")
	}, e
}

// linkedRole is the service-linked role with a name, if the caller may do this to
// it; otherwise there is none of that kind.
func (s *Server) linkedRole(c *call, name string) (*role, *wire.Failure) {
	r := s.iam.roleByName(name)
	var keys policy.Context
	if r != nil && r.Service != "" {
		keys.Set("iam:AWSServiceName", r.Service)
	}
	if e := roleKind.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	if r == nil || r.Service == "" {
		return nil, roleKind.missing(name)
	}
	return r, nil
}

// deleteServiceLinkedRole deletes at once, as no service here uses the role. The
// id of the deletion can be asked for as long as the process lives.
func (s *Server) deleteServiceLinkedRole(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("RoleName", ruleRoleName)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	r, e := s.linkedRole(c, name)
	if e != nil {
		return nil, e
	}
	e = s.iam.edit(func(e *edit) *wire.Failure {
		now := e.roleIDs[r.ID]
		if now == nil {
			return roleKind.missing(name)
		}
		e.deleteRole(now)
		return nil
	})
	id := "task" + r.Path + r.Name + "/" + api.NewID()
	s.reports.mu.Lock()
	s.reports.jobs.put(id, c.At)
	s.reports.mu.Unlock()
	return func(x *wire.XML) { x.Text("DeletionTaskId", id) }, e
}

func (s *Server) getServiceLinkedRoleDeletionStatus(c *call) (func(*wire.XML), *wire.Failure) {
	id := c.Text("DeletionTaskId", ruleTask)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	// task/aws-service-role/SERVICE/NAME/UUID
	parts := strings.Split(id, "/")
	if len(parts) != 5 || parts[0] != "task" || "/"+parts[1]+"/" != servicePath {
		return nil, s.refusedParameters(c, invalidInput("Invalid deletion task id: %s", id))
	}
	var keys policy.Context
	keys.Set("iam:AWSServiceName", parts[2])
	if e := s.permit(c, roleKind.arn(s, servicePath+parts[2]+"/", parts[3]), "role "+parts[3], keys); e != nil {
		return nil, e
	}
	s.reports.mu.Lock()
	_, known := s.reports.jobs.get(id)
	s.reports.mu.Unlock()
	if !known {
		return nil, noSuchEntity("Deletion task %s cannot be found.", id)
	}
	return func(x *wire.XML) { x.Text("Status", "SUCCEEDED") }, nil
}
