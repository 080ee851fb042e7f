// Package server is the Network Status Monitor, program 100024: X/Open XNFS chapter 11. It tells the hosts that hold locks here when the
// gateway was started anew, takes their word that they were, and does both for a lock manager of this host's own NFS client.
//
// The state number is the gateway's: odd, and higher at each of its starts. SIMU_CRASH, which would change it, is not there.
//
// How to read: run.go wires, server.go has the table of procedures, a file for each procedure, store.go what is on disk, announce.go
// SM_NOTIFY as we send it.
//
// Lock order: Server.mu and Store.mu are leaves; Store.mu is held while its files are written, so that they follow each other.
package server

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/ipc"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/statd/nsm"
)

// Gateway is what the monitor asks the counter; ipc.Client is one.
type Gateway interface {
	Epoch() uint64
	NSM(ctx context.Context) (ipc.NSM, error)
	Notified(ctx context.Context, name, address string, state int32) (freed bool, err error)
}

// Config is what the server is made of.
type Config struct {
	Gateway Gateway
	Store   *Store
	Log     *slog.Logger
	Metrics prometheus.Registerer

	Name       string        // this host's, in SM_NOTIFY
	Try        time.Duration // for one call, 5 s
	FirstRetry time.Duration // between tries, doubled up to LastRetry; 1 s and 1 min
	LastRetry  time.Duration
	GiveUp     time.Duration // 15 min
	Poll       time.Duration // how often the gateway's epoch is looked at, 500 ms
	// Lookup asks a host's rpcbind for a port; rpcbind.Lookup.
	Lookup func(ctx context.Context, host, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error)
	// Resolve finds a host's addresses; net.DefaultResolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Local reports whether an address is this host's.
	Local func(netip.Addr) bool
}

// Server answers NSM calls.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	state   atomic.Int32

	mu   sync.Mutex // guards the fields below
	jobs []func(context.Context)
	seen map[nsm.MonID]int32 // states that a registrant was told
	wake chan struct{}
}

// New returns a server; Work runs what it does on its own account.
func New(cfg Config) *Server {
	set := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&cfg.Try, 5*time.Second)
	set(&cfg.FirstRetry, time.Second)
	set(&cfg.LastRetry, time.Minute)
	set(&cfg.GiveUp, 15*time.Minute)
	set(&cfg.Poll, 500*time.Millisecond)
	if cfg.Lookup == nil {
		cfg.Lookup = rpcbind.Lookup
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if cfg.Local == nil {
		cfg.Local = local
	}
	if cfg.Name == "" {
		cfg.Name, _ = os.Hostname()
	}
	return &Server{cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Metrics), seen: map[nsm.MonID]int32{}, wake: make(chan struct{}, 1)}
}

// local reports whether a is a loopback address or one of this host's own.
func local(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	as, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, n := range as {
		if p, err := netip.ParsePrefix(n.String()); err == nil && p.Addr().Unmap().WithZone("") == a.WithZone("") {
			return true
		}
	}
	return false
}

// Program is version 1.
func (s *Server) Program() *oncrpc.Program {
	p := &oncrpc.Program{Name: "nsm", Number: nsm.Program, Version: nsm.Version, Procs: make([]oncrpc.Proc, nsm.ProcNotify+1)}
	p.Procs[nsm.ProcNull] = oncrpc.Handle("NULL", func(ctx context.Context, c *oncrpc.Call, a *xdr.Void) (*xdr.Void, error) { return a, nil })
	p.Procs[nsm.ProcStat] = oncrpc.Handle("STAT", s.stat)
	p.Procs[nsm.ProcMon] = oncrpc.Handle("MON", s.mon)
	p.Procs[nsm.ProcUnmon] = oncrpc.Handle("UNMON", s.unmon)
	p.Procs[nsm.ProcUnmonAll] = oncrpc.Handle("UNMON_ALL", s.unmonAll)
	p.Procs[nsm.ProcNotify] = oncrpc.Handle("NOTIFY", s.notify)
	return p
}

// foreign reports, and logs, that a registration does not come from this host. XNFS has SM_MON called only by the local lock manager.
func (s *Server) foreign(c *oncrpc.Call, proc string) bool {
	if s.cfg.Local(c.Remote.Addr()) {
		return false
	}
	s.metrics.refused.Inc()
	s.log.Debug("refused: not from this host", "proc", proc, "from", c.Remote)
	return true
}

// maxJobs bounds what others can make us do.
const maxJobs = 1000

// later has Work run f; false: there is too much to do.
func (s *Server) later(f func(context.Context)) bool {
	s.mu.Lock()
	ok := len(s.jobs) < maxJobs
	if ok {
		s.jobs = append(s.jobs, f)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return ok
}

// Work calls registrants back and announces new states until ctx ends.
func (s *Server) Work(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.announceAll(ctx) })
	slots := make(chan struct{}, 64)
	for {
		s.mu.Lock()
		jobs := s.jobs
		s.jobs = nil
		s.mu.Unlock()
		for _, f := range jobs {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				f(ctx)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
