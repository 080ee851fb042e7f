package server

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/lockd/nlm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a lockd over a counter in memory, and a client of it that answers GRANTED as the test says.
type house struct {
	t       *testing.T
	counter *counter
	server  *Server
	addr    string
	rpc     *oncrpc.Client

	client  string             // address of the client's own lock manager
	granted chan *nlm.TestArgs // what it was told
	answer  func(n int) (nlm.Status, error)
	told    int
	results chan any // _RES
}

func serve(t *testing.T, ps ...*oncrpc.Program) string {
	ctx, cancel := context.WithCancel(context.Background())
	tcp, udp, err := oncrpc.Listen(ctx, "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	s := oncrpc.NewServer(oncrpc.Config{}, ps...)
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeTCP(ctx, tcp[0]) })
	wg.Go(func() { s.ServeUDP(ctx, udp[0]) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return tcp[0].Addr().String()
}

func open(t *testing.T, change func(*Config)) *house {
	h := &house{t: t, counter: &counter{opens: map[uint64]lock.OpenRequest{}}, granted: make(chan *nlm.TestArgs, 16), results: make(chan any, 16)}
	h.answer = func(int) (nlm.Status, error) { return nlm.Granted, nil }
	seat := seat.New(h.counter)
	cfg := Config{Locks: seat, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Soon: true,
		Hold: time.Second, GrantedFor: 5 * time.Second, Try: 300 * time.Millisecond, FirstRetry: 5 * time.Millisecond, LastRetry: 10 * time.Millisecond,
		Hosts: func(context.Context) ([]ipc.Host, error) {
			return []ipc.Host{{Name: "ant", Address: "127.0.0.1"}, {Name: "bee", Address: "192.0.2.9"}}, nil
		},
		Lookup: func(ctx context.Context, host, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error) {
			if program != nlm.Program {
				return netip.AddrPort{}, rpcbind.ErrNotRegistered
			}
			return netip.MustParseAddrPort(h.client), nil
		}}
	if change != nil {
		change(&cfg)
	}
	h.server = New(cfg)
	h.counter.sink = func(e lock.Event) {
		if e.Answer == nil || !seat.Deliver(*e.Answer) {
			h.server.Event(e)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { h.server.Work(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	h.addr = serve(t, h.server.Programs()...)

	var results sync.WaitGroup // GRANTED_RES that are on their way
	var ps []*oncrpc.Program
	for _, v := range []nlm.Version{nlm.V3, nlm.V4} {
		p := &oncrpc.Program{Name: "client", Number: nlm.Program, Version: uint32(v), Procs: make([]oncrpc.Proc, nlm.Procs)}
		tell := func(ctx context.Context, c *oncrpc.Call, a *nlm.TestArgs) (nlm.Status, error) {
			// What was decoded lies in the record.
			kept := nlm.TestArgs{Version: a.Version, Exclusive: a.Exclusive, Lock: a.Lock, Cookie: slices.Clone(a.Cookie)}
			kept.Lock.FH, kept.Lock.OH = slices.Clone(a.Lock.FH), slices.Clone(a.Lock.OH)
			h.told++
			st, err := h.answer(h.told)
			h.granted <- &kept
			return st, err
		}
		p.Procs[nlm.ProcGranted] = handle(v, func(ctx context.Context, c *oncrpc.Call, a *nlm.TestArgs) (*nlm.Res, error) {
			st, err := tell(ctx, c, a)
			return &nlm.Res{Cookie: a.Cookie, Status: st}, err
		})
		p.Procs[nlm.ProcGrantedMsg] = handle(v, func(ctx context.Context, c *oncrpc.Call, a *nlm.TestArgs) (*nlm.Void, error) {
			results.Add(1)
			defer results.Done()
			st, err := tell(ctx, c, a)
			if err != nil {
				return nil, err
			}
			h.call(v, nlm.ProcGrantedRes, &nlm.Res{Cookie: slices.Clone(a.Cookie), Status: st}, &nlm.Void{})
			return &nlm.Void{}, nil
		})
		p.Procs[nlm.ProcTestRes] = handle(v, func(ctx context.Context, c *oncrpc.Call, a *nlm.TestRes) (*nlm.Void, error) {
			h.results <- a.Status
			return &nlm.Void{}, nil
		})
		for _, proc := range []int{nlm.ProcLockRes, nlm.ProcUnlockRes, nlm.ProcCancelRes} {
			p.Procs[proc] = handle(v, func(ctx context.Context, c *oncrpc.Call, a *nlm.Res) (*nlm.Void, error) {
				h.results <- a.Status
				return &nlm.Void{}, nil
			})
		}
		ps = append(ps, p)
	}
	h.client = serve(t, ps...)
	rpc, err := oncrpc.Dial(context.Background(), "tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	h.rpc = rpc
	t.Cleanup(func() { results.Wait(); rpc.Close() })
	return h
}

func handle[A, R any, PA messagePointer[A], PR messagePointer[R]](v nlm.Version, f func(ctx context.Context, c *oncrpc.Call, a *A) (*R, error)) oncrpc.Proc {
	return oncrpc.Proc{Name: "x", Call: func(ctx context.Context, c *oncrpc.Call, args, res *xdr.Stream) error {
		var a A
		PA(&a).SetVersion(v)
		PA(&a).XDR(args)
		if args.End() != nil {
			return oncrpc.ErrGarbage
		}
		r, err := f(ctx, c, &a)
		if err != nil {
			return err
		}
		PR(r).SetVersion(v)
		PR(r).XDR(res)
		return nil
	}}
}

func (h *house) call(v nlm.Version, proc uint32, args, res nlm.Message) {
	h.t.Helper()
	args.SetVersion(v)
	res.SetVersion(v)
	if err := h.rpc.Call(context.Background(), nlm.Program, uint32(v), proc, oncrpc.Cred{}, args, res); err != nil {
		h.t.Errorf("procedure %d: %v", proc, err)
	}
}

func who(name string, offset, length uint64) nlm.Lock {
	return nlm.Lock{CallerName: name, FH: []byte("file"), OH: []byte(name), SVID: 7, Offset: offset, Length: length}
}

func (h *house) lock(name string, offset, length uint64, block bool) nlm.Status {
	h.t.Helper()
	var res nlm.Res
	h.call(nlm.V4, nlm.ProcLock, &nlm.LockArgs{Cookie: []byte("c"), Block: block, Exclusive: true, Lock: who(name, offset, length)}, &res)
	return res.Status
}

func (h *house) unlock(name string, offset, length uint64) nlm.Status {
	h.t.Helper()
	var res nlm.Res
	h.call(nlm.V4, nlm.ProcUnlock, &nlm.UnlockArgs{Lock: who(name, offset, length)}, &res)
	return res.Status
}

func (h *house) cancel(name string, offset, length uint64) nlm.Status {
	h.t.Helper()
	var res nlm.Res
	h.call(nlm.V4, nlm.ProcCancel, &nlm.CancelArgs{Block: true, Exclusive: true, Lock: who(name, offset, length)}, &res)
	return res.Status
}

// until waits for a state that others bring about.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("never: %s", what)
		}
	}
}

func (h *house) tickets() int {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	return len(h.server.tickets)
}

func (h *house) holds(want ...string) {
	h.t.Helper()
	if want == nil {
		want = []string{}
	}
	var got []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = h.counter.owners(); len(got) == len(want) && (len(got) == 0 || reflect.DeepEqual(got, want)) && h.tickets() == 0 {
			return
		}
	}
	h.t.Errorf("held by %v with %d tickets, want %v and none", got, h.tickets(), want)
}

// 0         10        20
// |ant excl |
//
//	|bee excl      |
func TestLockTestUnlock(t *testing.T) {
	h := open(t, nil)
	test := func(name string, offset, length uint64) nlm.TestRes {
		var res nlm.TestRes
		h.call(nlm.V4, nlm.ProcTest, &nlm.TestArgs{Cookie: []byte("c"), Exclusive: true, Lock: who(name, offset, length)}, &res)
		return res
	}
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"ant locks", h.lock("ant", 0, 10, false), nlm.Granted},
		{"ant locks again", h.lock("ant", 0, 10, false), nlm.Granted},
		{"bee is denied", h.lock("bee", 5, 15, false), nlm.Denied},
		{"bee tests and sees ant", test("bee", 5, 0), nlm.TestRes{Version: nlm.V4, Cookie: []byte("c"), Status: nlm.Denied,
			Holder: nlm.Holder{Exclusive: true, SVID: 7, OH: []byte("ant"), Length: 10}}},
		{"ant tests its own", test("ant", 5, 0).Status, nlm.Granted},
		{"behind it is free", test("bee", 10, 0).Status, nlm.Granted},
		{"beyond 2^64", h.lock("bee", 1<<63, 1<<63+1, false), nlm.TooBig},
		{"the last byte", h.lock("bee", 1<<63, 1<<63, false), nlm.Granted},
		{"bee unlocks what it has not", h.unlock("bee", 0, 10), nlm.Granted},
		{"ant unlocks", h.unlock("ant", 0, 0), nlm.Granted},
		{"bee locks", h.lock("bee", 5, 15, false), nlm.Granted},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, tc.got, tc.want)
		}
	}
}

