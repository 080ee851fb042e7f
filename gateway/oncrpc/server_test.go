package oncrpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blob is opaque<>, as arguments and results.
type blob struct{ Data []byte }

func (b *blob) XDR(x *xdr.Stream) { x.Opaque(&b.Data, 1<<20) }

// logged collects log lines.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.b.String()), "\n")
}

type bench struct {
	addr   string
	log    logged
	runs   atomic.Int32
	gate   chan struct{}
	freed  chan struct{}
	server *Server
}

// start serves program 400000 version 3: 0 NULL, 1 ECHO, 2 TAIL, 3 ONCE, 4 PANIC, 5 DROP, 6 WHO, 7 nothing, 8 WEAK.
func start(t testing.TB, cfg Config) *bench {
	b := &bench{gate: make(chan struct{}), freed: make(chan struct{}, 8)}
	cfg.Log = slog.New(slog.NewTextHandler(&b.log, nil))
	cfg.Metrics = prometheus.NewRegistry()
	echo := func(ctx context.Context, c *Call, a *blob) (*blob, error) { return a, nil }
	p := &Program{Name: "try", Number: 400000, Version: 3, Procs: []Proc{
		Handle("NULL", func(ctx context.Context, c *Call, a *xdr.Void) (*xdr.Void, error) { return a, nil }),
		Handle("ECHO", echo),
		{Name: "TAIL", Call: func(ctx context.Context, c *Call, args, res *xdr.Stream) error {
			var a blob
			a.XDR(args)
			n := uint32(len(a.Data))
			res.Uint32(&n)
			c.Tail = a.Data
			c.Release = func() { b.freed <- struct{}{} }
			return nil
		}},
		{Name: "ONCE", Once: true, Call: func(ctx context.Context, c *Call, args, res *xdr.Stream) error {
			n := uint32(b.runs.Add(1))
			<-b.gate
			res.Uint32(&n)
			return nil
		}},
		Handle("PANIC", func(ctx context.Context, c *Call, a *xdr.Void) (*xdr.Void, error) { panic("what now") }),
		Handle("DROP", func(ctx context.Context, c *Call, a *xdr.Void) (*xdr.Void, error) { return nil, ErrNoReply }),
		Handle("WHO", func(ctx context.Context, c *Call, a *xdr.Void) (*blob, error) {
			return &blob{[]byte(c.Sys.MachineName + " " + c.Remote.Addr().String() + " " + c.Local.String())}, nil
		}),
		{},
		Handle("WEAK", func(ctx context.Context, c *Call, a *xdr.Void) (*xdr.Void, error) { return nil, ErrTooWeak }),
	}}
	older := *p
	older.Version = 1
	b.server = NewServer(cfg, p, &older)
	ctx, cancel := context.WithCancel(context.Background())
	tcp, udp, err := Listen(ctx, "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	b.addr = tcp[0].Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() { b.server.ServeTCP(ctx, tcp[0]) })
	wg.Go(func() { b.server.ServeUDP(ctx, udp[0]) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return b
}

func dial(t testing.TB, network, addr string) *Client {
	c, err := Dial(context.Background(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCallsAndRefusals(t *testing.T) {
	b := start(t, Config{})
	ctx := context.Background()
	sys := Cred{Sys: &AuthSys{MachineName: "ant", UID: 1, GIDs: []uint32{4, 5}}}
	refused := func(r Refused) error { return &r }
	for _, network := range []string{"tcp", "udp"} {
		c := dial(t, network, b.addr)
		for _, tc := range []struct {
			name             string
			prog, vers, proc uint32
			cred             Cred
			args             []byte
			res              string
			err              error
		}{
			{"ECHO gives back five bytes", 400000, 3, 1, sys, []byte("12345"), "12345", nil},
			{"TAIL follows its length, padded", 400000, 3, 2, sys, []byte("12345"), "12345", nil},
			{"WHO sees the credential and both addresses", 400000, 3, 6, sys, nil, "ant 127.0.0.1 " + b.addr, nil},
			{"AUTH_NONE has no name", 400000, 3, 6, Cred{}, nil, " 127.0.0.1 " + b.addr, nil},
			{"no such program", 400001, 3, 1, sys, nil, "", refused(Refused{Accept: ProgUnavail})},
			{"no such version", 400000, 2, 1, sys, nil, "", refused(Refused{Accept: ProgMismatch, Low: 1, High: 3})},
			{"no such procedure", 400000, 3, 99, sys, nil, "", refused(Refused{Accept: ProcUnavail})},
			{"a procedure that is not built", 400000, 3, 7, sys, nil, "", refused(Refused{Accept: ProcUnavail})},
			{"arguments that do not decode", 400000, 3, 1, sys, nil, "", refused(Refused{Accept: GarbageArgs})},
			{"a panic is SYSTEM_ERR", 400000, 3, 4, sys, nil, "", refused(Refused{Accept: SystemErr})},
			{"a credential that is too weak", 400000, 3, 8, sys, nil, "", refused(Refused{Denied: true, Auth: AuthTooWeak})},
		} {
			var args xdr.Value = &xdr.Void{}
			if tc.args != nil {
				args = &blob{tc.args}
			}
			var res blob
			err := c.Call(ctx, tc.prog, tc.vers, tc.proc, tc.cred, args, &res)
			var got *Refused
			if errors.As(err, &got) {
				err = got
			}
			if string(res.Data) != tc.res || (err == nil) != (tc.err == nil) || err != nil && err.Error() != tc.err.Error() {
				t.Errorf("%s: %s: got %q, %v, want %q, %v", network, tc.name, res.Data, err, tc.res, tc.err)
			}
		}
		<-b.freed
	}
}

// raw sends bytes and returns what comes back until the server closes, or the first want bytes.
func raw(t *testing.T, addr string, send []byte, want int) []byte {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	nc.Write(send)
	if want > 0 {
		b := make([]byte, want)
		if _, err := io.ReadFull(nc, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	nc.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWire(t *testing.T) {
	b := start(t, Config{})
	const head = " 00000000 00000002 00061a80 00000003 "
	for _, tc := range []struct{ name, send, want string }{
		{"NULL, RFC 5531 section 9", "80000028 00000007" + head + "00000000 00000000 00000000 00000000 00000000",
			"80000018 00000007 00000001 00000000 00000000 00000000 00000000"},
		{"NULL in three fragments", "00000004 00000007 00000000 80000024" + head + "00000000 00000000 00000000 00000000 00000000",
			"80000018 00000007 00000001 00000000 00000000 00000000 00000000"},
		{"RPC version 3", "80000028 00000007 00000000 00000003 00061a80 00000003 00000000 00000000 00000000 00000000 00000000",
			"80000018 00000007 00000001 00000001 00000000 00000002 00000002"},
		{"an unknown flavor", "80000028 00000007" + head + "00000001 00000009 00000000 00000000 00000000",
			"80000014 00000007 00000001 00000001 00000001 00000002"},
		{"NULL takes an unknown flavor", "80000028 00000007" + head + "00000000 00000009 00000000 00000000 00000000",
			"80000018 00000007 00000001 00000000 00000000 00000000 00000000"},
		{"AUTH_SYS that does not decode", "80000028 00000007" + head + "00000001 00000001 00000000 00000000 00000000",
			"80000014 00000007 00000001 00000001 00000001 00000001"},
	} {
		want := unhex(t, tc.want)
		if got := raw(t, b.addr, unhex(t, tc.send), len(want)); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", tc.name, got, want)
		}
	}
}

func TestBadRecordsCloseTheirConnection(t *testing.T) {
	for _, tc := range []struct{ name, send string }{
		{"a fragment over the limit", "ffffffff 00000000"},
		{"a reply", "8000000c 00000007 00000001 00000000"},
		{"text", hex.EncodeToString([]byte("GET / HTTP/1.1\r\n\r\n"))},
		{"a record that ends early", "80000028 00000007 00000000"},
		{"a mark that ends early", "8000"},
		{"a credential over 400 bytes", "80000028 00000007 00000000 00000002 00061a80 00000003 00000001 00000001 7fffffff 00000000 00000000"},
		{"an empty record", "80000000"},
	} {
		b := start(t, Config{})
		if got := raw(t, b.addr, unhex(t, tc.send), 0); len(got) != 0 {
			t.Errorf("%s: answered %x", tc.name, got)
		}
		if l := b.log.lines(); len(l) != 1 || !strings.Contains(l[0], "from=127.0.0.1:") {
			t.Errorf("%s: log %q", tc.name, l)
		}
	}
}

func TestARecordOfAMegabyteInFragments(t *testing.T) {
	b := start(t, Config{})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	head := callHeader{XID: 9, RPC: 2, Program: 400000, Version: 3, Proc: 2}
	call, _ := xdr.Marshal(appendCall(nil, &head), &blob{data})
	var send []byte
	for len(call) > 0 {
		n := min(len(call), 100_001)
		mark := make([]byte, 4)
		markRecord(mark, n)
		if n < len(call) {
			mark[0] &= 0x7f
		}
		send = append(append(send, mark...), call[:n]...)
		call = call[n:]
	}
	got := raw(t, b.addr, send, 4+24+4+len(data))
	if !bytes.Equal(got[32:], data) {
		t.Error("the data came back changed")
	}
}

// A retransmission of a call that still runs is dropped, and of one that has ended gets the first reply, over a new connection too.
func TestDuplicateRequestCache(t *testing.T) {
	b := start(t, Config{})
	head := callHeader{XID: 77, RPC: 2, Program: 400000, Version: 3, Proc: 3}
	call := appendCall([]byte{0, 0, 0, 0}, &head)
	markRecord(call, len(call)-4)
	first, second := dial(t, "tcp", b.addr), dial(t, "tcp", b.addr)
	first.conn.Write(call)
	for b.runs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	second.conn.Write(call)
	// A NULL behind it on the same connection tells that the duplicate was seen, because it is read after it.
	if err := second.Call(context.Background(), 400000, 3, 0, Cred{}, &xdr.Void{}, &xdr.Void{}); err != nil {
		t.Fatal(err)
	}
	close(b.gate)
	want := unhex(t, "8000001c 0000004d 00000001 00000000 00000000 00000000 00000000 00000001")
	for _, c := range []*Client{first, dial(t, "tcp", b.addr)} {
		if c != first {
			c.conn.Write(call)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.conn, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %x, %v", got, err)
		}
	}
	head.XID++
	call = appendCall([]byte{0, 0, 0, 0}, &head)
	markRecord(call, len(call)-4)
	if got := raw(t, b.addr, call, len(want)); got[len(got)-1] != 2 {
		t.Errorf("another xid got %x", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	d := newCache(2)
	now := time.Unix(0, 0)
	host := netip.MustParseAddr("192.0.2.1")
	for xid := range uint32(5) {
		k := cacheKey{host: host, xid: xid}
		d.begin(k, now)
		d.finish(k, []byte{byte(xid)}, now)
	}
	if len(d.calls) != 2 || len(d.done) != 2 || d.bytes != 2 {
		t.Errorf("%d calls, %d done, %d bytes", len(d.calls), len(d.done), d.bytes)
	}
	if r, fresh := d.begin(cacheKey{host: host, xid: 4}, now.Add(time.Second)); fresh || r[0] != 4 {
		t.Error("the newest is gone")
	}
	if _, fresh := d.begin(cacheKey{host: host, xid: 4}, now.Add(time.Hour)); !fresh {
		t.Error("an old reply still stands")
	}
}

func TestLimits(t *testing.T) {
	b := start(t, Config{MaxConns: 1, MaxInFlight: 1, IdleTimeout: 50 * time.Millisecond})
	first := dial(t, "tcp", b.addr)
	if err := first.Call(context.Background(), 400000, 3, 0, Cred{}, &xdr.Void{}, &xdr.Void{}); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, "tcp", b.addr).conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection over the limit is served")
	}
	if _, err := first.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an idle connection: %v, want EOF", err)
	}
}

func TestUDPRetransmits(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	done := make(chan struct{})
	go func() { // loses the first datagram
		defer close(done)
		b := make([]byte, 1000)
		pc.ReadFrom(b)
		_, from, err := pc.ReadFrom(b)
		if err == nil {
			pc.WriteTo([]byte("noise"), from)
			pc.WriteTo(appendAccepted(nil, uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), Success), from)
		}
	}()
	if err := dial(t, "udp", pc.LocalAddr().String()).Call(context.Background(), 1, 1, 0, Cred{}, &xdr.Void{}, &xdr.Void{}); err != nil {
		t.Error(err)
	}
	<-done
}

func TestListenOnePortForAll(t *testing.T) {
	tcp, udp, err := Listen(context.Background(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[uint16]bool{}
	for _, l := range tcp {
		ports[addrPort(l.Addr()).Port()] = true
		l.Close()
	}
	for _, c := range udp {
		ports[addrPort(c.LocalAddr()).Port()] = true
		c.Close()
	}
	if len(ports) != 1 || len(tcp) != len(udp) || len(tcp) == 0 {
		t.Errorf("%v %d %d", ports, len(tcp), len(udp))
	}
}

func FuzzCall(g *testing.F) {
	f := fuzz.On(g)
	head := callHeader{XID: 1, RPC: 2, Program: 400000, Version: 3, Proc: 1, Cred: opaqueAuth{Flavor: 1, Body: make([]byte, 20)}}
	f.Add(appendCall(nil, &head))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	p := &Program{Name: "try", Number: 400000, Version: 3, Procs: make([]Proc, 1)}
	p.Procs = append(p.Procs, Handle("ECHO", func(ctx context.Context, c *Call, a *blob) (*blob, error) { return a, nil }))
	s := NewServer(Config{}, p)
	f.Fuzz(func(t *testing.T, b []byte) {
		x := s.exchange()
		defer x.free()
		x.record.data = b
		var known credentials
		if ready, err := x.admit(&known); err == nil && ready && !x.run(context.Background()) {
			t.Error("no reply")
		}
	})
}

func FuzzReply(g *testing.F) {
	f := fuzz.On(g)
	f.Add(appendAccepted(nil, 1, Success))
	f.Add(appendAuthError(nil, 1, AuthBadCred))
	f.Add(appendRPCMismatch(nil, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := xdr.Decoder(b)
		parseReply(&x)
	})
}

func FuzzRecord(g *testing.F) {
	f := fuzz.On(g)
	f.Add([]byte{0x80, 0, 0, 4, 1, 2, 3, 4})
	f.Add([]byte{0, 0, 0, 1, 9, 0x80, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		defer r.free()
		if err := r.read(bytes.NewReader(b), 1<<20); err == nil && len(r.data) > len(b) {
			t.Error("more bytes than came")
		}
	})
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{0, 1 << 20} {
		b.Run(map[int]string{0: "empty", 1 << 20: "1MiB"}[size], func(b *testing.B) {
			s := start(b, Config{})
			go func() {
				for range s.freed {
				}
			}()
			defer close(s.freed)
			c := dial(b, "tcp", s.addr)
			data := &blob{make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var res blob
				if err := c.Call(context.Background(), 400000, 3, 2, Cred{}, data, &res); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Quick calls run in turn and leave with those that came beside them; one that would have to wait runs again on its own, and nobody
// behind it waits for it.
func TestQuickCalls(t *testing.T) {
	waiting, release := make(chan struct{}), make(chan struct{})
	p := &Program{Name: "q", Number: 300100, Version: 1, Procs: []Proc{
		0: Handle("NULL", func(context.Context, *Call, *xdr.Void) (*xdr.Void, error) { return &xdr.Void{}, nil }),
		1: Handle("WAIT", func(_ context.Context, c *Call, _ *number) (*number, error) {
			if c.Quick {
				return nil, ErrLater
			}
			close(waiting)
			<-release
			return &number{1}, nil
		}),
		2: Handle("QUICK", func(_ context.Context, c *Call, n *number) (*number, error) {
			if !c.Quick {
				t.Error("a quick call does not know that it is")
			}
			return n, nil
		}),
	}}
	p.Procs[1].Quick, p.Procs[1].Once, p.Procs[2].Quick = true, true, true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { NewServer(Config{}, p).ServeTCP(ctx, l) })
	defer wg.Wait()
	defer stop()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []byte
	for i := range uint32(20) {
		h := callHeader{XID: i, RPC: rpcVersion, Program: 300100, Version: 1, Proc: 2}
		if i == 3 {
			h.Proc = 1
		}
		at := len(out)
		out, _ = xdr.Marshal(appendCall(append(out, 0, 0, 0, 0), &h), &number{i})
		markRecord(out[at:], len(out)-at-4)
	}
	c.Write(out[:len(out)-10]) // the last one's end is late
	<-waiting
	var got []uint32
	next := func() {
		var rec record
		if err := rec.read(c, DefaultMaxRecord); err != nil {
			t.Fatal(err)
		}
		x := xdr.Decoder(rec.data)
		xid, err := parseReply(&x)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, xid)
	}
	for range 18 {
		next()
	}
	c.Write(out[len(out)-10:])
	next()
	close(release)
	next()
	want := []uint32{0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 3}
	if !slices.Equal(got, want) {
		t.Errorf("replies %v, want %v", got, want)
	}
}

type number struct{ n uint32 }

func (n *number) XDR(x *xdr.Stream) { x.Uint32(&n.n) }
