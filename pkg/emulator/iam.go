package emulator

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// iamOperations are the operations of IAM that the emulator has. IAM has more;
// those are answered with InvalidAction and listed in docs/emulator.md.
var iamOperations = map[string]operation{
	"CreateRole":                    {run: (*Server).createRole},
	"GetRole":                       {run: (*Server).getRole},
	"ListRoles":                     {run: (*Server).listRoles},
	"DeleteRole":                    {run: (*Server).deleteRole},
	"UpdateRole":                    {run: (*Server).updateRole},
	"UpdateRoleDescription":         {run: (*Server).updateRoleDescription},
	"UpdateAssumeRolePolicy":        {run: (*Server).updateAssumeRolePolicy},
	"ListInstanceProfilesForRole":   {run: (*Server).listInstanceProfilesForRole},
	"TagRole":                       {run: roleKind.tag},
	"UntagRole":                     {run: roleKind.untag},
	"ListRoleTags":                  {run: roleKind.listTags},
	"AttachRolePolicy":              {run: roleKind.attach},
	"DetachRolePolicy":              {run: roleKind.detach},
	"ListAttachedRolePolicies":      {run: roleKind.listAttached},
	"PutRolePolicy":                 {run: roleKind.putInline},
	"GetRolePolicy":                 {run: roleKind.getInline},
	"DeleteRolePolicy":              {run: roleKind.deleteInline},
	"ListRolePolicies":              {run: roleKind.listInline},
	"PutRolePermissionsBoundary":    {run: roleKind.putBoundary},
	"DeleteRolePermissionsBoundary": {run: roleKind.deleteBoundary},

	"CreatePolicy":            {run: (*Server).createPolicy},
	"GetPolicy":               {run: (*Server).getPolicy},
	"ListPolicies":            {run: (*Server).listPolicies},
	"DeletePolicy":            {run: (*Server).deletePolicy},
	"CreatePolicyVersion":     {run: (*Server).createPolicyVersion},
	"GetPolicyVersion":        {run: (*Server).getPolicyVersion},
	"ListPolicyVersions":      {run: (*Server).listPolicyVersions},
	"DeletePolicyVersion":     {run: (*Server).deletePolicyVersion},
	"SetDefaultPolicyVersion": {run: (*Server).setDefaultPolicyVersion},
	"ListEntitiesForPolicy":   {run: (*Server).listEntitiesForPolicy},
	"TagPolicy":               {run: (*Server).tagPolicy},
	"UntagPolicy":             {run: (*Server).untagPolicy},
	"ListPolicyTags":          {run: (*Server).listPolicyTags},

	"CreateOpenIDConnectProvider":             {run: (*Server).createProvider},
	"GetOpenIDConnectProvider":                {run: (*Server).getProvider},
	"ListOpenIDConnectProviders":              {run: (*Server).listProviders},
	"DeleteOpenIDConnectProvider":             {run: (*Server).deleteProvider},
	"UpdateOpenIDConnectProviderThumbprint":   {run: (*Server).updateThumbprints},
	"AddClientIDToOpenIDConnectProvider":      {run: (*Server).addClientID},
	"RemoveClientIDFromOpenIDConnectProvider": {run: (*Server).removeClientID},
	"TagOpenIDConnectProvider":                {run: (*Server).tagProvider},
	"UntagOpenIDConnectProvider":              {run: (*Server).untagProvider},
	"ListOpenIDConnectProviderTags":           {run: (*Server).listProviderTags},

	"CreateUser":                    {run: (*Server).createUser},
	"GetUser":                       {run: (*Server).getUser},
	"ListUsers":                     {run: (*Server).listUsers},
	"UpdateUser":                    {run: (*Server).updateUser},
	"DeleteUser":                    {run: (*Server).deleteUser},
	"TagUser":                       {run: userKind.tag},
	"UntagUser":                     {run: userKind.untag},
	"ListUserTags":                  {run: userKind.listTags},
	"AttachUserPolicy":              {run: userKind.attach},
	"DetachUserPolicy":              {run: userKind.detach},
	"ListAttachedUserPolicies":      {run: userKind.listAttached},
	"PutUserPolicy":                 {run: userKind.putInline},
	"GetUserPolicy":                 {run: userKind.getInline},
	"DeleteUserPolicy":              {run: userKind.deleteInline},
	"ListUserPolicies":              {run: userKind.listInline},
	"PutUserPermissionsBoundary":    {run: userKind.putBoundary},
	"DeleteUserPermissionsBoundary": {run: userKind.deleteBoundary},
	"CreateAccessKey":               {run: (*Server).createAccessKey},
	"ListAccessKeys":                {run: (*Server).listAccessKeys},
	"UpdateAccessKey":               {run: (*Server).updateAccessKey},
	"DeleteAccessKey":               {run: (*Server).deleteAccessKey},
	"GetAccessKeyLastUsed":          {run: (*Server).getAccessKeyLastUsed},

	"CreateGroup":               {run: (*Server).createGroup},
	"GetGroup":                  {run: (*Server).getGroup},
	"ListGroups":                {run: (*Server).listGroups},
	"UpdateGroup":               {run: (*Server).updateGroup},
	"DeleteGroup":               {run: (*Server).deleteGroup},
	"AddUserToGroup":            {run: (*Server).addUserToGroup},
	"RemoveUserFromGroup":       {run: (*Server).removeUserFromGroup},
	"ListGroupsForUser":         {run: (*Server).listGroupsForUser},
	"AttachGroupPolicy":         {run: groupKind.attach},
	"DetachGroupPolicy":         {run: groupKind.detach},
	"ListAttachedGroupPolicies": {run: groupKind.listAttached},
	"PutGroupPolicy":            {run: groupKind.putInline},
	"GetGroupPolicy":            {run: groupKind.getInline},
	"DeleteGroupPolicy":         {run: groupKind.deleteInline},
	"ListGroupPolicies":         {run: groupKind.listInline},

	"GetAccountSummary":                  {run: (*Server).getAccountSummary},
	"GetAccountAuthorizationDetails":     {run: (*Server).getAccountAuthorizationDetails},
	"ListAccountAliases":                 {run: (*Server).listAccountAliases},
	"ListSAMLProviders":                  {run: (*Server).listSAMLProviders},
	"ListInstanceProfiles":               {run: (*Server).listInstanceProfiles},
	"GenerateServiceLastAccessedDetails": {run: (*Server).generateLastAccessed},
	"GetServiceLastAccessedDetails":      {run: (*Server).getLastAccessed},
	"SimulateCustomPolicy":               {run: (*Server).simulateCustomPolicy},
	"SimulatePrincipalPolicy":            {run: (*Server).simulatePrincipalPolicy},
}