func TestStates(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(*counter)
		fh   string
		want nlm.Status
	}{
		{"grace", func(c *counter) { c.grace = true }, "file", nlm.DeniedGracePeriod},
		{"a handle that is gone", func(c *counter) {}, "stale", nlm.StaleFH},
		{"a gateway that starts anew", func(c *counter) { c.away = 1 }, "file", nlm.Granted},
		{"a lease is given back", func(c *counter) { c.lease = true }, "file", nlm.Granted},
	} {
		h := open(t, nil)
		tc.set(h.counter)
		l := who("ant", 0, 10)
		l.FH = []byte(tc.fh)
		for _, block := range []bool{false, true} {
			var res nlm.Res
			h.call(nlm.V4, nlm.ProcLock, &nlm.LockArgs{Block: block, Exclusive: true, Lock: l}, &res)
			if res.Status != tc.want || h.tickets() != 0 {
				t.Errorf("%s: %v and %d tickets, want %v", tc.name, res.Status, h.tickets(), tc.want)
			}
		}
	}
	for out, want := range map[lock.Outcome]nlm.Status{lock.Deadlock: nlm.Deadlock, lock.Limit: nlm.DeniedNoLocks, lock.Failed: nlm.DeniedNoLocks,
		lock.SharingDenied: nlm.Denied, lock.DeletePending: nlm.Denied} {
		if got := status(out, nil); got != want {
			t.Errorf("%v is %v, want %v", out, got, want)
		}
	}
	if got := status(lock.Granted, errAway); got != nlm.DeniedNoLocks {
		t.Errorf("no counter is %v", got)
	}
}

