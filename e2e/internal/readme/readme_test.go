package readme

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const page = "# Page\n\n```console\n$ one && two\nout\n\nmore\n$ three \\\n    --four\n```\n" +
		"```yaml\n$ no command\n```\n" +
		"<!-- before: something breaks -->\n```console\n$ five\n...\n```\n" +
		"<!-- not run: no network -->\n```console\n$ six\n```\n" +
		"<!-- not run: not above it -->\n\n```console\n$ seven\n```\n"
	got, err := Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Line: 3, Commands: []Command{{Line: 4, Text: "one && two", Output: "out\n\nmore\n"}, {Line: 8, Text: "three \\\n    --four"}}},
		{Line: 15, Before: "something breaks", Commands: []Command{{Line: 16, Text: "five", Output: "...\n"}}},
		{Line: 20, NotRun: "no network", Commands: []Command{{Line: 21, Text: "six"}}},
		{Line: 25, Commands: []Command{{Line: 26, Text: "seven"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"```console\n$ a\n", "```console\nout\n```\n", "```console\n```\n", "```\n"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestDiff(t *testing.T) {
	same := func(page, real string) {
		t.Helper()
		if diff := Diff(page, real); diff != "" {
			t.Errorf("%q and %q differ:\n%s", page, real, diff)
		}
	}
	differ := func(page, real string) {
		t.Helper()
		if Diff(page, real) == "" {
			t.Errorf("%q and %q are the same", page, real)
		}
	}
	same("image  created  openirsa.dev/openirsa:3bafd4a61ca6bfd3  (6.2s)\n", "image  created  openirsa.dev/openirsa:0123456789abcdef  (16.0s)\n")
	same("documents  created  s3://bucket\n", "documents  created  s3://bucket  (0.1s)\n")
	same("Done in 43.5s, with 14 calls to AWS (7 writes).", "Done in 1m3.5s, with 15 calls to AWS (7 writes).")
	same("RS256 ehEb2C-QCtLLvk9IIYDtxdxVnSQV5DwgtEohrhdzTJM, read", "RS256 V9wSNCfT9RsmpoH_pkJ0_z3Q0nteAz_BlxFT4TEYC1M, read")
	same("kid ehEb2C-QCtLLvk9IIYDtxdxVnSQV5DwgtEohrhdzTJM, alg RS256", "kid V9wSNCfT9RsmpoH_pkJ0_z3Q0nteAz_BlxFT4TEYC1M, alg RS256")
	same("RS256 ehEb2C-QCtLLvk9IIYDtxdxVnSQV5DwgtEohrhdzTJM", "RS256 V9wSNCfT9RsmpoH_pkJ0_z3Q0nteAz_BlxFT4TEYC1-")
	same(`"UserId": "AROAQAAAAAAAEXAMPLEID:botocore-session-1764547200",`, `"UserId": "AROA0123456789ABCDEFG:botocore-session-1",`)
	same("...", "")
	same("a\n...\nz\n", "a\nb\n\nc\nz\n")
	same("a\n", "a\n\n")
	differ("", "a")
	differ("a\n...\nz\n", "a\nb\n")
	differ("role created x", "role updated x")
	differ("Done in 43.5s, with 14 calls to AWS (7 writes).", "Done in 43.5s.")
	differ("kid short", "kid other")
	differ("service account  created", "service account  created  default/app")
}

// TestOurs: the README can be followed: each block either is run, or says why not, and
// what it shows does not depend on a mask that does not exist.
func TestOurs(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var first []string
	for _, b := range blocks {
		if b.NotRun == "" {
			for _, c := range b.Commands {
				first = append(first, strings.Fields(c.Text)[0])
			}
		}
	}
	if want := []string{"kind", "openirsa", "kubectl", "openirsa", "openirsa", "openirsa"}; !cmp.Equal(first, want) {
		t.Errorf("the commands are of %q, want %q", first, want)
	}
	if masked := Mask(string(text)); masked != Mask(masked) {
		t.Error("masks find something in what they have masked")
	}
}
