package doctor

import (
	"crypto/x509"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// Facts are everything that a diagnosis looks at, about one service account.
// What could not be read has an error beside it and is otherwise zero.
type Facts struct {
	// Now is the time of this machine, and AWSTime that of AWS at the same
	// moment; zero if AWS was not asked.
	Now, AWSTime time.Time
	// Namespace and Name are those of the service account.
	Namespace, Name string
	// PodName restricts the walk to one pod that somebody asks about.
	PodName string

	// Issuer is the recorded one; zero for a chain that others made.
	Issuer issuer.URL
	// Endpoint is the recorded AWS_ENDPOINT_URL of pods; "" for AWS itself.
	Endpoint string
	// Account and Partition are those of the credentials in use.
	Account, Partition string
	// AWSErr says why AWS could not be asked at all.
	AWSErr error

	// Servers are the flags of those API servers whose flags can be read.
	Servers []Server
	// Remote says that their nodes cannot be reached from here, so that it
	// takes a command on each of them to change the flags.
	Remote bool
	// Kept says that the API servers keep the issuer that they had, and that an
	// emulator in the cluster reads its documents from them.
	Kept bool
	// Advertised is the issuer in the API server's own discovery document; ""
	// where it has none, which is so when its issuer is no https URL.
	Advertised    string
	AdvertisedErr error

	// Keys are those of the API server.
	Keys    keys.Set
	KeysErr error

	// ServiceAccount is nil if it does not exist.
	ServiceAccount    *corev1.ServiceAccount
	ServiceAccountErr error
	// Elsewhere are service accounts of the same name in other namespaces that
	// have a role, as NAMESPACE/NAME.
	Elsewhere []string

	// Raw is a fresh token of the service account.
	Raw      Secret
	TokenErr error

	// Discovery and JWKS are the documents as a stranger reads them.
	Discovery, JWKS *Document

	// Provider is nil if there is none with the ARN of the issuer.
	Provider    *Provider
	ProviderErr error
	// Providers are the ARNs of all providers in the account.
	Providers []string

	// Role is nil if there is none of the annotated name.
	Role    *Role
	RoleErr error

	PodIdentity PodIdentity

	Webhook Webhook

	// Pods are those of the service account that have not ended.
	Pods    []corev1.Pod
	PodsErr error
	// Bulk are the names of variables that containers get by envFrom, by
	// "ConfigMap/NAME" and "Secret/NAME".
	Bulk map[string][]string
	// Minor is the minor version of Kubernetes; 0 if it is not known.
	Minor int

	// Call is what STS answered to the token; nil if it was not asked.
	Call *Call
}

// ChainIssuer is the issuer that the chain is about: the recorded one, else that
// of the tokens; zero if none of them is one that AWS could use.
func (f Facts) ChainIssuer() issuer.URL {
	if !f.Issuer.IsZero() {
		return f.Issuer
	}
	_, claims, _ := token.ParseInsecure(string(f.Raw))
	for _, s := range []string{claims.Issuer, f.Advertised} {
		if u, err := issuer.Parse(s); err == nil {
			return u
		}
	}
	return issuer.URL{}
}

// Secret is a token. It never prints.
type Secret string

// String hides the token.
func (Secret) String() string { return "(secret)" }

// GoString hides the token.
func (Secret) GoString() string { return "(secret)" }

// MarshalText hides the token.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// Server is one API server.
type Server struct {
	Node string
	// Issuers, JWKSURI and Audiences are the values of its flags
	// --service-account-issuer, --service-account-jwks-uri, --api-audiences.
	Issuers   []string
	JWKSURI   string
	Audiences []string
}

// Document is the answer to a stranger who reads a document of an issuer.
type Document struct {
	URL string
	// Status is the HTTP status; 0 if there was no answer.
	Status int
	// Code is S3's error code, if it is S3 that answered.
	Code string
	// Location is where a redirect points to.
	Location    string
	ContentType string
	Body        []byte
	// Err says why there was no answer. The certificate is no reason: see
	// Untrusted.
	Err error
	// Certificates are the chain that the server sent, read without
	// trusting it; nil where the document was not read over TLS by name.
	Certificates []*x509.Certificate
	// Untrusted is why the chain is not good for the host by the public roots;
	// nil if it is.
	Untrusted error
}

// Provider is an IAM OIDC provider.
type Provider struct {
	ARN         string
	ClientIDs   []string
	Thumbprints []string
}

// Role is an IAM role.
type Role struct {
	Name, ARN  string
	Trust      []byte
	PolicyARNs []string
	Inline     int    // how many inline policies it has
	Boundary   string // ARN of the permissions boundary
	Tags       map[string]string
}

// Webhook is what gives pods their role.
type Webhook struct {
	// Configuration is nil if there is none.
	Configuration *admissionv1.MutatingWebhookConfiguration
	Err           error
	// Ours says that setup has made it, and so can fix it. Excluded are the
	// namespaces that it excludes.
	Ours     bool
	Excluded []string
	// Endpoints is how many ready pods stand behind its Service.
	Endpoints    int
	EndpointsErr error
	// Certificates are what its server presents; nil if it did not answer, which
	// DialErr explains.
	Certificates []*x509.Certificate
	DialErr      error
	// Trial is a pod that the API server was asked to make without keeping it;
	// nil if it was not asked.
	Trial *Trial
	// Args are the arguments of its program; nil if they are not known.
	Args []string
	// NamespaceLabels are those of the service account's namespace.
	NamespaceLabels map[string]string
}

// Trial is a dry run of making a pod of the service account.
type Trial struct {
	// Err is the API server's refusal.
	Err error
	// RoleARN is the AWS_ROLE_ARN that the pod would have.
	RoleARN string
	// CredentialsURI is the AWS_CONTAINER_CREDENTIALS_FULL_URI that it would have.
	CredentialsURI string
}

// Call is AssumeRoleWithWebIdentity with the token, and GetCallerIdentity with
// what it gave.
type Call struct {
	// Code and Message are AWS's error; empty if it gave credentials.
	Code, Message string
	// Err is any other failure, such as of the network.
	Err error
	// Reason is what the endpoint said about it when asked.
	Reason string
	// Identity is the ARN that GetCallerIdentity answered.
	Identity string
	// IdentityErr is its failure.
	IdentityErr error
}
