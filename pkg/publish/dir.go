package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Dir is a directory that something else serves as the issuer's root.
type Dir string

// Plan decides which documents have to be written. Each is replaced whole, in
// the order of docs.
func (d Dir) Plan(docs []discovery.Document) ([]plan.Step, error) {
	var steps []plan.Step
	for _, doc := range docs {
		path := filepath.Join(string(d), filepath.FromSlash(doc.Path))
		there, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if err == nil && bytes.Equal(there, doc.Body) {
			continue
		}
		action := plan.Update
		if err != nil {
			action = plan.Create
		}
		steps = append(steps, plan.Step{Link: plan.Documents, Action: action, Summary: path, Do: func(context.Context) error {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			return durable.WriteFile(path, doc.Body, 0o644)
		}})
	}
	return steps, nil
}
