package server

import (
	"context"
	"time"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// lock is LOCK, RFC 1813 §6.2. sent, where it is not nil, is to be called when the reply is out: before that the client need not
// understand a GRANTED.
func (s *Server) lock(ctx context.Context, p peer, a *nlm.LockArgs) (res *nlm.Res, sent func()) {
	return s.take(ctx, p, a, p.addr.String())
}

// nmLock is NM_LOCK, XNFS chapter 10: a lock of a client that is not to be monitored, because it has no status monitor.
func (s *Server) nmLock(ctx context.Context, p peer, a *nlm.LockArgs) (res *nlm.Res, sent func()) {
	return s.take(ctx, p, a, "")
}

func (s *Server) take(ctx context.Context, p peer, a *nlm.LockArgs, watch string) (*nlm.Res, func()) {
	res := &nlm.Res{Cookie: a.Cookie}
	if !bounded(&a.Lock) {
		res.Status = nlm.TooBig
		return res, nil
	}
	r := request(p, &a.Lock, a.Exclusive)
	r.Reclaim, r.Watch, r.NSMState = a.Reclaim, watch, a.State

	t, known := s.known(r)
	if known && p.quick && s.stateOf(t) == released {
		return nil, nil
	}
	if known {
		switch s.again(ctx, t, p, a.Block) {
		case nlm.Granted:
			return res, nil
		case nlm.Blocked:
			res.Status = nlm.Blocked
			return res, func() { s.told(t) }
		case nlm.DeniedNoLocks:
			res.Status = nlm.DeniedNoLocks
			return res, nil
		}
	}
	if !a.Block || a.Reclaim {
		got, err := ask(ctx, func() (lock.Result, error) { return s.locks.Manager.Lock(ctx, r) })
		if err == nil && leaseInTheWay(got) {
			if p.quick {
				return nil, nil
			}
			got, err = s.awaitLease(ctx, r)
		}
		res.Status = status(got.Outcome, err)
		return res, nil
	}
	t = s.newTicket(r, p, a)
	if t == nil {
		res.Status = nlm.DeniedNoLocks
		return res, nil
	}
	got, err := ask(ctx, func() (lock.Result, error) { return s.locks.Manager.Lock(ctx, t.request) })
	switch {
	case err != nil:
		// Nothing is known: what the counter may still grant is given back.
		s.later(func(ctx context.Context) { s.abandon(ctx, t) })
	case got.Outcome == lock.Blocked:
		// The event may have been faster than this return; then there is nothing to wait for.
		if s.step(t, blocked) == wasGranted {
			return res, nil
		}
		res.Status = nlm.Blocked
		return res, func() { s.told(t) }
	default:
		s.remove(t)
	}
	res.Status = status(got.Outcome, err)
	return res, nil
}

// awaitLease asks again for a caller that does not wait for other locks. A lease is another matter: it is given back, and that is waited for.
func (s *Server) awaitLease(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	hold, cancel := context.WithTimeout(ctx, s.cfg.Hold)
	defer cancel()
	return s.locks.Lock(hold, r, nil)
}

// again answers a LOCK for which there is a ticket. Its zero-like answer Failed means: ask the counter.
func (s *Server) again(ctx context.Context, t *ticket, p peer, block bool) nlm.Status {
	switch s.stateOf(t) {
	case asked, early, waiting:
		if block { // a second ticket could be granted twice, and the client would refuse the second
			s.moved(t, p)
			return nlm.Blocked
		}
	case granted: // the client asks again because GRANTED did not reach it
		if s.step(t, confirm) == done {
			return nlm.Granted
		}
	case released: // first let it be free, lest the new lock goes with the old
		timer := time.NewTimer(s.cfg.Try)
		defer timer.Stop()
		select {
		case <-t.free:
		case <-timer.C:
			return nlm.DeniedNoLocks
		case <-ctx.Done():
			return nlm.DeniedNoLocks
		}
	}
	return nlm.Failed
}
