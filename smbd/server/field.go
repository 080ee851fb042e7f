package server

import (
	"sync"
	"time"
)

// Requests of a connection begin in the order of their arrival: each has the field until it is done, waits for others, or only moves data.
// Implementation specific.
const (
	orderTime = 20 * time.Millisecond // then the next may begin all the same
	moveTime  = time.Millisecond      // likewise, after one that only moves data
	moveMax   = 32 << 10              // bytes that are moved faster than somebody else takes the field
)

// field is a connection's. Whoever has it reads a frame and works on it: one goroutine for both, because waking another costs more than
// most requests. Who passes the field on ends with the request that he works on.
type field struct {
	mu    sync.Mutex // guards the next four
	turn  uint64     // counts those who had it; who has it knows the number
	until time.Time  // when it passes by itself; zero: not
	armed bool
	late  *time.Timer

	// Set before anybody has it.
	next    func(turn uint64) // goes on reading
	waiting func() bool       // more has come from the client
}

// begin says that a request is being worked on. alone: what follows depends on it.
func (f *field) begin(alone bool) {
	if alone {
		return
	}
	f.mu.Lock()
	f.limit(orderTime)
	f.mu.Unlock()
}

// limit lets the field pass by itself. f.mu is held. The timer of the request before may still run; it looks at the time.
func (f *field) limit(d time.Duration) {
	f.until = time.Now().Add(d)
	if f.late == nil {
		f.late = time.AfterFunc(d, f.overdue)
	} else if !f.armed || d < orderTime {
		f.late.Reset(d)
	}
	f.armed = true
}

func (f *field) overdue() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	if f.until.IsZero() {
		return
	}
	if d := time.Until(f.until); d > 0 {
		f.late.Reset(d)
		f.armed = true
		return
	}
	f.hand()
}

// hand lets somebody else go on reading. f.mu is held.
func (f *field) hand() {
	f.turn++
	f.until = time.Time{}
	go f.next(f.turn)
}

// pass gives the field to another, if turn has it.
func (f *field) pass(turn uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn == turn {
		f.hand()
	}
}

// moving is pass for a request that from here on only moves n bytes: few are moved first where nobody waits.
func (f *field) moving(turn uint64, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.turn != turn:
	case n > moveMax || f.waiting():
		f.hand()
	default:
		f.limit(moveTime)
	}
}

// keep reports whether turn still has the field when its request has been answered.
func (f *field) keep(turn uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn != turn {
		return false
	}
	f.until = time.Time{}
	return true
}

// end stops the clock.
func (f *field) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Time{}
	if f.late != nil {
		f.late.Stop()
	}
}
