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

// notify queues a notification, unless the connection is ending. A client that lets too many pile up is cut off.
func (c *conn) notify(f func()) bool {
	n := &c.notices
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.ended:
		return false
	case len(n.list) >= maxBreaks:
		c.log.Warn("connection ended: notifications pile up")
		c.nc.Close()
		return false
	}
	n.list = append(n.list, f)
	if !n.sending {
		n.sending = true
		n.all.Go(n.send)
	}
	return true
}

func (n *notices) send() {
	for {
		n.mu.Lock()
		if len(n.list) == 0 {
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

// end takes no more, and waits until what is left has gone another way.
func (n *notices) end() {
	n.mu.Lock()
	n.ended = true
	n.mu.Unlock()
	n.all.Wait()
}
