// Issuer keeps the public documents of clusters where AWS reads them: it serves
// them, keeps an S3 bucket in step with a cluster's keys, or signs the tokens.
// `issuer --help` is the manual.
package main

import (
	"github.com/openirsa/openirsa/cmd/issuer/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() { cli.Main(app.Main) }
