package emulator

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/eks"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// EKS Auth: an agent on a node exchanges the token of a pod for credentials of the role
// that an association gives the pod's service account (EKS Auth API Reference,
// AssumeRoleForPodIdentity). docs/pod-identity.md says what AWS does not tell, and what
// was decided then.

// podIdentity is the service EKS Auth.
func (s *Server) podIdentity() api.Service {
	return (&api.RESTService{
		Account: s.account, Name: "eks-auth", Unsigned: true,
		Operations: map[string]api.RESTOperation{
			"AssumeRoleForPodIdentity": api.REST("POST /clusters/{cluster}/assume-role-for-pod-identity", s.assumeRoleForPodIdentity),
		},
	}).Open()
}

// Seconds that sessions of pods last: without a target role as long as AWS's own
// records of such calls say, whatever the role's maximum is; with one as long as a
// chained role can ("Roles terms and concepts").
const podSession, podTargetSession = 21600, maxChained

type podIdentityInput struct {
	Token string `json:"token"`
	// What agents say of themselves since 2026; it is only remembered.
	Node     string `json:"eksNodeName"`
	Instance string `json:"instanceId"`
	Zone     string `json:"zone"`
}

// podIdentityOutput is the answer. All members are always there, and the id is
// assumeRoleId, not assumedRoleId (the service model).
type podIdentityOutput struct {
	Subject struct {
		Namespace      string `json:"namespace"`
		ServiceAccount string `json:"serviceAccount"`
	} `json:"subject"`
	Audience    string `json:"audience"`
	Association struct {
		ARN string `json:"associationArn"`
		ID  string `json:"associationId"`
	} `json:"podIdentityAssociation"`
	Role struct {
		ARN string `json:"arn"`
		ID  string `json:"assumeRoleId"`
	} `json:"assumedRoleUser"`
	Credentials struct {
		KeyID   string `json:"accessKeyId"`
		Secret  string `json:"secretAccessKey"`
		Token   string `json:"sessionToken"`
		Expires int64  `json:"expiration"` // seconds since 1970
	} `json:"credentials"`
}

// The answers of EKS Auth. A role that cannot be assumed is the same to the client
// whatever the reason is; that name has another status here than where the caller
// itself may not do something (the service model; the text is one that users quoted).
var (
	errPodToken = wire.Errorf(http.StatusBadRequest, "InvalidTokenException", "The token included in the request is invalid.")
	errPodKeys  = wire.Errorf(http.StatusServiceUnavailable, "ServiceUnavailableException",
		"The service is unavailable. Back-off and retry the operation.")
	errPodRole = wire.Errorf(http.StatusBadRequest, "AccessDeniedException",
		"Unauthorized Exception! EKS does not have permissions to assume the associated role.")
)

func expiredPodToken(now time.Time, expiry int64) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "ExpiredTokenException", "The token included in the request is expired: current "+
		"date/time %s must be before the expiration date/time %s.", now.UTC().Format("2006-01-02T15:04:05.000000Z"), clock(expiry))
}

// exchange is the token of a pod on its way to credentials.
type exchange struct {
	*assumption // of the role of the association
	cluster     *eks.Cluster
	association *eks.Association
	token       *webToken
	pod         *podClaims
}

