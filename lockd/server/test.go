package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// test is TEST, RFC 1813 §6.2: would this lock be granted, and if not, who has it.
func (s *Server) test(ctx context.Context, p peer, a *nlm.TestArgs) *nlm.TestRes {
	res := &nlm.TestRes{Cookie: a.Cookie}
	if !bounded(&a.Lock) {
		res.Status = nlm.TooBig
		return res
	}
	r, err := ask(ctx, func() (lock.Result, error) { return s.locks.Manager.Test(ctx, request(p, &a.Lock, a.Exclusive)) })
	res.Status = status(r.Outcome, err)
	if res.Status == nlm.Blocked { // a lease that would first be given back
		res.Status = nlm.Granted
	}
	if res.Status == nlm.Denied {
		res.Holder = holderOf(r.Holder)
	}
	return res
}

// leaseInTheWay reports that only caching rights hold the lock back: they can be given back, and a caller that does not want to wait for
// other locks waits that long.
func leaseInTheWay(r lock.Result) bool {
	return r.Outcome == lock.Denied && r.Holder != nil && r.Holder.Rights != 0
}
