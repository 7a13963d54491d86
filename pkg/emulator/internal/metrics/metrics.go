// Package metrics counts and times what the emulator does, and writes it in
// Prometheus's text format:
//
//	var calls = metrics.NewCounter("calls_total", "Calls.", "operation")
//	calls.Inc("GetRole")
//	set := metrics.Set{calls}
//	set.Write(w)
//
// The values of labels must come from lists that are fixed: what a client says is
// never one. In case of a mistake no family keeps more than a thousand series.
//
// It is here because Prometheus's own library would make the emulator a fifth larger.
package metrics

import (
	"bufio"
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/internal/order"
)

// ContentType is that of what Set.Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Types of families.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

const (
	maxLabels = 3
	maxSeries = 1000 // of a family
)

// values are the values of a family's labels.
type values [maxLabels]string

// Family is what has the same name.
type Family interface {
	// Describe is what the family is.
	Describe() Description
	write(w *bufio.Writer)
}

// Description says what a family is.
type Description struct {
	Name   string
	Help   string
	Type   string // counter, gauge or histogram
	Labels []string
}

// Describe implements [Family].
func (d Description) Describe() Description { return d }

// Set is all that is written together.
type Set []Family

// Write writes the text format: families in their order, series by their labels.
func (s Set) Write(to io.Writer) error {
	w := bufio.NewWriter(to)
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	for _, f := range s {
		d := f.Describe()
		w.WriteString("# HELP " + d.Name + " " + escape.Replace(d.Help) + "\n# TYPE " + d.Name + " " + d.Type + "\n")
		f.write(w)
	}
	return w.Flush()
}

// sample writes a line.
func (d *Description) sample(w *bufio.Writer, suffix string, at values, le string, value float64) {
	w.WriteString(d.Name + suffix)
	before := byte('{')
	label := func(name, value string) {
		w.WriteByte(before)
		w.WriteString(name + `="` + labelEscapes.Replace(value) + `"`)
		before = ','
	}
	for i, name := range d.Labels {
		label(name, at[i])
	}
	if le != "" {
		label("le", le)
	}
	if before == ',' {
		w.WriteByte('}')
	}
	w.WriteString(" " + number(value) + "\n")
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// series are those of a family, by the values of its labels.
type series[T any] struct {
	mu  sync.RWMutex // guards all, not what is in it
	all map[values]*T
}

// get is the series with some values; nil if there are too many.
func (s *series[T]) get(labels []string, make func() *T) *T {
	var at values
	copy(at[:], labels)
	s.mu.RLock()
	one := s.all[at]
	s.mu.RUnlock()
	if one != nil {
		return one
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one = s.all[at]; one == nil && len(s.all) < maxSeries {
		if s.all == nil {
			s.all = map[values]*T{}
		}
		one = make()
		s.all[at] = one
	}
	return one
}

// each calls f for every series, in order.
func (s *series[T]) each(f func(values, *T)) {
	s.mu.RLock()
	sorted := make([]values, 0, len(s.all))
	for at := range s.all {
		sorted = append(sorted, at)
	}
	s.mu.RUnlock()
	order.By(sorted, func(a, b values) int { return slices.Compare(a[:], b[:]) })
	for _, at := range sorted {
		s.mu.RLock()
		one := s.all[at]
		s.mu.RUnlock()
		f(at, one)
	}
}

// Counter counts.
type Counter struct {
	Description
	series[atomic.Uint64]
}

// NewCounter makes a counter with at most three labels.
func NewCounter(name, help string, labels ...string) *Counter {
	return &Counter{Description: Description{name, help, counter, labels}}
}

// Inc adds one, for the values of the labels.
func (c *Counter) Inc(labels ...string) {
	if n := c.get(labels, func() *atomic.Uint64 { return new(atomic.Uint64) }); n != nil {
		n.Add(1)
	}
}

func (c *Counter) write(w *bufio.Writer) {
	c.each(func(at values, n *atomic.Uint64) { c.sample(w, "", at, "", float64(n.Load())) })
}

// Histogram counts times, by how long they are.
type Histogram struct {
	Description
	bounds []float64 // seconds, in ascending order
	series[buckets]
}

type buckets struct {
	counts []atomic.Uint64 // by bound, and beyond all of them
	nanos  atomic.Int64
}

// NewHistogram makes a histogram with at most two labels, and its bounds in seconds.
func NewHistogram(name, help string, bounds []float64, labels ...string) *Histogram {
	return &Histogram{Description: Description{name, help, histogram, labels}, bounds: bounds}
}

// Observe counts a time, for the values of the labels.
func (h *Histogram) Observe(d time.Duration, labels ...string) {
	b := h.get(labels, func() *buckets { return &buckets{counts: make([]atomic.Uint64, len(h.bounds)+1)} })
	if b == nil {
		return
	}
	i, _ := slices.BinarySearchFunc(h.bounds, d.Seconds(), cmp.Compare[float64])
	b.counts[i].Add(1)
	b.nanos.Add(int64(d))
}

func (h *Histogram) write(w *bufio.Writer) {
	h.each(func(at values, b *buckets) {
		sum := uint64(0)
		for i := range b.counts {
			bound := math.Inf(1)
			if i < len(h.bounds) {
				bound = h.bounds[i]
			}
			sum += b.counts[i].Load()
			h.sample(w, "_bucket", at, number(bound), float64(sum))
		}
		h.sample(w, "_sum", at, "", time.Duration(b.nanos.Load()).Seconds())
		h.sample(w, "_count", at, "", float64(sum))
	})
}

// Read is a family whose values are read when they are written.
type Read struct {
	Description
	read func(emit func(value float64, labels ...string))
}

// NewGauge makes a gauge that read emits.
func NewGauge(name, help string, read func(emit func(value float64, labels ...string)), labels ...string) *Read {
	return &Read{Description{name, help, gauge, labels}, read}
}

// NewCount makes a counter that read emits.
func NewCount(name, help string, read func(emit func(value float64, labels ...string)), labels ...string) *Read {
	return &Read{Description{name, help, counter, labels}, read}
}

func (r *Read) write(w *bufio.Writer) {
	r.read(func(value float64, labels ...string) {
		var at values
		copy(at[:], labels)
		r.sample(w, "", at, "", value)
	})
}
