package gss

import (
	"crypto/rand"
	"sync"
	"time"

	"dittofs/gateway/krb5"
	"dittofs/gateway/oncrpc"
)

const (
	// window is how far apart the sequence numbers of a context's calls under way may be, RFC 2203 §5.2.3.1.
	window = 512
	// maxSequence ends a context, RFC 2203 §5.3.3.1.
	maxSequence = 0x80000000

	maxContexts = 20_000
	idle        = 30 * time.Minute // clients make a new one when theirs is gone
)

// handle names a context. Nobody can guess one, although the verifier of each call protects it anyway.
type handle [16]byte

// gssContext is an accepted context and what it has seen.
type gssContext struct {
	*krb5.Context
	id  handle
	who oncrpc.Identity

	mu   sync.Mutex // guards the fields below
	top  uint32     // the highest sequence number
	seen [window / 64]uint64
	used time.Time
}

// take notes a sequence number: false where it was seen, or lies below the window. RFC 2203 §5.3.3.1.
func (c *gssContext) take(n uint32, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = now
	if n > c.top {
		if n-c.top >= window {
			clear(c.seen[:])
		} else {
			for i := c.top + 1; i != n; i++ {
				c.seen[i%window/64] &^= 1 << (i % 64)
			}
		}
		c.top = n
		c.seen[n%window/64] |= 1 << (n % 64)
		return true
	}
	if c.top-n >= window || c.seen[n%window/64]&(1<<(n%64)) != 0 {
		return false
	}
	c.seen[n%window/64] |= 1 << (n % 64)
	return true
}

// add keeps a new context; the one that has been idle longest goes where there are too many.
func (s *Server) add(c *gssContext, now time.Time) {
	rand.Read(c.id[:])
	c.used = now
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.contexts) >= maxContexts {
		s.prune(now)
	}
	s.contexts[c.id] = c
}

// prune lets go what is over or idle, and failing that the one idle longest. s.mu is held.
func (s *Server) prune(now time.Time) {
	var oldest *gssContext
	var since time.Time
	for id, c := range s.contexts {
		c.mu.Lock()
		used := c.used
		c.mu.Unlock()
		if now.After(c.Until) || now.Sub(used) > idle {
			delete(s.contexts, id)
		} else if oldest == nil || used.Before(since) {
			oldest, since = c, used
		}
	}
	if len(s.contexts) >= maxContexts {
		delete(s.contexts, oldest.id)
	}
}

func (s *Server) find(id []byte) *gssContext {
	if len(id) != len(handle{}) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contexts[handle(id)]
}

func (s *Server) destroy(c *gssContext) {
	s.mu.Lock()
	delete(s.contexts, c.id)
	s.mu.Unlock()
}
