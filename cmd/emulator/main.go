// Emulator serves AWS's STS, IAM, S3 and KMS on one port, and says why it
// refuses a call.
package main

import (
	"github.com/openirsa/openirsa/cmd/emulator/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() { cli.Main(app.Main) }
