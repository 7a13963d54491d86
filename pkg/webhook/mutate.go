// Package webhook gives pods their AWS identity at admission.
//
// It stands in for amazon-eks-pod-identity-webhook: the same annotations in,
// the same environment, volume and mount out. What it decides, it decides in
// [Mutate], a pure function of the pod and of what the pod's service account
// is granted; around it stand a [Handler] for the API server's reviews, a
// [Directory] that knows the service accounts, and an [Authority] that keeps
// the serving certificate.
//
//	pod, err := webhook.ParsePod(review.Object, irsa.DefaultPrefix)
//	ops, warnings := webhook.Mutate(pod, webhook.Grant{Identity: id}, webhook.Settings{})
//
// A patch only ever adds. The original replaces whole lists of containers with
// what its own version of Kubernetes' types could decode of them, and so drops
// fields that are newer; here the pod is read, never written.
package webhook

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// Operation is one step of a JSON patch (RFC 6902). Op is always "add".
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Grant is what a service account gives its pods. The zero value is nothing.
type Grant struct {
	irsa.Identity
	// Credentials asks for container credentials (EKS Pod Identity) in place
	// of a role; of the identity, only the token's life and the choice of STS
	// endpoint count then.
	Credentials bool
	// Day is the life in seconds of a token that is to live exactly a day, by whoever
	// says so, if there are container credentials; 0 is a day.
	Day int64
	// Warnings are for the person who made the pod.
	Warnings []string
	// Malformed is an [*irsa.AnnotationError] about something that a default
	// stands in for; nil if there is nothing.
	Malformed error
	// UID is that of the service account, where it is known.
	UID types.UID
}

// Nothing reports whether the pod stays as it is.
func (g Grant) Nothing() bool { return g.RoleARN == "" && !g.Credentials }

// Settings are what all pods get alike.
type Settings struct {
	// Prefix of the pod annotations; "" is [irsa.DefaultPrefix].
	Prefix irsa.Prefix
	// MountPath is where containers find the token; "" is [irsa.MountPath].
	MountPath string
	// Region is the value of AWS_REGION and AWS_DEFAULT_REGION. "" adds none.
	Region string
	// EndpointURL is the value of AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_STS. ""
	// adds none.
	EndpointURL string
	// Credentials are the details of container credentials.
	Credentials Credentials
}

// Credentials are the details of container credentials. Empty fields have the
// values that EKS uses.
type Credentials struct {
	URI       string // [irsa.CredentialsURI]
	Audience  string // [irsa.CredentialsAudience]
	Volume    string // [irsa.CredentialsVolume]
	MountPath string // [irsa.CredentialsMountPath]
	TokenFile string // [irsa.CredentialsTokenFile]
}

// injection is everything that a pod gets, decided.
type injection struct {
	// env are groups of variables: if a container has one variable of a
	// group, it gets none of that group.
	env       [][]corev1.EnvVar
	identity  []string // the variables without which there is no identity
	volume    corev1.Volume
	token     Token
	mountPath string
	label     string
}

