// Package server is the Network Lock Manager, program 100021: RFC 1813 Appendix II, X/Open XNFS chapter 10. It decides nothing and opens no
// file: each call becomes a question at the gateway's counter, with the NFS handle as it came. What it keeps is who waits: the tickets.
//
// How to read: run.go wires, server.go has the table of procedures, a file for each procedure, granted.go the ticket and the callback,
// async.go the _MSG forms.
//
// Lock order: Server.mu is a leaf; it is never held while the counter or a client is asked.
package server

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/lockd/nlm"
)

// Config is what the server is made of.
type Config struct {
	Locks   *seat.Seat
	Hosts   func(ctx context.Context) ([]ipc.Host, error) // who is monitored; FREE_ALL is taken only from them
	Log     *slog.Logger
	Metrics prometheus.Registerer

	// Soon says that the counter waits for no disk: LOCK, UNLOCK and TEST are answered in turn, without a goroutine for each.
	Soon       bool
	Hold       time.Duration // how long a call waits for a lease to be given back
	GrantedFor time.Duration // how long a granted lock waits for its client to answer
	Try        time.Duration // for one GRANTED, 5 s
	FirstRetry time.Duration // between tries, doubled up to LastRetry; 1 s and 10 s
	LastRetry  time.Duration
	// Lookup asks the client's rpcbind for its port; rpcbind.Lookup.
	Lookup func(ctx context.Context, host, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error)
}

// maxTickets bounds who may wait, over all files; the counter bounds it for each file.
const maxTickets = 10000

// Server answers NLM calls.
type Server struct {
	cfg     Config
	locks   *seat.Seat
	log     *slog.Logger
	metrics *metrics
	birth   uint32 // in cookies, so that a late answer to an earlier lockd is nobody's

	mu      sync.Mutex // guards the fields below
	tickets map[uint64]*ticket
	holders map[holder][]*ticket
	shares  map[holder]*share
	jobs    []func(context.Context)
	sending int // _RES calls under way
	wake    chan struct{}
}

// New returns a server; Work runs what it does on its own account.
func New(cfg Config) *Server {
	set := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&cfg.Hold, 3*time.Second)
	set(&cfg.GrantedFor, time.Minute)
	set(&cfg.Try, 5*time.Second)
	set(&cfg.FirstRetry, time.Second)
	set(&cfg.LastRetry, 10*time.Second)
	if cfg.Lookup == nil {
		cfg.Lookup = rpcbind.Lookup
	}
	return &Server{cfg: cfg, locks: cfg.Locks, log: cfg.Log, metrics: newMetrics(cfg.Metrics), birth: rand.Uint32(),
		tickets: map[uint64]*ticket{}, holders: map[holder][]*ticket{}, shares: map[holder]*share{}, wake: make(chan struct{}, 1)}
}

// Programs are versions 1, 3 and 4. Version 1 ends before SHARE.
func (s *Server) Programs() []*oncrpc.Program {
	var ps []*oncrpc.Program
	for _, v := range []nlm.Version{nlm.V1, nlm.V3, nlm.V4} {
		ps = append(ps, s.program(v))
	}
	return ps
}

func (s *Server) program(v nlm.Version) *oncrpc.Program {
	p := &oncrpc.Program{Name: map[nlm.Version]string{nlm.V1: "nlm1", nlm.V3: "nlm3", nlm.V4: "nlm4"}[v], Number: nlm.Program, Version: uint32(v)}
	p.Procs = make([]oncrpc.Proc, nlm.Procs)
	p.Procs[nlm.ProcNull] = proc("NULL", v, func(ctx context.Context, p peer, a *nlm.Void) *nlm.Void { return a })
	p.Procs[nlm.ProcTest] = s.inTurn(proc("TEST", v, s.test))
	p.Procs[nlm.ProcLock] = s.inTurn(once(callProc("LOCK", v, func(ctx context.Context, c *oncrpc.Call, a *nlm.LockArgs) *nlm.Res {
		r, sent := s.lock(ctx, peerOf(c, v), a)
		c.Release = sent
		return r
	})))
	p.Procs[nlm.ProcCancel] = once(proc("CANCEL", v, s.cancel))
	p.Procs[nlm.ProcUnlock] = s.inTurn(once(proc("UNLOCK", v, s.unlock)))
	p.Procs[nlm.ProcGranted] = proc("GRANTED", v, s.granted)
	p.Procs[nlm.ProcTestMsg] = message(s, "TEST_MSG", v, nlm.ProcTestRes, unheard(s.test))
	p.Procs[nlm.ProcLockMsg] = message(s, "LOCK_MSG", v, nlm.ProcLockRes, s.lock)
	p.Procs[nlm.ProcCancelMsg] = message(s, "CANCEL_MSG", v, nlm.ProcCancelRes, unheard(s.cancel))
	p.Procs[nlm.ProcUnlockMsg] = message(s, "UNLOCK_MSG", v, nlm.ProcUnlockRes, unheard(s.unlock))
	p.Procs[nlm.ProcGrantedMsg] = message(s, "GRANTED_MSG", v, nlm.ProcGrantedRes, unheard(s.granted))
	for proc, name := range map[int]string{nlm.ProcTestRes: "TEST_RES", nlm.ProcLockRes: "LOCK_RES", nlm.ProcCancelRes: "CANCEL_RES", nlm.ProcUnlockRes: "UNLOCK_RES"} {
		p.Procs[proc] = unasked(name)
	}
	p.Procs[nlm.ProcGrantedRes] = proc("GRANTED_RES", v, s.grantedRes)
	if v == nlm.V1 {
		p.Procs = p.Procs[:nlm.ProcGrantedRes+1]
		return p
	}
	p.Procs[nlm.ProcShare] = once(proc("SHARE", v, s.share))
	p.Procs[nlm.ProcUnshare] = once(proc("UNSHARE", v, s.unshare))
	p.Procs[nlm.ProcNMLock] = once(callProc("NM_LOCK", v, func(ctx context.Context, c *oncrpc.Call, a *nlm.LockArgs) *nlm.Res {
		r, sent := s.nmLock(ctx, peerOf(c, v), a)
		c.Release = sent
		return r
	}))
	p.Procs[nlm.ProcFreeAll] = proc("FREE_ALL", v, s.freeAll)
	return p
}

