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
	r.session.end(ctx)
	return &smb2.LogoffResponse{}, nil
}

// supersede ends the session that a client had before it lost its connection. It must be the same user's. [MS-SMB2] 3.3.5.5.3.
func (s *Server) supersede(ctx context.Context, previous uint64, by *session) {
	old, who := s.session(previous), by.identity.Load()
	if old == nil || old == by || !old.valid.Load() || who.anonymous {
		return
	}
	if was := old.identity.Load(); was.anonymous || was.user.Name != who.user.Name {
		return
	}
	old.end(ctx)
}
