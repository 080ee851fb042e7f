package rpcbind

import "dittofs/gateway/xdr"

// Program number, versions and port, RFC 1833 §2.1 and §3.2.
const (
	Program = 100000
	V2      = 2
	V3      = 3
	V4      = 4
	Port    = 111

	// Socket is where the host's own keeper listens for registrations.
	Socket = "/run/rpcbind.sock"
)

// Procedures, RFC 1833 §2.2.1 and §3.1.
const (
	procNull        = 0
	procSet         = 1
	procUnset       = 2
	procGetAddr     = 3
	procGetPort     = 3
	procDump        = 4
	procGetTime     = 6
	procGetVersAddr = 9
)

// Protocols of version 2, RFC 1833 §3.1.
const (
	protoTCP = 6
	protoUDP = 17
)

const (
	maxString = 1024  // of a netid, an address, an owner
	maxList   = 10000 // entries of a DUMP that we take from another
)

// Mapping is rpcb, RFC 1833 §2.1.
type Mapping struct {
	Program uint32
	Version uint32
	Netid   string // "tcp", "udp", "tcp6", "udp6", "local"
	Addr    string // universal address
	Owner   string
}

// XDR moves rpcb.
func (m *Mapping) XDR(x *xdr.Stream) {
	x.Uint32(&m.Program)
	x.Uint32(&m.Version)
	x.String(&m.Netid, maxString)
	x.String(&m.Addr, maxString)
	x.String(&m.Owner, maxString)
}

// pmap is mapping, RFC 1833 §3.1.
type pmap struct{ Program, Version, Protocol, Port uint32 }

func (m *pmap) XDR(x *xdr.Stream) {
	x.Uint32(&m.Program)
	x.Uint32(&m.Version)
	x.Uint32(&m.Protocol)
	x.Uint32(&m.Port)
}

// list is a linked list of the RFC, rpcblist and pmaplist: each element behind a TRUE, and a FALSE at the end.
type list[T any, P interface {
	*T
	xdr.Value
}] struct{ items []T }

func (l *list[T, P]) XDR(x *xdr.Stream) {
	if !x.Decoding() {
		more := true
		for i := range l.items {
			x.Bool(&more)
			P(&l.items[i]).XDR(x)
		}
		more = false
		x.Bool(&more)
		return
	}
	l.items = nil
	for {
		var more bool
		x.Bool(&more)
		if !more || x.Err() != nil {
			return
		}
		if len(l.items) == maxList {
			x.Fail(xdr.ErrTooLong)
			return
		}
		var e T
		P(&e).XDR(x)
		l.items = append(l.items, e)
	}
}

type boolean struct{ v bool }

func (b *boolean) XDR(x *xdr.Stream) { x.Bool(&b.v) }

type number struct{ v uint32 }

func (n *number) XDR(x *xdr.Stream) { x.Uint32(&n.v) }

type text struct{ v string }

func (s *text) XDR(x *xdr.Stream) { x.String(&s.v, maxString) }
