// Package managed knows the policies that AWS manages, such as
// IAMReadOnlyAccess: all of them, with all versions on record.
//
//	p, ok := managed.Get("arn:aws:iam::aws:policy/IAMReadOnlyAccess")
//	doc, ok := managed.Document(p.ARN, p.DefaultVersion)
//
// They are data, not code: the README says where it is from, how old it is
// and what it lacks. It is small in the program, costs nothing until the first
// call, and a call inflates no more than a handful of policies.
package managed

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	_ "embed"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:generate go run ./gen -from package -out managed.bin

// data is a uvarint n, a deflated head of n bytes, and deflated blocks.
//
// The head is text. Its first lines say for each block how many policies are
// in it and how many bytes it has; after an empty line there is a line for
// each policy: path and name, the Unix times of creation and last change, and
// number and time of each version. Values are parted by tabs, policies are in
// the order of their names.
//
// A block holds for each of its policies: the number of distinct words in its
// documents; these words, each after its length; and for each version the
// number of its words and which ones they are. All numbers are uvarints.
//
//go:embed managed.bin
var data []byte

// Policy is what IAM says about a managed policy. AWS's descriptions of them are
// not on record.
type Policy struct {
	// ARN is in the partition that was asked for.
	ARN string
	// Name and Path, which begins and ends with a slash, are the parts of the
	// ARN.
	Name, Path string
	// ID is the unique id that AWS has given the policy, for the few of which
	// it is on record. For others it is made from path and name: stable, of
	// the right form, and not AWS's.
	ID string
	// DefaultVersion is the version in force, such as "v4": the newest.
	DefaultVersion string
	// CreateDate and UpdateDate are to the second.
	CreateDate, UpdateDate time.Time
	// Versions are those on record, oldest first.
	Versions []Version
}

// Version is a version of a policy.
type Version struct {
	ID         string // such as "v4"
	CreateDate time.Time
}

// entry is a policy in the index. It is a fraction of the size of a [Policy].
type entry struct {
	path, name       string // path without the slash before it
	created, updated int64
	versions         []entryVersion
	block            int
	inBlock          int // how many policies come before it in the block
}

type entryVersion struct{ number, created int64 }

type index struct {
	entries []entry
	byName  map[string]int // path and name
	blocks  [][]byte       // deflated
}

var load = sync.OnceValue(func() *index {
	x := &index{byName: map[string]int{}}
	size, n := binary.Uvarint(data)
	head, ok := inflate(data[n : n+int(size)])
	if !ok {
		return x
	}
	rest := data[n+int(size):]
	blocks, lines, _ := strings.Cut(string(head), "\n\n")
	var counts []int
	for line := range strings.SplitSeq(blocks, "\n") {
		f := strings.Split(line, "\t")
		count, _ := strconv.Atoi(f[0])
		size, _ := strconv.Atoi(f[1])
		counts = append(counts, count)
		x.blocks = append(x.blocks, rest[:size])
		rest = rest[size:]
	}
	block, inBlock := 0, 0
	for line := range strings.Lines(lines) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if inBlock == counts[block] {
			block, inBlock = block+1, 0
		}
		slash := strings.LastIndexByte(f[0], '/') + 1
		e := entry{path: f[0][:slash], name: f[0][slash:], created: number(f[1]), updated: number(f[2]), block: block, inBlock: inBlock}
		for i := 3; i+1 < len(f); i += 2 {
			e.versions = append(e.versions, entryVersion{number(f[i]), number(f[i+1])})
		}
		inBlock++
		x.byName[f[0]] = len(x.entries)
		x.entries = append(x.entries, e)
	}
	return x
})

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func inflate(b []byte) ([]byte, bool) {
	out, err := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	return out, err == nil
}

// find takes the ARN of a managed policy apart.
func find(arn string) (e *entry, partition string, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:")
	if !ok {
		return nil, "", false
	}
	partition, name, ok := strings.Cut(rest, ":iam::aws:policy/")
	if !ok || partition == "" || strings.Contains(partition, ":") {
		return nil, "", false
	}
	x := load()
	i, ok := x.byName[name]
	if !ok {
		return nil, "", false
	}
	return &x.entries[i], partition, true
}

