package controlplane

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Flags are the flags that say who issues the tokens of service accounts and
// with which keys: those of the API server, and the one of the controller
// manager, which signs the tokens in Secrets.
type Flags struct {
	// Issuers are the values of --service-account-issuer. The first signs new
	// tokens and is the issuer of the discovery document; tokens of all of
	// them are accepted.
	Issuers []string
	// JWKSURI is --service-account-jwks-uri, the jwks_uri of the discovery
	// document. Empty when the flag is not set: then the API server names an
	// address of its own.
	JWKSURI string
	// APIAudiences is --api-audiences. Nil when the flag is not set: then the
	// audiences are all the Issuers (Complete and ApplyTo in Kubernetes'
	// pkg/kubeapiserver/options/authentication.go).
	APIAudiences []string
	// KeyFiles are the values of --service-account-key-file: files of public
	// keys whose tokens are accepted.
	KeyFiles []string
	// SigningKeyFile is --service-account-signing-key-file. Empty where an
	// external signer has the key.
	SigningKeyFile string
	// PrivateKeyFile is the controller manager's
	// --service-account-private-key-file.
	PrivateKeyFile string
}

// equal reports whether two API servers with these flags behave alike.
func (f Flags) equal(g Flags) bool {
	return slices.Equal(f.Issuers, g.Issuers) && f.JWKSURI == g.JWKSURI && slices.Equal(f.APIAudiences, g.APIAudiences) &&
		slices.Equal(f.KeyFiles, g.KeyFiles) && f.SigningKeyFile == g.SigningKeyFile && f.PrivateKeyFile == g.PrivateKeyFile
}

// audiences are the audiences with which the API server accepts a token, and
// which it gives to a token that asks for none.
func (f Flags) audiences() []string {
	if f.APIAudiences == nil {
		return f.Issuers
	}
	return f.APIAudiences
}

// The names of the flags in Flags.
const (
	issuerFlag     = "service-account-issuer"
	jwksFlag       = "service-account-jwks-uri"
	audiencesFlag  = "api-audiences"
	keyFilesFlag   = "service-account-key-file"
	signingKeyFlag = "service-account-signing-key-file"
	privateKeyFlag = "service-account-private-key-file"
)

var flagNames = []string{issuerFlag, jwksFlag, audiencesFlag, keyFilesFlag, signingKeyFlag, privateKeyFlag}

// flag is one flag of a command line.
type flag struct {
	name, value string
	at, n       int // its arguments are args[at : at+n]
}

// flagsIn are the flags of a command line, as pflag reads those of the API
// server: none of those that interest us can stand without a value, and an
// underscore in a name is a dash (WordSepNormalizeFunc in component-base).
func flagsIn(args []string) []flag {
	var flags []flag
	for i := 0; i < len(args); i++ {
		s, ok := strings.CutPrefix(args[i], "--")
		if !ok {
			continue
		}
		name, value, ok := strings.Cut(s, "=")
		f := flag{name: strings.ReplaceAll(name, "_", "-"), value: value, at: i, n: 1}
		if !ok && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
			i++
			f.value, f.n = args[i], 2
		}
		flags = append(flags, f)
	}
	return flags
}

// flagValue is the value of a flag on a command line, of which the last counts;
// empty if it is not there.
func flagValue(args []string, name string) string {
	value := ""
	for _, f := range flagsIn(args) {
		if f.name == name {
			value = f.value
		}
	}
	return value
}

// parseFlags are the Flags of a command line.
func parseFlags(args []string) (Flags, error) {
	var f Flags
	for _, one := range flagsIn(args) {
		switch one.name {
		case issuerFlag:
			f.Issuers = append(f.Issuers, one.value)
		case jwksFlag:
			f.JWKSURI = one.value
		case audiencesFlag:
			if one.value == "" {
				continue // as good as not set
			}
			list, err := csv.NewReader(strings.NewReader(one.value)).Read() // as pflag's StringSlice
			if err != nil {
				return Flags{}, fmt.Errorf("reading --%s=%s: %w", audiencesFlag, one.value, err)
			}
			f.APIAudiences = append(f.APIAudiences, list...)
		case keyFilesFlag:
			f.KeyFiles = append(f.KeyFiles, one.value)
		case signingKeyFlag:
			f.SigningKeyFile = one.value
		case privateKeyFlag:
			f.PrivateKeyFile = one.value
		}
	}
	return f, nil
}

