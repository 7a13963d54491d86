// Package irsa holds the names by which Kubernetes and AWS know a pod's IAM
// role, and turns a service account's annotations into an [Identity] and back.
//
// The names are those of amazon-eks-pod-identity-webhook and of the AWS SDKs;
// clusters and pods depend on each of them, so none is ours to choose.
//
//	id, warnings, err := irsa.DefaultPrefix.Identity(serviceAccount.Annotations, irsa.Defaults{})
//	id.RoleARN  // "arn:aws:iam::123456789012:role/demo"; empty when the service account has no role
//	id.Audience // "sts.amazonaws.com" unless annotated
package irsa

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

// Prefix is the domain of the annotation and label keys.
type Prefix string

// DefaultPrefix is the domain that EKS uses.
const DefaultPrefix Prefix = "eks.amazonaws.com"

// RoleARN is the service-account annotation with the ARN of the role.
func (p Prefix) RoleARN() string { return string(p) + "/role-arn" }

// AudienceKey is the service-account annotation with the token's audience.
func (p Prefix) AudienceKey() string { return string(p) + "/audience" }

// RegionalSTS is the service-account annotation that asks for regional STS
// endpoints: "true" or "false".
func (p Prefix) RegionalSTS() string { return string(p) + "/sts-regional-endpoints" }

// TokenExpiration is the annotation with the token's life in seconds; on a
// pod it overrides the service account's.
func (p Prefix) TokenExpiration() string { return string(p) + "/token-expiration" }

// RoleSessionName is the annotation that asks for sessions named after the
// pod: "true" or "false"; on a pod it overrides the service account's.
func (p Prefix) RoleSessionName() string { return string(p) + "/role-session-name" }

// SkipContainers is the pod annotation that lists, separated by commas, the
// containers and init containers that get nothing.
func (p Prefix) SkipContainers() string { return string(p) + "/skip-containers" }

// The pod's labels have one name whatever the prefix of the annotations.
const (
	// SkipLabel, of any value, keeps a pod out of the webhook. The webhook
	// configuration's objectSelector reads it.
	SkipLabel = "eks.amazonaws.com/skip-pod-identity-webhook"
	// PodIdentityLabel, with the value "enabled", marks a pod that got
	// container credentials.
	PodIdentityLabel = "eks.amazonaws.com/pod-identity"
)

// SubjectPrefix begins the sub claim of every service account's tokens
// (k8s.io/apiserver/pkg/authentication/serviceaccount, ServiceAccountUsernamePrefix).
const SubjectPrefix = "system:serviceaccount:"

// The identity of one pod, as the AWS SDKs read it.
const (
	// EnvRoleARN and EnvTokenFile make up the SDKs' web identity provider.
	EnvRoleARN   = "AWS_ROLE_ARN"
	EnvTokenFile = "AWS_WEB_IDENTITY_TOKEN_FILE"

	// EnvRegionalSTS with the value "regional" has older SDKs call
	// sts.<region>.amazonaws.com rather than sts.amazonaws.com.
	EnvRegionalSTS = "AWS_STS_REGIONAL_ENDPOINTS"

	// EnvRoleSessionName is what the SDKs call the session that they get; AWS
	// CloudTrail shows it.
	EnvRoleSessionName = "AWS_ROLE_SESSION_NAME"

	// EnvAccessKey is the variable of static keys, which all SDKs prefer to the
	// role.
	EnvAccessKey = "AWS_ACCESS_KEY_ID"

	// Older SDKs read one of the two, newer ones the other.
	EnvDefaultRegion = "AWS_DEFAULT_REGION"
	EnvRegion        = "AWS_REGION"

	// EnvEndpointURL sends every call of an SDK to one endpoint, with one
	// exception: the AWS SDK for Go v2 makes the STS client of its web identity provider
	// before it has read this variable (resolveCredentials and
	// resolveBaseEndpoint in its config package), so the call that gets the
	// role's credentials needs EnvEndpointURLSTS.
	EnvEndpointURL    = "AWS_ENDPOINT_URL"
	EnvEndpointURLSTS = "AWS_ENDPOINT_URL_STS"

	// EnvCredentialsURI and EnvCredentialsTokenFile make up the SDKs'
	// container credentials provider (EKS Pod Identity).
	EnvCredentialsURI       = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	EnvCredentialsTokenFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
)

