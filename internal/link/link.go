// Package link makes a network link on this machine that leads nowhere and has
// addresses: what asks there finds a program of the machine that listens at them.
//
//	err := link.Ensure("pod-id-link0")
//	err = link.Address("pod-id-link0", netip.MustParseAddr("169.254.170.23"))
//
// It needs CAP_NET_ADMIN. What is there already is left as it is, so that it can be done
// again and again.
package link
