package hatch

import (
	"sync"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"

	"dittofs/gateway/ipc"
)

// Bounds of the events that wait for a daemon.
const (
	outboxMax = 1 << 16
	batchMax  = 128
)

// outbox is the events between the counter, which never waits, and the connection.
type outbox struct {
	mu     sync.Mutex // guards the fields below
	events []lock.Event
	closed bool
	filled chan struct{} // holds a token while there may be events
}

func newOutbox() *outbox { return &outbox{filled: make(chan struct{}, 1)} }

// put adds e; false if the box is full.
func (o *outbox) put(e lock.Event) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true // nobody is told any more
	}
	if len(o.events) >= outboxMax {
		return false
	}
	o.events = append(o.events, e)
	select {
	case o.filled <- struct{}{}:
	default:
	}
	return true
}

// take returns the next events, none if there are none.
func (o *outbox) take() *lockpb.EventBatch {
	o.mu.Lock()
	n := min(len(o.events), batchMax)
	events := o.events[:n:n]
	if o.events = o.events[n:]; len(o.events) == 0 {
		o.events = nil
	}
	o.mu.Unlock()
	b := &lockpb.EventBatch{}
	for _, e := range events {
		b.Events = append(b.Events, ipc.EventPB(e))
	}
	return b
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.events = true, nil
}
