package webhook

import (
	"path"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// Pod is what [Mutate] has to know of a pod. Everything else stays in the text
// that the pod was read from, which is why nothing of it can get lost.
type Pod struct {
	Name           string // may be empty when GenerateName is not
	GenerateName   string
	ServiceAccount string
	// Annotations are those with the prefix of ours.
	Annotations map[string]string
	// Labels is nil where the pod has no labels, not even an empty set.
	Labels map[string]bool
	// Windows says that the pod asks for a node with Windows.
	Windows bool

	// HasVolumes says that there is a list of volumes, perhaps empty.
	HasVolumes     bool
	Volumes        []Volume
	InitContainers []Container
	Containers     []Container

	hasMetadata bool
	elements    int
}

// Volume is a volume of a pod.
type Volume struct {
	Name   string
	Tokens []Token // the projected service-account tokens in it
}

// Token is a projected service-account token.
type Token struct{ Audience, Path string }

// Container is a container of a pod.
type Container struct {
	Name string
	// HasEnv and HasMounts say that there is a list, perhaps empty.
	HasEnv    bool
	Env       []string // names
	HasMounts bool
	Mounts    []Mount
	// StaticKeys says that it sets [irsa.EnvAccessKey], to something.
	StaticKeys bool
}

// Mount is where a container sees a volume.
type Mount struct{ Volume, Path string }

// What a pod may have, so that a text of a few bytes cannot become much memory.
// The pods of real clusters are far from it.
const (
	maxContainers = 1000
	maxElements   = 20_000  // containers, variables, mounts, volumes, tokens, labels and annotations
	maxStrings    = 2 << 20 // bytes of all their names
)

// ParsePod reads a pod's JSON. Of the annotations it keeps those with the given
// prefix. Unknown fields are skipped; a known field of another type than
// Kubernetes gives it is an error.
func ParsePod(data []byte, prefix irsa.Prefix) (*Pod, error) {
	s := scanner{data: data, most: maxStrings}
	p := new(Pod)
	for key := range s.object() {
		switch key {
		case "metadata":
			p.readMetadata(&s, string(prefix)+"/")
		case "spec":
			p.readSpec(&s)
		}
	}
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	return p, nil
}

// Of a repeated key the last one counts, as for encoding/json and for JSON patch;
// hence every reader below starts from scratch.

func (p *Pod) readMetadata(s *scanner, prefix string) {
	p.Name, p.GenerateName, p.Annotations, p.Labels = "", "", nil, nil
	p.hasMetadata = s.peek() == '{'
	for key := range s.object() {
		switch key {
		case "name":
			p.Name = s.string()
		case "generateName":
			p.GenerateName = s.string()
		case "annotations":
			p.Annotations = nil
			for k := range s.object() {
				if strings.HasPrefix(k, prefix) || k == irsa.SkipLabel || k == irsa.DefaultPrefix.RoleARN() {
					if p.Annotations == nil {
						p.Annotations = map[string]string{}
					}
					p.Annotations[k] = s.string()
					p.count(s)
				}
			}
		case "labels":
			p.Labels = nil
			if s.peek() == '{' {
				p.Labels = map[string]bool{}
			}
			for k := range s.object() {
				p.Labels[k] = true
				p.count(s)
			}
		}
	}
}

func (p *Pod) readSpec(s *scanner) {
	p.ServiceAccount, p.HasVolumes, p.Volumes, p.InitContainers, p.Containers = "", false, nil, nil, nil
	selected, named := false, false
	for key := range s.object() {
		switch key {
		case "serviceAccountName":
			p.ServiceAccount = s.string()
		case "nodeSelector":
			selected = false
			for k := range s.object() {
				if k == "kubernetes.io/os" || k == "beta.kubernetes.io/os" {
					selected = s.string() == "windows" || selected
				}
			}
		case "os":
			named = false
			for k := range s.object() {
				if k == "name" {
					named = s.string() == "windows"
				}
			}
		case "volumes":
			p.Volumes, p.HasVolumes = nil, s.peek() == '['
			for range s.array() {
				p.Volumes = append(p.Volumes, p.readVolume(s))
				p.count(s)
			}
		case "initContainers":
			p.InitContainers = p.readContainers(s)
		case "containers":
			p.Containers = p.readContainers(s)
		}
	}
	p.Windows = selected || named
}

func (p *Pod) readVolume(s *scanner) (v Volume) {
	for key := range s.object() {
		switch key {
		case "name":
			v.Name = s.string()
		case "projected":
			v.Tokens = nil
			for key := range s.object() {
				if key != "sources" {
					continue
				}
				v.Tokens = nil
				for range s.array() {
					for key := range s.object() {
						if key == "serviceAccountToken" && s.peek() == '{' {
							v.Tokens = append(v.Tokens, readToken(s))
							p.count(s)
						}
					}
				}
			}
		}
	}
	return v
}

func readToken(s *scanner) (t Token) {
	for key := range s.object() {
		switch key {
		case "audience":
			t.Audience = s.string()
		case "path":
			t.Path = s.string()
		}
	}
	return t
}

func (p *Pod) readContainers(s *scanner) (all []Container) {
	for range s.array() {
		var c Container
		for key := range s.object() {
			switch key {
			case "name":
				c.Name = s.string()
			case "env":
				c.Env, c.StaticKeys, c.HasEnv = nil, false, s.peek() == '['
				for range s.array() {
					name, set := readVariable(s)
					c.Env = append(c.Env, name)
					c.StaticKeys = c.StaticKeys || set && name == irsa.EnvAccessKey
					p.count(s)
				}
			case "volumeMounts":
				c.Mounts, c.HasMounts = nil, s.peek() == '['
				for range s.array() {
					c.Mounts = append(c.Mounts, readMount(s))
					p.count(s)
				}
			}
		}
		if all = append(all, c); len(all) > maxContainers {
			s.fail("more than %d containers", maxContainers)
		}
		p.count(s)
	}
	return all
}

// count counts one more element.
func (p *Pod) count(s *scanner) {
	if p.elements++; p.elements > maxElements {
		s.fail("more than %d containers, variables, mounts, volumes, labels and annotations", maxElements)
	}
}

func readMount(s *scanner) (m Mount) {
	for key := range s.object() {
		switch key {
		case "name":
			m.Volume = s.string()
		case "mountPath":
			m.Path = s.string()
		}
	}
	return m
}

// serviceAccountOf is the service account of a pod's JSON, as [ParsePod] reads
// it; "" if there is none, or if the text is not a pod's.
func serviceAccountOf(data []byte) (name string) {
	s := scanner{data: data, most: maxStrings}
	for key := range s.object() {
		if key == "spec" {
			name = ""
			for key := range s.object() {
				if key == "serviceAccountName" {
					name = s.string()
				}
			}
		}
	}
	if s.end(); s.err != nil {
		return ""
	}
	return name
}

// readVariable reads a variable of the environment, and whether it is set to
// anything.
func readVariable(s *scanner) (name string, set bool) {
	value, from := false, false
	for key := range s.object() {
		switch key {
		case "name":
			name = s.string()
		case "value":
			text := s.raw()
			value = len(text) > 2 && text[0] == '"'
		case "valueFrom":
			from = s.peek() == '{'
		}
	}
	return name, value || from
}

// mounts reports whether the container has a mount at a path, however written:
// with a slash at the end, or as Windows writes it.
func (c *Container) mounts(at string) bool {
	return c.mountAt(at) != nil
}

func (c *Container) mountAt(at string) *Mount {
	for i := range c.Mounts {
		if m := &c.Mounts[i]; m.Path == at || cleanPath(m.Path) == cleanPath(at) {
			return m
		}
	}
	return nil
}

func cleanPath(p string) string {
	if rest, ok := strings.CutPrefix(strings.ReplaceAll(p, `\`, "/"), "C:"); ok {
		p = rest
	}
	return path.Clean(p)
}
