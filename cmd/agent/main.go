// Agent is the agent of EKS Pod Identity on a node: it gives pods the credentials of
// the role that is associated with their service account. It takes the flags of
// aws/eks-pod-identity-agent.
package main

import (
	"github.com/openirsa/openirsa/cmd/agent/app"
	"github.com/openirsa/openirsa/internal/cli"
)

func main() { cli.Main(app.Main) }
