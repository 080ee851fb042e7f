package server

import (
	"bytes"
	"context"
	"errors"

	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// A share is an open at the counter: SHARE's modes and SMB's share modes are the same objects. It is its
// client's and outlives lockd: who begins anew knows none, and the counter replaces what the same owner had.
type share struct {
	open   uint64
	mode   nlm.Mode
	access nlm.Access
	busy   bool
}

// maxShares bounds the shares of all clients.
const maxShares = 10000

// share is SHARE, XNFS chapter 10. A share of the same owner on the same file is replaced.
func (s *Server) share(ctx context.Context, p peer, a *nlm.ShareArgs) *nlm.ShareRes {
	res := &nlm.ShareRes{Cookie: a.Cookie}
	if a.Share.Mode > nlm.DenyReadWrite || a.Share.Access > nlm.AccessReadWrite {
		res.Status = nlm.Failed
		return res
	}
	h := holder{string(a.Share.FH), owner(p, a.Share.CallerName, 0, a.Share.OH)}
	old, ok := s.hold(h)
	if !ok {
		res.Status = nlm.DeniedNoLocks
		return res
	}
	fresh := &share{mode: a.Share.Mode, access: a.Share.Access}
	if old != nil {
		if _, err := s.locks.Manager.Close(ctx, lock.CloseRequest{Open: old.open}); err != nil {
			s.letGo(h, old)
			res.Status = nlm.DeniedNoLocks
			return res
		}
	}
	out, err := s.open(ctx, p, h, fresh, a.Reclaim)
	if err == nil && out == lock.Granted {
		s.letGo(h, fresh)
		return res
	}
	res.Status = status(out, err)
	if old != nil {
		// What it had it keeps, unless somebody was quicker.
		if out, err := s.open(ctx, p, h, old, false); err != nil || out != lock.Granted {
			s.log.Warn("share lost", "owner", h.owner, "outcome", out, "err", err)
			old = nil
		}
	}
	s.letGo(h, old)
	return res
}

// unshare is UNSHARE. One that is not there is gone already.
func (s *Server) unshare(ctx context.Context, p peer, a *nlm.ShareArgs) *nlm.ShareRes {
	res := &nlm.ShareRes{Cookie: a.Cookie}
	h := holder{string(a.Share.FH), owner(p, a.Share.CallerName, 0, a.Share.OH)}
	old, ok := s.hold(h)
	if !ok {
		res.Status = nlm.DeniedNoLocks
		return res
	}
	if old == nil {
		// An earlier lockd's: what wants nothing and denies nothing takes its place.
		old = &share{mode: nlm.DenyNone}
		if out, err := s.open(ctx, p, h, old, false); err != nil || out != lock.Granted && out != lock.DeletePending {
			res.Status = status(out, err)
			s.letGo(h, nil)
			return res
		}
	}
	if _, err := s.locks.Manager.Close(ctx, lock.CloseRequest{Open: old.open}); err != nil {
		res.Status = nlm.DeniedNoLocks
		s.letGo(h, old)
		return res
	}
	s.letGo(h, nil)
	return res
}

// hold marks the holder's place as busy and returns the share that it has. false: another call is at it, or there are too many.
func (s *Server) hold(h holder) (*share, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.shares[h]
	if old != nil && old.busy || old == nil && len(s.shares) >= maxShares {
		return nil, false
	}
	s.shares[h] = &share{busy: true}
	return old, true
}

// letGo leaves the holder with now, or with nothing.
func (s *Server) letGo(h holder, now *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now == nil {
		delete(s.shares, h)
	} else {
		s.shares[h] = now
	}
}

// open asks the counter, and waits for leases to be given back as long as Hold.
func (s *Server) open(ctx context.Context, p peer, h holder, sh *share, reclaim bool) (lock.Outcome, error) {
	sh.open = s.locks.Number()
	r := lock.OpenRequest{Open: sh.open, FH: bytes.Clone([]byte(h.fh)), By: p.by, Owner: h.owner, Share: lock.ShareDelete, Reclaim: reclaim}
	if sh.access&nlm.AccessRead != 0 {
		r.Access |= lock.Read
	}
	if sh.access&nlm.AccessWrite != 0 {
		r.Access |= lock.Write
	}
	if sh.mode&nlm.DenyRead == 0 {
		r.Share |= lock.ShareRead
	}
	if sh.mode&nlm.DenyWrite == 0 {
		r.Share |= lock.ShareWrite
	}
	hold, cancel := context.WithTimeout(ctx, s.cfg.Hold)
	defer cancel()
	res, err := s.locks.Open(hold, r, nil)
	if err != nil {
		// Nothing is known: close what may have been granted.
		s.later(func(ctx context.Context) {
			for wait := s.cfg.FirstRetry; ; wait = min(2*wait, s.cfg.LastRetry) {
				if _, cerr := s.locks.Manager.Close(ctx, lock.CloseRequest{Open: r.Open}); cerr == nil || !pause(ctx, wait) {
					return
				}
			}
		})
		return res.Outcome, errors.Join(err, ctx.Err())
	}
	return res.Outcome, nil
}
