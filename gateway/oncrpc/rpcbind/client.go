package rpcbind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// ErrNotRegistered says that the keeper knows no such program there.
var ErrNotRegistered = errors.New("rpcbind: program not registered")

// Client asks one keeper.
type Client struct{ *oncrpc.Client }

// Dial connects to a keeper: "unix" and its socket's path, or "tcp" or "udp" and host:port.
func Dial(ctx context.Context, network, addr string) (Client, error) {
	c, err := oncrpc.Dial(ctx, network, addr)
	return Client{c}, err
}

func (c Client) call(ctx context.Context, vers, proc uint32, args, res xdr.Value) error {
	return c.Call(ctx, Program, vers, proc, oncrpc.Cred{}, args, res)
}

// Set registers m, in version 4, else 3, else 2. false: somebody else has it, or the keeper refuses.
func (c Client) Set(ctx context.Context, m Mapping) (bool, error) { return c.change(ctx, procSet, m) }

// Unset removes m's program and version at m's netid, or at all where that is empty.
func (c Client) Unset(ctx context.Context, m Mapping) (bool, error) {
	m.Addr = ""
	return c.change(ctx, procUnset, m)
}

func (c Client) change(ctx context.Context, proc uint32, m Mapping) (bool, error) {
	var res boolean
	for _, v := range []uint32{V4, V3} {
		err := c.call(ctx, v, proc, &m, &res)
		if !unknown(err) {
			return res.v, err
		}
	}
	p := pmap{Program: m.Program, Version: m.Version, Protocol: protocol(m.Netid)}
	if ap, err := ParseUaddr(m.Addr); err == nil {
		p.Port = uint32(ap.Port())
	}
	if p.Protocol == 0 {
		return false, nil
	}
	err := c.call(ctx, V2, proc, &p, &res)
	return res.v, err
}

// GetAddr asks where the program answers over the netid, in version 4, 3, then 2.
func (c Client) GetAddr(ctx context.Context, program, version uint32, netid string) (netip.AddrPort, error) {
	remote := netip.AddrPort{}
	if a, ok := c.remote(); ok {
		remote = a
	}
	m := Mapping{Program: program, Version: version, Netid: netid}
	if remote.IsValid() {
		m.Addr = Uaddr(remote)
	}
	for _, v := range []uint32{V4, V3} {
		var res text
		err := c.call(ctx, v, procGetAddr, &m, &res)
		if unknown(err) {
			continue
		}
		if err != nil {
			return netip.AddrPort{}, err
		}
		if res.v == "" {
			return netip.AddrPort{}, ErrNotRegistered
		}
		ap, err := ParseUaddr(res.v)
		if err == nil && ap.Port() == 0 {
			err = ErrNotRegistered
		}
		return ap, err
	}
	port, err := c.GetPort(ctx, program, version, protocol(netid))
	return netip.AddrPortFrom(remote.Addr(), port), err
}

func (c Client) remote() (netip.AddrPort, bool) {
	switch a := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.AddrPort(), true
	case *net.UDPAddr:
		return a.AddrPort(), true
	}
	return netip.AddrPort{}, false
}

// GetPort asks version 2, RFC 1833 §3.2.
func (c Client) GetPort(ctx context.Context, program, version, protocol uint32) (uint16, error) {
	if protocol == 0 {
		return 0, ErrNotRegistered
	}
	var res number
	if err := c.call(ctx, V2, procGetPort, &pmap{Program: program, Version: version, Protocol: protocol}, &res); err != nil {
		return 0, err
	}
	if res.v == 0 || res.v > 65535 {
		return 0, ErrNotRegistered
	}
	return uint16(res.v), nil
}

// Dump lists what is registered, in version 4, else 3, else 2.
func (c Client) Dump(ctx context.Context) ([]Mapping, error) {
	for _, v := range []uint32{V4, V3} {
		var l list[Mapping, *Mapping]
		if err := c.call(ctx, v, procDump, &xdr.Void{}, &l); !unknown(err) {
			return l.items, err
		}
	}
	var l list[pmap, *pmap]
	err := c.call(ctx, V2, procDump, &xdr.Void{}, &l)
	var ms []Mapping
	for _, p := range l.items {
		n := map[uint32]string{protoTCP: "tcp", protoUDP: "udp"}[p.Protocol]
		ms = append(ms, Mapping{Program: p.Program, Version: p.Version, Netid: n,
			Addr: Uaddr(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(p.Port)))})
	}
	return ms, err
}

// unknown reports that the keeper does not speak this version or procedure.
func unknown(err error) bool {
	var r *oncrpc.Refused
	return errors.As(err, &r) && !r.Denied && (r.Accept == oncrpc.ProgMismatch || r.Accept == oncrpc.ProcUnavail)
}

// Lookup asks the keeper of host where the program answers over network, "tcp" or "udp": over that network first, because GETADDR answers
// for the transport that the question came by (RFC 1833 §2.2.1), then by version 2 over the other, half of the time each. from is the
// local address to ask from, or zero. Only the port of the answer counts: it is the host that is to be reached.
func Lookup(ctx context.Context, host netip.Addr, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error) {
	return lookupAt(ctx, netip.AddrPortFrom(host, Port), from, program, version, network)
}

func lookupAt(ctx context.Context, keeper netip.AddrPort, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error) {
	host := keeper.Addr()
	var errs []error
	other := map[string]string{"tcp": "udp", "udp": "tcp"}[network]
	for i, over := range []string{network, other} {
		tctx, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok && i == 0 {
			tctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		}
		ap, err := func() (netip.AddrPort, error) {
			rc, err := oncrpc.DialFrom(tctx, over, keeper.String(), from)
			if err != nil {
				return netip.AddrPort{}, err
			}
			defer rc.Close()
			if over == network {
				return Client{rc}.GetAddr(tctx, program, version, netid(network, host))
			}
			port, err := Client{rc}.GetPort(tctx, program, version, protocol(network))
			return netip.AddrPortFrom(host, port), err
		}()
		cancel()
		if err == nil {
			return netip.AddrPortFrom(host, ap.Port()), nil
		}
		errs = append(errs, err)
		if errors.Is(err, ErrNotRegistered) {
			break
		}
	}
	return netip.AddrPort{}, fmt.Errorf("rpcbind at %s: %w", host, errors.Join(errs...))
}

// Answers reports whether somebody keeps the port at addr, host:port.
func Answers(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := Dial(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	return c.call(ctx, V2, procNull, &xdr.Void{}, &xdr.Void{}) == nil
}
