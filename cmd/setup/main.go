// Setup makes, shows and removes the chain that gives a pod an IAM role: the
// operator's command of OpenIRSA, without the programs that run in pods, which
// openirsa has too. `setup --help` is the manual.
package main

import (
	"github.com/openirsa/openirsa/cmd/setup/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() { cli.Main(app.Main) }
