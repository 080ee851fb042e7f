// Package seat turns a counter's tickets into calls that block: it numbers them, waits for their Answer, and cancels them when the
// caller's context ends.
//
// Lock order: Seat.mu is a leaf; it is never held while the counter is asked.
package seat

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dittofs/gateway/lock"
)

// Seat is a door's place at the counter. Its Open, Access and Lock block where the counter's own return Blocked.
type Seat struct {
	lock.Manager

	number  atomic.Uint64
	mu      sync.Mutex // guards the fields below
	waiting map[uint64]chan lock.Answer
}

// New returns a seat; Manager is set before its first use.
func New(m lock.Manager) *Seat {
	return &Seat{Manager: m, waiting: map[uint64]chan lock.Answer{}}
}

// Number returns a number that this seat has not used: for opens, accesses and tickets.
func (s *Seat) Number() uint64 { return s.number.Add(1) }

// Deliver hands an Answer to the call that waits for it, and reports whether there was one.
func (s *Seat) Deliver(a lock.Answer) bool {
	s.mu.Lock()
	c := s.waiting[a.Ticket]
	delete(s.waiting, a.Ticket)
	s.mu.Unlock()
	if c != nil {
		c <- a
	}
	return c != nil
}

// answers are channels that nobody has sent on.
var answers = sync.Pool{New: func() any { return make(chan lock.Answer, 1) }}

func (s *Seat) expect() (uint64, chan lock.Answer) {
	t, c := s.Number(), answers.Get().(chan lock.Answer)
	s.mu.Lock()
	s.waiting[t] = c
	s.mu.Unlock()
	return t, c
}

func (s *Seat) forget(ticket uint64) {
	s.mu.Lock()
	c := s.waiting[ticket]
	delete(s.waiting, ticket)
	s.mu.Unlock()
	if c != nil {
		answers.Put(c) // else Deliver took it
	}
}

// await waits for the ticket's answer. When ctx ends first, the ticket is cancelled; an answer that crossed the cancellation still
// counts, because what was granted is held.
func (s *Seat) await(ctx context.Context, ticket uint64, c chan lock.Answer) (lock.Answer, error) {
	defer s.forget(ticket)
	select {
	case a := <-c:
		return a, nil
	case <-ctx.Done():
	}
	out, err := s.Manager.Cancel(context.WithoutCancel(ctx), ticket)
	if err != nil {
		return lock.Answer{}, err
	}
	if out == lock.Granted {
		return <-c, nil
	}
	return lock.Answer{Ticket: ticket, Outcome: lock.Cancelled}, nil
}

// Open asks for an open and waits for the breaks that it needs. blocked, if not nil, is called once when the wait begins.
func (s *Seat) Open(ctx context.Context, r lock.OpenRequest, blocked func()) (lock.OpenResult, error) {
	t, c := s.expect()
	r.Ticket = t
	res, err := s.Manager.Open(ctx, r)
	if err != nil || res.Outcome != lock.Blocked {
		s.forget(t)
		return res, err
	}
	if blocked != nil {
		blocked()
	}
	a, err := s.await(ctx, t, c)
	return a.Result(), err
}

// Lock asks for a range and waits in the file's line.
func (s *Seat) Lock(ctx context.Context, r lock.LockRequest, blocked func()) (lock.Result, error) {
	t, c := s.expect()
	r.Ticket = t
	res, err := s.Manager.Lock(ctx, r)
	if err != nil || res.Outcome != lock.Blocked {
		s.forget(t)
		return res, err
	}
	if blocked != nil {
		blocked()
	}
	a, err := s.await(ctx, t, c)
	return lock.Result{Outcome: a.Outcome, Holder: a.Holder}, err
}

// Access admits one operation, waiting at most hold for the breaks that it needs; then the outcome is TimedOut. done is never nil and
// must be called when the operation has ended; it does nothing unless the outcome is Granted and the operation lasts.
func (s *Seat) Access(ctx context.Context, r lock.AccessRequest, hold time.Duration, blocked func()) (res lock.Result, done func(changed bool), err error) {
	done = func(bool) {}
	t, c := s.expect()
	r.ID, r.Ticket = s.Number(), t
	res, err = s.Manager.Access(ctx, r)
	if err == nil && res.Outcome == lock.Blocked {
		if blocked != nil {
			blocked()
		}
		wctx, cancel := context.WithTimeout(ctx, hold)
		defer cancel()
		var a lock.Answer
		a, err = s.await(wctx, t, c)
		res = lock.Result{Outcome: a.Outcome, Holder: a.Holder}
		if a.Outcome == lock.Cancelled && ctx.Err() == nil {
			res.Outcome = lock.TimedOut
		}
	} else {
		s.forget(t)
	}
	if err == nil && res.Outcome == lock.Granted && r.Op.Lasts() {
		id := r.ID // not r, which would then live as long
		done = func(changed bool) { s.Done(context.WithoutCancel(ctx), id, changed) }
	}
	return res, done, err
}