// Get finds a policy by its ARN, arn:<partition>:iam::aws:policy/<path><name>,
// in any partition. AWS's policies are not the same in all partitions; the
// ones on record are those of aws.
func Get(arn string) (Policy, bool) {
	e, partition, ok := find(arn)
	if !ok {
		return Policy{}, false
	}
	return e.policy(partition), true
}

// All are all policies, sorted by name, with ARNs of the given partition.
func All(partition string) []Policy {
	x := load()
	all := make([]Policy, len(x.entries))
	for i := range x.entries {
		all[i] = x.entries[i].policy(partition)
	}
	return all
}

func (e *entry) policy(partition string) Policy {
	p := Policy{
		ARN:  "arn:" + partition + ":iam::aws:policy/" + e.path + e.name,
		Name: e.name, Path: "/" + e.path, ID: id(e.path + e.name),
		CreateDate: time.Unix(e.created, 0).UTC(), UpdateDate: time.Unix(e.updated, 0).UTC(),
		Versions: make([]Version, len(e.versions)),
	}
	for i, v := range e.versions {
		p.Versions[i] = Version{ID: versionID(v.number), CreateDate: time.Unix(v.created, 0).UTC()}
		p.DefaultVersion = p.Versions[i].ID
	}
	return p
}

func versionID(n int64) string { return "v" + strconv.FormatInt(n, 10) }

// ids are the unique ids on record.
var ids = map[string]string{
	"AdministratorAccess":    "ANPAIWMBCKSKIEE64ZLYK",
	"AmazonS3FullAccess":     "ANPAIFIR6V6BVTRAHWINE",
	"AmazonS3ReadOnlyAccess": "ANPAIZTJ4DXE7G6AGAE6M",
	"IAMReadOnlyAccess":      "ANPAJKSO7NDY4T57MWDSQ",
}

// id is the unique id of a policy: 21 characters, as of all managed policies.
func id(name string) string {
	if known, ok := ids[name]; ok {
		return known
	}
	sum := sha256.Sum256([]byte(name))
	return "ANPA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// Document is the text of a version of a policy, indented by four spaces as
// AWS returns it. ARNs in it are in the partition of arn. It reports false if
// there is no such policy or the version is not on record.
func Document(arn, version string) ([]byte, bool) {
	e, partition, ok := find(arn)
	if !ok {
		return nil, false
	}
	i := slices.IndexFunc(e.versions, func(v entryVersion) bool { return versionID(v.number) == version })
	if i < 0 {
		return nil, false
	}
	block, ok := inflate(load().blocks[e.block])
	if !ok {
		return nil, false
	}
	r := &reader{rest: block}
	x := load()
	first := slices.IndexFunc(x.entries, func(f entry) bool { return f.block == e.block })
	for j := range e.inBlock {
		r.words()
		for range x.entries[first+j].versions {
			r.skipVersion()
		}
	}
	words := r.words()
	for range i {
		r.skipVersion()
	}
	var compact bytes.Buffer
	for range r.number() {
		compact.Write(words[r.number()])
	}
	text := compact.Bytes()
	if partition != "aws" {
		text = bytes.ReplaceAll(text, []byte(`"arn:aws:`), []byte(`"arn:`+partition+`:`))
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "    "); err != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// reader reads a block.
type reader struct{ rest []byte }

func (r *reader) number() int {
	v, n := binary.Uvarint(r.rest)
	r.rest = r.rest[max(n, 0):]
	return int(v)
}

func (r *reader) words() [][]byte {
	words := make([][]byte, r.number())
	for i := range words {
		n := r.number()
		words[i], r.rest = r.rest[:n], r.rest[n:]
	}
	return words
}

func (r *reader) skipVersion() {
	for range r.number() {
		r.number()
	}
}
