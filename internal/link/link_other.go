//go:build !linux

package link

import (
	"errors"
	"net/netip"
)

var errLinux = errors.New("links of this kind are only on Linux")

// Loopback is the link that every machine has, for one whose kernel makes no others.
const Loopback = "lo"

// Ensure makes a link of the kind dummy, if there is none of the name, and brings it up.
func Ensure(string) error { return errLinux }

// Address gives a link an address and the route to it, if it has none.
func Address(string, netip.Addr) error { return errLinux }