// manifest is the static-pod manifest of a kube-apiserver or a
// kube-controller-manager. It is changed by replacing whole arguments in the text, so that everything else (comments,
// order, indentation, what newer versions add) stays byte for byte.
type manifest struct {
	pod   staticPod
	text  []byte
	lines []int        // offset of the start of each line
	list  *yaml.Node   // the sequence that holds the flags: the container's command or args
	args  []*yaml.Node // its items
	Flags Flags
	// The whole command line, and the directories and files of the node that
	// the container sees at the same place.
	commandLine []string
	mounts      []string
}

// parseManifest reads the manifest of an API server.
func parseManifest(text []byte) (*manifest, error) { return apiServerPod.parse(text) }

// parse reads a manifest. It refuses what it could not change without
// harm: several documents, carriage returns, flags within a shell script.
func (pod staticPod) parse(text []byte) (*manifest, error) {
	if bytes.ContainsRune(text, '\r') {
		return nil, errors.New("it has carriage returns (CRLF line ends); convert it to plain line ends first")
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds more than one YAML document")
	}
	m := &manifest{pod: pod, text: text, lines: []int{0, 0}} // lines count from 1
	for i, b := range text {
		if b == '\n' {
			m.lines = append(m.lines, i+1)
		}
	}
	container, err := pod.container(&doc)
	if err != nil {
		return nil, err
	}
	m.mounts = identicalMounts(container, child(doc.Content[0], "spec"))
	for _, key := range []string{"command", "args"} {
		list := child(container, key)
		if list == nil {
			continue
		}
		if list.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("line %d: %s is not a plain list", list.Line, key)
		}
		var args []string
		for _, item := range list.Content {
			for item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			if item.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: an argument is not a string", item.Line)
			}
			args = append(args, item.Value)
		}
		m.commandLine = append(m.commandLine, args...)
		if len(flagsIn(args)) > 0 {
			if m.list != nil {
				return nil, fmt.Errorf("line %d: there are flags in both command and args", list.Line)
			}
			m.list, m.args = list, list.Content
		}
	}
	if m.list == nil {
		return nil, fmt.Errorf("its %s has no flags of its own (are they in a script or a configuration file?)", string(pod))
	}
	if m.Flags, err = parseFlags(m.commandLine); err != nil {
		return nil, err
	}
	return m, nil
}

// identicalMounts are the paths of the node that a container sees under the
// same name, as kubeadm mounts them.
func identicalMounts(container, spec *yaml.Node) []string {
	hostPaths := make(map[string]string) // by volume
	if volumes := child(spec, "volumes"); volumes != nil {
		for _, v := range volumes.Content {
			if name, dir := child(v, "name"), child(child(v, "hostPath"), "path"); name != nil && dir != nil {
				hostPaths[name.Value] = path.Clean(dir.Value)
			}
		}
	}
	var mounts []string
	if list := child(container, "volumeMounts"); list != nil {
		for _, v := range list.Content {
			name, at := child(v, "name"), child(v, "mountPath")
			if name != nil && at != nil && child(v, "subPath") == nil && hostPaths[name.Value] == path.Clean(at.Value) {
				mounts = append(mounts, path.Clean(at.Value))
			}
		}
	}
	return mounts
}

// sees reports whether the container sees a directory of the node under its
// own name.
func (m *manifest) sees(dir string) bool {
	return slices.ContainsFunc(m.mounts, func(mount string) bool {
		return dir == mount || strings.HasPrefix(dir, strings.TrimSuffix(mount, "/")+"/")
	})
}

