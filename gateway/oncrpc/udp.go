package oncrpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxDatagram is the largest UDP payload over IPv4.
const maxDatagram = 65507

// ServeUDP answers the datagrams of pc until ctx ends. It closes pc. A datagram is one whole message, RFC 5531 §10.
func (s *Server) ServeUDP(ctx context.Context, pc net.PacketConn) error {
	uc, ok := pc.(*net.UDPConn)
	if !ok {
		return errors.New("oncrpc: not a UDP socket")
	}
	stop := context.AfterFunc(ctx, func() { uc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer uc.Close()
	wantLocalAddress(uc)
	bound := addrPort(uc.LocalAddr())
	limit := s.cfg.MaxInFlight
	if limit <= 0 {
		limit = 256
	}
	slots := make(chan struct{}, limit)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drain, cancel) })()

	var known credentials
	buf, oob := make([]byte, maxDatagram), make([]byte, 128)
	for {
		n, on, flags, from, err := uc.ReadMsgUDPAddrPort(buf, oob)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // an ICMP error of an earlier reply
			continue
		}
		x := s.exchange()
		for len(x.record.data)+n > cap(x.record.data) {
			x.record.grow()
		}
		x.record.data = append(x.record.data, buf[:n]...)
		x.UDP, x.Remote, x.Local = true, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), bound
		var to netip.Addr
		x.oob, to = replyControl(x.oob[:0], oob[:on])
		if to.IsValid() {
			x.Local = netip.AddrPortFrom(to, bound.Port())
		}
		ready, err := false, errNotCall
		if flags&unix.MSG_TRUNC == 0 {
			ready, err = x.admit(&known)
		}
		if err != nil {
			s.metrics.bad.Inc()
			if s.quiet.allow(x.Remote.Addr()) {
				s.log.Warn("datagram dropped", "from", from, "err", err)
			}
			x.free()
			continue
		}
		if !ready {
			s.replyUDP(uc, x, from)
			x.free()
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			x.free()
			return ctx.Err()
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer x.free()
			if x.run(running) {
				s.replyUDP(uc, x, from)
			}
		})
	}
}

func (s *Server) replyUDP(uc *net.UDPConn, x *exchange, to netip.AddrPort) {
	if len(x.Tail) > 0 {
		x.out = append(append(x.out, x.Tail...), padding[:-len(x.Tail)&3]...)
	}
	if len(x.out)-4 > maxDatagram {
		s.log.Error("reply does not fit a datagram", "to", to, "bytes", len(x.out)-4)
		x.refuse(SystemErr)
	}
	// A reply that cannot be sent is one that was lost: the client retransmits.
	uc.WriteMsgUDPAddrPort(x.out[4:], x.oob, to)
}

// wantLocalAddress asks the kernel for each datagram's destination address: ip(7) IP_PKTINFO, ipv6(7) IPV6_RECVPKTINFO.
func wantLocalAddress(uc *net.UDPConn) {
	rc, err := uc.SyscallConn()
	if err != nil {
		return
	}
	rc.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
}

// replyControl turns the control message of a datagram into the one that sends the reply from the address that the datagram went to.
func replyControl(b, got []byte) ([]byte, netip.Addr) {
	msgs, err := unix.ParseSocketControlMessage(got)
	if err != nil {
		return b, netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			in := (*unix.Inet4Pktinfo)(unsafe.Pointer(&m.Data[0]))
			return append(b, unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: in.Spec_dst})...), netip.AddrFrom4(in.Spec_dst)
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			in := (*unix.Inet6Pktinfo)(unsafe.Pointer(&m.Data[0]))
			a := netip.AddrFrom16(in.Addr).Unmap()
			if a.IsMulticast() {
				return b, netip.Addr{}
			}
			out := unix.Inet6Pktinfo{Addr: in.Addr}
			if a.IsLinkLocalUnicast() {
				out.Ifindex = in.Ifindex
			}
			return append(b, unix.PktInfo6(&out)...), a
		}
	}
	return b, netip.Addr{}
}

// isReset reports that the peer is gone without a word more.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
