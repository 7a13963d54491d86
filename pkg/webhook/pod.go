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
	Mounts    []string // paths
}

// ParsePod reads a pod's JSON. Of the annotations it keeps those with the given
// prefix. Unknown fields are skipped; a known field of another type than
// Kubernetes gives it is an error.
func ParsePod(data []byte, prefix irsa.Prefix) (*Pod, error) {
	s := scanner{data: data}
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

// A key that is there twice counts as it is there last, as for encoding/json
// and for JSON patch; hence every reader below starts anew.

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
				if strings.HasPrefix(k, prefix) {
					if p.Annotations == nil {
						p.Annotations = map[string]string{}
					}
					p.Annotations[k] = s.string()
				}
			}
		case "labels":
			p.Labels = nil
			if s.peek() == '{' {
				p.Labels = map[string]bool{}
			}
			for k := range s.object() {
				p.Labels[k] = true
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
				p.Volumes = append(p.Volumes, readVolume(s))
			}
		case "initContainers":
			p.InitContainers = readContainers(s)
		case "containers":
			p.Containers = readContainers(s)
		}
	}
	p.Windows = selected || named
}

func readVolume(s *scanner) (v Volume) {
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

func readContainers(s *scanner) (all []Container) {
	for range s.array() {
		var c Container
		for key := range s.object() {
			switch key {
			case "name":
				c.Name = s.string()
			case "env":
				c.Env, c.HasEnv = nil, s.peek() == '['
				for range s.array() {
					c.Env = append(c.Env, readField(s, "name"))
				}
			case "volumeMounts":
				c.Mounts, c.HasMounts = nil, s.peek() == '['
				for range s.array() {
					c.Mounts = append(c.Mounts, readField(s, "mountPath"))
				}
			}
		}
		all = append(all, c)
	}
	return all
}

// readField reads an object for the sake of one string in it.
func readField(s *scanner, name string) (v string) {
	for key := range s.object() {
		if key == name {
			v = s.string()
		}
	}
	return v
}

// mounts reports whether the container has a mount at a path, however written:
// with a slash at the end, or as Windows writes it.
func (c *Container) mounts(at string) bool {
	for _, m := range c.Mounts {
		if m == at || cleanPath(m) == cleanPath(at) {
			return true
		}
	}
	return false
}

func cleanPath(p string) string {
	if rest, ok := strings.CutPrefix(strings.ReplaceAll(p, `\`, "/"), "C:"); ok {
		p = rest
	}
	return path.Clean(p)
}
