package rpcbind

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper runs a keeper on a loopback port, and returns its TCP and UDP address and its socket.
func keeper(t *testing.T) (addr, path string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, path = l.Addr().String(), filepath.Join(t.TempDir(), "rpcbind.sock")
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, addr, path, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { cancel(); <-done })
	for !Answers(ctx, addr) {
		select {
		case err := <-done:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	return addr, path
}

var nlm = Mapping{Program: 100021, Version: 4, Netid: "tcp", Addr: "0.0.0.0.128.35", Owner: "superuser"}

func TestRegisterAskWithdraw(t *testing.T) {
	addr, path := keeper(t)
	ctx := context.Background()
	ms := Mappings(100021, []uint32{4, 3}, 32803, true, false)
	w := Where{Sockets: []string{path + ".none", path}, Ask: addr}
	withdraw, err := Register(ctx, w, ms)
	if err != nil {
		t.Fatal(err)
	}
	if !w.known(ctx, ms) {
		t.Error("not known")
	}
	at := netip.MustParseAddrPort(addr)
	for _, network := range []string{"tcp", "udp"} {
		got, err := lookupAt(ctx, at, netip.Addr{}, 100021, 4, network)
		if want := netip.MustParseAddrPort("127.0.0.1:32803"); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", network, got, err, want)
		}
		c, err := Dial(ctx, network, addr)
		if err != nil {
			t.Fatal(err)
		}
		port, err := c.GetPort(ctx, 100021, 3, protoUDP)
		if port != 32803 || err != nil {
			t.Errorf("GETPORT over %s: %d, %v", network, port, err)
		}
		var got2 list[pmap, *pmap]
		if err := c.call(ctx, V2, procDump, &xdr.Void{}, &got2); err != nil || len(got2.items) != 3*2+4 {
			t.Errorf("DUMP: %v, %v", got2.items, err)
		}
		c.Close()
	}
	withdraw()
	if _, err := lookupAt(ctx, at, netip.Addr{}, 100021, 4, "tcp"); err == nil {
		t.Error("still known after it was withdrawn")
	}
}

func TestASocketOfAnotherKeeperIsNotTaken(t *testing.T) {
	addr, path := keeper(t)
	_, foreign := keeper(t)
	ctx := context.Background()
	ms := []Mapping{nlm}
	if _, err := Register(ctx, Where{Sockets: []string{foreign, path}, Ask: addr}, ms); err != nil {
		t.Fatal(err)
	}
	if (Where{Sockets: []string{foreign}}).known(ctx, ms) || !(Where{Sockets: []string{path}}).known(ctx, ms) {
		t.Error("registered with the wrong keeper")
	}
}

func TestOnlyTrustedCallersChangeTheTable(t *testing.T) {
	addr, path := keeper(t)
	ctx := context.Background()
	for _, tc := range []struct {
		network, addr string
		want          bool
	}{{"tcp", addr, false}, {"udp", addr, false}, {"unix", path, true}} {
		c, err := Dial(ctx, tc.network, tc.addr)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := c.Set(ctx, nlm)
		if ok != tc.want || err != nil {
			t.Errorf("SET over %s: %v, %v, want %v", tc.network, ok, err, tc.want)
		}
		other := nlm
		other.Addr = "0.0.0.0.1.1"
		if ok, _ := c.Set(ctx, other); ok {
			t.Errorf("SET over %s took a second address", tc.network)
		}
		self := Mapping{Program: Program, Version: V4, Netid: "tcp"}
		if ok, _ := c.Unset(ctx, self); ok {
			t.Error("the keeper removed itself")
		}
		c.Close()
	}
}