func TestAWaiterIsCalledBack(t *testing.T) {
	h := open(t, nil)
	h.lock("ant", 0, 10, false)
	if st := h.lock("bee", 5, 10, true); st != nlm.Blocked {
		t.Fatal(st)
	}
	if st := h.lock("bee", 5, 10, true); st != nlm.Blocked || h.tickets() != 1 {
		t.Fatalf("asking again: %v, %d tickets", st, h.tickets())
	}
	h.unlock("ant", 0, 10)
	got := <-h.granted
	want := &nlm.TestArgs{Version: nlm.V4, Cookie: got.Cookie, Exclusive: true, Lock: who("bee", 5, 10)}
	if !reflect.DeepEqual(got, want) || len(got.Cookie) != 8 {
		t.Errorf("told %+v, want %+v", got, want)
	}
	h.holds("bee")
}

// A client of version 3 that locks by LOCK_MSG gets LOCK_RES, then GRANTED_MSG, and answers with GRANTED_RES.
func TestMessageForm(t *testing.T) {
	h := open(t, nil)
	l := func(name string) nlm.Lock {
		return nlm.Lock{CallerName: name, FH: []byte("file"), OH: []byte(name), Length: 10}
	}
	h.call(nlm.V3, nlm.ProcLockMsg, &nlm.LockArgs{Exclusive: true, Lock: l("ant")}, &nlm.Void{})
	h.call(nlm.V3, nlm.ProcLockMsg, &nlm.LockArgs{Exclusive: true, Block: true, Lock: l("bee")}, &nlm.Void{})
	got := map[any]int{<-h.results: 1}
	got[<-h.results]++
	h.call(nlm.V3, nlm.ProcTestMsg, &nlm.TestArgs{Exclusive: true, Lock: l("bee")}, &nlm.Void{})
	got[<-h.results]++
	if want := map[any]int{nlm.Granted: 1, nlm.Blocked: 1, nlm.Denied: 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("results %v, want %v", got, want)
	}
	h.call(nlm.V3, nlm.ProcUnlockMsg, &nlm.UnlockArgs{Lock: l("ant")}, &nlm.Void{})
	if a := <-h.granted; a.Version != nlm.V3 || a.Lock.CallerName != "bee" {
		t.Errorf("told %+v", a)
	}
	h.holds("bee")
}

