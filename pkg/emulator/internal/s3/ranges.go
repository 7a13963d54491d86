package s3

import (
	"strconv"
	"strings"
)

// byteRange reads "bytes=first-last". Of an open end last is -1, of a suffix
// first is. S3 takes everything else, several ranges among it, for no range.
func byteRange(v string) (first, last int64, ok bool) {
	spec, found := strings.CutPrefix(v, "bytes=")
	from, to, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !found || !dash || from == "" && to == "" {
		return 0, 0, false
	}
	number := func(s string) int64 {
		if s == "" {
			return -1
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || strings.Trim(s, "0123456789") != "" {
			ok = false
		}
		return n
	}
	ok = true
	first, last = number(from), number(to)
	if first >= 0 && last >= 0 && last < first {
		ok = false
	}
	return first, last, ok
}

// parseRange is the part of size bytes that a Range header wants, and false
// if there is no such part.
func parseRange(v string, size int64) (offset, length int64, satisfiable bool) {
	first, last, ok := byteRange(v)
	switch {
	case !ok:
		return 0, size, true
	case first < 0: // the last bytes
		n := min(last, size)
		return size - n, n, n > 0
	case first >= size:
		return 0, 0, false
	case last < 0 || last >= size:
		return first, size - first, true
	}
	return first, last - first + 1, true
}