// container is the container that runs the program of the pod.
func (pod staticPod) container(doc *yaml.Node) (*yaml.Node, error) {
	if len(doc.Content) != 1 {
		return nil, errors.New("it is empty")
	}
	if kind := child(doc.Content[0], "kind"); kind == nil || kind.Value != "Pod" {
		return nil, errors.New("it is not a Pod")
	}
	containers := child(child(doc.Content[0], "spec"), "containers")
	if containers == nil || containers.Kind != yaml.SequenceNode {
		return nil, errors.New("it has no containers")
	}
	for _, c := range containers.Content {
		if name := child(c, "name"); name != nil && name.Value == string(pod) {
			return c, nil
		}
		if command := child(c, "command"); command != nil && len(command.Content) > 0 && path.Base(command.Content[0].Value) == string(pod) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("it has no container %s", string(pod))
}

// child is the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// With is the text of the manifest with other flags, checked to differ from
// the former in nothing else.
func (m *manifest) With(want Flags) ([]byte, error) {
	edits, err := m.edits(want)
	if err != nil {
		return nil, err
	}
	// From the end, so that offsets stay true. Insertions at one place are in
	// the order in which they shall stand.
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	text := slices.Clone(m.text)
	for _, e := range slices.Backward(edits) {
		text = slices.Replace(text, e.from, e.to, e.text...)
	}
	if err := m.check(text, want); err != nil {
		return nil, err
	}
	return text, nil
}

// check proves that text is the manifest with other flags and nothing else
// changed, whatever the editing may have done.
func (m *manifest) check(text []byte, want Flags) error {
	edited, err := m.pod.parse(text)
	if err != nil {
		return fmt.Errorf("the edited manifest would be broken: %w", err)
	}
	if !edited.Flags.equal(want) {
		return fmt.Errorf("the edited manifest would have the flags %+v, not %+v; the manifest is written in a way that cannot be edited safely", edited.Flags, want)
	}
	before, err := m.others()
	if err != nil {
		return err
	}
	after, err := edited.others()
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, after) {
		return errors.New("the edited manifest would differ in more than these flags; the manifest is written in a way that cannot be edited safely")
	}
	return nil
}

// others is everything in the manifest but Flags.
func (m *manifest) others() (any, error) {
	var all any
	if err := yaml.Unmarshal(m.text, &all); err != nil {
		return nil, err
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
			return v
		case []any:
			var args []string
			for _, item := range v {
				s, ok := item.(string)
				if !ok {
					for i := range v {
						v[i] = walk(v[i])
					}
					return v
				}
				args = append(args, s)
			}
			for _, f := range slices.Backward(flagsIn(args)) {
				if slices.Contains(flagNames, f.name) {
					args = slices.Delete(args, f.at, f.at+f.n)
				}
			}
			return args
		}
		return v
	}
	return walk(all), nil
}

// sameBut reports whether two manifests differ in nothing but Flags, comments
// included.
func (m *manifest) sameBut(other *manifest) (bool, error) {
	mine, err := m.others()
	if err != nil {
		return false, err
	}
	theirs, err := other.others()
	if err != nil {
		return false, err
	}
	return reflect.DeepEqual(mine, theirs) && bytes.Equal(m.otherLines(), other.otherLines()), nil
}

// otherLines is the text without the lines that have to do with Flags.
func (m *manifest) otherLines() []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(m.text) {
		for _, name := range flagNames {
			if bytes.Contains(line, []byte(name)) {
				line = nil
			}
		}
		b.Write(line)
	}
	return b.Bytes()
}

// edit replaces text[from:to].
type edit struct {
	from, to int
	text     []byte
}