// Rules of IAM's service model.
var (
	ruleRoleName    = wire.Rule{Required: true, Min: 1, Max: 64, Pattern: patternName}
	ruleUserName    = wire.Rule{Required: true, Min: 1, Max: 64, Pattern: patternName}
	ruleOldUserName = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	ruleGroupName   = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	rulePolicyName  = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}
	rulePath        = wire.Rule{Min: 1, Max: 512, Pattern: patternPath}
	rulePolicyPath  = wire.Rule{Min: 1, Max: 512, Pattern: patternPolicyPath}
	rulePathPrefix  = wire.Rule{Min: 1, Max: 512, Pattern: wire.EveryRune(`\u002F[\u0021-\u007F]*`, func(r rune) bool { return r >= '!' && r <= 0x7f })}
	ruleDescription = wire.Rule{Max: 1000, Pattern: patternDescription}
	ruleVersion     = wire.Rule{Required: true, Pattern: patternVersion}
	ruleMarker      = wire.Rule{Min: 1, Max: 320, Pattern: patternMarker}
)

// Quotas of an account (IAM User Guide, "IAM and AWS STS quotas").
const (
	maxRoles           = 1000
	maxUsers           = 5000
	maxGroups          = 300
	maxCustomPolicies  = 1500
	maxAttached        = 10 // managed policies of a role, user or group
	maxPolicyVersions  = 5
	maxTags            = 50
	maxAccessKeys      = 2
	maxGroupsPerUser   = 10
	maxMaxSession      = 43200 // seconds
	minMaxSession      = 3600  // seconds
	defaultItems       = 100   // of a page
	maxItems           = 1000  // of a page
	maxTagKeysToRemove = 50
)

// refusedParameters records parameters that were refused, and returns the refusal.
func (s *Server) refusedParameters(c *call, e *wire.Failure) *wire.Failure {
	s.logRefused(c.Call, "parameters", e.Message, e)
	return e
}

// permit asks whether the caller may do what it calls, to a resource. spelled
// is the resource as AWS's AccessDenied spells it, "" for its ARN.
func (s *Server) permit(c *call, resource, spelled string, keys policy.Context) *wire.Failure {
	return s.authorize(c.Call, &api.Question{Action: "iam:" + c.Operation, Resource: resource, Spelled: spelled, Keys: keys})
}

