package server

import (
	"context"

	"dittofs/smbd/smb2"
)

// LOGOFF, [MS-SMB2] 3.3.5.6.

func logoff(ctx context.Context, r *request) (reply, error) {
	var q smb2.LogoffRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	r.session.leave(ctx)
	return &smb2.LogoffResponse{}, nil
}

// supersede ends the session that a client had before it lost its connection. It must be the same user's. [MS-SMB2] 3.3.5.5.3.
func (s *Server) supersede(ctx context.Context, previous uint64, by *session) {
	s.mu.Lock()
	old := s.sessions[previous]
	s.mu.Unlock()
	if old == nil || old == by || by.anonymous || !old.isOf(by.user.Name) {
		return
	}
	old.leave(ctx)
}

// isOf reports whether the session is valid and this user's. Others than its own connection may ask.
func (s *session) isOf(user string) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.valid && s.standing == user
}

// forget takes a session out of the table of all sessions.
func (s *Server) forget(old *session) {
	s.mu.Lock()
	if s.sessions[old.id] == old {
		delete(s.sessions, old.id)
	}
	s.mu.Unlock()
}