// Mutate decides what to add to a pod so that its containers have the identity
// that its service account grants. The patch is empty when nothing is missing;
// in particular, mutating a mutated pod adds nothing.
//
// Ephemeral containers get nothing: they are never there when a pod is made.
func Mutate(p *Pod, g Grant, s Settings) (patch []Operation, warnings []string) {
	if g.Nothing() {
		return nil, g.Warnings
	}
	prefix := s.Prefix
	if prefix == "" {
		prefix = irsa.DefaultPrefix
	}
	warnings = slices.Clip(g.Warnings)
	expiration := g.ExpirationSeconds
	if v, ok := p.Annotations[prefix.TokenExpiration()]; ok {
		seconds, warning, err := irsa.ParseExpiration(v)
		switch {
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("%s of the pod is ignored: %v", prefix.TokenExpiration(), err))
		default:
			expiration = seconds
			if warning != "" {
				warnings = append(warnings, prefix.TokenExpiration()+" "+warning)
			}
		}
	}
	if g.Credentials && g.Day != 0 && expiration == irsa.ExpirationSeconds {
		expiration = g.Day
	}
	skip, err := irsa.ParseSkip(p.Annotations[prefix.SkipContainers()])
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("%s is ignored: %v", prefix.SkipContainers(), err))
	}

	in := decide(p, g, s, expiration)
	if !g.Credentials {
		session := g.PodSession
		if v, warning, ok := irsa.ParseChoice(p.Annotations, prefix.RoleSessionName()); ok {
			session = v
		} else if warning != "" {
			warnings = append(warnings, warning)
		}
		if session {
			v, warning := sessionName(p.Name)
			if in.env = append(in.env, []corev1.EnvVar{v}); warning != "" {
				warnings = append(warnings, warning)
			}
		}
	}
	at := slices.IndexFunc(p.Volumes, func(v Volume) bool { return v.Name == in.volume.Name })
	if at >= 0 && !slices.Contains(p.Volumes[at].Tokens, in.token) {
		// Its containers would find something else than a token, and the
		// volume is not ours to change.
		return nil, append(warnings, fmt.Sprintf("the pod gets no AWS identity: its volume %q is not the token for audience %q",
			in.volume.Name, in.token.Audience))
	}
	if in.label != "" && !p.Labels[in.label] {
		switch {
		case !p.hasMetadata:
			patch = append(patch, add(map[string]map[string]string{"labels": {in.label: "enabled"}}, "/metadata"))
		case p.Labels == nil:
			patch = append(patch, add(map[string]string{in.label: "enabled"}, "/metadata/labels"))
		default:
			patch = append(patch, add("enabled", "/metadata/labels/", escape.Replace(in.label)))
		}
	}
	head, used := len(patch), false
	patch, used = in.containers(patch, used, "/spec/initContainers/", p.InitContainers, skip)
	patch, used = in.containers(patch, used, "/spec/containers/", p.Containers, skip)
	if at < 0 && used {
		op := add(in.volume, "/spec/volumes/0")
		if !p.HasVolumes {
			op = add([]corev1.Volume{in.volume}, "/spec/volumes")
		}
		patch = slices.Insert(patch, head, op)
	}
	return patch, append(warnings, in.hindrances(p, skip)...)
}

// hindrances are what containers have that keeps the identity from them.
func (in *injection) hindrances(p *Pod, skip []string) (warnings []string) {
	const most = 10
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		if slices.Contains(skip, c.Name) {
			continue
		}
		if len(warnings) >= most {
			break
		}
		if m := c.mountAt(in.mountPath); m != nil && m.Volume != in.volume.Name && !in.isToken(p, m.Volume) {
			warnings = append(warnings, fmt.Sprintf("container %s gets no token: its own volume %s is mounted at %s",
				name(c.Name), name(m.Volume), in.mountPath))
		} else if m := c.mountAt(path.Join(in.mountPath, in.token.Path)); m != nil {
			warnings = append(warnings, fmt.Sprintf("container %s gets no token: its own volume %s is mounted at %s/%s",
				name(c.Name), name(m.Volume), in.mountPath, in.token.Path))
		}
		var has, lacks []string
		for _, v := range in.identity {
			if slices.Contains(c.Env, v) {
				has = append(has, v)
			} else {
				lacks = append(lacks, v)
			}
		}
		if len(has) > 0 && len(lacks) > 0 {
			warnings = append(warnings, fmt.Sprintf("container %s gets no %s, because it sets %s itself", name(c.Name), lacks[0], has[0]))
		} else if c.StaticKeys {
			warnings = append(warnings, fmt.Sprintf("container %s does not use the AWS identity: it sets %s, which AWS SDKs prefer",
				name(c.Name), irsa.EnvAccessKey))
		}
	}
	return warnings
}

// name is how a warning shows a name of the pod's.
func name(s string) string { return fmt.Sprintf("%.64q", s) }

