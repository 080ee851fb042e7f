package ipc

import (
	"sync"

	"dittofs/gateway/lock"
)

// queueMax bounds the events that wait for a Sink.
const queueMax = 1 << 17

// item is an event on its way to the Sink.
type item struct {
	lock.Event
	told func() // a break's that came by a connection; else nil
}

// queue is the events between the connection and the Sink.
type queue struct {
	mu     sync.Mutex // guards the fields below
	filled *sync.Cond
	events []item
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.filled = sync.NewCond(&q.mu)
	return q
}

// put adds e; false if the queue is full or closed.
func (q *queue) put(e item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.events) >= queueMax {
		return false
	}
	q.events = append(q.events, e)
	q.filled.Signal()
	return true
}

// get waits for the next event; false when the queue is closed.
func (q *queue) get() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.events) == 0 && !q.closed {
		q.filled.Wait()
	}
	if q.closed {
		return item{}, false
	}
	e := q.events[0]
	q.events[0] = item{}
	q.events = q.events[1:]
	if len(q.events) == 0 {
		q.events = nil
	}
	return e, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
