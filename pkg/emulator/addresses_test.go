package emulator

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestPublicAddresses: an address that AWS could not reach is refused as it is
// dialled, in each form that an address can have. The blocks are those of
// IANA's registries of special-purpose addresses.
func TestPublicAddresses(t *testing.T) {
	dial := func(ip string) error {
		return refusePrivate("tcp", net.JoinHostPort(ip, "443"), nil)
	}
	for _, ip := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.0.1",
		"169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1",
		"192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
		"255.255.255.255",
		"::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:127.0.0.1", // mapped
		"::127.0.0.1", "::8.8.8.8", "::a00:1", // compatible
		"::ffff:0:127.0.0.1", "::ffff:0:808:808", // translated
		"64:ff9b::a00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::a00:1", "64:ff9b:1:ffff::1", // NAT64
		"2001::1", "2001:0:53aa:64c::1", // Teredo
		"2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1", // benchmarks, ORCHID, other protocols
		"2001:db8::1", "3fff::1", "3fff:fff::1", // documentation
		"2002:a00:1::", "2002:808:808::1", // 6to4
		"100::1", "5f00::1", "4000::1", // discard, segment routing, not given out
		"fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "2600::1%lo", "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1",
	} {
		if err := dial(ip); err == nil || !strings.Contains(err.Error(), "AWS cannot reach") {
			t.Errorf("%s: %v", ip, err)
		}
	}
	for _, ip := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "52.95.110.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
		"191.255.255.255", "192.0.1.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8",
		"2001:200::1", "2001:4860:4860::8888", "2600:1f00::1", "2606:4700::1111", "2a05:d000::1", "3ffe::1",
	} {
		if err := dial(ip); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}
