package s3

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) getAttributes() (*answer, *failure) {
	o, e := q.permitted("s3:GetObject", "s3:GetObjectAttributes")
	if e != nil {
		return nil, e
	}
	var wanted []string
	for v := range strings.SplitSeq(strings.Join(q.Request.Header.Values("X-Amz-Object-Attributes"), ","), ",") {
		wanted = append(wanted, strings.TrimSpace(v))
	}
	known := []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
	for _, v := range wanted {
		if !slices.Contains(known, v) {
			return nil, errInvalidArgument("Invalid attribute name specified.", "x-amz-object-attributes", v)
		}
	}
	wants := func(name string) bool { return slices.Contains(wanted, name) }
	limit := maxList
	if v := q.Request.Header.Get("X-Amz-Max-Parts"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil, errInvalidArgument("Argument max-parts must be an integer between 0 and 2147483647", "x-amz-max-parts", v)
		}
		limit = min(n, maxList)
	}
	marker, _ := strconv.Atoi(q.Request.Header.Get("X-Amz-Part-Number-Marker"))

	a := document("GetObjectAttributesResponse", func(x *wire.XML) {
		if wants("ETag") {
			x.Text("ETag", o.ETag)
		}
		if wants("Checksum") && o.Checksum != "" {
			x.Open("Checksum")
			x.Text("Checksum"+string(o.Algorithm), o.Checksum)
			x.Text("ChecksumType", o.ChecksumType)
			x.Close("Checksum")
		}
		if wants("ObjectParts") {
			o.writeParts(x, marker, limit)
		}
		if wants("StorageClass") {
			x.Text("StorageClass", o.storageClass())
		}
		if wants("ObjectSize") {
			x.Number("ObjectSize", int(o.Size))
		}
	})
	a.set("Last-Modified", o.Modified.Format(http.TimeFormat))
	q.setVersion(a, o)
	return a, nil
}

// writeParts writes ObjectParts: those parts after the marker, at most limit of
// them. Parts are listed only with their checksums.
func (o *object) writeParts(x *wire.XML, marker, limit int) {
	if len(o.Parts) == 0 {
		return
	}
	x.Open("ObjectParts")
	defer x.Close("ObjectParts")
	x.Number("PartsCount", len(o.Parts)) // the name on the wire
	if o.Parts[0].Checksum == "" {
		return
	}
	first := slices.IndexFunc(o.Parts, func(p objectPart) bool { return p.Number > marker })
	var parts []objectPart
	if first >= 0 {
		parts = o.Parts[first:]
	}
	truncated := len(parts) > limit
	parts = parts[:min(len(parts), limit)]
	x.Number("PartNumberMarker", marker)
	if len(parts) > 0 {
		x.Number("NextPartNumberMarker", parts[len(parts)-1].Number)
	}
	x.Number("MaxParts", limit)
	x.Bool("IsTruncated", truncated)
	for _, p := range parts {
		x.Open("Part")
		x.Number("PartNumber", p.Number)
		x.Number("Size", int(p.Size))
		if p.Checksum != "" {
			x.Text("Checksum"+string(o.Algorithm), p.Checksum)
		}
		x.Close("Part")
	}
}
