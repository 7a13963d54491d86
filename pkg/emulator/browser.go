package emulator

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// What keeps web pages away. A developer's browser can reach the emulator, and
// whatever page it shows may send requests there: with a name of its own that
// resolves to the emulator's address (DNS rebinding) as one of the same origin,
// and signed in advance with credentials that everybody knows, test and test.
// Programs send nothing of what follows, so AWS's clients are not concerned.

// splitHost is a host name in lower case without its port and final dot.
func splitHost(hostport string) string {
	host := hostport
	if strings.Contains(hostport, ":") { // or an error is made of it
		if h, _, err := net.SplitHostPort(hostport); err == nil {
			host = h
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// ownHost reports whether a host is one of the emulator's names: an address,
// localhost, or one that was configured. A name that somebody else may have
// made is not.
func (s *Server) ownHost(hostport string) bool {
	host := splitHost(hostport)
	if host == "localhost" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	same := func(name string) bool { return strings.EqualFold(strings.Trim(name, "."), host) }
	return slices.ContainsFunc(s.config.Hosts, same) || slices.ContainsFunc(s.config.S3Hosts, same)
}

// servedHost reports whether pages may call AWS's services at a host: one of the
// emulator's, a bucket's below it, or one of AWS's.
func (s *Server) servedHost(hostport string) bool {
	host := splitHost(hostport)
	return s.ownHost(hostport) || s.bucketOf(hostport) != "" || strings.HasSuffix(host, "."+s.account.DNSSuffix)
}

// foreignPage is the reason why a request must be taken for one that a page of
// another origin made, or "".
func (s *Server) foreignPage(r *http.Request) string {
	origin, hasOrigin := r.Header.Get("Origin"), len(r.Header["Origin"]) > 0
	site := r.Header.Get("Sec-Fetch-Site") // Fetch Metadata Request Headers, W3C
	switch {
	case hasOrigin && !sameOrigin(origin, r.Host):
		return fmt.Sprintf("a web page of origin %q sent it", shownOrigin(origin))
	case site != "" && site != "same-origin" && site != "none":
		return "a web page of another origin sent it, as Sec-Fetch-Site says"
	}
	page := hasOrigin || site != "" || strings.HasPrefix(r.UserAgent(), "Mozilla/")
	if page && !s.servedHost(r.Host) {
		return fmt.Sprintf("a browser sent it to the host %q, which is none of the emulator's", clipText(splitHost(r.Host), maxShownWord))
	}
	return ""
}

// unsaidPage is foreignPage for a GET that does something. Over plain HTTP to an
// address that is not loopback browsers do not say where it is from, so whatever
// comes from a browser must be taken for a page's.
func (s *Server) unsaidPage(r *http.Request) string {
	switch {
	case r.Header.Get("Sec-Fetch-Site") != "" || !strings.HasPrefix(r.UserAgent(), "Mozilla/"):
		return ""
	case r.Referer() == "":
		return "a browser sent it, which does not say for which page"
	}
	if u, err := url.Parse(r.Referer()); err != nil || u.Host != r.Host {
		return "a web page of another origin sent it, as Referer says"
	}
	return ""
}

// sameOrigin reports whether an Origin is the one of the host that a request went
// to. The scheme is left out: a proxy in front may have changed it.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// shownOrigin is an Origin for an event: scheme and host, no more.
func shownOrigin(origin string) string {
	if u, err := url.Parse(origin); err == nil && u.Host != "" {
		return clipText(u.Scheme+"://"+u.Host, maxShownValue)
	}
	return clipText(origin, maxShownWord)
}

// refusePage refuses what a page of another origin asks for, unless it is a
// read of S3, whose answer a page cannot see unless the bucket says that it may,
// or the bucket lets the page do it. Signed or not, nothing else of theirs is done.
func (s *Server) refusePage(c *api.Call) *wire.Failure {
	read := c.Welcome || c.Service == "s3" && slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, c.Request.Method)
	why := s.foreignPage(c.Request)
	switch {
	case read && s.servedHost(c.Request.Host):
		return nil
	case why == "" && !read && c.Request.Method != http.MethodPost && c.Service != "s3":
		why = s.unsaidPage(c.Request)
	}
	if why == "" {
		return nil
	}
	e := accessDenied("The emulator refuses requests that web pages of other origins send: %s", why)
	event := eventOf(c)
	event.Decision, event.Step, event.Reason, event.Code = Deny, "origin", why, e.Code
	s.keepEvent(c, entry{Event: event})
	return e
}

// guardPages sets what keeps documents of buckets, which anybody may have
// written, from running with the rights of the emulator's own page: a sandbox
// has an origin of its own, and no scripts. A bucket's own host is another
// origin already, where sites that are tested may run.
func (s *Server) guardPages(h http.Header, host string) {
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if s.bucketOf(host) == "" {
		h["Content-Security-Policy"] = []string{"sandbox"}
	}
}
