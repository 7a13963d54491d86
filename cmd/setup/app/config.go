package app

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/config"
)

// readConfig reads a configuration file, "-" being standard input, and says what
// of it is ignored. An error names the line and the field.
func (a *app) readConfig(path string) (config.File, error) {
	var body []byte
	var err error
	if path == "-" {
		body, err = io.ReadAll(a.Stdin)
	} else {
		body, err = os.ReadFile(path)
	}
	if err != nil {
		return config.File{}, fmt.Errorf("reading the configuration: %w", err)
	}
	file, unread, err := config.Parse(body)
	if err != nil {
		return config.File{}, cli.Usage(fmt.Errorf("%s: %w", path, err))
	}
	if len(unread) > 0 {
		plain.Fprintf(a.err, "note: %s: ignored, since it has no meaning here: %s\n", path, strings.Join(unread, ", "))
	}
	return file, nil
}
