package doctor

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// pods checks the running pods of the service account.
func (d *diagnosis) pods() {
	const check = "pods"
	switch {
	case d.PodsErr != nil:
		d.unknown(Pod, check, "%v", d.PodsErr)
		return
	case d.PodName != "" && len(d.Pods) == 0:
		d.broken(Finding{
			Link: Pod, Check: check,
			Summary:  "there is no such running pod of service account " + d.account(),
			Expected: d.Namespace + "/" + d.PodName, Found: "none",
			Fix: kubectl(d.Namespace, "get", "pods"),
		})
		return
	case d.roleARN() == "" && !d.associated():
		d.ignoredOnPods()
		d.unknown(Pod, check, "the service account has no role")
		return
	case len(d.Pods) == 0:
		d.unknown(Pod, check, "no pod of the service account runs")
		return
	}
	d.ignoredOnPods()
	good := 0
	for i := range d.Pods {
		if d.pod(&d.Pods[i]) {
			good++
		}
	}
	if good > 0 {
		d.ok(Pod, check, "%d of %d have the role and its token", good, len(d.Pods))
	}
}

// ignoredOnPods reports annotations of pods that have no effect, once for each
// workload.
func (d *diagnosis) ignoredOnPods() {
	told := map[[2]string]bool{}
	for i := range d.Pods {
		p := &d.Pods[i]
		for _, key := range slices.Sorted(maps.Keys(p.Annotations)) {
			mistakes, others := irsa.DefaultPrefix.IgnoredOnPod(map[string]string{key: ""})
			for _, why := range slices.Concat(mistakes, others) {
				if at := [2]string{template(p), key}; !told[at] {
					told[at] = true
					d.warn(Finding{
						Link: Pod, Check: "ignored annotation",
						Summary:  "of pod " + p.Namespace + "/" + p.Name + ", from " + template(p) + ": " + why,
						Expected: "no annotation " + key, Found: key, Fix: removeAnnotation(p, key),
					})
				}
			}
		}
	}
}

// pod checks a pod, and reports whether nothing is wrong with it.
func (d *diagnosis) pod(p *corev1.Pod) bool {
	name := p.Namespace + "/" + p.Name
	if _, skipped := p.Labels[irsa.SkipLabel]; skipped {
		add := d.warn
		if d.PodName == p.Name {
			add = d.broken
		}
		add(Finding{
			Link: Pod, Check: "skipped",
			Summary:  "pod " + name + " asked to be left alone by the webhook",
			Expected: "no label " + irsa.SkipLabel, Found: "label " + irsa.SkipLabel,
			Fix: restart(p).noting("after the label is removed from the pod template"),
		})
		return false
	}
	skip, err := irsa.ParseSkip(p.Annotations[irsa.DefaultPrefix.SkipContainers()])
	if err != nil {
		skip = nil // as the webhook does
	}
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		if slices.Contains(skip, c.Name) {
			continue
		}
		check := d.container
		if d.associated() {
			check = d.agentContainer
		}
		if !check(p, &c) {
			return false
		}
	}
	return true
}

// staticKey is the variable that SDKs prefer to the role. Container credentials, such as
// by AWS_CONTAINER_CREDENTIALS_FULL_URI, come after the role in all of them.
const staticKey = irsa.EnvAccessKey

// profileVariables lead to profiles. Some SDKs, such as those for C++, JavaScript
// and Rust, look at these before the role, that for Python does at one which
// assumes a role itself, and those for Go and Java look after it.
var profileVariables = []string{"AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"}