func TestGranted(t *testing.T) {
	lost := errors.Join(oncrpc.ErrNoReply)
	for _, tc := range []struct {
		name   string
		answer func(n int) (nlm.Status, error)
		holds  []string
	}{
		{"is repeated until it is answered", func(n int) (nlm.Status, error) {
			if n < 3 {
				return 0, lost
			}
			return nlm.Granted, nil
		}, []string{"bee"}},
		{"is repeated in the client's own grace", func(n int) (nlm.Status, error) {
			if n < 3 {
				return nlm.DeniedGracePeriod, nil
			}
			return nlm.Granted, nil
		}, []string{"bee"}},
		{"is refused, and the lock is given back", func(int) (nlm.Status, error) { return nlm.Denied, nil }, nil},
		{"is refused after an answer was lost: the client has it", func(n int) (nlm.Status, error) {
			if n == 1 {
				return 0, lost
			}
			return nlm.Denied, nil
		}, []string{"bee"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := open(t, func(c *Config) { c.Try = 100 * time.Millisecond })
			h.answer = tc.answer
			h.lock("ant", 0, 10, false)
			h.lock("bee", 0, 10, true)
			h.unlock("ant", 0, 10)
			h.holds(tc.holds...)
		})
	}
}

// A client that is silent loses its lock to the next in line, and delays nobody at another file.
func TestASilentClient(t *testing.T) {
	h := open(t, func(c *Config) { c.GrantedFor, c.Try = 100*time.Millisecond, 50*time.Millisecond })
	h.answer = func(n int) (nlm.Status, error) { return nlm.Granted, nil }
	silent := make(chan struct{})
	lookup := h.server.cfg.Lookup
	h.server.cfg.Lookup = func(ctx context.Context, host, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error) {
		select {
		case <-silent: // answers from the second ticket on
			return lookup(ctx, host, from, program, version, network)
		default:
			<-ctx.Done()
			return netip.AddrPort{}, ctx.Err()
		}
	}
	h.lock("ant", 0, 10, false)
	h.lock("bee", 0, 10, true)
	h.lock("cat", 0, 10, true)
	h.unlock("ant", 0, 10)
	h.until("bee has the lock", func() bool { return slices.Equal(h.counter.owners(), []string{"bee"}) })
	h.until("bee lost it to cat", func() bool { return slices.Equal(h.counter.owners(), []string{"cat"}) })
	close(silent)
	<-h.granted
	h.holds("cat")
}

// A client on this host has no lock manager of its own in rpcbind. It is not answered for; it gets the lock when it asks again.
func TestAClientBesideUs(t *testing.T) {
	h := open(t, nil)
	tried := make(chan struct{}, 100)
	h.server.cfg.Lookup = func(context.Context, netip.Addr, netip.Addr, uint32, uint32, string) (netip.AddrPort, error) {
		tried <- struct{}{}
		return netip.MustParseAddrPort(h.addr), nil
	}
	h.lock("ant", 0, 10, false)
	h.lock("bee", 0, 10, true)
	h.unlock("ant", 0, 10)
	<-tried
	<-tried
	if st := h.lock("bee", 0, 10, true); st != nlm.Granted {
		t.Errorf("%v", st)
	}
	h.holds("bee")
}

func TestCancel(t *testing.T) {
	h := open(t, nil)
	h.lock("ant", 0, 10, false)
	h.lock("bee", 0, 10, true)
	if st := h.cancel("bee", 0, 10); st != nlm.Granted {
		t.Errorf("cancel: %v", st)
	}
	if st := h.cancel("bee", 0, 10); st != nlm.Denied {
		t.Errorf("cancel of nothing: %v", st)
	}
	h.unlock("ant", 0, 10)
	h.holds()
}

// GRANTED is under way when the client cancels, unlocks, or asks again.
func TestCrossing(t *testing.T) {
	for _, tc := range []struct {
		name  string
		do    func(h *house) nlm.Status
		holds []string
	}{
		{"CANCEL", func(h *house) nlm.Status { return h.cancel("bee", 0, 10) }, nil},
		{"UNLOCK", func(h *house) nlm.Status { return h.unlock("bee", 0, 0) }, nil},
		{"LOCK again", func(h *house) nlm.Status { return h.lock("bee", 0, 10, true) }, []string{"bee"}},
		{"LOCK without waiting", func(h *house) nlm.Status { return h.lock("bee", 0, 10, false) }, []string{"bee"}},
		{"CANCEL, then LOCK", func(h *house) nlm.Status { h.cancel("bee", 0, 10); return h.lock("bee", 0, 10, true) }, []string{"bee"}},
		{"UNLOCK while the gateway is away", func(h *house) nlm.Status {
			h.counter.mu.Lock()
			h.counter.away = 1
			h.counter.mu.Unlock()
			return h.unlock("bee", 0, 10)
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := open(t, nil)
			h.server.cfg.Lookup = func(context.Context, netip.Addr, netip.Addr, uint32, uint32, string) (netip.AddrPort, error) {
				return netip.AddrPort{}, rpcbind.ErrNotRegistered
			}
			h.lock("ant", 0, 10, false)
			h.lock("bee", 0, 10, true)
			h.unlock("ant", 0, 10)
			h.until("bee has the lock", func() bool { return slices.Equal(h.counter.owners(), []string{"bee"}) })
			if st := tc.do(h); st != nlm.Granted {
				t.Errorf("answered %v", st)
			}
			h.holds(tc.holds...)
		})
	}
}

