package oncrpc

import (
	"hash/crc32"
	"net/netip"
	"sync"
	"time"
)

// The duplicate request cache: a retransmitted call whose procedure must not run twice gets the reply that the first one got. A client
// that reconnects keeps its xid and changes its port, so the key has the host only; xids of two processes of one host may be equal, so
// the key has a checksum of the arguments as well.

type cacheKey struct {
	host                  netip.Addr
	xid, prog, vers, proc uint32
	length                int
	sum                   uint32
}

const (
	cacheAge   = 2 * time.Minute // longer than clients go on retransmitting
	cacheBytes = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func keyOf(c *Call, args []byte) cacheKey {
	return cacheKey{host: c.Remote.Addr(), xid: c.XID, prog: c.Program.Number, vers: c.Program.Version, proc: c.Procedure,
		length: len(args), sum: crc32.Checksum(args[:min(len(args), 256)], castagnoli)}
}

type cached struct {
	reply []byte // nil while the call runs
	at    time.Time
}

type cache struct {
	max int

	mu    sync.Mutex // guards the fields below
	calls map[cacheKey]*cached
	done  []cacheKey // finished calls, oldest first
	bytes int
}

func newCache(max int) *cache { return &cache{max: max, calls: map[cacheKey]*cached{}} }

// begin enters a call. fresh: it is to run, and finish or forget must follow. Otherwise reply is what it was answered, or nil while the
// first still runs.
func (d *cache) begin(k cacheKey, now time.Time) (reply []byte, fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.calls[k]; e != nil {
		if e.reply == nil || now.Sub(e.at) < cacheAge {
			return e.reply, false
		}
		d.bytes -= len(e.reply)
		for i := range d.done {
			if d.done[i] == k {
				d.done = append(d.done[:i], d.done[i+1:]...)
				break
			}
		}
	}
	d.calls[k] = &cached{}
	return nil, true
}

// finish keeps a copy of the reply, and lets the oldest go where there are too many.
func (d *cache) finish(k cacheKey, reply []byte, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[k] = &cached{reply: append([]byte(nil), reply...), at: now}
	d.done = append(d.done, k)
	d.bytes += len(reply)
	for len(d.done) > d.max || d.bytes > cacheBytes {
		old := d.done[0]
		d.done = d.done[1:]
		d.bytes -= len(d.calls[old].reply)
		delete(d.calls, old)
	}
}

// forget removes a call that was not answered, so that its retransmission runs.
func (d *cache) forget(k cacheKey) {
	d.mu.Lock()
	delete(d.calls, k)
	d.mu.Unlock()
}
