package oncrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Listen opens one port for TCP and UDP, over IPv4 and IPv6, at addr (an IP address, or a name, or empty for all). With port 0 the
// kernel chooses a number that is free for all of them. Where the host has no IPv6 there are only the IPv4 sockets.
//
// IPv4 and IPv6 have sockets of their own, so that a UDP reply leaves from the address that the call was sent to.
func Listen(ctx context.Context, addr string, port uint16) (tcp []net.Listener, udp []net.PacketConn, err error) {
	families := []string{"4", "6"}
	hosts := map[string]string{"4": "0.0.0.0", "6": "::"}
	if addr != "" {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
		families, hosts = nil, map[string]string{}
		for _, ip := range ips {
			ip = ip.Unmap()
			f := "6"
			if ip.Is4() {
				f = "4"
			}
			if hosts[f] == "" {
				hosts[f] = ip.String()
				families = append(families, f)
			}
		}
	}
	for try := 0; ; try++ {
		tcp, udp, err = listen(ctx, families, hosts, addr == "", port)
		if err == nil || port != 0 || try == 20 || !errors.Is(err, syscall.EADDRINUSE) {
			return tcp, udp, err
		}
	}
}

func listen(ctx context.Context, families []string, hosts map[string]string, all bool, port uint16) (tcp []net.Listener, udp []net.PacketConn, err error) {
	defer func() {
		if err != nil {
			for _, l := range tcp {
				l.Close()
			}
			for _, c := range udp {
				c.Close()
			}
			tcp, udp = nil, nil
		}
	}()
	var lc net.ListenConfig
	for _, f := range families {
		at := net.JoinHostPort(hosts[f], fmt.Sprint(port))
		l, err := lc.Listen(ctx, "tcp"+f, at)
		if err != nil {
			if all && f == "6" && noFamily(err) {
				continue
			}
			return tcp, udp, err
		}
		tcp = append(tcp, l)
		port = netip.MustParseAddrPort(l.Addr().String()).Port()
		c, err := lc.ListenPacket(ctx, "udp"+f, net.JoinHostPort(hosts[f], fmt.Sprint(port)))
		if err != nil {
			return tcp, udp, err
		}
		udp = append(udp, c)
	}
	return tcp, udp, nil
}

// noFamily reports that the kernel has no IPv6, or has it switched off.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// Bound tells the port of what Listen opened, and whether it is served over IPv4 and over IPv6.
func Bound(tcp []net.Listener) (port uint16, ipv4, ipv6 bool) {
	for _, l := range tcp {
		ap := addrPort(l.Addr())
		port = ap.Port()
		ipv4 = ipv4 || ap.Addr().Is4()
		ipv6 = ipv6 || ap.Addr().Is6()
	}
	return port, ipv4, ipv6
}
