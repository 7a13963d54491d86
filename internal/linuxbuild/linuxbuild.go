// Package linuxbuild holds, in programs for systems other than Linux, the Linux build
// of the program openirsa, of which the container image is made. It is put in by
// building with the tag selfcontained, after
//
//	go run ./internal/linuxbuild/pack bin/linux-arm64/openirsa arm64
package linuxbuild

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// File is the name of the compressed program for an architecture, in this folder.
func File(arch string) string { return "openirsa-linux-" + arch + ".zst" }

// Program is the program for an architecture, as Go names it. The error is one of
// fs.ErrNotExist if it is not in this program.
func Program(arch string) ([]byte, error) {
	packed, err := files.ReadFile(File(arch))
	if err != nil {
		return nil, err
	}
	program, err := unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("the Linux program in this one is damaged: %w", err)
	}
	return program, nil
}

// Has reports whether the program for an architecture is in this one.
func Has(arch string) bool {
	f, err := files.Open(File(arch))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	f.Close()
	return true
}

// Pack compresses a program. The same program gives the same bytes.
func Pack(program []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(program, nil), w.Close()
}

func unpack(packed []byte) ([]byte, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(packed, nil)
}
