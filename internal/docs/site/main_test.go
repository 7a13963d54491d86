package main

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	problems, pages, err := check(fstest.MapFS{
		"index.html": file(`<h1 id="top">T</h1><a href="a.html#x">good</a> <a href="https://example.com/">good</a> <a href="#top">good</a>
			<link rel="stylesheet" href="assets/s.css"> <img src="assets/p.svg#only-dark"> <link rel=canonical href=https://example.com/>
			<a href="a.html#y">bad</a> <a href="b.html">bad</a> <script src="https://cdn.example.com/s.js"></script>
			<link href="//fonts.example.com/f" rel="stylesheet"><a href="#bottom">bad</a>`),
		"a.html":       file(`<h2 class="c" id="x">X</h2><a href=".">good</a><a href="/assets/s.css">good</a>`),
		"assets/s.css": file(`a{background:url("https://example.com/i.png")} b{background:url(data:image/png;base64,x)}`),
		"assets/p.svg": file(`<svg xmlns="http://www.w3.org/2000/svg"></svg>`),
	})
	if err != nil || pages != 2 {
		t.Fatalf("%d pages, %v", pages, err)
	}
	want := []string{
		"assets/s.css: https://example.com/i.png comes from elsewhere",
		"index.html: <a> #bottom: index.html has no such place",
		"index.html: <a> a.html#y: a.html has no such place",
		"index.html: <a> b.html: there is no b.html",
		"index.html: <link> //fonts.example.com/f: it comes from elsewhere",
		"index.html: <script> https://cdn.example.com/s.js: it comes from elsewhere",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
