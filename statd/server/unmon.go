package server

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/statd/nsm"
)

// unmon is SM_UNMON: this registrant does not want to hear of the host any more.
func (s *Server) unmon(ctx context.Context, c *oncrpc.Call, a *nsm.MonID) (*nsm.State, error) {
	return s.remove(c, "UNMON", func(id nsm.MonID) bool { return id == *a })
}

// remove drops the registrations that match.
func (s *Server) remove(c *oncrpc.Call, proc string, match func(nsm.MonID) bool) (*nsm.State, error) {
	if s.foreign(c, proc) {
		return nil, oncrpc.ErrTooWeak
	}
	gone, err := s.cfg.Store.Remove(match)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	for _, id := range gone {
		delete(s.seen, id)
	}
	s.mu.Unlock()
	s.metrics.registrations.Set(float64(s.cfg.Store.Len()))
	return &nsm.State{State: s.state.Load()}, nil
}