// The projected token in the pod.
const (
	// Audience is the client id that STS expects unless the IAM provider
	// lists another.
	Audience = "sts.amazonaws.com"

	// Volume is the pod's volume with the token and MountPath where
	// containers see it, in a file called TokenFile.
	Volume    = "aws-iam-token"
	MountPath = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	TokenFile = "token"
)

// The life of a token in seconds.
const (
	// ExpirationSeconds is the default: a day, as on EKS.
	ExpirationSeconds = 86400
	// MinExpirationSeconds and MaxExpirationSeconds are the API server's
	// bounds for a projected token (ValidateProjectedVolumeSource in
	// Kubernetes' pkg/apis/core/validation).
	MinExpirationSeconds = 600
	MaxExpirationSeconds = 1 << 32
)

// Container credentials: EKS Pod Identity, served by an agent on each node.
const (
	CredentialsURI       = "http://169.254.170.23/v1/credentials"
	CredentialsURIv6     = "http://[fd00:ec2::23]/v1/credentials" // where there is no IPv4
	CredentialsAudience  = "pods.eks.amazonaws.com"
	CredentialsVolume    = "eks-pod-identity-token"
	CredentialsMountPath = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
	CredentialsTokenFile = "eks-pod-identity-token"
)

// Identity is the AWS identity of a service account. The zero value is none.
type Identity struct {
	// RoleARN is the IAM role to assume.
	RoleARN string
	// Audience is the aud claim of the token; one of the IAM provider's
	// client ids.
	Audience string
	// ExpirationSeconds is how long a token lasts; kubelet renews it earlier.
	ExpirationSeconds int64
	// RegionalSTS asks older SDKs to call the STS of their own region.
	RegionalSTS bool
	// PodSession names sessions after the pod.
	PodSession bool
}

// IsZero reports whether there is no identity.
func (id Identity) IsZero() bool { return id == Identity{} }

// Defaults are the values for what a service account does not set itself, and
// which roles it may name.
type Defaults struct {
	Audience          string // "" is [Audience]
	ExpirationSeconds int64  // 0 is [ExpirationSeconds]
	RegionalSTS       bool
	PodSession        bool
	// ForeignRoles accepts the roles of [CheckForeignRoleARN] besides those of
	// [CheckRoleARN].
	ForeignRoles bool
}

func (d Defaults) identity() Identity {
	id := Identity{Audience: d.Audience, ExpirationSeconds: d.ExpirationSeconds, RegionalSTS: d.RegionalSTS, PodSession: d.PodSession}
	if id.Audience == "" {
		id.Audience = Audience
	}
	if id.ExpirationSeconds == 0 {
		id.ExpirationSeconds = ExpirationSeconds
	}
	return id
}

// AnnotationError is a value with which no pod could get credentials.
type AnnotationError struct {
	Key    string // the annotation, such as "eks.amazonaws.com/role-arn"
	Value  string
	Reason string
}

func (e *AnnotationError) Error() string {
	const most = 200 // an annotation may be 256 kB; an Event's message is 1 kB
	v := e.Value
	if len(v) > most {
		v = v[:most] + "..."
	}
	return fmt.Sprintf("%s %q: %s", e.Key, v, e.Reason)
}

// Identity reads the annotations of a service account. Without a role (or
// with an empty one) the identity is zero. Warnings describe values that were
// replaced by usable ones, so that a mistake in a detail does not remove a
// working identity: a malformed audience or life by the default, a life under
// [MinExpirationSeconds] by that. A value that is neither true nor false is
// ignored. A malformed role is an [*AnnotationError], and the identity is zero.
func (p Prefix) Identity(annotations map[string]string, d Defaults) (id Identity, warnings []string, err error) {
	role := annotations[p.RoleARN()]
	if role == "" {
		return Identity{}, nil, nil
	}
	if err := d.checkRole(role); err != nil {
		return Identity{}, nil, &AnnotationError{p.RoleARN(), role, err.Error()}
	}
	d, warnings = p.Token(annotations, d)
	id = d.identity()
	id.RoleARN = role
	if err := p.checkAudience(annotations); err != nil {
		warnings = append(warnings, fmt.Sprintf("%v; using %q", err, id.Audience))
	} else if aud := annotations[p.AudienceKey()]; aud != "" {
		id.Audience = aud
	}
	return id, warnings, nil
}

