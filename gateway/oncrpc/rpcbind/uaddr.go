package rpcbind

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Uaddr prints ap as a universal address: the IP address, then the port's two bytes. RFC 5665 §5.2.3.
func Uaddr(ap netip.AddrPort) string {
	return fmt.Sprintf("%s.%d.%d", ap.Addr().Unmap().WithZone(""), ap.Port()>>8, ap.Port()&0xff)
}

// ParseUaddr reads a universal address.
func ParseUaddr(s string) (netip.AddrPort, error) {
	bad := fmt.Errorf("rpcbind: %q is no universal address", s)
	host, low, ok := cutLast(s)
	if !ok {
		return netip.AddrPort{}, bad
	}
	host, high, ok := cutLast(host)
	if !ok {
		return netip.AddrPort{}, bad
	}
	h, err1 := strconv.ParseUint(high, 10, 8)
	l, err2 := strconv.ParseUint(low, 10, 8)
	a, err3 := netip.ParseAddr(host)
	if err1 != nil || err2 != nil || err3 != nil {
		return netip.AddrPort{}, bad
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(h)<<8|uint16(l)), nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// netid is the name of network ("tcp" or "udp") for a's family, RFC 5665 §5.
func netid(network string, a netip.Addr) string {
	if a.Unmap().Is6() {
		return network + "6"
	}
	return network
}

// protocol is the netid's number in version 2, which knows only IPv4; 0 for others.
func protocol(netid string) uint32 {
	switch netid {
	case "tcp":
		return protoTCP
	case "udp":
		return protoUDP
	}
	return 0
}

// Mappings lists what one port that oncrpc.Listen opened answers: each version over each of its sockets' netids.
func Mappings(program uint32, versions []uint32, port uint16, ipv4, ipv6 bool) []Mapping {
	var ms []Mapping
	add := func(network, addr string) {
		a := Uaddr(netip.AddrPortFrom(netip.MustParseAddr(addr), port))
		for _, v := range versions {
			ms = append(ms, Mapping{Program: program, Version: v, Netid: network, Addr: a, Owner: "superuser"})
		}
	}
	if ipv4 {
		add("tcp", "0.0.0.0")
		add("udp", "0.0.0.0")
	}
	if ipv6 {
		add("tcp6", "::")
		add("udp6", "::")
	}
	return ms
}