func TestAnswers(t *testing.T) {
	s := NewServer(111)
	s.set(nlm)
	got := []Mapping{}
	for _, q := range []struct {
		version uint32
		netid   string
		exact   bool
	}{{4, "tcp", true}, {3, "tcp", false}, {3, "tcp", true}, {4, "udp", false}} {
		m, _ := s.get(100021, q.version, q.netid, q.exact)
		got = append(got, m)
	}
	if want := []Mapping{nlm, nlm, {}, {}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUaddr(t *testing.T) {
	for _, tc := range []struct{ ap, u string }{
		{"192.0.2.1:2049", "192.0.2.1.8.1"}, {"0.0.0.0:111", "0.0.0.0.0.111"}, {"[::1]:32803", "::1.128.35"}, {"[2001:db8::7]:65535", "2001:db8::7.255.255"},
	} {
		ap := netip.MustParseAddrPort(tc.ap)
		if got := Uaddr(ap); got != tc.u {
			t.Errorf("%s: %s, want %s", tc.ap, got, tc.u)
		}
		if got, err := ParseUaddr(tc.u); got != ap || err != nil {
			t.Errorf("%s: %s, %v", tc.u, got, err)
		}
	}
	for _, bad := range []string{"", "1.2.3.4", "1.2.3.4.5", "1.2.3.4.256.1", "::1.1", "x.1.1", "1.2.3.4.-1.1"} {
		if _, err := ParseUaddr(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestWire(t *testing.T) {
	b, err := xdr.Marshal(nil, &list[Mapping, *Mapping]{items: []Mapping{nlm}})
	want := "00000001" + // more
		"000186b5" + "00000004" + // r_prog, r_vers
		"00000003" + hex.EncodeToString([]byte("tcp\x00")) +
		"0000000e" + hex.EncodeToString([]byte("0.0.0.0.128.35\x00\x00")) +
		"00000009" + hex.EncodeToString([]byte("superuser\x00\x00\x00")) +
		"00000000"
	if got := hex.EncodeToString(b); got != want || err != nil {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

func TestKeepWaitsForItsKeeper(t *testing.T) {
	addr, path := keeper(t)
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	wait := Keep(ctx, slog.New(slog.DiscardHandler), Where{Sockets: []string{path}, Ask: addr}, []Mapping{nlm}, func() { close(ready) })
	<-ready
	cancel()
	wait()
	c, _ := Dial(context.Background(), "unix", path)
	defer c.Close()
	if ms, err := c.Dump(context.Background()); err != nil || len(ms) != 3*4 {
		t.Errorf("%d mappings (%v), want the keeper's own %s", len(ms), err, strconv.Itoa(12))
	}
}

func FuzzWire(g *testing.F) {
	f := fuzz.On(g)
	b, _ := xdr.Marshal(nil, &list[Mapping, *Mapping]{items: []Mapping{nlm}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var l list[Mapping, *Mapping]
		if xdr.Unmarshal(b, &l) == nil {
			if out, err := xdr.Marshal(nil, &l); err != nil || len(out) != len(b) {
				t.Errorf("%x became %x, %v", b, out, err)
			}
		}
		var p list[pmap, *pmap]
		if xdr.Unmarshal(b, &p) == nil {
			if out, err := xdr.Marshal(nil, &p); err != nil || !bytes.Equal(out, b) {
				t.Errorf("%x became %x, %v", b, out, err)
			}
		}
	})
}

func FuzzUaddr(g *testing.F) {
	f := fuzz.On(g)
	f.Add("192.0.2.1.8.1")
	f.Add("::1.8.1")
	f.Fuzz(func(t *testing.T, s string) {
		if ap, err := ParseUaddr(s); err == nil && ap.Addr().Zone() == "" {
			if back, err := ParseUaddr(Uaddr(ap)); err != nil || back != ap {
				t.Errorf("%q became %v", s, back)
			}
		}
	})
}

// GETADDR answers for the transport of the question, so a program with two ports is found at the right one.
func TestLookupOverEachTransport(t *testing.T) {
	addr, path := keeper(t)
	ctx := context.Background()
	ms := []Mapping{
		{Program: 100021, Version: 4, Netid: "udp", Addr: "0.0.0.0.1.1", Owner: "superuser"},
		{Program: 100021, Version: 4, Netid: "tcp", Addr: "0.0.0.0.2.2", Owner: "superuser"},
	}
	withdraw, err := Register(ctx, Where{Sockets: []string{path}}, ms)
	if err != nil {
		t.Fatal(err)
	}
	defer withdraw()
	for network, port := range map[string]uint16{"udp": 257, "tcp": 514} {
		if got, err := lookupAt(ctx, netip.MustParseAddrPort(addr), netip.Addr{}, 100021, 4, network); err != nil || got.Port() != port {
			t.Errorf("%s: %v, %v, want port %d", network, got, err, port)
		}
	}
}
