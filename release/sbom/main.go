// Sbom writes what a Go program is made of as CycloneDX: its modules with their
// versions and checksums, and the Go toolchain's standard library, exactly as the
// program itself has them in it (`go version -m`). The same program gives the same bytes.
//
//	sbom PROGRAM DOCUMENT
package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"path"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: sbom PROGRAM DOCUMENT")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	var out bytes.Buffer
	encoder := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(document(info), cdx.SpecVersion1_6); err != nil {
		return err
	}
	return os.WriteFile(args[1], out.Bytes(), 0o644)
}

// document lists the modules of a program. It has no time and no serial number, which
// would be others each time.
func document(info *debug.BuildInfo) *cdx.BOM {
	bom := cdx.NewBOM()
	program := component(cdx.ComponentTypeApplication, info.Main)
	program.Name = path.Base(info.Path)
	program.Properties = &[]cdx.Property{}
	for _, s := range info.Settings {
		*program.Properties = append(*program.Properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	bom.Metadata = &cdx.Metadata{Component: &program}

	version := strings.TrimPrefix(info.GoVersion, "go")
	components := []cdx.Component{component(cdx.ComponentTypeLibrary, debug.Module{Path: "std", Version: version})}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, component(cdx.ComponentTypeLibrary, *m))
	}
	bom.Components = &components

	refs := make([]string, 0, len(components))
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &refs}}
	return bom
}

func component(kind cdx.ComponentType, m debug.Module) cdx.Component {
	purl := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := cdx.Component{BOMRef: purl, Type: kind, Name: m.Path, Version: m.Version, PackageURL: purl}
	if m.Sum != "" {
		// Of all files of the module, as in go.sum.
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
	}
	return c
}
