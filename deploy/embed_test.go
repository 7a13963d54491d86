package deploy_test

import (
	"io/fs"
	"os"
	"regexp"
	"testing"

	"github.com/openirsa/openirsa/deploy"
)

// Programs have each template that they render.
func TestEmbedded(t *testing.T) {
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	rendered := regexp.MustCompile(`"([a-z-]+\.yaml)"`)
	var n int
	for _, file := range files {
		if regexp.MustCompile(`_test\.go$`).MatchString(file) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range rendered.FindAllStringSubmatch(string(text), -1) {
			n++
			if _, err := fs.Stat(deploy.Embedded, "chart/templates/"+name[1]); err != nil {
				t.Errorf("%s renders a template that is not embedded: %v", file, err)
			}
		}
	}
	if n < 6 {
		t.Errorf("found %d templates in %v", n, files)
	}
}
