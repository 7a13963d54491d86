//go:build selfcontained

package linuxbuild

import "embed"

//go:embed openirsa-linux-arm64.zst
var files embed.FS
