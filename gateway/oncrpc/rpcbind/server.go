package rpcbind

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// Server keeps port 111 where nobody else does: NULL, SET, UNSET, GETADDR or GETPORT, DUMP and GETTIME of versions 2, 3 and 4, and
// version 4's GETVERSADDR. It calls nothing on anybody's behalf (CALLIT, INDIRECT, BCAST), so it cannot be used to reach others.
//
// SET and UNSET are taken from its Unix socket, which only root can open, and from loopback addresses with a port below 1024, which
// only root can have.
type Server struct {
	mu   sync.Mutex // guards list
	list []Mapping
}

// maxMappings bounds the table; a host's own programs are some dozens.
const maxMappings = 1000

// NewServer returns a keeper that knows itself, at port.
func NewServer(port uint16) *Server {
	return &Server{list: Mappings(Program, []uint32{V4, V3, V2}, port, true, true)}
}

// Serve keeps listenAddr, host:port or :port, over TCP and UDP, and the Unix socket unixPath until ctx ends.
func Serve(ctx context.Context, listenAddr, unixPath string, log *slog.Logger) error {
	host, port, err := net.SplitHostPort(listenAddr)
	if err != nil {
		return fmt.Errorf("rpcbind: %w", err)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return fmt.Errorf("rpcbind: %w", err)
	}
	tcp, udp, err := oncrpc.Listen(ctx, host, uint16(n))
	if err != nil {
		return fmt.Errorf("rpcbind: %w", err)
	}
	os.Remove(unixPath)
	unix, err := net.Listen("unix", unixPath)
	if err != nil {
		for _, l := range tcp {
			l.Close()
		}
		for _, c := range udp {
			c.Close()
		}
		return fmt.Errorf("rpcbind: %w", err)
	}
	os.Chmod(unixPath, 0o600)
	s := NewServer(uint16(n))
	rpc := oncrpc.NewServer(oncrpc.Config{Log: log, MaxConns: 256, MaxInFlight: 16, MaxRecord: 64 << 10, IdleTimeout: time.Minute}, s.Programs()...)
	var wg sync.WaitGroup
	for _, l := range append(tcp, unix) {
		wg.Go(func() { rpc.ServeTCP(ctx, l) })
	}
	for _, c := range udp {
		wg.Go(func() { rpc.ServeUDP(ctx, c) })
	}
	wg.Wait()
	return ctx.Err()
}

// Programs are the three versions.
func (s *Server) Programs() []*oncrpc.Program {
	null := oncrpc.Handle("NULL", func(ctx context.Context, c *oncrpc.Call, a *xdr.Void) (*xdr.Void, error) { return a, nil })
	getTime := oncrpc.Handle("GETTIME", func(ctx context.Context, c *oncrpc.Call, a *xdr.Void) (*number, error) {
		return &number{uint32(time.Now().Unix())}, nil
	})
	v2 := &oncrpc.Program{Name: "rpcbind2", Number: Program, Version: V2, Procs: []oncrpc.Proc{
		null,
		oncrpc.Handle("SET", func(ctx context.Context, c *oncrpc.Call, a *pmap) (*boolean, error) {
			return &boolean{trusted(c) && s.setPort(a)}, nil
		}),
		oncrpc.Handle("UNSET", func(ctx context.Context, c *oncrpc.Call, a *pmap) (*boolean, error) {
			// Version 2 removes both protocols, RFC 1833 §3.2.
			return &boolean{trusted(c) && s.unset(a.Program, a.Version, "tcp", "udp")}, nil
		}),
		oncrpc.Handle("GETPORT", func(ctx context.Context, c *oncrpc.Call, a *pmap) (*number, error) {
			n := map[uint32]string{protoTCP: "tcp", protoUDP: "udp"}[a.Protocol]
			m, ok := s.get(a.Program, a.Version, n, false)
			if !ok {
				return &number{}, nil
			}
			ap, _ := ParseUaddr(m.Addr)
			return &number{uint32(ap.Port())}, nil
		}),
		oncrpc.Handle("DUMP", func(ctx context.Context, c *oncrpc.Call, a *xdr.Void) (*list[pmap, *pmap], error) {
			return &list[pmap, *pmap]{items: s.ports()}, nil
		}),
	}}
	var programs = []*oncrpc.Program{v2}
	for _, v := range []uint32{V3, V4} {
		p := &oncrpc.Program{Name: fmt.Sprintf("rpcbind%d", v), Number: Program, Version: v, Procs: make([]oncrpc.Proc, procGetVersAddr+1)}
		p.Procs[procNull] = null
		p.Procs[procSet] = oncrpc.Handle("SET", func(ctx context.Context, c *oncrpc.Call, a *Mapping) (*boolean, error) {
			return &boolean{trusted(c) && s.set(*a)}, nil
		})
		p.Procs[procUnset] = oncrpc.Handle("UNSET", func(ctx context.Context, c *oncrpc.Call, a *Mapping) (*boolean, error) {
			var ids []string
			if a.Netid != "" {
				ids = []string{a.Netid}
			}
			return &boolean{trusted(c) && s.unset(a.Program, a.Version, ids...)}, nil
		})
		p.Procs[procGetAddr] = oncrpc.Handle("GETADDR", func(ctx context.Context, c *oncrpc.Call, a *Mapping) (*text, error) {
			return &text{s.addr(c, a, false)}, nil
		})
		p.Procs[procDump] = oncrpc.Handle("DUMP", func(ctx context.Context, c *oncrpc.Call, a *xdr.Void) (*list[Mapping, *Mapping], error) {
			return &list[Mapping, *Mapping]{items: s.all()}, nil
		})
		p.Procs[procGetTime] = getTime
		if v == V4 {
			p.Procs[procGetVersAddr] = oncrpc.Handle("GETVERSADDR", func(ctx context.Context, c *oncrpc.Call, a *Mapping) (*text, error) {
				return &text{s.addr(c, a, true)}, nil
			})
		}
		programs = append(programs, p)
	}
	return programs
}