// assumeRoleForPodIdentity checks in this order: who calls (which is done), the form of
// the request, whether the caller may, whether the cluster is there, the token, the
// association, the role, and the target role.
func (s *Server) assumeRoleForPodIdentity(c *api.Call, labels api.Labels, in *podIdentityInput) (out podIdentityOutput, e *wire.Failure) {
	s = s.of(&c.Caller)
	name := labels["cluster"]
	if e := checkPodRequest(name, in); e != nil {
		s.logRefused(c, "parameters", e.Message, e)
		return out, e
	}
	arn := s.account.ARN("eks", c.Region, "cluster/"+name)
	cluster := s.eks.Cluster(s.account.ID, c.Region, name)
	q := &api.Question{Action: "eks-auth:" + c.Operation, Resource: arn}
	if cluster != nil {
		for key, value := range cluster.Tags {
			q.Keys.Set("aws:ResourceTag/"+key, value)
		}
	}
	if e := s.authorize(c, q); e != nil {
		return out, e
	}
	x := &exchange{assumption: &assumption{call: &call{Call: c}, event: eventOf(c)}, cluster: cluster}
	x.event.Resource, x.event.Cluster, x.event.Node = arn, arn, strings.Join(strings.Fields(in.Node+" "+in.Instance+" "+in.Zone), " ")
	if cluster == nil {
		why := "no cluster of that name is registered in account " + s.account.ID + " and region " + c.Region
		fault := refusal("existence", why, eks.NoCluster(name))
		return out, s.refuseToken(x.assumption, fault.between([]string{name}, s.clusterNames(c.Region)), nil)
	}
	fault := s.authenticatePod(x, in.Token)
	s.metrics.tokenChecked(fault)
	if fault == nil {
		s.eks.Seen(cluster)
		fault = s.associate(x)
	}
	if fault != nil {
		return out, s.refuseToken(x.assumption, fault, nil)
	}
	creds, arn, id, e := s.assumeForPod(x)
	if e != nil {
		return out, e
	}
	out.Subject.Namespace, out.Subject.ServiceAccount, out.Audience = x.association.Namespace, x.association.ServiceAccount, podAudience
	out.Association.ARN, out.Association.ID = s.eks.AssociationARN(cluster, x.association), x.association.ID
	out.Role.ARN, out.Role.ID = arn, id
	out.Credentials.KeyID, out.Credentials.Secret, out.Credentials.Token = creds.keyID, creds.secret, creds.token
	out.Credentials.Expires = creds.expires.Unix()
	return out, nil
}

// checkPodRequest refuses what has not the form that the service model demands. It does
// not repeat the token.
func checkPodRequest(cluster string, in *podIdentityInput) *wire.Failure {
	switch {
	case !eks.IsClusterName(cluster):
		return invalidPodRequest("clusterName should match the pattern [0-9A-Za-z][A-Za-z0-9\\-_]* and have 1 to 100 characters")
	case in.Token == "":
		return invalidPodRequest("token is required")
	case len(in.Token) > ruleWebToken.Max || !isCompactJWS(in.Token):
		return invalidPodRequest("token should match the pattern [A-Za-z0-9-_=]+\\.[A-Za-z0-9-_=]+\\.[A-Za-z0-9-_=]+")
	}
	return nil
}

func invalidPodRequest(text string) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterException", "The parameter %s.", text)
}

// isCompactJWS reports whether a text has three parts of base64url, with or without
// padding.
func isCompactJWS(s string) bool {
	parts := 0
	for part := range strings.SplitSeq(s, ".") {
		if parts++; part == "" || parts > 3 {
			return false
		}
		for i := range len(part) {
			switch b := part[i]; {
			case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '-', b == '_', b == '=':
			default:
				return false
			}
		}
	}
	return parts == 3
}

// clusterNames are the clusters of the account in a region.
func (s *Server) clusterNames(region string) []string {
	var names []string
	for _, c := range s.eks.Clusters() {
		if c.Account == s.account.ID && c.Region == region {
			names = append(names, c.Name)
		}
	}
	return names
}

// associate finds the association of the service account.
func (s *Server) associate(x *exchange) *tokenFault {
	namespace, account := x.pod.Namespace, x.pod.ServiceAccount.Name
	x.association = s.eks.For(x.cluster, namespace, account)
	if x.association != nil {
		return nil
	}
	var there []string
	for _, a := range s.eks.Associations(x.cluster) {
		if a.Namespace == namespace || a.ServiceAccount == account {
			there = append(there, a.Namespace+"/"+a.ServiceAccount)
		}
	}
	want := namespace + "/" + account
	return refusal("association", "cluster "+x.cluster.Name+" has no pod identity association for service account "+want,
		wire.Errorf(http.StatusNotFound, "ResourceNotFoundException", "No association found for service account %s in cluster %s.",
			want, x.cluster.Name)).between([]string{"an association of " + want}, there)
}

// podSessionName is the name of a session: the first ten characters of the cluster and of
// the pod, and what makes it unlike all others.
func podSessionName(cluster, pod string) string {
	return fmt.Sprintf("eks-%.10s-%.10s-%s", cluster, pod, api.NewID())
}
