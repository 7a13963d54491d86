// Site checks the site of the documentation that mkdocs has built: each link and each
// anchor in it leads somewhere, and nothing in it comes from another place, so that it
// can be read without a network.
//
//	go run ./internal/docs/site bin/site
package main

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: site FOLDER")
		os.Exit(2)
	}
	problems, pages, err := check(os.DirFS(os.Args[1]))
	if err == nil && pages == 0 {
		err = fmt.Errorf("there is no page in %s", os.Args[1])
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
	}
	if err != nil || len(problems) > 0 {
		os.Exit(1)
	}
}

var (
	tag       = regexp.MustCompile(`(?s)<([a-z][a-z0-9]*)\s([^>]*)>`)
	attribute = regexp.MustCompile(`(?:^|\s)(href|src|srcset|id|rel)=(?:"([^"]*)"|([^\s"]+))`)
	imported  = regexp.MustCompile(`url\(\s*["']?((?:https?:)?//[^)"']+)`)
)

// element is what a tag says of links.
type element struct{ name, href, id, rel string }

func elements(text string) []element {
	var all []element
	for _, m := range tag.FindAllStringSubmatch(text, -1) {
		e := element{name: m[1]}
		for _, a := range attribute.FindAllStringSubmatch(m[2], -1) {
			switch value := strings.ReplaceAll(a[2]+a[3], "&amp;", "&"); a[1] {
			case "id":
				e.id = value
			case "rel":
				e.rel = value
			default:
				e.href = value
			}
		}
		all = append(all, e)
	}
	return all
}

// check says what is wrong with a site, and how many pages it has.
func check(site fs.FS) (problems []string, pages int, err error) {
	html := map[string][]element{}
	err = fs.WalkDir(site, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(site, name)
		switch path.Ext(name) {
		case ".html":
			html[name] = elements(string(b))
		case ".css", ".svg":
			for _, m := range imported.FindAllStringSubmatch(string(b), -1) {
				problems = append(problems, fmt.Sprintf("%s: %s comes from elsewhere", name, m[1]))
			}
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for name, all := range html {
		for _, e := range all {
			if why := wrong(site, html, name, e); why != "" {
				problems = append(problems, fmt.Sprintf("%s: <%s> %s: %s", name, e.name, e.href, why))
			}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems), len(html), nil
}

// wrong is what is wrong with a link, or nothing.
func wrong(site fs.FS, html map[string][]element, from string, e element) string {
	u, err := url.Parse(e.href)
	switch {
	case err != nil:
		return err.Error()
	case e.href == "" || u.Scheme == "javascript" || u.Scheme == "data" || u.Scheme == "mailto":
		return ""
	case u.Host != "" && (e.name == "a" || e.name == "link" && (e.rel == "canonical" || e.rel == "edit")):
		return ""
	case u.Host != "":
		return "it comes from elsewhere"
	}
	target := path.Join(path.Dir(from), u.Path)
	switch {
	case path.IsAbs(u.Path):
		target = path.Clean("." + u.Path)
	case u.Path == "":
		target = from
	}
	info, err := fs.Stat(site, target)
	if err != nil {
		return "there is no " + target
	}
	if info.IsDir() {
		target = path.Join(target, "index.html")
	}
	if u.Fragment == "" || strings.HasPrefix(u.Fragment, "only-") {
		return ""
	}
	if !slices.ContainsFunc(html[target], func(e element) bool { return e.id == u.Fragment }) {
		return target + " has no such place"
	}
	return ""
}
