package server

import (
	"net"
	"reflect"
	"runtime"
	"testing"

	"dittofs/gateway/lock"
)

// A break has arrived when the client's TCP has acknowledged it; what has not when the connection ends goes another way.
func TestDeliveries(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b := lock.Break{Open: 1}

	c := &conn{nc: nc}
	nc.Write(make([]byte, 100))
	c.follow(b, []*conn{c})
	for queued := uint64(1); queued > 0; runtime.Gosched() {
		_, queued, _ = c.flow()
	}
	if lost := c.deliveries.end(c); len(lost) != 0 {
		t.Errorf("acknowledged and lost: %+v", lost)
	}

	// Closed before anybody could tell.
	c = &conn{nc: nc}
	nc.Close()
	c.follow(b, []*conn{c})
	if lost, want := c.deliveries.end(c), []delivery{{1 << 63, b, []*conn{c}}}; !reflect.DeepEqual(lost, want) {
		t.Errorf("lost: %+v, want %+v", lost, want)
	}

	d := deliveries{list: []delivery{{upto: 10}, {upto: 20}, {upto: 30}}}
	if d.arrived(20); len(d.list) != 1 || d.list[0].upto != 30 {
		t.Errorf("with 20 bytes acknowledged: %+v", d.list)
	}
}
