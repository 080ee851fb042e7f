package tree

import (
	"context"
	"fmt"
	"sync"

	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
)

// counter is a lock.Manager for the tests: it admits what refuse does not refuse, keeps POSIX ranges without merging them, and
// writes down what it was asked.
type counter struct {
	mu      sync.Mutex // guards the fields below
	seat    *seat.Seat
	said    []string
	changes []lock.Change
	opens   map[uint64]lock.OpenRequest
	busy    map[uint64]bool // Access without its Done
	ranges  []lock.LockRequest
	line    []lock.LockRequest
	refuse  func(what any) lock.Outcome // 0: admit
	tickets map[uint64]uint64           // Blocked opens and accesses, by ticket
	blocked chan uint64                 // tickets, as they begin to wait
	deletes bool                        // Close says: delete
	// describe is the tree's.
	describe func(*lock.OpenRequest) bool
}

func newCounter() *counter {
	c := &counter{opens: map[uint64]lock.OpenRequest{}, busy: map[uint64]bool{}, tickets: map[uint64]uint64{}, blocked: make(chan uint64, 16)}
	c.seat = seat.New(c)
	return c
}

func (c *counter) note(format string, a ...any) { c.said = append(c.said, fmt.Sprintf(format, a...)) }

// heard takes what was said since it was called last.
func (c *counter) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.said
	c.said = nil
	return s
}

func (c *counter) judge(what any) lock.Outcome {
	if c.refuse != nil {
		if o := c.refuse(what); o != 0 {
			return o
		}
	}
	return lock.Granted
}

func (c *counter) refusing(f func(what any) lock.Outcome) {
	c.mu.Lock()
	c.refuse = f
	c.mu.Unlock()
}

func (c *counter) Open(_ context.Context, r lock.OpenRequest) (lock.OpenResult, error) {
	c.describe(&r)
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.judge(r)
	c.note("open %s access=%d overwrite=%v ticket=%v: %v", r.Path, r.Access, r.Overwrite, r.Ticket != 0, o)
	if o == lock.Granted {
		c.opens[r.Open] = r
	}
	if o == lock.Blocked && r.Ticket != 0 {
		c.tickets[r.Ticket] = r.Open
		c.blocked <- r.Ticket
	}
	return lock.OpenResult{Outcome: o}, nil
}

func (c *counter) Reconnect(context.Context, lock.ReconnectRequest) (lock.ReconnectResult, error) {
	return lock.ReconnectResult{Outcome: lock.Stale}, nil
}

func (c *counter) Close(_ context.Context, r lock.CloseRequest) (lock.CloseResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("close %s", c.opens[r.Open].Path)
	delete(c.opens, r.Open)
	return lock.CloseResult{Outcome: lock.Granted, Delete: c.deletes}, nil
}

func (c *counter) Access(_ context.Context, r lock.AccessRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.judge(r)
	c.note("%v %d+%d: %v", r.Op, r.Offset, r.Length, o)
	if o == lock.Granted {
		c.busy[r.ID] = true
	}
	return lock.Result{Outcome: o}, nil
}

func (c *counter) Done(_ context.Context, id uint64, changed bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, id)
	return nil
}

func overlap(a, b lock.LockRequest) bool {
	return (a.Length == 0 || b.Offset < a.Offset+a.Length) && (b.Length == 0 || a.Offset < b.Offset+b.Length)
}

func (c *counter) conflict(r lock.LockRequest) *lock.Holder {
	for _, h := range c.ranges {
		if h.Key == r.Key && h.Flock == r.Flock && h.Owner != r.Owner && (h.Exclusive || r.Exclusive) && overlap(h, r) {
			return &lock.Holder{Owner: h.Owner, Exclusive: h.Exclusive, Offset: h.Offset, Length: h.Length}
		}
	}
	return nil
}

func (c *counter) Lock(_ context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.judge(r); o != lock.Granted {
		return lock.Result{Outcome: o}, nil
	}
	h := c.conflict(r)
	c.note("lock %d+%d excl=%v flock=%v try=%v: %v", r.Offset, r.Length, r.Exclusive, r.Flock, r.Try, h == nil)
	switch {
	case h == nil:
		c.take(r)
		return lock.Result{Outcome: lock.Granted}, nil
	case r.Ticket == 0 || r.Try:
		return lock.Result{Outcome: lock.Denied, Holder: h}, nil
	}
	c.line = append(c.line, r)
	c.blocked <- r.Ticket
	return lock.Result{Outcome: lock.Blocked, Holder: h}, nil
}

// take gives r, instead of what its owner held within.
func (c *counter) take(r lock.LockRequest) {
	c.free(r)
	c.ranges = append(c.ranges, r)
}

// free cuts r out of what its owner holds.
func (c *counter) free(r lock.LockRequest) {
	var rest []lock.LockRequest
	for _, h := range c.ranges {
		if h.Key != r.Key || h.Owner != r.Owner || h.Flock != r.Flock || !overlap(h, r) {
			rest = append(rest, h)
			continue
		}
		if h.Offset < r.Offset {
			left := h
			left.Length = r.Offset - h.Offset
			rest = append(rest, left)
		}
		if end := r.Offset + r.Length; r.Length != 0 && (h.Length == 0 || end < h.Offset+h.Length) {
			right := h
			right.Offset = end
			if h.Length != 0 {
				right.Length = h.Offset + h.Length - end
			}
			rest = append(rest, right)
		}
	}
	c.ranges = rest
}

func (c *counter) Unlock(_ context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("unlock %d+%d flock=%v", r.Offset, r.Length, r.Flock)
	c.free(r)
	var still []lock.LockRequest
	for _, w := range c.line {
		if c.conflict(w) != nil {
			still = append(still, w)
			continue
		}
		c.take(w)
		go c.seat.Deliver(lock.Answer{Ticket: w.Ticket, Outcome: lock.Granted})
	}
	c.line = still
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Test(_ context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.conflict(r); h != nil {
		return lock.Result{Outcome: lock.Denied, Holder: h}, nil
	}
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Cancel(_ context.Context, ticket uint64) (lock.Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("cancel")
	delete(c.tickets, ticket)
	for i, w := range c.line {
		if w.Ticket == ticket {
			c.line = append(c.line[:i], c.line[i+1:]...)
			return lock.Cancelled, nil
		}
	}
	return lock.Cancelled, nil
}

func (c *counter) Changed(_ context.Context, ch lock.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes = append(c.changes, ch)
	return nil
}

func (c *counter) CancelLock(context.Context, lock.LockRequest) (lock.Outcome, error) {
	return lock.Invalid, nil
}
func (c *counter) Acknowledge(context.Context, lock.Ack) (lock.Outcome, error) {
	return lock.Invalid, nil
}
func (c *counter) Disposition(context.Context, uint64, bool) (lock.Outcome, error) {
	return lock.Invalid, nil
}
func (c *counter) Forget(context.Context, lock.Client) error { return nil }
func (c *counter) List(context.Context, lock.Filter) (lock.Snapshot, error) {
	return lock.Snapshot{}, nil
}