// peer is where a client is, and how it spoke.
type peer struct {
	addr    netip.Addr
	local   netip.Addr // our address that it used; zero where not known
	port    uint16     // our port that it used
	udp     bool
	quick   bool // others wait while this call runs
	async   bool // it used the _MSG form
	version nlm.Version
	by      *lock.Caller // as whom it called
}

func peerOf(c *oncrpc.Call, v nlm.Version) peer {
	p := peer{addr: c.Remote.Addr(), local: c.Local.Addr(), port: c.Local.Port(), udp: c.UDP, quick: c.Quick, version: v, by: &lock.Caller{Address: c.Remote.String(),
		Known: c.Flavor == oncrpc.FlavorSys, UID: c.Sys.UID, GID: c.Sys.GID, GIDs: c.Sys.GIDs}}
	if !p.local.IsValid() || p.local.IsUnspecified() {
		p.local = netip.Addr{}
	}
	return p
}

func (p peer) network() string {
	if p.udp {
		return "udp"
	}
	return "tcp"
}

// message is a pointer to an NLM message.
type messagePointer[T any] interface {
	*T
	nlm.Message
}

// work is how long the counter may take for one call that must not be left half done when its connection ends.
const work = 15 * time.Second

// lasting is ctx without its end: a lock that was asked for is told or given back, whatever became of the connection.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), work)
}

// proc makes a synchronous procedure of f.
func proc[A, R any, PA messagePointer[A], PR messagePointer[R]](name string, v nlm.Version, f func(ctx context.Context, p peer, a *A) *R) oncrpc.Proc {
	return callProc[A, R, PA, PR](name, v, func(ctx context.Context, c *oncrpc.Call, a *A) *R { return f(ctx, peerOf(c, v), a) })
}

// callProc is proc for functions that look at the call itself. A quick call that has done nothing yet and would have to wait returns nil.
func callProc[A, R any, PA messagePointer[A], PR messagePointer[R]](name string, v nlm.Version, f func(ctx context.Context, c *oncrpc.Call, a *A) *R) oncrpc.Proc {
	return oncrpc.Proc{Name: name, Call: func(ctx context.Context, c *oncrpc.Call, args, res *xdr.Stream) error {
		var a A
		PA(&a).SetVersion(v)
		PA(&a).XDR(args)
		if args.End() != nil {
			return oncrpc.ErrGarbage
		}
		ctx, cancel := lasting(ctx)
		defer cancel()
		r := PR(f(ctx, c, &a))
		if r == nil {
			return oncrpc.ErrLater
		}
		r.SetVersion(v)
		r.XDR(res)
		return res.Err()
	}}
}

func (s *Server) inTurn(p oncrpc.Proc) oncrpc.Proc {
	p.Quick = s.cfg.Soon
	return p
}

func once(p oncrpc.Proc) oncrpc.Proc {
	p.Once = true
	return p
}

// later has Work run f.
func (s *Server) later(f func(context.Context)) {
	s.mu.Lock()
	s.jobs = append(s.jobs, f)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Work runs callbacks and releases until ctx ends, each on its own, so that a silent client delays nobody.
func (s *Server) Work(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		s.mu.Lock()
		jobs := s.jobs
		s.jobs = nil
		s.mu.Unlock()
		for _, f := range jobs {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						s.log.Error("panic", "panic", p, "stack", string(debug.Stack()))
					}
				}()
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
