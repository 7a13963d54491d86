package awsapi

import (
	"bytes"
	"compress/flate"
	"io"
	"strconv"
	"strings"
	"sync"
)

// A block is all that the tables have of a prefix, as gen writes it: a section of
// the reference, and one of each model. It is inflated when it is first needed.
type block struct {
	packed     []byte
	dictionary func() []byte

	once     sync.Once
	sections []string
}

// section is the reference's, 0, or that of a model.
func (b *block) section(i int) string {
	b.once.Do(func() { b.sections = strings.Split(inflate(b.packed, b.dictionary()), "\n\n") })
	return b.sections[i]
}

// inflate undoes the compression of something in the tables, which are part of
// the program: nothing that is not in them ever comes here.
func inflate(packed, dictionary []byte) string {
	text, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(packed), dictionary))
	if err != nil {
		panic("awsapi: the tables are damaged: " + err.Error())
	}
	return string(text)
}

// number is a number of the tables, in base 36.
func number(text string) int {
	n, err := strconv.ParseUint(text, 36, 31)
	if err != nil {
		panic("awsapi: the tables are damaged: " + err.Error())
	}
	return int(n)
}