// trusted reports whether the caller may change the table.
func trusted(c *oncrpc.Call) bool {
	return !c.Remote.IsValid() || c.Remote.Addr().IsLoopback() && c.Remote.Port() < 1024
}

func (s *Server) all() []Mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mapping(nil), s.list...)
}

func (s *Server) ports() []pmap {
	var ps []pmap
	for _, m := range s.all() {
		ap, err := ParseUaddr(m.Addr)
		if p := protocol(m.Netid); p != 0 && err == nil {
			ps = append(ps, pmap{m.Program, m.Version, p, uint32(ap.Port())})
		}
	}
	return ps
}

// set adds m, unless the program has another address there. RFC 1833 §2.2.1.
func (s *Server) set(m Mapping) bool {
	if m.Netid == "" || m.Addr == "" || len(m.Netid) > 64 || len(m.Addr) > 256 {
		return false
	}
	if _, err := ParseUaddr(m.Addr); err != nil && m.Netid != "local" {
		return false
	}
	m.Owner = "superuser" // nobody else can come here
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.list {
		if h.Program == m.Program && h.Version == m.Version && h.Netid == m.Netid {
			return h.Addr == m.Addr
		}
	}
	if len(s.list) >= maxMappings {
		return false
	}
	s.list = append(s.list, m)
	return true
}

func (s *Server) setPort(p *pmap) bool {
	n := map[uint32]string{protoTCP: "tcp", protoUDP: "udp"}[p.Protocol]
	if n == "" || p.Port > 65535 {
		return false
	}
	return s.set(Mapping{Program: p.Program, Version: p.Version, Netid: n, Addr: Uaddr(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(p.Port)))})
}

// unset removes the program's version at the netids, or at all. Nobody removes the keeper itself.
func (s *Server) unset(program, version uint32, netids ...string) (found bool) {
	if program == Program {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := s.list[:0]
	for _, m := range s.list {
		gone := m.Program == program && m.Version == version && len(netids) == 0
		for _, n := range netids {
			gone = gone || m.Program == program && m.Version == version && m.Netid == n
		}
		if gone {
			found = true
		} else {
			keep = append(keep, m)
		}
	}
	s.list = keep
	return found
}

// get finds the program at the netid. Unless exact, another version will do, so that the caller learns from PROG_MISMATCH which there are.
func (s *Server) get(program, version uint32, netid string, exact bool) (found Mapping, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.list {
		if m.Program == program && m.Netid == netid {
			if m.Version == version {
				return m, true
			}
			if !exact && !ok {
				found, ok = m, true
			}
		}
	}
	return found, ok
}

// addr answers GETADDR for the transport that the question came by, whatever netid it names; only at the Unix socket the netid counts. A
// wildcard address is told as the one that the caller used. RFC 1833 §2.2.1.
func (s *Server) addr(c *oncrpc.Call, a *Mapping, exact bool) string {
	id := a.Netid
	if c.Remote.IsValid() {
		id = netid(map[bool]string{true: "udp", false: "tcp"}[c.UDP], c.Local.Addr())
	}
	m, ok := s.get(a.Program, a.Version, id, exact)
	if !ok {
		return ""
	}
	ap, err := ParseUaddr(m.Addr)
	if err != nil || !ap.Addr().IsUnspecified() || !c.Local.IsValid() || c.Local.Addr().IsUnspecified() || c.Local.Addr().Is4() != ap.Addr().Is4() {
		return m.Addr
	}
	return Uaddr(netip.AddrPortFrom(c.Local.Addr(), ap.Port()))
}
