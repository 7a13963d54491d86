package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Loopback is the link that every machine has, for one whose kernel makes no others.
const Loopback = "lo"

// Ensure makes a link of the kind dummy, if there is none of the name, and brings it up.
// The error is [errors.ErrUnsupported] where the kernel has no such links.
func Ensure(name string) error { return ensure(name, "dummy") }

func ensure(name, kind string) error {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return fmt.Errorf("link %q: a name has 1 to %d bytes", name, unix.IFNAMSIZ-1)
	}
	info := attribute(unix.IFLA_INFO_KIND, []byte(kind))
	body := slices.Concat(linkHeader(0), attribute(unix.IFLA_IFNAME, append([]byte(name), 0)), attribute(unix.IFLA_LINKINFO, info))
	if err := request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err == nil {
		return nil
	} else if !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("making the link %s: %w", name, err)
	}
	l, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("finding the link %s: %w", name, err)
	}
	if err := request(unix.RTM_NEWLINK, 0, linkHeader(l.Index)); err != nil {
		return fmt.Errorf("bringing up the link %s: %w", name, err)
	}
	return nil
}

// Address gives a link an address and the route to it, if it has none. It returns when the
// kernel uses the address, which may take 10 seconds at most.
func Address(name string, address netip.Addr) error {
	l, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("finding the link %s: %w", name, err)
	}
	family, scope := byte(unix.AF_INET), byte(unix.RT_SCOPE_LINK)
	if address.Is6() {
		family, scope = unix.AF_INET6, unix.RT_SCOPE_UNIVERSE
	}
	bits, index := byte(address.BitLen()), native32(uint32(l.Index))
	// struct ifaddrmsg of linux/if_addr.h. Nobody else on the link could have the address,
	// so nobody is searched for.
	header := append([]byte{family, bits, unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}, index...)
	body := slices.Concat(header, attribute(unix.IFA_LOCAL, address.AsSlice()), attribute(unix.IFA_ADDRESS, address.AsSlice()))
	if err := request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("giving the link %s the address %s: %w", name, address, err)
	}
	// struct rtmsg of linux/rtnetlink.h.
	header = []byte{family, bits, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, scope, unix.RTN_UNICAST, 0, 0, 0, 0}
	body = slices.Concat(header, attribute(unix.RTA_DST, address.AsSlice()), attribute(unix.RTA_OIF, index))
	if err := request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("making the route to %s over the link %s: %w", address, name, err)
	}
	// An address of IPv6 is in use a moment after it was made (addrconf_dad_start in the
	// kernel's net/ipv6/addrconf.c): until then what is sent there is lost.
	for deadline := time.Now().Add(settles); address.Is6(); time.Sleep(time.Millisecond) {
		switch ours, err := local(address); {
		case err != nil:
			return fmt.Errorf("finding the route to %s: %w", address, err)
		case ours:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the link %s does not use the address %s after %s", name, address, settles)
		}
	}
	return nil
}

// settles is how long the kernel may take to use an address.
const settles = 10 * time.Second

// local reports whether what is sent to an address of IPv6 stays on this machine.
func local(address netip.Addr) (bool, error) {
	header := []byte{unix.AF_INET6, byte(address.BitLen()), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	messages, err := ask(unix.RTM_GETROUTE, 0, append(header, attribute(unix.RTA_DST, address.AsSlice())...))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(messages, func(m syscall.NetlinkMessage) bool {
		return m.Header.Type == unix.RTM_NEWROUTE && len(m.Data) >= unix.SizeofRtMsg && m.Data[7] == unix.RTN_LOCAL
	}), nil
}

// linkHeader is a struct ifinfomsg of linux/rtnetlink.h, of a link to bring up.
func linkHeader(index int) []byte {
	up := native32(unix.IFF_UP)
	return slices.Concat([]byte{unix.AF_UNSPEC, 0, 0, 0}, native32(uint32(index)), up, up)
}

// attribute is a struct rtattr with its value, as long as the next one needs it.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%unix.RTA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// request asks the kernel by rtnetlink (rtnetlink(7)) for one change, and waits until it
// is made. The error is the kernel's errno.
func request(kind uint16, flags int, body []byte) error {
	_, err := ask(kind, flags|unix.NLM_F_ACK, body)
	return err
}

// ask returns the kernel's answer to a question. The error is the kernel's errno.
func ask(kind uint16, flags int, body []byte) ([]syscall.NetlinkMessage, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	b := native32(uint32(unix.SizeofNlMsghdr + len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, uint16(flags|unix.NLM_F_REQUEST))
	b = slices.Concat(b, native32(1), native32(0), body)
	if err := unix.Sendto(fd, b, 0, kernel); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return nil, os.NewSyscallError("recvfrom", err)
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, errors.New("the kernel did not answer")
	}
	for _, m := range messages {
		if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
			if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
				return nil, unix.Errno(-code)
			}
		}
	}
	return messages, nil
}
