package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
)

// read reads a model.
func read(path string, model *model) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	if err := json.NewDecoder(z).Decode(model); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
