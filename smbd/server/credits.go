package server

import "sync"

// maxCredits is the size of a connection's window of message ids. Implementation specific, [MS-SMB2] 3.3.1.2. How much of what a client
// may send is worked on at a time, flight says.
const maxCredits = 8192

// credits is a connection's window of message ids, [MS-SMB2] 3.3.1.1 and 3.3.5.2.3: ids below low are used up, ids from high on are not
// yet granted, and in between used says which have come.
type credits struct {
	mu        sync.Mutex // guards the fields below
	low, high uint64
	used      [maxCredits / 64]uint64 // by id modulo the window's size
}

func newCredits() *credits { return &credits{high: 1} } // one credit at the start: message id 0

// take uses up the ids from id on, as many as charge says, and reports whether all of them were there to be used.
func (c *credits) take(id uint64, charge uint16) bool {
	n := uint64(max(charge, 1))
	c.mu.Lock()
	defer c.mu.Unlock()
	if id < c.low || id >= c.high || n > c.high-id {
		return false
	}
	for i := id; i < id+n; i++ {
		if c.used[i%maxCredits/64]&(1<<(i%64)) != 0 {
			return false
		}
	}
	for i := id; i < id+n; i++ {
		c.used[i%maxCredits/64] |= 1 << (i % 64)
	}
	for c.low < c.high && c.used[c.low%maxCredits/64]&(1<<(c.low%64)) != 0 {
		c.used[c.low%maxCredits/64] &^= 1 << (c.low % 64)
		c.low++
	}
	return true
}

// grant opens the window by at most want ids and returns how many. A client gets none only while an id that it left out keeps the window
// from moving on.
func (c *credits) grant(want uint16) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(max(uint64(want), 1), maxCredits-(c.high-c.low))
	c.high += n
	return uint16(n)
}
