package server

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/statd/nsm"
)

// mon is SM_MON: tell this registrant when the host was started anew. Success is said once the registration is on disk.
func (s *Server) mon(ctx context.Context, c *oncrpc.Call, a *nsm.Mon) (*nsm.StatRes, error) {
	fail := &nsm.StatRes{Result: nsm.Fail, State: -1}
	if s.foreign(c, "MON") || a.ID.Name == "" {
		return fail, nil
	}
	if err := s.cfg.Store.Add(*a); err != nil {
		s.log.Error("registration not stored", "host", a.ID.Name, "err", err)
		return fail, nil
	}
	s.metrics.registrations.Set(float64(s.cfg.Store.Len()))
	return &nsm.StatRes{Result: nsm.Success, State: s.state.Load()}, nil
}
