package main

import (
	"encoding/xml"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPicture: the pictures in the tree are those of the text beside them, and
// hold nothing from elsewhere.
func TestPicture(t *testing.T) {
	text, err := os.ReadFile("../chain.txt")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, theme := range themes {
		name := "../chain-" + theme.name + ".svg"
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if want := p.svg(theme); string(got) != want {
			t.Errorf("%s is not what chain.txt says: go run ./docs/images/gen docs/images/chain.txt\n%s", name, cmp.Diff(string(got), want))
		}
		var any struct{}
		if err := xml.Unmarshal(got, &any); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := strings.Count(string(got), "http"); n != 1 { // the name of SVG
			t.Errorf("%s has %d addresses", name, n)
		}
	}
}

func TestParse(t *testing.T) {
	const good = "title T\nbox a 1 1 A | of it\nbox b 2 1 B\n"
	if p, err := parse(good + "arrow a b <> both | ways\n"); err != nil || !p.arrows[0].both || p.arrows[0].lines[0] != "both" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "title T\n", good + "box a 1 2 Again\n", good + "arrow a c to\n", good + "box c 3 3 C\narrow a c to\n",
		good + "box d x 1 D\n", good + "circle\n", good + "arrow a b\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q: taken", bad)
		}
	}
}
