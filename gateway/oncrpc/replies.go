package oncrpc

import (
	"net"
	"sync"
	"time"
)

var padding [3]byte

// replies writes the replies of one connection. Those that are ready while another is written leave together.
type replies struct {
	conn net.Conn

	write sync.Mutex // held while the connection is written to; taken before mu

	mu   sync.Mutex // guards wait
	wait []byte     // records that are to be written
}

// smallTail is the largest tail that is copied, to leave together with others.
const smallTail = 8 << 10

// alone reports whether a reply leaves by itself: its tail is large, or its handler wants to know when it is out.
func (x *exchange) alone() bool {
	return len(x.Tail) > smallTail || len(x.Tail) == 0 && x.Release != nil
}

// put leaves a reply for the next flush, unless it leaves by itself.
func (r *replies) put(x *exchange) {
	if x.alone() {
		r.send(x)
		return
	}
	pad := -len(x.Tail) & 3
	markRecord(x.out, len(x.out)-4+len(x.Tail)+pad)
	r.mu.Lock()
	if r.wait == nil {
		r.wait = midBuffers.Get().(*[midRecord]byte)[:0]
	}
	r.wait = append(append(append(r.wait, x.out...), x.Tail...), padding[:pad]...)
	full := len(r.wait) >= midRecord/2
	r.mu.Unlock()
	if full {
		r.flush()
	}
}

// send writes a reply, or leaves it to whoever is writing. One whose handler wants to know when it is out is out when send returns.
func (r *replies) send(x *exchange) {
	if !x.alone() {
		r.put(x)
		r.flush()
		return
	}
	pad := -len(x.Tail) & 3
	markRecord(x.out, len(x.out)-4+len(x.Tail)+pad)
	r.write.Lock()
	r.drain()
	x.vec = [3][]byte{x.out, x.Tail, padding[:pad]}
	b := net.Buffers(x.vec[:])
	r.conn.SetWriteDeadline(time.Now().Add(recordTimeout))
	if _, err := b.WriteTo(r.conn); err != nil {
		r.conn.Close()
	}
	r.write.Unlock()
	r.flush()
}

// flush writes what waits. Whoever writes already looks again when it has unlocked, so that nothing stays behind.
func (r *replies) flush() {
	for r.waiting() && r.write.TryLock() {
		r.drain()
		r.write.Unlock()
	}
}

func (r *replies) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.wait) > 0
}

// drain writes what waits. A client that does not take it loses its connection.
func (r *replies) drain() {
	for {
		r.mu.Lock()
		b := r.wait
		r.wait = nil
		r.mu.Unlock()
		if b == nil {
			return
		}
		r.conn.SetWriteDeadline(time.Now().Add(recordTimeout))
		if _, err := r.conn.Write(b); err != nil {
			r.conn.Close()
		}
		if cap(b) == midRecord {
			midBuffers.Put((*[midRecord]byte)(b[:midRecord]))
		}
	}
}