// edits are the changes that make the flags those wanted. Arguments that can
// stay do; new ones go before the argument that shall follow them.
func (m *manifest) edits(want Flags) ([]edit, error) {
	args := make([]string, len(m.args))
	for i, n := range m.args {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		args[i] = n.Value
	}
	flags := flagsIn(args)
	named := func(name string) []flag {
		return slices.DeleteFunc(slices.Clone(flags), func(f flag) bool { return f.name != name })
	}

	var edits []edit
	change := func(name string, have []flag, want []string, next int) error {
		kept, added := align(have, want)
		if strings.HasSuffix(name, "-key-file") && len(have) == len(want) {
			// One for one, so that each keeps its place and its quotes: a
			// rotation goes away from these values and comes back to them.
			for i, f := range have {
				if f.value == want[i] {
					continue
				}
				e, err := m.revaluation(f, want[i])
				if err != nil {
					return err
				}
				edits = append(edits, e)
			}
			return nil
		}
		for i, f := range have {
			if kept[i] {
				continue
			}
			for at := f.at; at < f.at+f.n; at++ {
				e, err := m.deletion(at)
				if err != nil {
					return err
				}
				edits = append(edits, e)
			}
		}
		for i, values := range added { // added[i] go before have[i], added[len(have)] after them all
			at := next
			if i < len(have) {
				at = have[i].at
			}
			for _, v := range values {
				e, err := m.insertion(at, "--"+name+"="+v)
				if err != nil {
					return err
				}
				edits = append(edits, e)
			}
		}
		return nil
	}

	// Where there is no flag of a name yet, it goes before the neighbour that
	// kubeadm's alphabetical order gives it, or before the first flag.
	first := flags[0].at
	after := func(have []flag) int { // the argument after a group of flags, or the group's last itself
		if len(have) == 0 {
			return first
		}
		last := have[len(have)-1]
		return min(last.at+last.n, len(m.args))
	}
	issuers := named(issuerFlag)
	next := after(issuers)
	if err := change(issuerFlag, issuers, want.Issuers, next); err != nil {
		return nil, err
	}
	jwks, wantJWKS := named(jwksFlag), []string(nil)
	if want.JWKSURI != "" {
		wantJWKS = []string{want.JWKSURI}
	}
	if err := change(jwksFlag, jwks, wantJWKS, next); err != nil {
		return nil, err
	}
	keyFiles := named(keyFilesFlag)
	if err := change(keyFilesFlag, keyFiles, want.KeyFiles, after(keyFiles)); err != nil {
		return nil, err
	}
	for _, file := range []struct{ flag, path string }{{signingKeyFlag, want.SigningKeyFile}, {privateKeyFlag, want.PrivateKeyFile}} {
		var one []string
		if file.path != "" {
			one = []string{file.path}
		}
		if err := change(file.flag, named(file.flag), one, first); err != nil {
			return nil, err
		}
	}
	if !slices.Equal(m.Flags.APIAudiences, want.APIAudiences) || (m.Flags.APIAudiences == nil) != (want.APIAudiences == nil) {
		var value []string
		if want.APIAudiences != nil {
			var b strings.Builder
			w := csv.NewWriter(&b)
			if err := w.Write(want.APIAudiences); err != nil {
				return nil, err
			}
			w.Flush()
			value = []string{strings.TrimSuffix(b.String(), "\n")}
		}
		if err := change(audiencesFlag, named(audiencesFlag), value, first); err != nil {
			return nil, err
		}
	}
	return edits, nil
}

