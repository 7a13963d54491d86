package emulator

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Addresses that AWS could not reach as an issuer's, or that lead to places
// which only this machine can reach: the registries of special-purpose
// addresses of IANA (RFC 6890 and its successors), and multicast.
var (
	specialIPv4 = prefixes(
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carriers' networks, RFC 6598
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.31.196.0/24", // AS112
		"192.52.193.0/24", // AMT
		"192.88.99.0/24",  // relays of 6to4
		"192.168.0.0/16",  // private
		"192.175.48.0/24", // AS112
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
	)
	// globalIPv6 is all that is given out as global unicast. What holds an IPv4
	// address is outside of it, save for Teredo and 6to4: NAT64 (64:ff9b::/96,
	// 64:ff9b:1::/48), IPv4-compatible (::/96) and IPv4-translated
	// (::ffff:0:0:0/96); so are loopback, unique local, link-local and
	// site-local addresses, and multicast.
	globalIPv6  = netip.MustParsePrefix("2000::/3")
	specialIPv6 = prefixes(
		"2001::/23",         // protocol assignments: Teredo, benchmarks, ORCHID, ...
		"2001:db8::/32",     // documentation
		"2002::/16",         // 6to4
		"2620:4f:8000::/48", // AS112
		"3fff::/20",         // documentation
	)
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// public reports whether AWS could reach an address as an issuer's.
func public(ip netip.Addr) bool {
	ip = ip.Unmap() // an IPv4-mapped address is dialled as the IPv4 address
	special := specialIPv4
	if !ip.Is4() {
		if !globalIPv6.Contains(ip) { // nor does it if there is a zone
			return false
		}
		special = specialIPv6
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// refusePrivate keeps a connection from going where AWS could not go. It is
// called with the address that is about to be dialled, so names that resolve
// to something else the next time are of no use.
func refusePrivate(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not one: %w", address, err)
	}
	if ip := at.Addr().Unmap(); !public(ip) {
		return fmt.Errorf("AWS cannot reach %s (private issuers are not allowed)", ip)
	}
	return nil
}
