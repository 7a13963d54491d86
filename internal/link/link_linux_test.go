package link_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openirsa/openirsa/internal/link"
	"github.com/openirsa/openirsa/internal/needs"
)

// What the kernel would take for another name, or none.
func TestNames(t *testing.T) {
	for _, name := range []string{"", "a-name-of-16-byte", strings.Repeat("a", 100)} {
		if err := link.Ensure(name); err == nil || !strings.Contains(err.Error(), "a name has 1 to 15 bytes") {
			t.Errorf("link %q: %v", name, err)
		}
	}
	if err := link.Address("no-such-link", netip.MustParseAddr("169.254.170.23")); err == nil || !strings.Contains(err.Error(), "finding the link no-such-link") {
		t.Error(err)
	}
}

// A link is made once, whatever was there, in a network that is this thread's own. A
// kernel without links of the kind dummy has others, for which the kernel is asked in the
// same way.
func TestLink(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		needs.Lacking(t, fmt.Errorf("a network namespace: %w", err))
	}
	made := 0
	for _, kind := range []string{"dummy", "bridge"} {
		name := "test-" + kind
		for range 2 {
			if err := link.EnsureKind(name, kind); errors.Is(err, errors.ErrUnsupported) {
				t.Logf("%s: %v", kind, err)
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			made++
		}
		l, err := net.InterfaceByName(name)
		if err != nil {
			continue
		}
		if l.Flags&net.FlagUp == 0 {
			t.Errorf("%+v is not up", l)
		}
		for _, address := range []string{"169.254.170.23", "169.254.170.23", "fd00:ec2::23", "fd00:ec2::23"} {
			if err := link.Address(name, netip.MustParseAddr(address)); err != nil {
				t.Error(err)
			}
		}
		if local, err := link.Local(netip.MustParseAddr("fd00:ec2::23")); err != nil || !local {
			t.Errorf("what is sent to the address stays on this machine: %t, %v", local, err)
		}
		if local, err := link.Local(netip.MustParseAddr("::1")); err == nil && local { // lo is down
			t.Errorf("what is sent to another address stays here: %t, %v", local, err)
		}
		addresses, err := l.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		if all := fmt.Sprint(addresses); !strings.Contains(all, "169.254.170.23/32") || !strings.Contains(all, "fd00:ec2::23/128") {
			t.Errorf("%s has %s", name, all)
		}
		routes, err := os.ReadFile("/proc/thread-self/net/route")
		if err != nil || !strings.Contains(string(routes), name+"\t17AAFEA9\t") {
			t.Errorf("routes, %v:\n%s", err, routes)
		}
	}
	if made == 0 {
		needs.Lacking(t, "links of the kinds dummy or bridge in this kernel")
	}
}
