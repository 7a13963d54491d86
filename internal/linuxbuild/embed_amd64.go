//go:build selfcontained

package linuxbuild

import "embed"

//go:embed openirsa-linux-amd64.zst
var files embed.FS
