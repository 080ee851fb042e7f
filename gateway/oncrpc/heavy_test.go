package oncrpc

import (
	"context"
	"net"
	"sync"
	"testing"

	"dittofs/gateway/xdr"
)

// A connection has so many heavy calls under way and the server so many in all; beyond, a connection waits for itself, and for the others nobody.
func TestHeavyCalls(t *testing.T) {
	var mu sync.Mutex
	busy, most := map[string]int{}, 0
	placed, release := make(chan bool, 10*heavyTotal), make(chan struct{})
	p := &Program{Name: "h", Number: 300101, Version: 1, Procs: []Proc{
		1: Handle("HEAVY", func(ctx context.Context, c *Call, n *number) (*number, error) {
			if !c.Heavy(ctx) {
				placed <- false
				return n, nil
			}
			mu.Lock()
			busy[c.Remote.String()]++
			most = max(most, busy[c.Remote.String()])
			mu.Unlock()
			placed <- true
			<-release
			mu.Lock()
			busy[c.Remote.String()]--
			mu.Unlock()
			return n, nil
		}),
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := NewServer(Config{}, p)
	var wg sync.WaitGroup
	wg.Go(func() { s.ServeTCP(ctx, l) })
	defer wg.Wait()
	defer stop()
	call := func(calls int) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		for i := range uint32(calls) {
			h := callHeader{XID: i, RPC: rpcVersion, Program: 300101, Version: 1, Proc: 1}
			out, _ := xdr.Marshal(appendCall(make([]byte, 4), &h), &number{i})
			markRecord(out, len(out)-4)
			c.Write(out)
		}
		return c
	}
	answered := func(c net.Conn, calls int) {
		t.Helper()
		for range calls {
			var rec record
			if err := rec.read(c, DefaultMaxRecord); err != nil {
				t.Fatal(err)
			}
		}
	}
	const conns, calls = heavyTotal / heavyEach, 2 * heavyEach
	var all []net.Conn
	for range conns {
		all = append(all, call(calls))
	}
	for range heavyTotal {
		if !<-placed {
			t.Fatal("a call has no place, and there are places left")
		}
	}
	late := call(1)
	if <-placed {
		t.Error("a call has a place, and there are none left")
	}
	answered(late, 1)
	close(release)
	for _, c := range all {
		answered(c, calls)
	}
	if most != heavyEach {
		t.Errorf("%d heavy calls of one connection at once, want %d", most, heavyEach)
	}
}
