package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// theme is the colours of a picture.
type theme struct {
	name                               string
	lane, frame, box, edge, text, soft string
	arrow, strong                      string
}

// GitHub shows pictures on its own background, white or almost black.
var themes = []theme{
	{"light", "#f6f8fa", "#d0d7de", "#ffffff", "#57606a", "#1f2328", "#57606a", "#57606a", "#0969da"},
	{"dark", "#161b22", "#30363d", "#0d1117", "#8b949e", "#e6edf3", "#9da7b3", "#8b949e", "#58a6ff"},
}

// Sizes in pixels.
const (
	boxWidth, boxHeight = 158, 76
	columnGap           = 70
	border, inner       = 2, 20 // outside of the lanes' frame, and inside
	titled              = 38    // room for a lane's title
	laneHeight          = titled + boxHeight + inner
	laneGap             = 62
)

func left(column int) int { return border + inner + (column-1)*(boxWidth+columnGap) }

// top is the upper edge of a row's boxes. The first lane has its title above them and
// the others below, where no arrow crosses it.
func top(row int) int {
	y := border + (row-1)*(laneHeight+laneGap)
	if row == 1 {
		return y + titled
	}
	return y + inner
}

func (p picture) svg(t theme) string {
	columns, rows := 0, 0
	for _, b := range p.boxes {
		columns, rows = max(columns, b.column), max(rows, b.row)
	}
	width := left(columns) + boxWidth + inner + border
	height := (rows-1)*(laneHeight+laneGap) + laneHeight + 2*border
	var s strings.Builder
	printf := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="t">`,
		width, height)
	printf(`<title id="t">%s</title>`, escape(p.title))
	printf(`<style>text{font-family:-apple-system,BlinkMacSystemFont,"Segoe UI","Noto Sans",Helvetica,Arial,sans-serif;`+
		`font-size:13px;fill:%s}`+
		`.b{font-weight:600;font-size:14px}.s{fill:%s}.m{text-anchor:middle}.a{font-size:12px;fill:%s;text-anchor:middle}`+
		`line{stroke:%s;stroke-width:1.5;fill:none}.k{stroke:%s;stroke-width:2}.ka{fill:%[5]s;font-weight:600}</style>`,
		t.text, t.soft, t.soft, t.arrow, t.strong)
	for _, head := range []struct{ id, colour string }{{"h", t.arrow}, {"k", t.strong}} {
		printf(`<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" `+
			`orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="%s"/></marker>`, head.id, head.colour)
	}
	for _, l := range p.lanes {
		frame, title := border+(l.row-1)*(laneHeight+laneGap), top(l.row)-14
		if l.row > 1 {
			title = top(l.row) + boxHeight + 25
		}
		printf(`<rect x="%d" y="%d" width="%d" height="%d" rx="10" fill="%s" stroke="%s"/>`,
			border, frame, width-2*border, laneHeight, t.lane, t.frame)
		printf(`<text x="%d" y="%d"><tspan class="b">%s</tspan><tspan class="s" dx="8">%s</tspan></text>`,
			left(1), title, escape(l.title), escape(l.text))
	}
	for _, a := range p.arrows {
		a.draw(printf)
	}
	for _, b := range p.boxes {
		x, y := left(b.column), top(b.row)
		printf(`<rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="%s" stroke="%s"/>`, x, y, boxWidth, boxHeight, t.box, t.edge)
		first := y + boxHeight/2 + 5 - 9*len(b.lines)
		printf(`<text class="b m" x="%d" y="%d">%s</text>`, x+boxWidth/2, first, escape(b.title))
		for i, line := range b.lines {
			printf(`<text class="s m" x="%d" y="%d">%s</text>`, x+boxWidth/2, first+18*(i+1), escape(line))
		}
	}
	printf(`</svg>`)
	return s.String()
}

// draw draws the arrow, which ends a little before the boxes, and its words: above
// a line that goes across, to the right of one that goes down. One that goes both
// ways is what all the others are for, and stands out.
func (a arrow) draw(printf func(string, ...any)) {
	const space = 4
	class, head, words := "", "h", "a"
	if a.both {
		class, head, words = ` class="k"`, "k", "a ka"
	}
	ends := fmt.Sprintf(` marker-end="url(#%s)"`, head)
	if a.both {
		ends += fmt.Sprintf(` marker-start="url(#%s)"`, head)
	}
	if a.from.row == a.to.row {
		y := top(a.from.row) + boxHeight/2
		x1, x2 := left(a.from.column)+boxWidth+space, left(a.to.column)-space
		if a.from.column > a.to.column {
			x1, x2 = left(a.from.column)-space, left(a.to.column)+boxWidth+space
		}
		printf(`<line%s x1="%d" y1="%d" x2="%d" y2="%d"%s/>`, class, x1, y, x2, y, ends)
		for i, line := range a.lines {
			printf(`<text class="%s" x="%d" y="%d">%s</text>`, words, (x1+x2)/2, y-8-15*(len(a.lines)-1-i), escape(line))
		}
		return
	}
	x := left(a.from.column) + boxWidth/2
	y1, y2 := top(a.from.row)+boxHeight+space, top(a.to.row)-space
	if a.from.row > a.to.row {
		y1, y2 = top(a.from.row)-space, top(a.to.row)+boxHeight+space
	}
	printf(`<line%s x1="%d" y1="%d" x2="%d" y2="%d"%s/>`, class, x, y1, x, y2, ends)
	// Between the lanes, where nothing else is.
	middle := top(min(a.from.row, a.to.row)) + boxHeight + inner + laneGap/2
	for i, line := range a.lines {
		printf(`<text class="%s" style="text-anchor:start" x="%d" y="%d">%s</text>`,
			words, x+10, middle+5-8*(len(a.lines)-1)+16*i, escape(line))
	}
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
