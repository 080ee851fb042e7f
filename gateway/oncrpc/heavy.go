package oncrpc

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Heavy calls carry much data, or ask for much. Few of them at once keep a connection busy, and each has a buffer: so there are places for them, some on each
// connection and some in all, and a client that sends requests and takes no replies costs little.

const (
	heavyEach  = 8
	heavyTotal = 128
	heavyRest  = 5 * time.Second // after the last one what they took is given back to the system
)

// places are a server's.
type places struct {
	free chan struct{} // one for each that is taken

	mu   sync.Mutex // guards the fields below
	busy int
	rest *time.Timer // nil: there is nothing to give back
}

func newPlaces() *places { return &places{free: make(chan struct{}, heavyTotal)} }

// took counts one more.
func (p *places) took() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy++; p.rest != nil {
		p.rest.Stop()
	}
}

// leave gives a place back.
func (p *places) leave() {
	<-p.free
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy--; p.busy > 0 {
		return
	}
	if p.rest == nil {
		p.rest = time.AfterFunc(heavyRest, p.giveBack)
		return
	}
	p.rest.Reset(heavyRest)
}

// giveBack frees the buffers, which pools give up after two collections.
func (p *places) giveBack() {
	p.mu.Lock()
	idle := p.busy == 0
	p.mu.Unlock()
	if idle {
		runtime.GC()
		debug.FreeOSMemory()
	}
}

// Heavy waits for a place among the connection's heavy calls, which is free again when the reply is out. false: the server has none, and the caller makes do with
// less. A datagram needs none.
func (c *Call) Heavy(ctx context.Context) bool {
	if c.places == nil || c.heavy {
		return true
	}
	select {
	case c.beside <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	select {
	case c.places.free <- struct{}{}:
	default:
		<-c.beside
		return false
	}
	c.heavy = true
	c.places.took()
	return true
}

// carries is Heavy for a call that has its buffer, and waits for the server too.
func (c *Call) carries(ctx context.Context) {
	select {
	case c.beside <- struct{}{}:
	case <-ctx.Done():
		return
	}
	select {
	case c.places.free <- struct{}{}:
	case <-ctx.Done():
		<-c.beside
		return
	}
	c.heavy = true
	c.places.took()
}

// lighten gives the call's place back, if it has one.
func (c *Call) lighten() {
	if c.heavy {
		c.heavy = false
		<-c.beside
		c.places.leave()
	}
}
