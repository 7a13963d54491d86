package linuxbuild

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"
)

func TestPack(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program = program[:min(len(program), 1<<20)]
	first, err := Pack(program)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Pack(program)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("packed twice it differs: %v", err)
	}
	if len(first) >= len(program) {
		t.Errorf("%d bytes are packed into %d", len(program), len(first))
	}
	if back, err := unpack(first); err != nil || !bytes.Equal(back, program) {
		t.Errorf("it does not come back: %v", err)
	}
	first[len(first)-1] ^= 1
	if _, err := unpack(first); err == nil {
		t.Error("what is damaged is unpacked")
	}
}

// Without the tag selfcontained nothing is inside, and with it the program for the same
// architecture, as it was packed.
func TestInside(t *testing.T) {
	program, err := Program(runtime.GOARCH)
	if !Has(runtime.GOARCH) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elf.NewFile(bytes.NewReader(program)); err != nil {
		t.Error(err)
	}
	if _, err := Program("riscv64"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
