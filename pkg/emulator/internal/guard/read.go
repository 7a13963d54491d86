package guard

import (
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/input"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// read completes what a request asks for by its body, which a form has its
// operation in. All parameters must be in one place, the body or the URL.
func (a *asked) read(b *body) *wire.Failure {
	if a.protocol != wire.Query && a.protocol != wire.QueryEC2 {
		return nil
	}
	malformed := func(format string, args ...any) *wire.Failure {
		return wire.Errorf(http.StatusBadRequest, "MalformedInput", format, args...)
	}
	switch params, err := input.Form(b.reader()); {
	case err != nil:
		return malformed("The emulator cannot read the parameters of the request: %.200s", err.Error())
	case len(params) > 0 && len(a.query) > 0:
		return malformed("The request has parameters both in its body and in its URL")
	case len(params) > 0:
		a.params = params
	default:
		a.params = make(map[string]string, len(a.query))
		for name, values := range a.query {
			if len(values) > 1 {
				return malformed("The parameter %.40q is there twice", name)
			}
			a.params[name] = values[0]
		}
	}
	a.operation = a.params["Action"]
	if !actionForm.MatchString(a.operation) {
		a.operation = ""
		return wire.Errorf(http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action")
	}
	version := a.params["Version"]
	models := awsapi.ByVersion(version, a.signs)
	if len(models) == 0 && len(a.models) > 0 {
		return wire.Errorf(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %.40s", a.operation, version)
	}
	a.model, a.op = nil, nil
	a.queried(models)
	return nil
}

// input is the input of a call as a tree: the members of the operation as its model
// names them. Of an operation that no model has it is what the client sent.
func (a *asked) input(r *http.Request, b *body) (map[string]any, error) {
	var members []awsapi.Member
	if a.op != nil {
		members = a.op.Members
	}
	switch a.protocol {
	case wire.Query, wire.QueryEC2:
		from := input.FromForm
		if a.model != nil && a.model.OldQuery {
			from = input.FromOldForm
		}
		tree, err := from(members, a.params)
		if err == nil {
			a.queuePath(r, tree)
		}
		return tree, err
	case wire.RESTJSON, wire.RESTXML, wire.RESTS3:
		if a.op == nil {
			return map[string]any{}, nil
		}
		return a.restInput(r, b)
	}
	reader, err := decoded(r, b)
	if err != nil {
		return nil, err
	}
	if a.protocol == wire.RPCCBOR || a.oldCBOR {
		whole, err := io.ReadAll(io.LimitReader(reader, maxMemory+1))
		if err != nil {
			return nil, err
		}
		if len(whole) > maxMemory {
			return nil, input.ErrTooLarge
		}
		tree, err := input.CBOR(whole)
		if err != nil {
			return nil, err
		}
		return input.FromJSON(members, tree)
	}
	tree, err := input.JSON(reader)
	if err != nil {
		return nil, err
	}
	return input.FromJSON(members, tree)
}

// decoded reads a body, which clients may have compressed (Smithy's documentation,
// "requestCompression trait"): gzip is the only way that there is.
func decoded(r *http.Request, b *body) (io.Reader, error) {
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return b.reader(), nil
	case "gzip":
		plain, err := gzip.NewReader(b.reader())
		if err != nil {
			return nil, input.ErrForm
		}
		return &limited{plain, maxBody}, nil
	}
	return nil, input.ErrForm
}

// limited is a reader that fails where it has more than there may be.
type limited struct {
	io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, input.ErrTooLarge
	}
	return n, err
}

// queuePath puts the URL of a queue into the input where SQS's clients of old say it
// by the path of the request alone.
func (a *asked) queuePath(r *http.Request, tree map[string]any) {
	if a.signs != "sqs" || !queueForm.MatchString(r.URL.Path) {
		return
	}
	if _, there := tree["QueueUrl"]; !there {
		tree["QueueUrl"] = strings.TrimSuffix(r.URL.Path, "/")
	}
}

// restInput is the input of an operation that is known by its path: labels,
// parameters, headers and the members of the body.
func (a *asked) restInput(r *http.Request, b *body) (map[string]any, error) {
	tree := map[string]any{}
	parts := input.Parts{Labels: a.labels, Query: a.query, Header: r.Header}
	var payload *awsapi.Member
	inBody := false
	for i, m := range a.op.Members {
		switch m.In {
		case awsapi.InPayload:
			payload = &a.op.Members[i]
		case awsapi.InBody:
			inBody = true
		}
	}
	if err := parts.Put(a.op.Members, tree); err != nil {
		return nil, err
	}
	if payload == nil && !inBody || payload != nil && payload.Shape != awsapi.Struct && payload.Shape != awsapi.Document {
		return tree, nil // the body says nothing that is decided about
	}
	reader, err := decoded(r, b)
	if err != nil {
		return nil, err
	}
	within := a.op.Members
	if payload != nil {
		within = payload.Members()
	}
	var sent map[string]any
	if a.protocol == wire.RESTXML {
		sent, err = input.XML(reader, within)
	} else if sent, err = input.JSON(reader); err == nil && (payload == nil || payload.Shape == awsapi.Struct) {
		sent, err = input.FromJSON(within, sent)
	}
	if err != nil {
		return nil, err
	}
	if payload != nil {
		tree[payload.Name] = sent
		return tree, nil
	}
	maps.Copy(tree, sent)
	return tree, nil
}
