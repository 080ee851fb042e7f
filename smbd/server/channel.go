package server

import (
	"context"
	"slices"
	"time"

	"dittofs/smbd/auth"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
)

// channel is a Channel, [MS-SMB2] 3.3.1.14: a session on one of the connections that it is bound to.
type channel struct {
	c *conn
	s *session

	// Changed by SESSION_SETUP alone, during which the connection reads nothing else.
	acceptor *auth.Acceptor // while a logon is under way
	preauth  seal.Preauth
	signer   seal.Signer // nil: anonymous, or not valid yet
	valid    bool        // with conn.mu held
}

// newChannel ties a session to a connection. The channel is not valid yet.
func (c *conn) newChannel(s *session) (*channel, error) {
	h := &channel{c: c, s: s, preauth: c.preauth}
	s.mu.Lock()
	if s.ended || len(s.channels) >= maxChannels {
		s.mu.Unlock()
		return nil, ntstatus.InsufficientResources
	}
	s.channels = append(s.channels, h)
	s.mu.Unlock()
	c.mu.Lock()
	full := len(c.sessions) >= maxSessions
	if !full {
		c.sessions[s.id] = h
	}
	c.mu.Unlock()
	if full {
		s.lose(h)
		return nil, ntstatus.InsufficientResources
	}
	return h, nil
}

// lose takes a channel from its session and reports whether it was the last one.
func (s *session) lose(h *channel) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels = slices.DeleteFunc(s.channels, func(o *channel) bool { return o == h })
	return len(s.channels) == 0
}

// drop takes a channel from its connection. Who has no session any more must make one soon.
func (c *conn) drop(h *channel) {
	c.mu.Lock()
	was := c.sessions[h.s.id] == h
	if was {
		delete(c.sessions, h.s.id)
	}
	none := was && h.valid && len(c.sessions) == 0
	c.mu.Unlock()
	if none {
		c.nc.SetReadDeadline(time.Now().Add(idleTime))
	}
}

// leave unties the session from the connection; with its last channel the session ends.
func (h *channel) leave(ctx context.Context) {
	h.c.drop(h)
	if h.s.lose(h) {
		h.s.end(ctx)
	}
}

// stand makes the channel valid.
func (h *channel) stand() {
	h.c.mu.Lock()
	h.valid = true
	h.c.mu.Unlock()
	h.c.nc.SetReadDeadline(time.Time{})
	if !h.c.known.Swap(true) {
		h.c.s.visitors.known(h.c.from)
	}
}

// channel finds a session of this connection, valid or not.
func (c *conn) channel(id uint64) (h *channel, valid bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h = c.sessions[id]
	return h, h != nil && h.valid
}

// routes are the connections that lead to the session's client, the preferred one first. [MS-SMB2] 3.3.4.6: what cannot be sent on one
// goes out on another.
func (s *session) routes(first *conn) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l []*conn
	for _, h := range s.channels {
		if h.c == first {
			l = slices.Insert(l, 0, h.c)
		} else {
			l = append(l, h.c)
		}
	}
	return l
}
