package emulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/policy"
)

// clustersPath is where the control API has the clusters of EKS. It is open without
// [Config.Control] too, for the root user, who signs the call as one of the service eks:
// whoever registers a cluster decides whose tokens are taken.
const clustersPath = "/_openirsa/control/clusters"

// maxClusterBody bounds the body of a registration, in bytes. readControl has another
// bound, of its own.
const maxClusterBody = 1 << 16

// registrant is who registers a cluster: the account and the region of a signature, or
// "" of one who need not sign.
type registrant struct{ account, region string }

// of gives what a registration says its due: nobody registers for another account.
func (who registrant) of(account, region *string) error {
	if who.account == "" {
		return nil
	}
	if *account != "" && *account != who.account {
		return errors.New("the call is signed by the root user of account " + who.account + ", and the cluster is to be of another")
	}
	*account = who.account
	if *region == "" {
		*region = who.region
	}
	return nil
}

// registrant says who calls, or writes why nobody may. The body is read for it.
func (s *Server) registrant(w http.ResponseWriter, r *http.Request, operation string) (who registrant, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxClusterBody))
	if err != nil {
		writeProblem(w, http.StatusRequestEntityTooLarge, "reading the request: %v", err)
		return who, false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sig, err := sigv4.Parse(r)
	if e, missing := errors.AsType[*sigv4.Error](err); missing && e.Kind == sigv4.Missing {
		if s.config.Control {
			return who, true
		}
		writeProblem(w, http.StatusForbidden, "sign the call as the root user, for the service eks: there is no --control")
		return who, false
	}
	c := api.NewCall(r, s.Now(), &s.bodies)
	c.Service, c.Operation, c.Dialect = "eks", operation, api.RESTDialect
	var failure *api.AuthFailure
	switch {
	case err != nil:
		failure = api.SignatureFailure(err)
	case sig.Service != c.Service:
		failure = &api.AuthFailure{Why: "the signature is for service " + sig.Service}
	default:
		_, failure = s.identify(c, &sig, sigv4.HashPayload(body))
	}
	if failure == nil && (c.Caller.Kind != policy.Root || identityOf(&c.Caller).session != nil) {
		failure = &api.AuthFailure{Why: "only the root user registers clusters, with its own access key"}
	}
	if failure != nil {
		s.logRefused(c, "signature", failure.Why, api.RESTDialect.Refusal(&api.AuthFailure{Kind: api.UnknownKey}))
		writeProblem(w, http.StatusForbidden, "%s", failure.Why)
		return who, false
	}
	s.logAllowed(c, "the root user may register clusters")
	return registrant{c.Caller.Account, c.Region}, true
}

// clusterBody is a registration in the control API, as it is written and as it is read.
type clusterBody struct {
	Name         string            `json:"name"`
	Account      string            `json:"account,omitempty"`
	Region       string            `json:"region,omitempty"`
	Issuer       string            `json:"issuer,omitempty"`
	OtherIssuers []string          `json:"otherIssuers,omitempty"`
	JWKS         json.RawMessage   `json:"jwks,omitempty"`
	Endpoint     string            `json:"endpoint,omitempty"`
	CA           string            `json:"certificateAuthority,omitempty"`
	IPFamily     string            `json:"ipFamily,omitempty"`
	Version      string            `json:"version,omitempty"`
	AgentVersion string            `json:"agentVersion,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
}

// registered is where the cluster is that a request with a name in its path is about: the
// account and the region in the query, as far as the caller may name them. It answers if
// there is no such caller.
func (s *Server) registered(w http.ResponseWriter, r *http.Request, operation string) (account, region string, ok bool) {
	who, ok := s.registrant(w, r, operation)
	if !ok {
		return "", "", false
	}
	account, region = r.URL.Query().Get("account"), r.URL.Query().Get("region")
	if err := who.of(&account, &region); err != nil {
		writeProblem(w, http.StatusForbidden, "%v", err)
		return "", "", false
	}
	return account, region, true
}

// serveCluster answers with what is registered of a cluster, of the account and the region
// in the query, or 404.
func (s *Server) serveCluster(w http.ResponseWriter, r *http.Request) {
	account, region, ok := s.registered(w, r, "ReadCluster")
	if !ok {
		return
	}
	c := s.eks.Cluster(cmp.Or(account, s.config.Account), cmp.Or(region, "us-east-1"), r.PathValue("name"))
	if c == nil {
		writeProblem(w, http.StatusNotFound, "%s", noCluster)
		return
	}
	writeJSON(w, http.StatusOK, clusterBody{
		Name: c.Name, Account: c.Account, Region: c.Region, Issuer: c.Issuer, OtherIssuers: c.OtherIssuers, JWKS: c.JWKS,
		Endpoint: c.Endpoint, CA: c.CA, IPFamily: c.IPFamily, Version: c.Version, AgentVersion: c.AgentVersion, Tags: c.Tags,
	})
}

// noCluster is the answer about a cluster that nobody has registered.
const noCluster = "there is no such cluster in that account and region"

// serveRegisterCluster is RegisterCluster in the control API. It answers with
// {"arn": ...}.
func (s *Server) serveRegisterCluster(w http.ResponseWriter, r *http.Request) {
	who, ok := s.registrant(w, r, "RegisterCluster")
	if !ok {
		return
	}
	var body clusterBody
	if !readControl(w, r, &body) {
		return
	}
	if string(body.JWKS) == "null" {
		body.JWKS = nil
	}
	if err := who.of(&body.Account, &body.Region); err != nil {
		writeProblem(w, http.StatusForbidden, "%v", err)
		return
	}
	arn, err := s.RegisterCluster(EKSCluster(body))
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "%v", err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"arn": arn})
}

// serveUnregisterCluster is UnregisterCluster in the control API, with the account and
// the region in the query. It answers 404 if there is no such cluster.
func (s *Server) serveUnregisterCluster(w http.ResponseWriter, r *http.Request) {
	account, region, ok := s.registered(w, r, "UnregisterCluster")
	if !ok {
		return
	}
	switch found, err := s.UnregisterCluster(account, region, r.PathValue("name")); {
	case err != nil:
		writeProblem(w, http.StatusInternalServerError, "%v", err)
	case !found:
		writeProblem(w, http.StatusNotFound, "%s", noCluster)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
