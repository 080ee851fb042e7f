package server

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/ipc"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/statd/nsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is the counter's part that the monitor sees.
type gateway struct {
	epoch atomic.Uint64

	mu    sync.Mutex
	nsm   ipc.NSM
	heard []nsm.Change
	from  []string
	err   error
}

func (g *gateway) Epoch() uint64 { return g.epoch.Load() }

func (g *gateway) NSM(context.Context) (ipc.NSM, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nsm, g.err
}

func (g *gateway) Notified(ctx context.Context, name, address string, state int32) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard, g.from = append(g.heard, nsm.Change{Name: name, State: state}), append(g.from, address)
	return true, g.err
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

// house is a statd, a peer that hears SM_NOTIFY, and a registrant on this host.
type house struct {
	t       *testing.T
	gateway *gateway
	store   *Store
	server  *Server
	rpc     *oncrpc.Client
	notify  chan nsm.Change // what the peer heard
	status  chan nsm.Status // what the registrant heard
	deaf    atomic.Bool     // the peer is not there
}

const registrant = 300021

func open(t *testing.T, dir string, g *gateway, change func(*Config)) *house {
	h := &house{t: t, gateway: g, notify: make(chan nsm.Change, 16), status: make(chan nsm.Status, 16)}
	store, err := OpenStore(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h.store = store
	peer := &oncrpc.Program{Name: "peer", Number: nsm.Program, Version: 1, Procs: make([]oncrpc.Proc, 7)}
	peer.Procs[nsm.ProcNotify] = oncrpc.Handle("NOTIFY", func(ctx context.Context, c *oncrpc.Call, a *nsm.Change) (*xdr.Void, error) {
		h.notify <- *a
		return &xdr.Void{}, nil
	})
	local := &oncrpc.Program{Name: "local", Number: registrant, Version: 4, Procs: make([]oncrpc.Proc, 17)}
	local.Procs[16] = oncrpc.Handle("NSM_NOTIFY", func(ctx context.Context, c *oncrpc.Call, a *nsm.Status) (*xdr.Void, error) {
		h.status <- *a
		return &xdr.Void{}, nil
	})
	there := netip.MustParseAddrPort(serve(t, peer, local))
	cfg := Config{Gateway: g, Store: store, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Name: "us",
		FirstRetry: 5 * time.Millisecond, LastRetry: 10 * time.Millisecond, Poll: 2 * time.Millisecond,
		Lookup: func(ctx context.Context, host, from netip.Addr, program, version uint32, network string) (netip.AddrPort, error) {
			if h.deaf.Load() {
				return netip.AddrPort{}, rpcbind.ErrNotRegistered
			}
			return there, nil
		},
		Resolve: func(ctx context.Context, name string) ([]netip.Addr, error) {
			if name == "peer" {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
			return nil, errors.New("no such host")
		}}
	if change != nil {
		change(&cfg)
	}
	h.server = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { h.server.Work(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	h.rpc, err = oncrpc.Dial(context.Background(), "tcp", serve(t, h.server.Program()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.rpc.Close() })
	return h
}

func (h *house) call(proc uint32, args, res xdr.Value) error {
	return h.rpc.Call(context.Background(), nsm.Program, nsm.Version, proc, oncrpc.Cred{}, args, res)
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("never: %s", what)
		}
	}
}

func (h *house) pending(n int) func() bool {
	return func() bool { a := h.store.Announced(); return a.State != 0 && len(a.Pending) == n }
}

func monitor(name string) *nsm.Mon {
	return &nsm.Mon{ID: nsm.MonID{Name: name, My: nsm.MyID{Name: "here", Program: registrant, Version: 4, Proc: 16}}, Priv: [16]byte{1, 2, 3}}
}

func TestRegistrations(t *testing.T) {
	dir := t.TempDir()
	g := &gateway{nsm: ipc.NSM{State: 7}}
	h := open(t, dir, g, nil)
	h.until("the state is known", func() bool { return h.server.state.Load() == 7 })
	var res nsm.StatRes
	for _, name := range []string{"peer", "peer", "bee", "cow"} {
		if err := h.call(nsm.ProcMon, monitor(name), &res); err != nil || res != (nsm.StatRes{Result: nsm.Success, State: 7}) {
			t.Errorf("MON %s: %+v, %v", name, res, err)
		}
	}
	if err := h.call(nsm.ProcStat, &nsm.Name{Name: "dog"}, &res); err != nil || res != (nsm.StatRes{Result: nsm.Success, State: 7}) {
		t.Errorf("STAT: %+v, %v", res, err)
	}
	var st nsm.State
	if err := h.call(nsm.ProcUnmon, &monitor("bee").ID, &st); err != nil || st.State != 7 {
		t.Errorf("UNMON: %+v, %v", st, err)
	}
	again, err := OpenStore(dir, slog.New(slog.DiscardHandler))
	if err != nil || again.Len() != 2 || !reflect.DeepEqual(names(again.List()), map[string]bool{"peer": true, "cow": true}) {
		t.Errorf("on disk: %v, %v", again.List(), err)
	}
	if err := h.call(nsm.ProcUnmonAll, &monitor("").ID.My, &st); err != nil {
		t.Error(err)
	}
	if again, err = OpenStore(dir, slog.New(slog.DiscardHandler)); err != nil || again.Len() != 0 {
		t.Errorf("on disk after UNMON_ALL: %v, %v", again.List(), err)
	}
	var refused *oncrpc.Refused
	if err := h.call(nsm.ProcSimuCrash, &xdr.Void{}, &xdr.Void{}); !errors.As(err, &refused) || refused.Accept != oncrpc.ProcUnavail {
		t.Errorf("SIMU_CRASH: %v", err)
	}
}

func names(rs []Registration) map[string]bool {
	m := map[string]bool{}
	for _, r := range rs {
		m[r.ID.Name] = true
	}
	return m
}

func TestRegistrationsOnlyFromThisHost(t *testing.T) {
	h := open(t, t.TempDir(), &gateway{nsm: ipc.NSM{State: 7}}, func(c *Config) { c.Local = func(netip.Addr) bool { return false } })
	var res nsm.StatRes
	if err := h.call(nsm.ProcMon, monitor("peer"), &res); err != nil || res.Result != nsm.Fail || h.store.Len() != 0 {
		t.Errorf("MON: %+v, %v", res, err)
	}
	var refused *oncrpc.Refused
	if err := h.call(nsm.ProcUnmonAll, &monitor("").ID.My, &nsm.State{}); !errors.As(err, &refused) || refused.Auth != oncrpc.AuthTooWeak {
		t.Errorf("UNMON_ALL: %v", err)
	}
}

func TestNotifyReachesCounterAndRegistrant(t *testing.T) {
	g := &gateway{nsm: ipc.NSM{State: 7}}
	h := open(t, t.TempDir(), g, nil)
	var res nsm.StatRes
	for _, name := range []string{"peer", "192.0.2.1"} { // the second is another host
		if err := h.call(nsm.ProcMon, monitor(name), &res); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time it is not news
		if err := h.call(nsm.ProcNotify, &nsm.Change{Name: "whoever", State: 5}, &xdr.Void{}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := <-h.status, (nsm.Status{Name: "peer", State: 5, Priv: [16]byte{1, 2, 3}}); got != want {
		t.Errorf("the registrant heard %+v, want %+v", got, want)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if want := []nsm.Change{{Name: "whoever", State: 5}, {Name: "whoever", State: 5}}; !reflect.DeepEqual(g.heard, want) || g.from[0] != "127.0.0.1" {
		t.Errorf("the counter heard %v from %v, want %v", g.heard, g.from, want)
	}
	if len(h.status) != 0 {
		t.Errorf("and %+v", <-h.status)
	}
}

// A state is announced once, by name and by address, to each host, and again only when it rises.
func TestAnnounce(t *testing.T) {
	dir := t.TempDir()
	g := &gateway{nsm: ipc.NSM{State: 7, Hosts: []ipc.Host{{Name: "ant", Address: "127.0.0.1"}}}}
	h := open(t, dir, g, nil)
	hear := func(state int32) {
		t.Helper()
		got := []nsm.Change{<-h.notify, <-h.notify}
		if want := []nsm.Change{{Name: "us", State: state}, {Name: "127.0.0.1", State: state}}; !reflect.DeepEqual(got, want) {
			t.Errorf("heard %v, want %v", got, want)
		}
		h.until("nobody is left", h.pending(0))
	}
	hear(7)
	h.deaf.Store(true)
	g.mu.Lock()
	g.nsm.State = 9
	g.mu.Unlock()
	g.epoch.Add(1)
	h.until("state 9 is on disk", func() bool { return h.store.Announced().State == 9 })

	// The next statd reaches the host that this one did not.
	h2 := open(t, dir, g, nil)
	got := []nsm.Change{<-h2.notify, <-h2.notify}
	if want := []nsm.Change{{Name: "us", State: 9}, {Name: "127.0.0.1", State: 9}}; !reflect.DeepEqual(got, want) {
		t.Errorf("heard %v, want %v", got, want)
	}
	h2.until("nobody is left", h2.pending(0))
	h3 := open(t, dir, g, nil)
	h3.until("the state is known", func() bool { return h3.server.state.Load() == 9 })
	if len(h3.notify) != 0 {
		t.Errorf("announced twice: %v", <-h3.notify)
	}
}

// The servers that this host's NFS client uses are told after a restart of the host, and not after one of the gateway.
func TestAnnounceAfterABoot(t *testing.T) {
	dir := t.TempDir()
	g := &gateway{nsm: ipc.NSM{State: 7}}
	h := open(t, dir, g, nil)
	var res nsm.StatRes
	if err := h.call(nsm.ProcMon, monitor("peer"), &res); err != nil {
		t.Fatal(err)
	}
	h.until("announced", h.pending(0))
	g.mu.Lock()
	g.nsm.State = 9
	g.mu.Unlock()
	g.epoch.Add(1)
	h.until("announced again", func() bool { return h.store.Announced().State == 9 })
	if len(h.notify) != 0 || h.store.Len() != 1 {
		t.Errorf("the server was told though the host lives on")
	}
	g.mu.Lock()
	g.nsm.State = 11
	g.mu.Unlock()
	h2 := open(t, dir, g, func(c *Config) { c.Store.boot = "another" })
	if got := <-h2.notify; got != (nsm.Change{Name: "us", State: 11}) {
		t.Errorf("heard %v", got)
	}
	h2.until("the old registration is gone", func() bool { return h2.store.Len() == 0 })
}

func TestAHostThatIsNeverReached(t *testing.T) {
	g := &gateway{nsm: ipc.NSM{State: 7, Hosts: []ipc.Host{{Name: "gone", Address: "127.0.0.1"}}}}
	h := open(t, t.TempDir(), g, func(c *Config) {
		c.GiveUp = 20 * time.Millisecond
		c.Lookup = func(context.Context, netip.Addr, netip.Addr, uint32, uint32, string) (netip.AddrPort, error) {
			return netip.AddrPort{}, rpcbind.ErrNotRegistered
		}
	})
	h.until("given up", h.pending(0))
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.heard) != 0 {
		t.Error("that freed something")
	}
}

func TestADamagedFileStopsNobody(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenStore(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(*monitor("peer")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "mon-0"), []byte("{"), 0o600)
	os.WriteFile(filepath.Join(dir, "announced"), nil, 0o600)
	if s, err = OpenStore(dir, slog.New(slog.DiscardHandler)); err != nil || s.Len() != 1 {
		t.Errorf("%d registrations, %v", s.Len(), err)
	}
}

func FuzzRegistrationFile(g *testing.F) {
	f := fuzz.On(g)
	f.Costly(100)
	f.Add([]byte(`{"ID":{"Name":"peer","My":{"Name":"here","Program":1,"Version":1,"Proc":1}},"Priv":[1],"Boot":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "mon-0"), b, 0o600)
		os.WriteFile(filepath.Join(dir, "announced"), b, 0o600)
		if _, err := OpenStore(dir, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
}
