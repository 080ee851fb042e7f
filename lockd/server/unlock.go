package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// unlock is UNLOCK, RFC 1813 §6.2. It frees whatever the owner holds within, and succeeds where that is nothing.
func (s *Server) unlock(ctx context.Context, p peer, a *nlm.UnlockArgs) *nlm.Res {
	res := &nlm.Res{Cookie: a.Cookie}
	if !bounded(&a.Lock) {
		res.Status = nlm.TooBig
		return res
	}
	r := request(p, &a.Lock, false)

	// An UNLOCK crosses a GRANTED, or comes from a client that gave up waiting without a CANCEL.
	var crossed []*ticket
	for _, t := range s.within(r) {
		switch {
		case s.stateOf(t) == waiting && t.request.Offset == r.Offset && t.request.Length == r.Length:
			if err := s.withdraw(ctx, t); err != nil {
				res.Status = nlm.DeniedNoLocks
				return res
			}
		case s.stateOf(t) == granted && s.step(t, unlocked) == mustFree:
			crossed = append(crossed, t)
		}
	}
	got, err := ask(ctx, func() (lock.Result, error) { return s.locks.Manager.Unlock(ctx, r) })
	for _, t := range crossed {
		if err == nil {
			s.freed(t)
		} else {
			s.later(func(ctx context.Context) { s.giveBack(ctx, t) })
		}
	}
	if err == nil && got.Outcome == lock.NotLocked {
		return res
	}
	res.Status = status(got.Outcome, err)
	return res
}
