package awsapi

import (
	"cmp"
	_ "embed"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./gen -botocore botocore/data -iam-data iam-data.tgz -dependents dependents.tgz -out .

// packed are the tables; gen/pack.go says how they are packed.
//
//go:embed tables.bin
var packed []byte

// An index is what tells all services apart.
type index struct {
	botocore, date string
	models         []*Model // by name
	bySigning      []*Model // by the name in signatures, and then by name
	byTarget       []*Model // by the prefix in X-Amz-Target, and then by name
	references     map[string]*reference
}

// A reference is what the reference has of a prefix, read when it is first
// needed.
type reference struct {
	block *block
	once  sync.Once
	read  *Service
}

// tables is the index, read when it is first needed.
var tables = sync.OnceValue(readIndex)

// readIndex reads the index, and finds the blocks.
func readIndex() *index {
	size, n := binary.Uvarint(packed)
	rest := packed[n:]
	take := func(size string) []byte {
		n, err := strconv.Atoi(size)
		if err != nil {
			panic("awsapi: the tables are damaged: " + err.Error())
		}
		taken := rest[:n]
		rest = rest[n:]
		return taken
	}
	lines := strings.Split(strings.TrimSuffix(inflate(take(strconv.FormatUint(size, 10)), nil), "\n"), "\n")
	head := strings.Split(lines[0], "\t")
	x := &index{botocore: head[0], date: head[1], references: map[string]*reference{}}
	words := take(head[2])
	dictionary := sync.OnceValue(func() []byte { return []byte(inflate(words, nil)) })
	var b *block
	prefix, place := "", 0
	for _, line := range lines[1:] {
		fields := strings.Split(line, "\t")
		if fields[0] != "" || len(fields) == 2 {
			b = &block{packed: take(fields[1]), dictionary: dictionary}
			prefix, place = fields[0], 0
			x.references[prefix] = &reference{block: b}
			continue
		}
		place++
		m := modelOf(prefix, fields[1:])
		m.block, m.place = b, place
		x.models = append(x.models, m)
	}
	slices.SortFunc(x.models, func(a, b *Model) int { return cmp.Compare(a.Name, b.Name) })
	x.bySigning = sortedBy(x.models, (*Model).signing)
	x.byTarget = sortedBy(x.models, (*Model).target)
	return x
}
