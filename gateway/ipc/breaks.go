package ipc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// breaks are the breaks that came by one connection, numbered from 1. An answer in a lane says how many the counter had sent by then, and
// the call does not return before their clients were told: who asked may tell one of them what it did, by a way that is faster than the
// break. A client that is slow to tell delays a call by tellingTime, once for each break.
type breaks struct {
	settled atomic.Uint64 // all up to here are told

	mu     sync.Mutex // guards the fields below
	came   uint64
	untold []uint64
	news   chan struct{} // closed when settled rises; nil: nobody waits
}

// tellingTime is how long a call waits at most. No break needs it for the law's sake: one that somebody must obey first delays the answer.
const tellingTime = 20 * time.Millisecond

// arrive numbers the next break, and returns what must be called once its client was told, or cannot be.
func (b *breaks) arrive() (told func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.came++
	n := b.came
	b.untold = append(b.untold, n)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.untold = slices.DeleteFunc(b.untold, func(u uint64) bool { return u == n })
		b.settle()
	}
}

// settle finds how far all are told. b.mu is held.
func (b *breaks) settle() {
	n := b.came
	if len(b.untold) > 0 {
		n = b.untold[0] - 1
	}
	if n > b.settled.Load() {
		b.settled.Store(n)
		if b.news != nil {
			close(b.news)
			b.news = nil
		}
	}
}

// wait waits until the first n breaks are told, tellingTime at most; those that are not are not waited for again.
func (b *breaks) wait(n uint64) {
	if b.settled.Load() >= n {
		return
	}
	late := time.NewTimer(tellingTime)
	defer late.Stop()
	for {
		b.mu.Lock()
		if b.settled.Load() >= n {
			b.mu.Unlock()
			return
		}
		if b.news == nil {
			b.news = make(chan struct{})
		}
		news := b.news
		b.mu.Unlock()
		select {
		case <-news:
		case <-late.C:
			b.mu.Lock()
			b.untold = slices.DeleteFunc(b.untold, func(u uint64) bool { return u <= n })
			b.settle()
			b.mu.Unlock()
			return
		}
	}
}

// hand gives the door what came.
func (m *counter) hand(i item) {
	switch told := i.told; {
	case i.Break != nil && m.options.Breaks != nil:
		if told == nil {
			told = func() {}
		}
		m.options.Breaks(*i.Break, told)
	default:
		m.options.Sink(i.Event)
		if told != nil {
			told()
		}
	}
}
