package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// cancel is CANCEL, RFC 1813 §6.2: the client does not wait any more. What was granted meanwhile is freed: the client does not know of it.
// DENIED says that nobody waited.
func (s *Server) cancel(ctx context.Context, p peer, a *nlm.CancelArgs) *nlm.Res {
	res := &nlm.Res{Cookie: a.Cookie}
	r := request(p, &a.Lock, a.Exclusive)
	if t, ok := s.known(r); ok {
		if err := s.withdraw(ctx, t); err != nil {
			res.Status = nlm.DeniedNoLocks
		}
		return res
	}
	// Nobody here knows the ticket: it may be one of a lockd before this one.
	out, err := ask(ctx, func() (lock.Outcome, error) { return s.locks.Manager.CancelLock(ctx, r) })
	if err == nil && out == lock.Granted {
		_, err = ask(ctx, func() (lock.Result, error) { return s.locks.Manager.Unlock(ctx, r) })
	}
	switch {
	case err != nil:
		res.Status = nlm.DeniedNoLocks
	case out != lock.Granted && out != lock.Cancelled:
		res.Status = nlm.Denied
	}
	return res
}
