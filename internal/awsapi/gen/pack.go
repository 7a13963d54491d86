package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate" // packs better than the standard library's
)

// Editions of the inputs, by which tables tell of what day they are.
const (
	botocoreVersion = "1.43.11"
	referenceDate   = "2026-09-26" // updatedAt in the package
)

// A block is what is compressed as one: all of a prefix.
type block struct {
	prefix string
	text   string
	models []*model // by name
}

func blocksOf(services map[string]*service, models map[string]*model) ([]*block, error) {
	blocks := map[string]*block{}
	for prefix := range services {
		blocks[prefix] = &block{prefix: prefix}
	}
	for _, m := range sorted(models) {
		if blocks[m.prefix] == nil {
			blocks[m.prefix] = &block{prefix: m.prefix}
		}
		blocks[m.prefix].models = append(blocks[m.prefix].models, m)
	}
	all := sorted(blocks)
	for _, b := range all {
		var actions []action
		text := "\n"
		if s := services[b.prefix]; s != nil {
			var err error
			actions = s.actions
			if text, err = s.section(); err != nil {
				return nil, err
			}
		}
		for _, m := range b.models {
			section, err := m.section(actions)
			if err != nil {
				return nil, err
			}
			text += "\n" + section
		}
		b.text = text
	}
	return all, nil
}

// pack makes the file: the length of the index and the index, the dictionary and
// the blocks, all but the length deflated, the blocks with the dictionary.
func pack(services map[string]*service, models map[string]*model) ([]byte, error) {
	blocks, err := blocksOf(services, models)
	if err != nil {
		return nil, err
	}
	dictionary := dictionaryOf(blocks)
	packed := [][]byte{deflate(dictionary, nil)}
	for _, b := range blocks {
		packed = append(packed, deflate([]byte(b.text), dictionary))
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\t%s\t%d\n", botocoreVersion, referenceDate, len(packed[0]))
	for i, b := range blocks {
		fmt.Fprintf(&text, "%s\t%d\n", b.prefix, len(packed[i+1]))
		for _, m := range b.models {
			fmt.Fprintf(&text, "\t%s\n", m.line())
		}
	}
	head := deflate([]byte(text.String()), nil)
	out := binary.AppendUvarint(nil, uint64(len(head)))
	return slices.Concat(append([][]byte{out, head}, packed...)...), nil
}

// line is the model's in the index.
func (m *model) line() string {
	flags := ""
	flag := func(is bool, letter string) {
		if is {
			flags += letter
		}
	}
	cbor := slices.Contains(m.Metadata.Protocols, "smithy-rpc-v2-cbor")
	flag(cbor, "c")
	flag(m.Metadata.AWSQueryCompatible != nil, "q")
	flag(m.oldQuery(), "o")
	target := ""
	if cbor || strings.HasPrefix(m.protocol, "json-") {
		target = m.Metadata.TargetPrefix
	}
	version := ""
	if m.protocol == "query" || m.protocol == "ec2" || m.oldQuery() {
		version = m.Metadata.APIVersion
	}
	code, status := m.denied()
	return strings.Join([]string{m.name, m.signing, m.protocol, flags, target, version, m.Metadata.XMLNamespace,
		m.Metadata.ServiceID, code, fmt.Sprint(status)}, "\t")
}

func deflate(text, dictionary []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriterDict(&b, flate.BestCompression, dictionary)
	if err != nil {
		panic(err) // of the level
	}
	w.Write(text) // a buffer takes all
	w.Close()
	return b.Bytes()
}

const (
	dictionarySize = 32 << 10 // bytes, how far deflate looks back
	longest        = 2        // words, of what is in the dictionary
)

// dictionaryOf is what blocks have in common: the words, and words in a row, that
// spare most, the best last, where they cost least to point at.
func dictionaryOf(blocks []*block) []byte {
	in := map[string]int{} // blocks that have it
	for _, b := range blocks {
		seen := map[string]bool{}
		for line := range strings.Lines(b.text) {
			words := strings.Fields(line)
			for i := range words {
				for n := 1; n <= longest && i+n <= len(words); n++ {
					seen[" "+strings.Join(words[i:i+n], " ")] = true
				}
			}
		}
		for word := range seen {
			in[word]++
		}
	}
	worth := func(word string) int { return (in[word] - 1) * (len(word) - 3) }
	words := slices.SortedFunc(maps.Keys(in), func(a, b string) int {
		if d := worth(b) - worth(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var chosen []string
	size, have := 0, ""
	for _, word := range words {
		if size+len(word) > dictionarySize || worth(word) <= 0 {
			break
		}
		if !strings.Contains(have, word) {
			chosen = append(chosen, word)
			have += word
			size += len(word)
		}
	}
	slices.Reverse(chosen)
	return []byte(strings.Join(chosen, ""))
}
