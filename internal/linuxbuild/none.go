//go:build !selfcontained || !(amd64 || arm64)

package linuxbuild

import "embed"

var files embed.FS
