package server

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/smbd/auth"
)

// Config is what a Server is made of.
type Config struct {
	Settings *config.Config
	Users    auth.Users
	Kerberos *Kerberos // nil: none
	Log      *slog.Logger
	Metrics  prometheus.Registerer                          // nil: none
	Report   func(context.Context, ipc.Session, bool) error // tells the gateway who is here; nil: nobody is told
}

// Server is the SMB server, [MS-SMB2] 3.3.1.5.
type Server struct {
	cfg      Config
	name     string
	guid     [16]byte
	log      *slog.Logger
	metrics  *metrics
	locks    *seat.Seat
	hold     time.Duration // how long an operation waits for a break
	offer    atomic.Pointer[offer]
	opens    opens
	visitors *visitors
	streams  streams
	watches  watches
	reports  reports
	listings listings
	connN    atomic.Uint64

	mu       sync.Mutex // guards the fields below
	conns    map[*conn]struct{}
	sessions map[uint64]*session
}

// New makes a Server. Its shares have no trees, and it has no counter, until SetTree and Join bring them.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Metrics), name: cfg.Settings.SMB.ServerName,
		hold:     cfg.Settings.SMB.BreakTimeout.D() + 5*time.Second, // the counter's own timeout comes first
		visitors: newVisitors(cfg.Settings.SMB.Connections, cfg.Settings.SMB.ConnectionsPerAddress),
		opens:    opens{by: map[uint64]*open{}, parked: map[uint64]*open{}, creates: map[createID]*open{}}, watches: newWatches(), listings: listings{by: map[lock.Key]*listing{}}, streams: streams{by: map[lock.Key][]*stream{}},
		conns: map[*conn]struct{}{}, sessions: map[uint64]*session{},
	}
	if s.name == "" {
		host, _ := os.Hostname()
		host, _, _ = strings.Cut(host, ".")
		s.name = strings.ToUpper(host)
	}
	// The same server has the same ServerGuid after a restart.
	machine, _ := os.ReadFile("/etc/machine-id")
	sum := sha256.Sum256(append(machine, "\x00dittofs smb\x00"+s.name+"\x00"+cfg.Settings.State...))
	copy(s.guid[:], sum[:])
	pipes := &share{name: "IPC$", ipc: true}
	pipes.config.Store(&config.Export{})
	s.offer.Store(&offer{by: map[string]*share{"ipc$": pipes}})
	s.Load(context.Background(), cfg.Settings.Exports)
	return s
}

// Join gives the Server its seat at the counter, whose events go to Event.
func (s *Server) Join(locks *seat.Seat) { s.locks = locks }

// Event takes what the counter tells, but for breaks: those are Broken's. It never waits for a client.
func (s *Server) Event(e lock.Event) {
	switch {
	case e.Change != nil:
		s.listings.changed(*e.Change)
		s.watches.changed(*e.Change)
	case e.Gone != nil && !e.Gone.Range:
		s.opens.drop(e.Gone.Open)
	case e.Answer != nil && e.Answer.Outcome == lock.Granted:
		s.log.Debug("an answer that nobody waits for", "ticket", e.Answer.Ticket)
	}
}

// Serve accepts connections until ctx ends, and returns when all of them are gone.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			s.log.Warn("accept", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		c := s.newConn(nc)
		if ok, tell := s.visitors.enter(c.from, time.Now()); !ok {
			if tell {
				s.log.Warn("connections refused: too many", "address", c.from)
			}
			nc.Close()
			continue
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.metrics.connections.Inc()
		all.Add(1)
		go func() {
			defer all.Done()
			c.serve(ctx)
			s.visitors.leave(c.from, !c.known.Load())
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
			s.metrics.connections.Dec()
		}()
	}
}

func (s *Server) newConn(nc net.Conn) *conn {
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetKeepAlive(true)
		t.SetKeepAlivePeriod(30 * time.Second)
	}
	address := nc.RemoteAddr().String()
	from, _ := netip.ParseAddrPort(address)
	c := &conn{
		s: s, nc: nc, address: address, number: s.connN.Add(1), from: from.Addr().Unmap().WithZone(""), log: s.log.With("address", address), credits: newCredits(), flight: newFlight(),
		sessions: map[uint64]*channel{}, requests: map[uint64]*request{}, pending: map[uint64]*request{},
		in: bufio.NewReaderSize(nc, readAhead), over: make(chan error, 1),
	}
	c.field.next, c.field.waiting = c.read, c.waiting
	c.count = func(fd uintptr) { c.unread, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }
	if t, ok := nc.(syscall.Conn); ok {
		c.raw, _ = t.SyscallConn()
	}
	return c
}