// align says which flags stay where they are, the longest common subsequence
// of what is there and what is wanted, and which values come before each of
// them and after the last.
func align(have []flag, want []string) (kept []bool, added [][]string) {
	kept, added = make([]bool, len(have)), make([][]string, len(have)+1)
	// common[i][j] is the length for have[i:] and want[j:].
	common := make([][]int, len(have)+1)
	for i := range common {
		common[i] = make([]int, len(want)+1)
	}
	for i := len(have) - 1; i >= 0; i-- {
		for j := len(want) - 1; j >= 0; j-- {
			if have[i].value == want[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for j < len(want) {
		switch {
		case i < len(have) && have[i].value == want[j]:
			kept[i] = true
			i, j = i+1, j+1
		case i < len(have) && common[i+1][j] >= common[i][j+1]:
			i++
		default:
			added[i] = append(added[i], want[j])
			j++
		}
	}
	return kept, added
}

// flow reports whether the arguments stand between brackets.
func (m *manifest) flow() bool { return m.list.Style&yaml.FlowStyle != 0 }

// offset is where a node starts. Columns count characters.
func (m *manifest) offset(n *yaml.Node) int {
	at := m.lines[n.Line]
	for range n.Column - 1 {
		r := bytes.Runes(m.text[at:min(at+4, len(m.text))])
		if len(r) == 0 {
			break
		}
		at += len(string(r[0]))
	}
	return at
}

var (
	doubleQuoted = regexp.MustCompile(`^"(?:[^"\\\n]|\\.)*"`)
	singleQuoted = regexp.MustCompile(`^'(?:[^'\n]|'')*'`)
	plainInBlock = regexp.MustCompile(`^[^\n]*?(?:\s+#|\s*\n|\s*$)`)
	plainInFlow  = regexp.MustCompile(`^[^\n,\[\]{}]*?(?:\s+#|\s*[\n,\[\]{}]|\s*$)`)
)

// span is where an argument's text starts and ends, quotes included. An
// argument that spans lines, or has an anchor or a tag, has none.
func (m *manifest) span(i int) (from, to int, err error) {
	n := m.args[i]
	refuse := fmt.Errorf("line %d: %q is written in a way that cannot be edited safely; write it on one line", n.Line, n.Value)
	if n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return 0, 0, refuse
	}
	from = m.offset(n)
	rest := m.text[from:]
	var token []byte
	switch {
	case n.Style == yaml.DoubleQuotedStyle:
		token = doubleQuoted.Find(rest)
	case n.Style == yaml.SingleQuotedStyle:
		token = singleQuoted.Find(rest)
	case n.Style != 0:
		return 0, 0, refuse
	case m.flow():
		token = bytes.TrimRight(plainInFlow.Find(rest), " \t\n#,[]{}")
	default:
		token = plainInBlock.Find(rest)
		token = bytes.TrimRight(bytes.TrimSuffix(token, []byte("#")), " \t\n")
	}
	var value string
	if err := yaml.Unmarshal(token, &value); err != nil || value != n.Value {
		return 0, 0, refuse
	}
	return from, from + len(token), nil
}

// plainAnywhere is text that needs no quotes in YAML, be it in a block or
// between brackets.
var plainAnywhere = regexp.MustCompile(`^-{0,2}[A-Za-z/][A-Za-z0-9/._=-]*(:[A-Za-z0-9/._=-]+)*$`)

// revaluation gives a flag another value, written as the former one was.
func (m *manifest) revaluation(f flag, value string) (edit, error) {
	last := f.at + f.n - 1
	from, to, err := m.span(last)
	if err != nil {
		return edit{}, err
	}
	text := value
	if f.n == 1 {
		text = "--" + f.name + "=" + value
	}
	switch {
	case m.args[last].Style == yaml.SingleQuotedStyle && !strings.Contains(text, "'"):
		return edit{from, to, []byte("'" + text + "'")}, nil
	case m.args[last].Style == 0 && plainAnywhere.MatchString(text):
		return edit{from, to, []byte(text)}, nil
	}
	quoted, err := json.Marshal(text) // JSON is YAML
	return edit{from, to, quoted}, err
}

// deletion removes an argument: its line, or the item between brackets.
func (m *manifest) deletion(i int) (edit, error) {
	from, to, err := m.span(i)
	if err != nil {
		return edit{}, err
	}
	if !m.flow() {
		return m.line(i)
	}
	if i > 0 { // with the comma before it, as insertion puts it there
		_, before, err := m.span(i - 1)
		return edit{from: before, to: to}, err
	}
	if i+1 < len(m.args) {
		next, _, err := m.span(i + 1)
		return edit{from: from, to: next}, err
	}
	return edit{from: from, to: to}, nil
}

// line is the deletion of the whole line of an item of a block sequence,
// which must hold nothing but the item and perhaps a comment.
func (m *manifest) line(i int) (edit, error) {
	n := m.args[i]
	from, _, err := m.span(i)
	if err != nil {
		return edit{}, err
	}
	start, end := m.lines[n.Line], len(m.text)
	if n.Line+1 < len(m.lines) {
		end = m.lines[n.Line+1]
	}
	if strings.Trim(string(m.text[start:from]), " ") != "-" {
		return edit{}, fmt.Errorf("line %d: %q shares its line with something else; write it on a line of its own", n.Line, n.Value)
	}
	return edit{from: start, to: end}, nil
}

// insertion puts an argument before argument i, or after the last where i is
// their number. In a block it goes right after its predecessor, so that
// comments stay above the argument that they belong to.
func (m *manifest) insertion(i int, arg string) (edit, error) {
	quoted, err := json.Marshal(arg) // JSON is YAML
	if err != nil {
		return edit{}, err
	}
	if m.flow() {
		if i > 0 {
			_, to, err := m.span(i - 1)
			return edit{from: to, to: to, text: append([]byte(", "), quoted...)}, err
		}
		from, _, err := m.span(0)
		return edit{from: from, to: from, text: append(quoted, ", "...)}, err
	}
	at := max(i-1, 0)
	line, err := m.line(at)
	if err != nil && 0 < i && i < len(m.args) {
		at = i
		line, err = m.line(at)
	}
	if err != nil {
		return edit{}, err
	}
	var b bytes.Buffer
	place := line.from
	if at < i {
		place = line.to
		if !bytes.HasSuffix(m.text[:place], []byte("\n")) {
			b.WriteByte('\n')
		}
	}
	b.Write(m.text[line.from:m.offset(m.args[at])])
	var plain string
	if yaml.Unmarshal([]byte(arg), &plain) == nil && plain == arg && m.args[at].Style == 0 {
		b.WriteString(arg)
	} else {
		b.Write(quoted)
	}
	b.WriteByte('\n')
	return edit{from: place, to: place, text: b.Bytes()}, nil
}
