package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// freeAll is FREE_ALL, XNFS chapter 10: a client without a status monitor tells that it was started again, and holds nothing any more.
// Anybody can name any host, so it counts only from the address that the host's locks came from.
func (s *Server) freeAll(ctx context.Context, p peer, a *nlm.Notify) *nlm.Void {
	hosts, err := s.cfg.Hosts(ctx)
	if err != nil {
		s.log.Warn("FREE_ALL", "host", a.Name, "from", p.addr, "err", err)
		return &nlm.Void{}
	}
	for _, h := range hosts {
		if h.Name != a.Name || h.Address != p.addr.String() {
			continue
		}
		err := s.locks.Manager.Forget(ctx, lock.Client{Door: lock.NLM, Name: h.Name})
		s.log.Info("client freed all its locks", "host", h.Name, "from", p.addr, "err", err)
		return &nlm.Void{}
	}
	s.log.Warn("FREE_ALL refused", "host", a.Name, "from", p.addr)
	return &nlm.Void{}
}
