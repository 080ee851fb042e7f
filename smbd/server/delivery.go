package server

import (
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// A break that the client's TCP does not acknowledge was not sent: its connection is given up, and it goes out on another one.
// [MS-SMB2] 3.3.4.6, 3.3.4.7. How long that takes is implementation specific.
const (
	deliveryTime = 4 * time.Second // without an acknowledgement; TCP has repeated itself four times by then
	patience     = 5               // as many of these where there is no other connection
)

// deliveries are the breaks that were written to a connection and may not have arrived.
type deliveries struct {
	mu     sync.Mutex // guards the fields below
	list   []delivery
	timer  *time.Timer // runs while there are any
	acked  uint64      // when it was started
	stalls int
	ended  bool
}

type delivery struct {
	upto  uint64 // it has arrived once as many bytes are acknowledged
	b     lock.Break
	tried []*conn // this one, and those before it
}

// flow is how many bytes the client has acknowledged, and how many more were written. Not ok: it cannot be told, or not any more.
func (c *conn) flow() (acked, queued uint64, ok bool) {
	t, tcp := c.nc.(*net.TCPConn)
	if !tcp {
		return 0, 0, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		n, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
		acked, queued, ok = info.Bytes_acked, uint64(n), err == nil
	})
	return acked, queued, ok && err == nil
}

// follow sees to it that a break that was just written arrives.
func (c *conn) follow(b lock.Break, tried []*conn) {
	acked, queued, ok := c.flow()
	if ok && queued == 0 {
		return
	}
	d := &c.deliveries
	d.mu.Lock()
	if d.ended {
		d.mu.Unlock()
		c.s.broken(b, func() {}, tried...)
		return
	}
	defer d.mu.Unlock()
	if !ok {
		queued = 1 << 63 // whoever ends the connection takes it
	}
	d.list = append(d.list, delivery{acked + queued, b, tried})
	if d.timer == nil {
		d.acked, d.stalls = acked, 0
		d.timer = time.AfterFunc(deliveryTime, c.followUp)
	}
}

// followUp gives the connection up if its client has acknowledged nothing since the last time.
func (c *conn) followUp() {
	acked, _, ok := c.flow()
	d := &c.deliveries
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || !ok {
		return // whoever ends the connection takes what is left
	}
	d.arrived(acked)
	if len(d.list) == 0 {
		d.timer = nil
		return
	}
	if d.stalls++; acked != d.acked {
		d.acked, d.stalls = acked, 0
	}
	_, others := c.s.routes(d.list[0].b, d.list[0].tried)
	if d.stalls >= patience || d.stalls > 0 && len(others) > 0 {
		c.log.Warn("connection ended: the client acknowledges nothing")
		c.nc.(*net.TCPConn).SetLinger(0)
		c.nc.Close()
		return
	}
	d.timer.Reset(deliveryTime)
}

// arrived drops what the client has.
func (d *deliveries) arrived(acked uint64) {
	d.list = slices.DeleteFunc(d.list, func(x delivery) bool { return x.upto <= acked })
}

// end returns what has not arrived.
func (d *deliveries) end(c *conn) []delivery {
	acked, _, ok := c.flow()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.timer != nil {
		d.timer.Stop()
	}
	if ok {
		d.arrived(acked)
	}
	return d.list
}
