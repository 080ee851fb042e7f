package server

import "sync"

// maxCredits bounds the requests that a client may have outstanding. Implementation specific, [MS-SMB2] 3.3.1.2.
const maxCredits = 512

// credits is a connection's window of message ids, [MS-SMB2] 3.3.1.1 and 3.3.5.2.3: ids below low are used up, ids from high on are not
// yet granted, and in between used says which have come.
type credits struct {
	mu        sync.Mutex // guards the fields below
	low, high uint64
	free      int                 // ids that may still be used
	used      [window / 64]uint64 // by id modulo its size
}

func newCredits() *credits { return &credits{high: 1, free: 1} } // one credit at the start: message id 0

const window = 4 * maxCredits

// take uses up the ids from id on, as many as charge says, and reports whether all of them were there to be used.
func (c *credits) take(id uint64, charge uint16) bool {
	n := uint64(max(charge, 1))
	c.mu.Lock()
	defer c.mu.Unlock()
	if id < c.low || id >= c.high || n > c.high-id {
		return false
	}
	for i := id; i < id+n; i++ {
		if c.used[i%window/64]&(1<<(i%64)) != 0 {
			return false
		}
	}
	for i := id; i < id+n; i++ {
		c.used[i%window/64] |= 1 << (i % 64)
	}
	c.free -= int(n)
	for c.low < c.high && c.used[c.low%window/64]&(1<<(c.low%64)) != 0 {
		c.used[c.low%window/64] &^= 1 << (c.low % 64)
		c.low++
	}
	return true
}

// grant opens the window by at most want ids and returns how many. A client that has none left always gets one.
func (c *credits) grant(want uint16) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(max(int(want), 1), maxCredits-c.free, window-int(c.high-c.low))
	n = max(n, 0)
	c.high += uint64(n)
	c.free += n
	return uint16(n)
}
