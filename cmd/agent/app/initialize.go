package app

import (
	"errors"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/link"
	"github.com/openirsa/openirsa/pkg/agent"
)

// linkName is that of the original, so that either finds the other's.
const linkName = "pod-id-link0"

// initializeCommand is the command initialize. It is apart from the agent, which talks
// with strangers and needs no right to change the node's network.
func initializeCommand(in *cli.Invocation) *cobra.Command {
	var l cli.Log
	c := &cobra.Command{
		Use:   "initialize",
		Short: "Give this node the addresses that the agent listens on",
		Long: "Make the link " + linkName + " with the addresses at which SDKs look for the agent, and the\n" +
			"routes to them; the loopback link gets them where the kernel makes no such link. What\n" +
			"is there already stays. It needs CAP_NET_ADMIN, in the node's\n" +
			"network. A node without IPv6 gets the other address, and a warning says so.",
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := l.Open(in.Stderr)
			if err != nil {
				return err
			}
			name := linkName
			if err := link.Ensure(name); errors.Is(err, errors.ErrUnsupported) {
				log.Info("the kernel has no links of the kind dummy: the loopback link gets the addresses", "error", err)
				name = link.Loopback
			} else if err != nil {
				return err
			}
			for _, host := range agent.Hosts() {
				address, err := netip.ParseAddr(host)
				if err != nil {
					return err
				}
				switch err := link.Address(name, address); {
				case err == nil:
					log.Info("the node has the agent's address", "link", name, "address", address)
				case address.Is6():
					log.Warn("the node has no IPv6", "link", name, "address", address, "error", err)
				default:
					return err
				}
			}
			return nil
		},
	}
	l.Flags(c.Flags(), "what to log: debug, info, warn or error")
	cli.OnlyFlags(c)
	return c
}
