package policy

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// decimal is a number of any size and precision: 0.digits times ten to the
// power of exp. AWS keeps the precision of decimals, so floats will not do.
type decimal struct {
	negative bool
	digits   string // without zeros at either end; empty for zero
	exp      int
}

// maxExponent limits what a number can be scaled by.
const maxExponent = 1 << 20

// parseDecimal reads an integer or decimal, with a sign and an exponent if it
// likes: AWS takes "+1", "01", "1.0" and "1e0" for 1.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if s != "" && (s[0] == '+' || s[0] == '-') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > maxExponent || n < -maxExponent {
			return decimal{}, false
		}
		d.exp, s = n, s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return decimal{}, false
	}
	d.exp += len(whole)
	d.digits = whole
	if fraction != "" {
		d.digits = whole + fraction
	}
	trimmed := strings.TrimLeft(d.digits, "0")
	d.exp -= len(d.digits) - len(trimmed)
	d.digits = strings.TrimRight(trimmed, "0")
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

func (d decimal) compare(e decimal) int {
	if d.sign() != e.sign() || d.sign() == 0 {
		return cmp.Compare(d.sign(), e.sign())
	}
	return d.sign() * cmp.Or(cmp.Compare(d.exp, e.exp), strings.Compare(d.digits, e.digits))
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// instant is a point in time to the millisecond, the precision at which AWS
// compares dates.
type instant struct {
	seconds int64
	millis  int
}

func (t instant) compare(u instant) int {
	return cmp.Or(cmp.Compare(t.seconds, u.seconds), cmp.Compare(t.millis, u.millis))
}

// parseDate reads a date in one of the W3C's forms of ISO 8601 (a year, a
// month, a day, or a time of day with a zone) or in epoch seconds. It is as
// lenient as IAM: a lower-case t, numbers without leading zeros, times without
// a zone, which are in UTC.
func parseDate(s string) (instant, bool) {
	s = strings.ToLower(s)
	if !strings.ContainsAny(s, "t-") {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return instant{}, false
		}
		return instant{seconds: n}, true
	}
	date, clock, _ := strings.Cut(s, "t")
	digits, beforeChrist := strings.CutPrefix(date, "-")
	ymd := strings.Split(digits, "-")
	if len(ymd) > 3 {
		return instant{}, false
	}
	fields := [3]int{1: 1, 2: 1}
	limits := [3][2]int{{0, 292278993}, {1, 12}, {1, 31}}
	if beforeChrist {
		limits[0][1] = 292275054
	}
	for i, f := range ymd {
		n, ok := number(f, limits[i][0], limits[i][1])
		if !ok {
			return instant{}, false
		}
		fields[i] = n
	}
	if beforeChrist {
		fields[0] = -fields[0]
	}
	hms, millis, offset, ok := parseClock(clock)
	if !ok {
		return instant{}, false
	}
	day := time.Date(fields[0], time.Month(fields[1]), fields[2], 0, 0, 0, 0, time.UTC).Unix()
	return instant{seconds: day + int64(hms-offset), millis: millis}, true
}

// parseClock reads the time of day: seconds since midnight, milliseconds and
// the offset of its zone in seconds.
func parseClock(s string) (seconds, millis, offset int, ok bool) {
	if s == "" {
		return 0, 0, 0, true
	}
	if rest, utc := strings.CutSuffix(s, "z"); utc {
		s = rest
	} else if i := strings.IndexAny(s, "+-"); i >= 0 {
		zone := s[i+1:]
		hours, minutes, hasMinutes := strings.Cut(zone, ":")
		if !hasMinutes && len(hours) == 4 {
			hours, minutes, hasMinutes = hours[:2], hours[2:], true
		}
		h, okh := number(hours, 0, 23)
		m, okm := 0, true
		if hasMinutes {
			m, okm = number(minutes, 0, 59)
			okm = okm && len(minutes) == 2
		}
		if !okh || !okm || len(hours) != 2 {
			return 0, 0, 0, false
		}
		offset = h*3600 + m*60
		if s[i] == '-' {
			offset = -offset
		}
		s = s[:i]
	}
	s, fraction, hasFraction := strings.Cut(s, ".")
	parts := strings.Split(s, ":")
	if len(parts) > 3 || hasFraction && len(parts) != 3 {
		return 0, 0, 0, false
	}
	for i, limit := range []int{23, 59, 59}[:len(parts)] {
		n, ok := number(parts[i], 0, limit)
		if !ok {
			return 0, 0, 0, false
		}
		seconds += n * []int{3600, 60, 1}[i]
	}
	if hasFraction {
		if fraction == "" || len(fraction) > 9 || !allDigits(fraction) {
			return 0, 0, 0, false
		}
		millis, _ = strconv.Atoi((fraction + "00")[:3])
	}
	return seconds, millis, offset, true
}

func number(s string, low, high int) (int, bool) {
	if s == "" || !allDigits(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && low <= n && n <= high
}

// parseNetwork reads a network in CIDR form or a single address. As at AWS,
// the host bits of an IPv4 network are ignored, and those of an IPv6 network
// make one that nothing is in.
func parseNetwork(s string) (netip.Prefix, bool) {
	host, length, hasLength := strings.Cut(s, "/")
	addr, ok := parseAddr(host)
	if !ok || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if hasLength {
		n, ok := number(strings.TrimPrefix(length, "+"), 0, bits)
		if !ok {
			return netip.Prefix{}, false
		}
		bits = n
	}
	p := netip.PrefixFrom(addr, bits)
	if addr.Is4() {
		return p.Masked(), true
	}
	return p, p == p.Masked()
}

// parseAddr reads an address. Leading zeros in IPv4 are decimal, not octal.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err == nil {
		return addr, true
	}
	octets := strings.Split(s, ".")
	if len(octets) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, o := range octets {
		n, ok := number(o, 0, 255)
		if !ok {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// lower is lower case as AWS makes it before comparing without regard to
// case. That is not Unicode case folding: the long s stays apart from s.
func lower(s string) string {
	// Go lowers the dotted capital I to i alone; Unicode keeps its dot.
	return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307"))
}
