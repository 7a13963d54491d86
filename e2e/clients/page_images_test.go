package clients

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/token"
)

// imagesVariable names the folder in which TestPageImages leaves what it took: for
// docs/images it is run, in e2e, as
//
//	OPENIRSA_PAGE_IMAGES=$PWD/../docs/images go test -count=1 -run TestPageImages ./clients
const imagesVariable = "OPENIRSA_PAGE_IMAGES"

// maxImage bounds a picture of the documentation, in bytes.
const maxImage = 150_000

// TestPageImages takes the pictures of the page that the documentation shows, in light
// and dark, and looks at the page in several widths on the way: nothing sticks out of
// it, and texts stand out from what is behind them as WCAG 2.1 AA asks for.
func TestPageImages(t *testing.T) {
	browser := findBrowser(t)
	a := emulatortest.Start(t)
	iss := a.Issuer("dev")
	client := func(role, account string) *iam.Client {
		return iam.NewFromConfig(a.Session(role, kubernetesToken(a, iss, account)))
	}
	reports := a.Role("reports", iss.Trust("shop", "reports"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	if _, err := client(reports, "reports").ListGroups(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	orders := a.Role("orders", iss.Trust("shop", "orders"))
	for range 3 {
		if _, err := a.Assume(orders, kubernetesToken(a, iss, "checkout")); err == nil {
			t.Fatal("checkout has the role of orders")
		}
	}

	folder := cmp.Or(os.Getenv(imagesVariable), t.TempDir())
	page := openPage(t, browser, a.URL+"/_openirsa/")
	page.call("Emulation.setTimezoneOverride", map[string]any{"timezoneId": "UTC"})
	page.call("Emulation.setScrollbarsHidden", map[string]any{"hidden": true}) // a picture has none, and would be wider than what was measured
	page.call("Emulation.setLocaleOverride", map[string]any{"locale": "en-GB"})
	page.waitFor(`document.querySelectorAll("#chains > .chain").length === 3 && document.querySelector("#events .count")?.textContent === "3 times"`)
	for _, scheme := range []string{"light", "dark"} {
		page.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}})
		page.size(1100, 900)
		page.evaluate(`document.querySelectorAll("details").forEach(d => d.open = false);
			document.querySelectorAll("#chains > details").forEach(d => d.open = !d.matches(".unused"))`)
		page.save(t, filepath.Join(folder, "page-"+scheme+".png"), `document.querySelector("#chains").lastElementChild.getBoundingClientRect().bottom + scrollY + 12`)
		page.evaluate(`document.querySelectorAll("details").forEach(d => d.open = true)`)
		for _, width := range []int{320, 390, 700, 810, 1400} {
			page.size(width, 900)
			if out := page.evaluate(sticksOut); out != "" {
				t.Errorf("at a width of %d in %s these stick out: %s", width, scheme, out)
			}
			page.save(t, filepath.Join(t.TempDir(), "wide.png"), "900")
		}
		if faint := page.evaluate(tooFaint); faint != "" {
			t.Errorf("in %s these have too little contrast: %s", scheme, faint)
		}
	}

	// Of many service accounts the first are there, folded, and the others for the asking.
	for i := range 47 {
		a.Role(fmt.Sprintf("worker-%02d", i), iss.Trust("batch", fmt.Sprintf("worker-%02d", i)))
	}
	page.waitFor(`document.querySelectorAll("#chains > .chain").length === 20 && document.querySelector("#more-chains").innerText === "Show 30 more"`)
	page.size(1100, 900)
	if out := page.evaluate(sticksOut); out != "" {
		t.Errorf("of many service accounts these stick out: %s", out)
	}
	page.evaluate(`document.querySelectorAll("details").forEach(d => d.open = false)`)
	page.save(t, filepath.Join(t.TempDir(), "many.png"), "900")
	page.evaluate(`document.querySelector("#more-chains button").click()`)
	page.waitFor(`document.querySelectorAll("#chains > .chain").length === 50 && document.querySelector("#more-chains").hidden`)
}

// kubernetesToken is a token as kubelet gives it to a pod.
func kubernetesToken(a *emulatortest.AWS, iss *emulatortest.Issuer, account string) string {
	now := a.Now()
	return iss.Mint(token.Claims{Issuer: iss.URL.String(), Subject: token.Subject("shop", account), Audience: []string{emulatortest.Audience},
		IssuedAt: token.At(now), NotBefore: token.At(now), Expiry: token.At(now.Add(time.Hour)),
		Kubernetes: token.Kubernetes{Namespace: "shop", Pod: &token.Ref{Name: account + "-7d9f6c5b8-x2x7q"}},
	})
}

// sticksOut are elements of the page whose text is wider than they are.
const sticksOut = `[...document.querySelectorAll("summary, p, dd, dt, h3, pre, input, select, label, nav, .head, .links *, button")]
	.filter(e => !(e instanceof SVGElement) && getComputedStyle(e).display !== "inline" &&
		(e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1))
	.map(e => e.className + " " + e.textContent.slice(0, 40)).join("; ")`

// tooFaint are texts with a contrast below 4.5 to what is behind them (WCAG 2.1, success
// criterion 1.4.3).
const tooFaint = `(() => {
	const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
	const luminance = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; }
		return [255, 255, 255]; };
	const faint = new Set();
	for (const e of document.querySelectorAll("body *")) {
		if (e instanceof SVGElement || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
		const [x, y] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))].sort((a, b) => b - a);
		if ((x + .05) / (y + .05) < 4.5) faint.add(e.tagName + "." + e.className + " " + ((x + .05) / (y + .05)).toFixed(1));
	}
	return [...faint].join("; ");
})()`

func (p *browserPage) size(width, height int) {
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

// save takes a picture of the upper part of the page, whose height is an expression.
func (p *browserPage) save(t *testing.T, file, height string) {
	t.Helper()
	size, ok := p.evaluate(`[innerWidth, Math.ceil(` + height + `)]`).([]any)
	if !ok || len(size) != 2 {
		t.Fatalf("the size is %v", size)
	}
	result := p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}})
	taken, err := base64.StdEncoding.DecodeString(result["data"].(string))
	if err != nil {
		t.Fatal(err)
	}
	small, err := shrink(taken)
	if err != nil {
		t.Fatal(err)
	}
	if len(small) > maxImage || len(small) < 5000 {
		t.Errorf("%s has %d bytes", file, len(small))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, small, 0o644); err != nil {
		t.Fatal(err)
	}
}

// shrink writes a PNG again with a palette of the 256 commonest colours. Those that are
// left, of the edges of letters, become the nearest of them.
func shrink(taken []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(taken))
	if err != nil {
		return nil, err
	}
	bounds := from.Bounds()
	counts := map[color.NRGBA]int{}
	at := func(x, y int) color.NRGBA { return color.NRGBAModel.Convert(from.At(x, y)).(color.NRGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	common := slices.SortedFunc(maps.Keys(counts), func(a, b color.NRGBA) int {
		return cmp.Or(counts[b]-counts[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var palette color.Palette
	for _, c := range common[:min(len(common), 256)] {
		palette = append(palette, c)
	}
	nearest := map[color.NRGBA]uint8{}
	for _, c := range common {
		nearest[c] = uint8(palette.Index(c))
	}
	to := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			to.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&b, to)
	return b.Bytes(), err
}
