// Package docs holds the tests of what people read in this repository: links and
// their anchors, pictures, and the files that GitHub looks for.
package docs_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

var root = os.DirFS("../..")

// where the repository's files are, for pages that are not only read there.
const repository = "https://github.com/openirsa/openirsa/"

// page is a Markdown file, as far as links are concerned.
type page struct {
	anchors map[string]bool
	links   []string
}

var (
	heading = regexp.MustCompile(`^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$`)
	fence   = regexp.MustCompile("^ *(```+|~~~+)")
	code    = regexp.MustCompile("``[^`]+``|`[^`]*`")
	comment = regexp.MustCompile(`(?s)<!--.*?-->`)
	// [text](target "title"), also around a picture; [name]: target; HTML.
	inline    = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	reference = regexp.MustCompile(`(?m)^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?\s*$`)
	attribute = regexp.MustCompile(`(?:href|src|srcset)="([^"]+)"`)
	ids       = regexp.MustCompile(`<[a-z]+ [^>]*(?:id|name)="([^"]+)"`)
)

// read finds the headings and the links of a page. What is code is neither.
func read(text string) page {
	p := page{anchors: map[string]bool{}}
	var prose strings.Builder
	within := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if m := fence.FindStringSubmatch(line); m != nil && (within == "" || strings.HasPrefix(m[1], within)) {
			if within == "" {
				within = m[1]
			} else {
				within = ""
			}
			continue
		}
		if within != "" {
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil {
			p.add(anchor(m[2]))
		}
		prose.WriteString(code.ReplaceAllString(line, "`code`") + "\n")
	}
	rest := comment.ReplaceAllString(prose.String(), "")
	for _, m := range ids.FindAllStringSubmatch(rest, -1) {
		p.anchors[m[1]] = true
	}
	for _, form := range []*regexp.Regexp{inline, reference, attribute} {
		for _, m := range form.FindAllStringSubmatch(rest, -1) {
			p.links = append(p.links, m[1])
		}
	}
	return p
}

// add gives a repeated heading a number, as GitHub does.
func (p page) add(anchor string) {
	name := anchor
	for i := 1; p.anchors[name]; i++ {
		name = fmt.Sprintf("%s-%d", anchor, i)
	}
	p.anchors[name] = true
}

// anchor is the name by which GitHub finds a heading: its text in lower case,
// without punctuation, with hyphens for spaces.
func anchor(heading string) string {
	heading = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(heading, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// broken says what is wrong with a link of the page at a path, or nothing.
func broken(root fs.FS, pages map[string]page, from, link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return err.Error()
	}
	target := path.Join(path.Dir(from), u.Path)
	if rest, ok := strings.CutPrefix(link, repository); ok {
		tree := regexp.MustCompile(`^(?:blob|tree|raw)/main/([^#?]*)`).FindStringSubmatch(rest)
		if tree == nil {
			return ""
		}
		target = path.Clean(tree[1])
	} else if u.Scheme != "" || u.Host != "" {
		return "" // of somebody else
	} else if u.Path == "" {
		target = from
	} else if path.IsAbs(u.Path) {
		return "it is absolute, and GitHub and the site have other roots"
	}
	if _, err := fs.Stat(root, target); err != nil {
		return "there is no " + target
	}
	p, ok := pages[target]
	if u.Fragment == "" || u.Fragment == "only-light" || u.Fragment == "only-dark" {
		return ""
	}
	if !ok {
		return target + " is no page with headings"
	}
	if !p.anchors[u.Fragment] {
		return target + " has no heading #" + u.Fragment
	}
	return ""
}

// pagesOf reads all Markdown files below root.
func pagesOf(t *testing.T, root fs.FS) map[string]page {
	t.Helper()
	pages := map[string]page{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch base := path.Base(name); base {
			case ".git", "bin", "dist", "testdata", "node_modules":
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		b, err := fs.ReadFile(root, name)
		if err == nil {
			pages[name] = read(string(b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// TestLinks: every link of every Markdown file leads to a file, and to a heading
// of it where it says so.
func TestLinks(t *testing.T) {
	pages := pagesOf(t, root)
	links := 0
	for from, p := range pages {
		for _, link := range p.links {
			links++
			if why := broken(root, pages, from, link); why != "" {
				t.Errorf("%s: (%s): %s", from, link, why)
			}
		}
	}
	if len(pages) < 20 || links < 100 {
		t.Errorf("only %d pages with %d links were found", len(pages), links)
	}
}

// TestIndex: the index of the documentation leads to every page of it.
func TestIndex(t *testing.T) {
	pages := pagesOf(t, root)
	listed := map[string]bool{"docs/README.md": true}
	for _, link := range pages["docs/README.md"].links {
		listed[path.Join("docs", strings.Split(link, "#")[0])] = true
	}
	for name := range pages {
		if strings.HasPrefix(name, "docs/") && !listed[name] {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

func TestRead(t *testing.T) {
	const text = "# A `b`, c & D_e\n\n" +
		"see [x](y.md#z \"title\") and [![picture](p.svg)](https://example.com), `[not](code)`, [ref]\n\n" +
		"## Same\n## Same\n### [Linked](l.md) heading ###\n" +
		"```console\n$ # no heading\n[no](link)\n```\n" +
		"<!-- [no](comment) -->\n<img src=\"i.png\"><a id=\"here\"></a>\n\n[ref]: r.md\n"
	p := read(text)
	want := page{
		anchors: map[string]bool{"a-b-c--d_e": true, "same": true, "same-1": true, "linked-heading": true, "here": true},
		links:   []string{"y.md#z", "p.svg", "https://example.com", "l.md", "r.md", "i.png"},
	}
	if diff := cmp.Diff(want, p, cmp.AllowUnexported(page{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBroken(t *testing.T) {
	pages := map[string]page{"docs/scale.md": {anchors: map[string]bool{"there": true}}}
	accept := func(link string) {
		t.Helper()
		if why := broken(root, pages, "docs/setup.md", link); why != "" {
			t.Errorf("%s: %s", link, why)
		}
	}
	reject := func(link string) {
		t.Helper()
		if broken(root, pages, "docs/setup.md", link) == "" {
			t.Errorf("%s: not found broken", link)
		}
	}
	accept("scale.md")
	accept("scale.md#there")
	accept("../deploy")
	accept("https://example.com/whatever")
	accept(repository + "issues")
	accept(repository + "blob/main/docs/scale.md#there")
	reject("scale.md#nowhere")
	reject("nothing.md")
	reject("/docs/scale.md")
	reject("../go.mod#1")
	reject("#nowhere")
	reject(repository + "blob/main/docs/nothing.md")
}
