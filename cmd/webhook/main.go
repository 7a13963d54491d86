// Webhook is the mutating admission webhook that gives pods their AWS
// identity. It takes the flags of amazon-eks-pod-identity-webhook.
package main

import (
	"github.com/openirsa/openirsa/cmd/webhook/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() { cli.Main(app.Main) }