func (d Defaults) checkRole(arn string) error {
	err := CheckRoleARN(arn)
	if err != nil && d.ForeignRoles {
		return CheckForeignRoleARN(arn)
	}
	return err
}

// checkAudience reports a malformed audience annotation, an [*AnnotationError].
func (p Prefix) checkAudience(annotations map[string]string) error {
	aud := annotations[p.AudienceKey()]
	if aud == "" {
		return nil
	}
	if err := CheckAudience(aud); err != nil {
		return &AnnotationError{p.AudienceKey(), aud, err.Error()}
	}
	return nil
}

// checkExpiration reads a token-expiration annotation; 0 seconds if there is
// none. A malformed one is an [*AnnotationError].
func (p Prefix) checkExpiration(annotations map[string]string) (seconds int64, warning string, _ error) {
	s, ok := annotations[p.TokenExpiration()]
	if !ok {
		return 0, "", nil
	}
	seconds, warning, err := ParseExpiration(s)
	if err != nil {
		return 0, "", &AnnotationError{p.TokenExpiration(), s, err.Error()}
	}
	return seconds, warning, nil
}

// Malformed is the first [*AnnotationError] that Identity replaces with a
// default; nil if there is none. It is for callers that refuse such mistakes.
func (p Prefix) Malformed(annotations map[string]string) error {
	if _, _, err := p.checkExpiration(annotations); err != nil {
		return err
	}
	return p.checkAudience(annotations)
}

// Token reads only those annotations that need no role, on top of d: the life
// of the token, the choice of STS endpoint and the name of sessions. Container
// credentials use the first two as well. Warnings are those of
// [Prefix.Identity].
func (p Prefix) Token(annotations map[string]string, d Defaults) (_ Defaults, warnings []string) {
	seconds, warning, err := p.checkExpiration(annotations)
	switch {
	case err != nil:
		warnings = append(warnings, fmt.Sprintf("%v; using %d", err, d.identity().ExpirationSeconds))
	case seconds != 0:
		d.ExpirationSeconds = seconds
		if warning != "" {
			warnings = append(warnings, p.TokenExpiration()+" "+warning)
		}
	}
	for _, choice := range []struct {
		key   string
		value *bool
	}{{p.RegionalSTS(), &d.RegionalSTS}, {p.RoleSessionName(), &d.PodSession}} {
		if v, warning, ok := ParseChoice(annotations, choice.key); ok {
			*choice.value = v
		} else if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return d, warnings
}

// ParseChoice reads an annotation that is "true" or "false". ok is false if
// there is none, or if it is neither, of which there is a warning.
func ParseChoice(annotations map[string]string, key string) (v bool, warning string, ok bool) {
	s, there := annotations[key]
	if !there {
		return false, "", false
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, (&AnnotationError{key, s, `neither "true" nor "false", ignored`}).Error(), false
	}
	return v, "", true
}

// Annotations are what to write on a service account so that [Prefix.Identity]
// reads id back, with the given defaults: the role, and what differs from the
// defaults. They are nil for no identity.
func (p Prefix) Annotations(id Identity, d Defaults) map[string]string {
	if id.RoleARN == "" {
		return nil
	}
	def := d.identity()
	m := map[string]string{p.RoleARN(): id.RoleARN}
	if id.Audience != def.Audience {
		m[p.AudienceKey()] = id.Audience
	}
	if id.ExpirationSeconds != def.ExpirationSeconds {
		m[p.TokenExpiration()] = strconv.FormatInt(id.ExpirationSeconds, 10)
	}
	if id.RegionalSTS != def.RegionalSTS {
		m[p.RegionalSTS()] = strconv.FormatBool(id.RegionalSTS)
	}
	if id.PodSession != def.PodSession {
		m[p.RoleSessionName()] = strconv.FormatBool(id.PodSession)
	}
	return m
}

// ParseExpiration reads a token-expiration annotation: whole seconds. A life
// shorter than [MinExpirationSeconds] is raised to it, with a warning; a value
// that is not a number, or above [MaxExpirationSeconds], is an error.
func ParseExpiration(s string) (seconds int64, warning string, err error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, "", fmt.Errorf("not a whole number of seconds")
	}
	if n > MaxExpirationSeconds {
		return 0, "", fmt.Errorf("more than %d seconds, the most that Kubernetes allows", int64(MaxExpirationSeconds))
	}
	if n < MinExpirationSeconds {
		warning = fmt.Sprintf("%q is less than %d seconds, the least that Kubernetes allows; using %[2]d", s, MinExpirationSeconds)
		return MinExpirationSeconds, warning, nil
	}
	return n, "", nil
}

