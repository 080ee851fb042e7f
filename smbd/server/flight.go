package server

import "sync"

// What of a client's requests is worked on at a time, and what may wait for others. Implementation specific.
const (
	maxInFlight      = 512      // credits
	maxBytesInFlight = 16 << 20 // of requests and of the responses that they ask for
	maxPending       = 512      // requests that were answered STATUS_PENDING
	maxBytesPending  = 64 << 20
)

// load is what a frame costs while it is worked on.
type load struct {
	credits int
	bytes   uint64
}

// flight bounds what a connection holds. Where it is full, nothing more is read until something has been answered.
type flight struct {
	mu      sync.Mutex // guards the fields below
	free    sync.Cond
	now     load // being worked on
	pending load // waiting for others; its credits are requests
	ended   bool
}

func newFlight() *flight {
	f := &flight{}
	f.free.L = &f.mu
	return f
}

// enter waits until there is room for a frame, or the connection ends. Alone, a frame always has room.
func (f *flight) enter(l load) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.ended && f.now.credits > 0 && (f.now.credits+l.credits > maxInFlight || f.now.bytes+l.bytes > maxBytesInFlight) {
		f.free.Wait()
	}
	if f.ended {
		return false
	}
	f.now.credits += l.credits
	f.now.bytes += l.bytes
	return true
}

// leave says that a frame has been answered.
func (f *flight) leave(l load, pended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if pended {
		f.pending.credits--
		f.pending.bytes -= l.bytes
		return
	}
	f.now.credits -= l.credits
	f.now.bytes -= l.bytes
	f.free.Signal()
}

// pend says that a frame waits for others, and makes room: what it waits for may be something that its own client has yet to send. It
// reports false where too many wait already; then the frame stays in flight.
func (f *flight) pend(l load) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending.credits >= maxPending || f.pending.bytes+l.bytes > maxBytesPending {
		return false
	}
	f.pending.credits++
	f.pending.bytes += l.bytes
	f.now.credits -= l.credits
	f.now.bytes -= l.bytes
	f.free.Signal()
	return true
}

// end lets nobody wait any more.
func (f *flight) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.free.Broadcast()
}
