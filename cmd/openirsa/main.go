// Openirsa is the whole of OpenIRSA in one program: what makes, shows and removes the
// chain that gives a pod an IAM role, and the programs that run in pods, which it also
// is when it is called by their names. `openirsa --help` is the manual.
package main

import (
	"github.com/openirsa/openirsa/cmd/openirsa/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() { cli.Main(app.Main) }