// isToken reports whether a volume is a token like ours.
func (in *injection) isToken(p *Pod, volume string) bool {
	return slices.ContainsFunc(p.Volumes, func(v Volume) bool { return v.Name == volume && slices.Contains(v.Tokens, in.token) })
}

// containers appends what the containers of one list lack, and reports whether
// any container is to have the token.
func (in *injection) containers(patch []Operation, used bool, list string, all []Container, skip []string) ([]Operation, bool) {
	for i := range all {
		c := &all[i]
		if slices.Contains(skip, c.Name) {
			continue
		}
		used = true
		self := list + strconv.Itoa(i)
		var env []corev1.EnvVar
		for _, group := range in.env {
			if !slices.ContainsFunc(group, func(v corev1.EnvVar) bool { return slices.Contains(c.Env, v.Name) }) {
				env = append(env, group...)
			}
		}
		switch {
		case len(env) == 0:
		case !c.HasEnv:
			patch = append(patch, add(env, self, "/env"))
		default:
			for _, v := range env {
				patch = append(patch, add(v, self, "/env/-"))
			}
		}
		if !c.mounts(in.mountPath) {
			mount := corev1.VolumeMount{Name: in.volume.Name, ReadOnly: true, MountPath: in.mountPath}
			if c.HasMounts {
				patch = append(patch, add(mount, self, "/volumeMounts/-"))
			} else {
				patch = append(patch, add([]corev1.VolumeMount{mount}, self, "/volumeMounts"))
			}
		}
	}
	return patch, used
}

func decide(p *Pod, g Grant, s Settings, expiration int64) (in injection) {
	name := irsa.Volume
	if g.Credentials {
		c := s.Credentials
		name, in.label = cmp.Or(c.Volume, irsa.CredentialsVolume), irsa.PodIdentityLabel
		in.mountPath = cmp.Or(c.MountPath, irsa.CredentialsMountPath)
		in.token = Token{Audience: cmp.Or(c.Audience, irsa.CredentialsAudience), Path: cmp.Or(c.TokenFile, irsa.CredentialsTokenFile)}
	} else {
		in.mountPath = cmp.Or(s.MountPath, irsa.MountPath)
		in.token = Token{Audience: g.Audience, Path: irsa.TokenFile}
	}
	in.volume = corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
			Audience: in.token.Audience, ExpirationSeconds: &expiration, Path: in.token.Path,
		}}},
	}}}
	file := path.Join(in.mountPath, in.token.Path)
	if p.Windows {
		file = "C:" + strings.ReplaceAll(file, "/", `\`)
	}
	variable := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }
	if g.RegionalSTS {
		in.env = append(in.env, []corev1.EnvVar{variable(irsa.EnvRegionalSTS, "regional")})
	}
	if s.Region != "" {
		in.env = append(in.env, []corev1.EnvVar{variable(irsa.EnvDefaultRegion, s.Region), variable(irsa.EnvRegion, s.Region)})
	}
	if s.EndpointURL != "" {
		in.env = append(in.env, []corev1.EnvVar{variable(irsa.EnvEndpointURL, s.EndpointURL), variable(irsa.EnvEndpointURLSTS, s.EndpointURL)})
	}
	in.identity = []string{irsa.EnvRoleARN, irsa.EnvTokenFile}
	if g.Credentials {
		in.identity = []string{irsa.EnvCredentialsURI, irsa.EnvCredentialsTokenFile}
		in.env = append(in.env, []corev1.EnvVar{
			variable(irsa.EnvCredentialsURI, cmp.Or(s.Credentials.URI, irsa.CredentialsURI)), variable(irsa.EnvCredentialsTokenFile, file),
		})
	} else {
		in.env = append(in.env, []corev1.EnvVar{variable(irsa.EnvRoleARN, g.RoleARN), variable(irsa.EnvTokenFile, file)})
	}
	return in
}

// escape is a JSON pointer's way to write a key (RFC 6901, section 3).
var escape = strings.NewReplacer("~", "~0", "/", "~1")

func add(value any, path ...string) Operation {
	return Operation{Op: "add", Path: strings.Join(path, ""), Value: value}
}
