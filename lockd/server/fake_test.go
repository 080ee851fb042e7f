package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"dittofs/gateway/lock"
)

// counter is a lock.Manager in memory for one door: ranges of owners on files, and one waiting line a file.
type counter struct {
	lock.Manager
	sink func(lock.Event)

	mu      sync.Mutex
	held    []lock.LockRequest
	line    []lock.LockRequest
	opens   map[uint64]lock.OpenRequest
	said    []string // verbs that freed something
	grace   bool
	away    int // so many questions fail
	lease   bool
	forgot  []lock.Client
	onBlock func()
}

func end(r lock.LockRequest) uint64 { return last(r) }

func (c *counter) conflict(r lock.LockRequest) *lock.LockRequest {
	for i := range c.held {
		h := &c.held[i]
		if string(h.FH) == string(r.FH) && h.Owner != r.Owner && (h.Exclusive || r.Exclusive) && h.Offset <= end(r) && r.Offset <= end(*h) {
			return h
		}
	}
	return nil
}

var errAway = errors.New("the counter is away")

func (c *counter) gone() bool {
	if c.away > 0 {
		c.away--
		return true
	}
	return false
}

func (c *counter) Lock(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone():
		return lock.Result{}, errAway
	case string(r.FH) == "stale":
		return lock.Result{Outcome: lock.Stale}, nil
	case c.grace && !r.Reclaim:
		return lock.Result{Outcome: lock.Grace}, nil
	}
	if c.lease {
		if r.Ticket == 0 {
			return lock.Result{Outcome: lock.Denied, Holder: &lock.Holder{Rights: lock.R | lock.W}}, nil
		}
		c.lease = false
	}
	if h := c.conflict(r); h != nil {
		res := lock.Result{Outcome: lock.Denied, Holder: &lock.Holder{Owner: h.Owner, Exclusive: h.Exclusive, Offset: h.Offset, Length: h.Length}}
		if r.Ticket != 0 {
			c.line = append(c.line, r)
			res.Outcome = lock.Blocked
			if c.onBlock != nil {
				c.onBlock()
			}
		}
		return res, nil
	}
	c.take(r)
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) take(r lock.LockRequest) {
	c.held = slices.DeleteFunc(c.held, func(h lock.LockRequest) bool {
		return h.Owner == r.Owner && string(h.FH) == string(r.FH) && h.Offset == r.Offset && h.Length == r.Length
	})
	c.held = append(c.held, r)
}

func (c *counter) Unlock(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		return lock.Result{}, errAway
	}
	c.unlock(r)
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) unlock(r lock.LockRequest) {
	c.held = slices.DeleteFunc(c.held, func(h lock.LockRequest) bool {
		gone := h.Owner == r.Owner && string(h.FH) == string(r.FH) && r.Offset <= h.Offset && end(h) <= end(r)
		if gone {
			c.said = append(c.said, fmt.Sprintf("unlock %s", h.Owner.Client.Name))
		}
		return gone
	})
	rest := c.line[:0:0]
	for _, w := range c.line {
		if c.conflict(w) != nil {
			rest = append(rest, w)
			continue
		}
		c.take(w)
		go c.sink(lock.Event{Answer: &lock.Answer{Ticket: w.Ticket, Outcome: lock.Granted}})
	}
	c.line = rest
}

func (c *counter) Test(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.conflict(r); h != nil {
		return lock.Result{Outcome: lock.Denied, Holder: &lock.Holder{Owner: h.Owner, Exclusive: h.Exclusive, Offset: h.Offset, Length: h.Length}}, nil
	}
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Cancel(ctx context.Context, ticket uint64) (lock.Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone() {
		return 0, errAway
	}
	for i, w := range c.line {
		if w.Ticket == ticket {
			c.line = slices.Delete(c.line, i, i+1)
			return lock.Cancelled, nil
		}
	}
	for _, h := range c.held {
		if h.Ticket == ticket {
			return lock.Granted, nil
		}
	}
	return lock.Stale, nil
}

func (c *counter) CancelLock(ctx context.Context, r lock.LockRequest) (lock.Outcome, error) {
	return lock.Stale, nil
}

func (c *counter) Open(ctx context.Context, r lock.OpenRequest) (lock.OpenResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.opens {
		if string(o.FH) == string(r.FH) && (r.Access&lock.Access(^o.Share)&3 != 0 || o.Access&lock.Access(^r.Share)&3 != 0) {
			return lock.OpenResult{Outcome: lock.SharingDenied}, nil
		}
	}
	c.opens[r.Open] = r
	return lock.OpenResult{Outcome: lock.Granted}, nil
}

func (c *counter) Close(ctx context.Context, r lock.CloseRequest) (lock.CloseResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.opens, r.Open)
	return lock.CloseResult{Outcome: lock.Granted}, nil
}

func (c *counter) Forget(ctx context.Context, cl lock.Client) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgot = append(c.forgot, cl)
	return nil
}

// owners lists who holds what, sorted.
func (c *counter) owners() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s []string
	for _, h := range c.held {
		s = append(s, h.Owner.Client.Name)
	}
	slices.Sort(s)
	return s
}