// permitCreate is permit for a new resource, which takes the permission to tag
// it too if it has tags from the start.
func (s *Server) permitCreate(c *call, resource, spelled string, keys policy.Context, tags []wire.Tag) *wire.Failure {
	if e := s.permit(c, resource, spelled, keys); e != nil || len(tags) == 0 {
		return e
	}
	action := "iam:Tag" + strings.TrimPrefix(c.Operation, "Create")
	return s.authorize(c.Call, &api.Question{Action: action, Resource: resource, Spelled: spelled, Keys: keys})
}

// requestTags sets the condition keys of tags that a request brings.
func requestTags(keys *policy.Context, tags []wire.Tag) {
	if len(tags) == 0 {
		return
	}
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.Key
		keys.Set("aws:RequestTag/"+t.Key, t.Value)
	}
	keys.SetMulti("aws:TagKeys", names...)
}

// pathOr is a path, which is "/" unless told.
func pathOr(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

const duplicateTags = "Duplicate tag keys found. Please note that Tag keys are case insensitive."

// checkTags refuses what tags of a resource must not be. Keys differ without
// regard to case, except those of OIDC providers.
func checkTags(tags []wire.Tag, exact bool) *wire.Failure {
	seen := map[string]bool{}
	for _, t := range tags {
		key := t.Key
		if !exact {
			key = strings.ToLower(key)
		}
		if seen[key] {
			return invalidInput(duplicateTags)
		}
		seen[key] = true
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return invalidInput("Tag keys that begin with aws: are reserved, and %s is one.", t.Key)
		}
	}
	return nil
}

// mergeTags puts tags over others: a key that is there gets the new value.
func mergeTags(old, tags []wire.Tag, exact bool) ([]wire.Tag, *wire.Failure) {
	merged := slices.Clone(old)
	for _, t := range tags {
		i := slices.IndexFunc(merged, func(o wire.Tag) bool {
			return o.Key == t.Key || !exact && strings.EqualFold(o.Key, t.Key)
		})
		if i < 0 {
			merged = append(merged, t)
		} else {
			merged[i] = t
		}
	}
	if len(merged) > maxTags {
		return nil, limitExceeded("The number of tags has reached the maximum limit.")
	}
	return merged, nil
}

func removeTags(tags []wire.Tag, keys []string, exact bool) []wire.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t wire.Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool {
			return k == t.Key || !exact && strings.EqualFold(k, t.Key)
		})
	})
}

// tagPage is the result of the operations that list tags.
func tagPage(p page, tags []wire.Tag) func(*wire.XML) {
	found, marker := cut(p, slices.Clone(tags), func(t wire.Tag) string { return t.Key })
	return func(x *wire.XML) {
		writeTags(x, found)
		writePage(x, marker)
	}
}

func writeTags(x *wire.XML, tags []wire.Tag) {
	x.List("Tags", len(tags), func(i int) {
		x.Text("Key", tags[i].Key)
		x.Text("Value", tags[i].Value)
	})
}

// page is a part of a list that a call asked for. Markers are opaque to
// clients; they hold the operation and the last item that was handed out, so
// that what is added or removed meanwhile does not shift the rest.
type page struct {
	operation string
	after     string
	size      int
}

// readPage reads Marker and MaxItems.
func (c *call) readPage() page {
	p := page{operation: c.Operation, size: c.Number("MaxItems", defaultItems, 1, maxItems)}
	if !c.Has("Marker") {
		return p
	}
	marker := c.Text("Marker", ruleMarker)
	b, err := base64.URLEncoding.DecodeString(marker)
	operation, after, ok := strings.Cut(string(b), "\x00")
	if err != nil || !ok || operation != c.Operation {
		if c.Malformed == nil {
			c.Malformed = wire.Errorf(http.StatusBadRequest, "ValidationError", "Invalid Marker.")
		}
		return p
	}
	p.after = after
	return p
}

// cut sorts items by a key that is unique among them, and returns those of the
// page, and the marker of the next, "" if this is the last.
func cut[T any](p page, items []T, key func(T) string) ([]T, string) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	i, found := slices.BinarySearchFunc(items, p.after, func(item T, after string) int { return strings.Compare(key(item), after) })
	if found {
		i++
	}
	items = items[i:]
	if len(items) <= p.size {
		return items, ""
	}
	items = items[:p.size]
	marker := p.operation + "\x00" + key(items[p.size-1])
	return items, base64.URLEncoding.EncodeToString([]byte(marker))
}

// writePage writes the elements that tell of the next page.
func writePage(x *wire.XML, marker string) {
	x.Bool("IsTruncated", marker != "")
	x.Optional("Marker", marker)
}
