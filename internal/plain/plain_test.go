package plain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/plain"
)

// acts finds what a terminal may take for more than text.
var acts = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}\p{Cf}\x{2028}\x{2029}]`)

func TestWriter(t *testing.T) {
	for in, want := range map[string]string{
		"plain, ünïcode, 日本語, 👍\tand\nlines\r\n": "plain, ünïcode, 日本語, 👍\tand\nlines\r\n",
		"\x1b[31mred\x1b[0m":                 `\u001b[31mred\u001b[0m`,
		"\x1b]0;title\x07":                   `\u001b]0;title\u0007`,
		"\u009b31m \x7f \x00":                `\u009b31m \u007f \u0000`,
		"over\rwritten":                      `over\rwritten`,
		"a\u202egnp.exe\u2066 \u200f \u061c": `a\u202egnp.exe\u2066 \u200f \u061c`,
		"\ufeff \u200b \u2028":               `\ufeff \u200b \u2028`,
		"tag \U000e0041":                     `tag \udb40\udc41`,
		"broken \x9b31m \xc2":                `broken \x9b31m \xc2`,
		"\r":                                 `\r`,
		"two blanks\u00a0\u3000":             "two blanks\u00a0\u3000",
	} {
		var whole, parts bytes.Buffer
		w := plain.NewWriter(&whole)
		if n, err := w.Write([]byte(in)); n != len(in) || err != nil {
			t.Errorf("%q: %d of %d, %v", in, n, len(in), err)
		}
		p := plain.NewWriter(&parts)
		for i := range len(in) {
			p.Write([]byte{in[i]})
		}
		if err := errors.Join(w.Flush(), p.Flush()); err != nil {
			t.Error(err)
		}
		if whole.String() != want || parts.String() != want {
			t.Errorf("%q: %q, in parts %q, want %q", in, &whole, &parts, want)
		}
	}
	w := plain.NewWriter(iotest.TruncateWriter(&bytes.Buffer{}, 0))
	if plain.NewWriter(w) != w {
		t.Error("quoted twice")
	}
}

func TestWriterFails(t *testing.T) {
	file, err := os.Open(os.DevNull) // to be read
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := plain.NewWriter(file)
	if n, err := w.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A document of JSON says the same after it.
func TestWriterKeepsJSON(t *testing.T) {
	said := "\x1b \x7f \u009b \u202e \U000e0041 \n\t\r"
	var out bytes.Buffer
	e := json.NewEncoder(plain.NewWriter(&out))
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]string{said: said}); err != nil {
		t.Fatal(err)
	}
	if at := acts.FindString(out.String()); at != "" {
		t.Errorf("%q in %q", at, &out)
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[said] != said {
		t.Errorf("%q, %v", back, err)
	}
}

func TestFprintf(t *testing.T) {
	type named string
	var out bytes.Buffer
	plain.Fprintf(&out, "%s\t%-5s|%d %v %q %v\n", "a\nb\tc", "x", 3, errors.New("e\nnext: f"), "q\n", named("n\r\n"))
	if got, want := out.String(), "a\\nb\\tc\tx    |3 e\\nnext: f \"q\\n\" n\\r\\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestError(t *testing.T) {
	var out bytes.Buffer
	plain.Error(&out, "setup", fmt.Errorf("no %s\n", "x\nnext: curl"))
	if got := out.String(); got != "setup: no x\n  next: curl\n" {
		t.Errorf("%q", got)
	}
}

// Every program writes through a Writer: nothing else knows of its output.
func TestProgramsWriteThroughIt(t *testing.T) {
	files, err := filepath.Glob("../../cmd/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range append(files, "../cli/cli.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(body), "\n") {
			line = strings.NewReplacer("plain.NewWriter(os.Stdout)", "", "plain.NewWriter(os.Stderr)", "").Replace(line)
			if regexp.MustCompile(`os\.Std(out|err)|\bfmt\.Print|\bprintln\(`).MatchString(line) {
				t.Errorf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// Whatever goes in, nothing comes out that acts on a terminal.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("\x1b[31m"), 1)
	f.Add([]byte("\xc2\x9b"), 1)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		at = min(max(at, 0), len(in))
		var out bytes.Buffer
		w := plain.NewWriter(&out)
		w.Write(in[:at])
		w.Write(in[at:])
		w.Flush()
		if at := acts.FindString(strings.ReplaceAll(out.String(), "\r\n", "\n")); at != "" || !utf8.Valid(out.Bytes()) {
			t.Errorf("%q of %q", &out, in)
		}
		if line := plain.Line(string(in)); strings.ContainsAny(line, "\r\n\t") || acts.MatchString(line) {
			t.Errorf("%q of %q", line, in)
		}
	})
}

// A document of YAML says the same too, in the form of any other.
func TestMarshalYAML(t *testing.T) {
	type document struct {
		A    string   `json:"a"`
		N    int      `json:"n"`
		List []string `json:"list"`
	}
	for _, said := range []string{"plain", "ünïcode\nlines", "\x1b[31m", "\x7f \u009b \u202e \U000e0041 \t\r\n'\"\\", "\u202e: #"} {
		quoted, err := plain.MarshalYAML(document{said, 3, []string{said, "other"}})
		if err != nil {
			t.Fatal(err)
		}
		if at := acts.FindString(string(quoted)); at != "" || bytes.ContainsAny(quoted, "\t\r") {
			t.Errorf("%q in %q", at, quoted)
		}
		var back document
		if err := yaml.Unmarshal(quoted, &back); err != nil || back.A != said || back.N != 3 || back.List[0] != said || back.List[1] != "other" {
			t.Errorf("%q became %+v, %v", said, back, err)
		}
	}
	if got, err := plain.MarshalYAML(document{A: "x", List: []string{"y"}}); err != nil || string(got) != "a: x\nlist:\n- \"y\"\n\"n\": 0\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := plain.MarshalYAML(func() {}); err == nil {
		t.Error("a function has been written")
	}
}
