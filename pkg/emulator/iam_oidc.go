package emulator

import (
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Limits of OIDC providers (IAM's service model and quotas).
const (
	maxProviders   = 100
	maxClientIDs   = 100
	maxThumbprints = 5
)

var (
	ruleURL        = wire.Rule{Required: true, Min: 1, Max: 255}
	ruleClientID   = wire.Rule{Required: true, Min: 1, Max: 255}
	ruleThumbprint = wire.Rule{Min: 40, Max: 40}
)

// readThumbprints reads a list of thumbprints, which are kept in lower case.
// How many there may be is checked later, with a text of its own.
func (c *call) readThumbprints(required bool) []string {
	list := c.Texts("ThumbprintList", required, wire.MaxListGap*maxThumbprints, ruleThumbprint)
	for i := range list {
		list[i] = strings.ToLower(list[i])
	}
	return list
}

func checkThumbprints(list []string) *wire.Failure {
	if len(list) > maxThumbprints {
		return invalidInput("Thumbprint list must contain fewer than 5 entries.")
	}
	return nil
}

// providerURL is a provider's URL as IAM keeps it: without the scheme, and
// without the port 443. Case and a trailing slash stay as they are.
func (s *Server) providerURL(raw string) (string, *wire.Failure) {
	invalid := func(why string) (string, *wire.Failure) {
		return "", invalidInput("Invalid Open ID Connect Provider URL%s", why)
	}
	if scheme, _, ok := strings.Cut(raw, "://"); ok && !strings.EqualFold(scheme, "https") {
		return invalid(". The URL must begin with https://.")
	}
	if !strings.HasPrefix(raw, "https://") {
		return "", wire.ValidationError("Invalid Open ID Connect Provider URL")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil:
		return invalid("")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#"):
		return "", invalidInput("Unknown")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalid("")
	}
	rest := raw[len("https://"):]
	switch port := u.Port(); {
	case port == "443":
		host, path := u.Host, rest[len(u.Host):]
		rest = strings.TrimSuffix(host, ":443") + path
	case port != "" && !s.config.AllowPrivateIssuers && s.clusterIssuer(&provider{URL: rest}) == nil, strings.HasSuffix(u.Host, ":"):
		return invalid(". The URL must not contain a port number.")
	}
	return rest, nil
}

func (s *Server) createProvider(c *call) (func(*wire.XML), *wire.Failure) {
	raw := c.Text("Url", ruleURL)
	clientIDs := c.Texts("ClientIDList", false, 0, ruleClientID)
	thumbprints := c.readThumbprints(false)
	tags := c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	address, e := s.providerURL(raw)
	if e != nil {
		return nil, s.refusedParameters(c, e)
	}
	p := &provider{
		ARN:         s.arn("iam", "oidc-provider/"+address),
		URL:         address,
		Thumbprints: thumbprints,
		Created:     c.At.UTC(),
		Tags:        tags,
	}
	for _, id := range clientIDs {
		if !slices.Contains(p.ClientIDs, id) {
			p.ClientIDs = append(p.ClientIDs, id)
		}
	}
	var keys policy.Context
	requestTags(&keys, tags)
	if e := s.permitCreate(c, p.ARN, "", keys, tags); e != nil {
		return nil, e
	}
	check := func(e *edit) *wire.Failure {
		switch {
		case e.providers[p.ARN] != nil:
			return alreadyExists("Provider with url https://%s already exists.", address)
		case len(e.providers) >= maxProviders:
			return limitExceeded("Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
		case len(p.ClientIDs) > maxClientIDs:
			return tooManyClientIDs()
		}
		return checkThumbprints(thumbprints)
	}
	if e := s.iam.edit(check); e != nil { // before going out for a thumbprint
		return nil, e
	}
	if len(thumbprints) == 0 {
		print, err := s.topThumbprint(c.Request.Context(), p, c.At)
		if err != nil && s.config.Strict {
			e := wire.Errorf(400, "OpenIdIdpCommunicationError", "Could not connect to %s", raw)
			s.logRefused(c.Call, "keys", "the issuer cannot be reached to find its thumbprint: "+err.Error(), e)
			return nil, e
		}
		if err != nil {
			event := eventOf(c.Call)
			event.Resource, event.Decision, event.Step = p.ARN, Allow, "warning"
			event.Reason = "the provider is stored without a thumbprint"
			event.Warnings = []string{"The issuer cannot be reached, so no token of it will be accepted until it can: " + err.Error()}
			s.keepEvent(c.Call, entry{Event: event})
		}
		if print != "" {
			p.Thumbprints = []string{print}
		}
	}
	e = s.iam.edit(func(e *edit) *wire.Failure {
		if err := check(e); err != nil {
			return err
		}
		if err := checkTags(tags, true); err != nil {
			return err
		}
		e.putProvider(p)
		return nil
	})
	return func(x *wire.XML) {
		x.Text("OpenIDConnectProviderArn", p.ARN)
		if len(tags) > 0 {
			writeTags(x, tags)
		}
	}, e
}

// permitProvider asks whether the caller may do this to the provider with an
// ARN, which need not exist.
func (s *Server) permitProvider(c *call, arn string, keys policy.Context) *wire.Failure {
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[3] != "":
		return s.refusedParameters(c, invalidInput("Invalid ARN: %s", arn))
	case !strings.HasPrefix(parts[5], "oidc-provider/"):
		return s.refusedParameters(c, invalidInput("Invalid resource type in ARN"))
	}
	if p := s.iam.provider(arn); p != nil {
		resourceTags(&keys, p.Tags)
	}
	if e := s.permit(c, arn, "", keys); e != nil {
		return e
	}
	if parts[4] != s.account.ID {
		e := accessDenied("User: %s is not authorized to perform: iam:%s on resource: %s", c.Caller.ARN, c.Operation, arn)
		s.logRefused(c.Call, "permission", "the provider is of account "+parts[4], e)
		return e
	}
	return nil
}

// readProvider reads the parameter OpenIDConnectProviderArn, after all others,
// and asks whether the caller may do this.
func (s *Server) readProvider(c *call, keys policy.Context) (string, *wire.Failure) {
	arn := c.Text("OpenIDConnectProviderArn", ruleARN)
	if e := c.Err(); e != nil {
		return "", s.refusedParameters(c, e)
	}
	return arn, s.permitProvider(c, arn, keys)
}

func tooManyClientIDs() *wire.Failure {
	return limitExceeded("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs)
}

func noProvider(arn string) *wire.Failure {
	return noSuchEntity("OpenIDConnect Provider not found for arn %s", arn)
}

// lookProvider is the provider that a call names, if the caller may see it.
func (s *Server) lookProvider(c *call) (*provider, *wire.Failure) {
	arn, e := s.readProvider(c, policy.Context{})
	if e != nil {
		return nil, e
	}
	p := s.iam.provider(arn)
	if p == nil {
		return nil, noProvider(arn)
	}
	return p, nil
}

// editProvider changes a provider.
func (s *Server) editProvider(arn string, f func(*provider) *wire.Failure) *wire.Failure {
	return s.iam.edit(func(e *edit) *wire.Failure {
		old := e.providers[arn]
		if old == nil {
			return noProvider(arn)
		}
		p := *old
		if err := f(&p); err != nil {
			return err
		}
		e.putProvider(&p)
		return nil
	})
}

// sortedTags are tags as IAM lists those of a provider: upper case before
// lower case.
func sortedTags(tags []wire.Tag) []wire.Tag {
	sorted := slices.Clone(tags)
	order.By(sorted, func(a, b wire.Tag) int { return strings.Compare(a.Key, b.Key) })
	return sorted
}

func (s *Server) getProvider(c *call) (func(*wire.XML), *wire.Failure) {
	p, e := s.lookProvider(c)
	if e != nil {
		return nil, e
	}
	return func(x *wire.XML) {
		x.Text("Url", p.URL)
		x.Texts("ClientIDList", p.ClientIDs)
		x.Texts("ThumbprintList", p.Thumbprints)
		x.Time("CreateDate", p.Created)
		writeTags(x, sortedTags(p.Tags))
	}, nil
}

func (s *Server) listProviders(c *call) (func(*wire.XML), *wire.Failure) {
	if e := s.permit(c, s.arn("iam", "oidc-provider/*"), "", policy.Context{}); e != nil {
		return nil, e
	}
	var arns []string
	s.iam.read(func() {
		for arn := range s.iam.providers {
			arns = append(arns, arn)
		}
	})
	slices.Sort(arns)
	return func(x *wire.XML) {
		x.List("OpenIDConnectProviderList", len(arns), func(i int) { x.Text("Arn", arns[i]) })
	}, nil
}

func (s *Server) deleteProvider(c *call) (func(*wire.XML), *wire.Failure) {
	arn, e := s.readProvider(c, policy.Context{})
	if e != nil {
		return nil, e
	}
	e = s.iam.edit(func(e *edit) *wire.Failure {
		p := e.providers[arn]
		if p == nil {
			return noSuchEntity("OpenId connect Provider %s cannot be found.", arn)
		}
		e.deleteProvider(p)
		return nil
	})
	if e == nil {
		s.issuers.forget(arn)
	}
	return nil, e
}

func (s *Server) updateThumbprints(c *call) (func(*wire.XML), *wire.Failure) {
	thumbprints := c.readThumbprints(true)
	arn, e := s.readProvider(c, policy.Context{})
	if e != nil {
		return nil, e
	}
	return nil, s.editProvider(arn, func(p *provider) *wire.Failure {
		if len(thumbprints) == 0 {
			return invalidInput("Thumbprint list must contain at least one entry.")
		}
		p.Thumbprints = thumbprints
		return checkThumbprints(thumbprints)
	})
}

func (s *Server) addClientID(c *call) (func(*wire.XML), *wire.Failure) {
	id := c.Text("ClientID", ruleClientID)
	arn, e := s.readProvider(c, policy.Context{})
	if e != nil {
		return nil, e
	}
	return nil, s.editProvider(arn, func(p *provider) *wire.Failure {
		switch {
		case slices.Contains(p.ClientIDs, id):
		case len(p.ClientIDs) >= maxClientIDs:
			return tooManyClientIDs()
		default:
			p.ClientIDs = append(slices.Clone(p.ClientIDs), id)
		}
		return nil
	})
}

func (s *Server) removeClientID(c *call) (func(*wire.XML), *wire.Failure) {
	id := c.Text("ClientID", ruleClientID)
	arn, e := s.readProvider(c, policy.Context{})
	if e != nil {
		return nil, e
	}
	return nil, s.editProvider(arn, func(p *provider) *wire.Failure {
		p.ClientIDs = slices.DeleteFunc(slices.Clone(p.ClientIDs), func(o string) bool { return o == id })
		return nil
	})
}

func (s *Server) tagProvider(c *call) (func(*wire.XML), *wire.Failure) {
	tags := c.Tags("Tags", maxTags)
	var keys policy.Context
	requestTags(&keys, tags)
	arn, e := s.readProvider(c, keys)
	if e != nil {
		return nil, e
	}
	if len(tags) == 0 {
		return nil, invalidInput("The list of tags is empty.")
	}
	return nil, s.editProvider(arn, func(p *provider) (err *wire.Failure) {
		if err = checkTags(tags, true); err == nil {
			p.Tags, err = mergeTags(p.Tags, tags, true)
		}
		return err
	})
}

func (s *Server) untagProvider(c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	names := c.readTagKeys(&keys)
	arn, e := s.readProvider(c, keys)
	if e != nil {
		return nil, e
	}
	if len(names) == 0 {
		return nil, invalidInput("The list of tag keys is empty.")
	}
	return nil, s.editProvider(arn, func(p *provider) *wire.Failure {
		p.Tags = removeTags(p.Tags, names, true)
		return nil
	})
}

func (s *Server) listProviderTags(c *call) (func(*wire.XML), *wire.Failure) {
	page := c.readPage()
	p, e := s.lookProvider(c)
	if e != nil {
		return nil, e
	}
	return tagPage(page, p.Tags), nil
}
