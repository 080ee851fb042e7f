package server

import "sync"

// notices are the notifications that wait to be sent to a client, one after the other, so that nobody at the counter waits for a slow
// client. A goroutine sends them while there are any.
type notices struct {
	mu      sync.Mutex // guards the fields below
	list    []func()
	sending bool
	ended   bool
	all     sync.WaitGroup
}

// notify queues a notification. A client that lets too many pile up is cut off.
func (c *conn) notify(f func()) {
	n := &c.notices
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.ended:
		return
	case len(n.list) >= maxBreaks:
		c.log.Warn("connection ended: notifications pile up")
		c.nc.Close()
		return
	}
	n.list = append(n.list, f)
	if !n.sending {
		n.sending = true
		n.all.Go(n.send)
	}
}

func (n *notices) send() {
	for {
		n.mu.Lock()
		if len(n.list) == 0 || n.ended {
			n.sending, n.list = false, nil
			n.mu.Unlock()
			return
		}
		f := n.list[0]
		n.list = n.list[1:]
		n.mu.Unlock()
		f()
	}
}

// end drops what is left and waits for who sends.
func (n *notices) end() {
	n.mu.Lock()
	n.ended = true
	n.mu.Unlock()
	n.all.Wait()
}