// ParseSkip reads a skip-containers annotation: names separated by commas,
// each perhaps quoted as in CSV and surrounded by spaces.
func ParseSkip(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	r := csv.NewReader(strings.NewReader(s))
	r.TrimLeadingSpace = true
	names, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the list of containers to skip: %w", err)
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names, nil
}

// CheckRoleARN reports why s is not the ARN of an IAM role,
// arn:<partition>:iam::<account>:role/[path/]<name>. Limits are those of
// AssumeRoleWithWebIdentity's RoleArn (20 to 2048 characters) and of
// CreateRole (name and path).
func CheckRoleARN(s string) error {
	part := strings.SplitN(s, ":", 6)
	switch {
	case len(part) != 6 || part[0] != "arn":
		return fmt.Errorf("not an ARN: want arn:aws:iam::<account>:role/<name>")
	case len(s) > 2048:
		return fmt.Errorf("longer than 2048 characters")
	case part[1] == "" || strings.Trim(part[1], "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return fmt.Errorf("partition %q is not one of AWS's", part[1])
	case part[2] != "iam" || part[3] != "":
		return fmt.Errorf("not an IAM ARN: want arn:%s:iam::<account>:role/<name>", part[1])
	case len(part[4]) != 12 || strings.Trim(part[4], "0123456789") != "":
		return fmt.Errorf("account %q is not 12 digits", part[4])
	}
	return checkRole(part[5])
}

// CheckForeignRoleARN reports why s is not the ARN of a role of an STS other than
// AWS's. The account may be empty, or a name:
//
//	arn:aws:iam:::role/app            Ceph RGW; with one of its tenants or accounts between the last colons
//	arn:minio:iam:::role/app          MinIO
//	arn:aws:sts::ACCESSKEY:role/app   NooBaa
func CheckForeignRoleARN(s string) error {
	part := strings.SplitN(s, ":", 6)
	switch {
	case len(part) != 6 || part[0] != "arn":
		return fmt.Errorf("not an ARN: want arn:<partition>:iam::[<account>]:role/<name>")
	case len(s) < 20 || len(s) > 2048: // the SDKs check this before they call
		return fmt.Errorf("not 20 to 2048 characters long")
	case part[1] == "" || strings.Trim(part[1], "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return fmt.Errorf("partition %q is not lower-case letters, digits and hyphens", part[1])
	case part[2] != "iam" && part[2] != "sts" || part[3] != "":
		return fmt.Errorf("not the ARN of a role: want arn:%s:iam::[<account>]:role/<name>", part[1])
	case len(part[4]) > 255 || strings.ContainsFunc(part[4], func(r rune) bool { return !isRoleNameRune(r) && r != '$' }):
		return fmt.Errorf("account %q has characters other than letters, digits and $+=,.@_-", part[4])
	}
	return checkRole(part[5])
}

// checkRole checks the resource of a role's ARN, role/[path/]<name>.
func checkRole(resource string) error {
	path, ok := strings.CutPrefix(resource, "role/")
	if !ok {
		return fmt.Errorf("%q is not a role", resource)
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	path = "/" + strings.TrimSuffix(path, name)
	switch {
	case name == "" || len(name) > 64:
		return fmt.Errorf("role name %q is not 1 to 64 characters long", name)
	case strings.ContainsFunc(name, func(r rune) bool { return !isRoleNameRune(r) }):
		return fmt.Errorf("role name %q has characters other than letters, digits and +=,.@_-", name)
	case len(path) > 512 || strings.ContainsFunc(path, func(r rune) bool { return r < 0x21 || r > 0x7e }):
		return fmt.Errorf("role path %q is not printable ASCII of at most 512 characters", path)
	}
	return nil
}

func isRoleNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+=,.@_-", r)
}

// CheckAudience reports why s cannot be a client id of an IAM OIDC provider:
// 1 to 255 characters (CreateOpenIDConnectProvider, clientIDType), and here
// neither spaces nor control characters.
func CheckAudience(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("empty")
	case len(s) > 255:
		return fmt.Errorf("longer than 255 characters")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }):
		return fmt.Errorf("has spaces or control characters")
	}
	return nil
}