// The counter's answer is faster than LOCK's own return: LOCK says GRANTED itself.
func TestAnswerBeforeBlocked(t *testing.T) {
	h := open(t, nil)
	h.lock("ant", 0, 10, false)
	h.counter.onBlock = func() {
		c := h.counter // its mutex is held
		w := c.line[0]
		c.line, c.held = nil, nil
		c.take(w)
		c.sink(lock.Event{Answer: &lock.Answer{Ticket: w.Ticket, Outcome: lock.Granted}})
	}
	if st := h.lock("bee", 0, 10, true); st != nlm.Granted {
		t.Errorf("%v", st)
	}
	h.holds("bee")
}

func TestShare(t *testing.T) {
	h := open(t, nil)
	do := func(proc uint32, name string, mode nlm.Mode, access nlm.Access) nlm.Status {
		var res nlm.ShareRes
		h.call(nlm.V4, proc, &nlm.ShareArgs{Share: nlm.Share{CallerName: name, FH: []byte("file"), OH: []byte("x"), Mode: mode, Access: access}}, &res)
		return res.Status
	}
	for _, tc := range []struct {
		name      string
		got, want nlm.Status
	}{
		{"ant reads and denies writing", do(nlm.ProcShare, "ant", nlm.DenyWrite, nlm.AccessRead), nlm.Granted},
		{"bee may not write", do(nlm.ProcShare, "bee", nlm.DenyNone, nlm.AccessWrite), nlm.Denied},
		{"bee may read", do(nlm.ProcShare, "bee", nlm.DenyNone, nlm.AccessRead), nlm.Granted},
		{"ant may not deny reading", do(nlm.ProcShare, "ant", nlm.DenyReadWrite, nlm.AccessRead), nlm.Denied},
		{"and kept what it had", do(nlm.ProcShare, "bee", nlm.DenyNone, nlm.AccessReadWrite), nlm.Denied},
		{"ant lets go", do(nlm.ProcUnshare, "ant", nlm.DenyWrite, nlm.AccessRead), nlm.Granted},
		{"bee may write", do(nlm.ProcShare, "bee", nlm.DenyNone, nlm.AccessReadWrite), nlm.Granted},
		{"no such mode", do(nlm.ProcShare, "bee", 4, nlm.AccessReadWrite), nlm.Failed},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	if len(h.counter.opens) != 1 {
		t.Errorf("%d opens, want bee's", len(h.counter.opens))
	}
}

func TestFreeAllOnlyFromTheHostItself(t *testing.T) {
	h := open(t, nil)
	for _, name := range []string{"bee", "cow", "ant"} {
		h.call(nlm.V4, nlm.ProcFreeAll, &nlm.Notify{Name: name}, &nlm.Void{})
	}
	if want := []lock.Client{{Door: lock.NLM, Name: "ant"}}; !reflect.DeepEqual(h.counter.forgot, want) {
		t.Errorf("forgot %v, want %v", h.counter.forgot, want)
	}
}

// Every state meets every event: nothing panics, and what was granted ends confirmed or is given back.
func TestStepTable(t *testing.T) {
	for st := asked; st <= released; st++ {
		for e := blocked; e <= unlocked; e++ {
			s := New(Config{Locks: seat.New(nil), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
			tk := s.newTicket(lock.LockRequest{}, peer{}, &nlm.LockArgs{})
			tk.state = st
			if st == granted {
				tk.settled = make(chan struct{})
			}
			do := s.step(tk, e)
			if (tk.state == released && st != released) != (do == mustFree) {
				t.Errorf("%v in %v: %v without the counter having the lock back", e, st, tk.state)
			}
			if (st == confirmed || st == cancelled || st == released) && (tk.state != st || do != nothing) {
				t.Errorf("%v changed the end %v to %v", e, st, tk.state)
			}
			if st == granted && tk.state != granted {
				<-tk.settled
			}
		}
	}
}