// container checks what a container has of the webhook, and reports whether nothing is
// wrong with it.
func (d *diagnosis) container(p *corev1.Pod, c *corev1.Container) bool {
	what := fmt.Sprintf("container %s of pod %s/%s", c.Name, p.Namespace, p.Name)
	arn, hasRole := env(c, irsa.EnvRoleARN)
	file, hasFile := env(c, irsa.EnvTokenFile)
	if !hasRole && !hasFile && reached(p) {
		d.warn(Finding{
			Link: Pod, Check: "missed",
			Summary:  what + " has no role, and others in the pod have: it was added after the webhook was asked",
			Expected: irsa.EnvRoleARN + "=" + d.roleARN(), Found: "none",
			Fix: kubectl(p.Namespace, "logs", p.Name, "--container", c.Name).
				noting("nothing is wrong if it does not call AWS"),
		})
		return true
	}
	if !hasRole && !hasFile {
		return d.missed(p, what)
	}
	if arn != d.roleARN() {
		return d.brokenPod(Finding{
			Check:    "role of pod",
			Summary:  what + " has another role than its service account: it is older than the annotation, or sets the variable itself",
			Expected: irsa.EnvRoleARN + "=" + d.roleARN(), Found: irsa.EnvRoleARN + "=" + arn, Fix: restart(p),
		})
	}
	if from := d.source(c, staticKey); from != "" {
		return d.brokenPod(Finding{
			Check:    "static keys",
			Summary:  what + " has static keys, which AWS SDKs prefer to the role",
			Expected: "no " + staticKey, Found: staticKey + " " + from,
			Fix: restart(p).noting("after the variable is removed from the pod template"),
		})
	}
	for _, name := range profileVariables {
		if from := d.source(c, name); from != "" {
			d.warn(Finding{
				Link: Pod, Check: "profile",
				Summary: what + " is pointed to a profile, which some AWS SDKs prefer to the role, " +
					"such as those for C++, JavaScript and Rust, and that for Python if the profile assumes a role",
				Expected: "no " + name, Found: name + " " + from,
				Fix: restart(p).noting("after the variable is removed from the pod template, unless the profile is meant"),
			})
			break
		}
	}
	if d.Endpoint != "" {
		if have, _ := env(c, irsa.EnvEndpointURL); have != d.Endpoint {
			return d.brokenPod(Finding{
				Check:    "endpoint",
				Summary:  what + " calls another AWS than the one that the chain is in",
				Expected: irsa.EnvEndpointURL + "=" + d.Endpoint, Found: irsa.EnvEndpointURL + "=" + have, Fix: restart(p),
			})
		}
	}
	if strings.Contains(file, `\`) {
		return true // Windows, where mounts and users are others
	}
	return d.tokenFile(p, c, mounted{file, d.audience(), what})
}

// brokenPod reports what is wrong with a pod. It is false, for the caller to return.
func (d *diagnosis) brokenPod(f Finding) bool {
	f.Link = Pod
	d.broken(f)
	return false
}

// mounted is a token as a container should have it.
type mounted struct {
	file, audience string
	what           string // the container, in words
}

// tokenFile checks that a container has the token where its variable says.
func (d *diagnosis) tokenFile(p *corev1.Pod, c *corev1.Container, m mounted) bool {
	file, what := m.file, m.what
	mount := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == path.Dir(file) })
	if mount < 0 {
		return d.brokenPod(Finding{
			Check:    "token file",
			Summary:  what + " has no token where the variable says",
			Expected: "a mount at " + path.Dir(file), Found: mounts(c), Fix: restart(p),
		})
	}
	if over := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == file }); over >= 0 {
		return d.brokenPod(Finding{
			Check:    "token file",
			Summary:  what + " mounts a volume of its own over the token",
			Expected: "no mount at " + file, Found: "volume " + c.VolumeMounts[over].Name,
			Fix: restart(p).noting("after the mount at " + file + " is removed from " + template(p)),
		})
	}
	at := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[mount].Name })
	if at < 0 || p.Spec.Volumes[at].Projected == nil {
		return d.brokenPod(Finding{
			Check:    "token file",
			Summary:  what + " has something else than a token where the variable says: it mounts a volume of its own there",
			Expected: "a projected volume", Found: "volume " + c.VolumeMounts[mount].Name,
			Fix: restart(p).noting("after the mount at " + path.Dir(file) + " is removed from " + template(p)),
		})
	}
	for _, s := range p.Spec.Volumes[at].Projected.Sources {
		t := s.ServiceAccountToken
		if t == nil || t.Path != path.Base(file) {
			continue
		}
		if t.Audience != m.audience {
			return d.brokenPod(Finding{
				Check:    "audience of pod",
				Summary:  what + " has a token for another audience",
				Expected: "audience " + m.audience, Found: "audience " + t.Audience, Fix: restart(p),
			})
		}
		return d.readable(p, c, p.Spec.Volumes[at].Projected, what)
	}
	return d.brokenPod(Finding{
		Check:    "token file",
		Summary:  what + " has no token of that name in the volume",
		Expected: path.Base(file), Found: "volume " + p.Spec.Volumes[at].Name, Fix: restart(p),
	})
}

// env is the value of a variable in the env of a container.
func env(c *corev1.Container, name string) (value string, ok bool) {
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	if i < 0 {
		return "", false
	}
	return c.Env[i].Value, true
}

// mounts lists where a container mounts volumes.
func mounts(c *corev1.Container) string {
	var all []string
	for _, m := range c.VolumeMounts {
		all = append(all, m.MountPath)
	}
	return "mounts at " + join(all)
}

// source says where a container gets a variable from; "" if it gets none. One
// that is empty is none, and hides that of envFrom.
func (d *diagnosis) source(c *corev1.Container, name string) string {
	if i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }); i >= 0 {
		if c.Env[i].Value == "" && c.Env[i].ValueFrom == nil {
			return ""
		}
		return "in env"
	}
	for _, from := range c.EnvFrom {
		var source string
		switch {
		case from.SecretRef != nil:
			source = "Secret/" + from.SecretRef.Name
		case from.ConfigMapRef != nil:
			source = "ConfigMap/" + from.ConfigMapRef.Name
		}
		if slices.ContainsFunc(d.Bulk[source], func(key string) bool { return from.Prefix+key == name }) {
			return "by envFrom of " + source
		}
	}
	return ""
}

// reached reports whether some container of a pod has a role.
func reached(p *corev1.Pod) bool { return has(p, irsa.EnvRoleARN) }

// has reports whether some container of a pod has a variable in its env.
func has(p *corev1.Pod, name string) bool {
	return slices.ContainsFunc(slices.Concat(p.Spec.Containers, p.Spec.InitContainers), func(c corev1.Container) bool {
		_, ok := env(&c, name)
		return ok
	})
}

// missed reports why a pod has nothing of the webhook.
func (d *diagnosis) missed(p *corev1.Pod, what string) bool {
	made := p.CreationTimestamp.Time
	summary, expected := what+" has no role, although its service account has one", irsa.EnvRoleARN+"="+d.roleARN()
	found := "made at " + stamp(made) + ", while the webhook was not asked or did not answer"
	if c := d.Webhook.Configuration; c != nil && made.Before(c.CreationTimestamp.Time) {
		summary, expected, found = what+" is older than the webhook", "made after "+stamp(c.CreationTimestamp.Time), "made at "+stamp(made)
	} else if at := annotated(d.ServiceAccount); made.Before(at) {
		summary, expected, found = what+" is older than the service account's annotation", "made after "+stamp(at), "made at "+stamp(made)
	}
	d.broken(Finding{
		Link: Pod, Check: "missed",
		Summary:  summary + ": AWS SDKs in it take the node's credentials, or none",
		Expected: expected, Found: found, Fix: restart(p),
	})
	return false
}

// annotated is when a service account got its role, by its managed fields; zero if they
// do not say.
func annotated(sa *corev1.ServiceAccount) (at time.Time) {
	field := `"f:` + irsa.DefaultPrefix.RoleARN() + `"`
	for _, f := range sa.ManagedFields {
		if f.Time == nil || f.FieldsV1 == nil || !f.Time.After(at) {
			continue
		}
		if strings.Contains(string(f.FieldsV1.GetRawBytes()), field) {
			at = f.Time.Time
		}
	}
	return at
}

// readable checks that the user of a container may read its token. The rules
// are kubelet's (pkg/volume/projected and pkg/volume/util.FsUserFrom in
// Kubernetes): with an fsGroup the group may read it; if all containers run as
// one user that user owns it; otherwise it is root's, with the volume's mode.
// Before Kubernetes 1.19 it was root's with mode 0600, unless there was an
// fsGroup.
func (d *diagnosis) readable(p *corev1.Pod, c *corev1.Container, v *corev1.ProjectedVolumeSource, what string) bool {
	const others = 0o004
	if s := p.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		return true
	}
	old := d.Minor > 0 && d.Minor < 19
	mode := int32(corev1.ProjectedVolumeSourceDefaultMode)
	if v.DefaultMode != nil {
		mode = *v.DefaultMode
	}
	if old {
		mode = 0o600
	} else if _, same := commonUser(p); same {
		return true
	}
	user, known := runsAs(p, c)
	if mode&others != 0 || known && user == 0 || !known && !mustNotBeRoot(p, c) {
		return true
	}
	who := "a user other than root"
	if known {
		who = fmt.Sprintf("user %d", user)
	}
	fix := restart(p).noting("after securityContext.fsGroup is set in the pod template")
	d.broken(Finding{
		Link: Pod, Check: "token readable",
		Summary:  what + " may not read its token",
		Expected: "an fsGroup, or a token that " + who + " may read",
		Found:    fmt.Sprintf("mode %04o, owned by root, read as %s", mode, who), Fix: fix,
	})
	return false
}

// commonUser is the user of all containers, if they have one and the same.
func commonUser(p *corev1.Pod) (user int64, same bool) {
	for i, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		u, known := runsAs(p, &c)
		if !known || i > 0 && u != user {
			return 0, false
		}
		user = u
	}
	return user, true
}

// runsAs is the user that the pod asks for; not known if the image decides.
func runsAs(p *corev1.Pod, c *corev1.Container) (user int64, known bool) {
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
		return *s.RunAsUser, true
	}
	if s := p.Spec.SecurityContext; s != nil && s.RunAsUser != nil {
		return *s.RunAsUser, true
	}
	return 0, false
}

// mustNotBeRoot reports whether runAsNonRoot holds for a container.
func mustNotBeRoot(p *corev1.Pod, c *corev1.Container) bool {
	if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		return *s.RunAsNonRoot
	}
	s := p.Spec.SecurityContext
	return s != nil && s.RunAsNonRoot != nil && *s.RunAsNonRoot
}
