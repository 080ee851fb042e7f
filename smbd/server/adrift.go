package server

// A CREATE that the client can send again by its CreateGuid goes on when its connection is lost and its session has another channel: the
// repetition finds it under way, STATUS_FILE_NOT_AVAILABLE, or done, and nothing is done twice. The requests of a lost connection are
// cancelled, but whether the object store is asked to stop is left to the server, [MS-SMB2] 3.3.7.1. It ends with the session.

// repeatable notes that r may go on without its connection.
func (r *request) repeatable() {
	c := r.chain.c
	c.mu.Lock()
	r.repeats = true
	c.mu.Unlock()
}

// castOff lets r go on without the connection, which is being stopped and whose mu is held. It reports false where it must end.
func (c *conn) castOff(r *request) bool {
	if !r.repeats || !r.last || !r.session.adopt(r) {
		return false
	}
	r.chain.adrift = true
	c.adrift.Add(1)
	c.running.Done()
	return true
}

// adopt keeps a request whose connection is lost, if the session has another one.
func (s *session) adopt(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	for _, h := range s.channels {
		if h.c != r.chain.c {
			if s.adrift == nil {
				s.adrift = map[*request]struct{}{}
			}
			s.adrift[r] = struct{}{}
			return true
		}
	}
	return false
}

// landed forgets a request that went on, once it has been answered.
func (s *session) landed(r *request) {
	s.mu.Lock()
	delete(s.adrift, r)
	s.mu.Unlock()
}
