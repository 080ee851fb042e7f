package server

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/lockd/nlm"
)

// withdraw ends a ticket by the client's wish. What the counter granted meanwhile is freed before this returns.
func (s *Server) withdraw(ctx context.Context, t *ticket) error {
	e := cancel
	if st := s.stateOf(t); st == asked || st == waiting {
		out, err := ask(ctx, func() (lock.Outcome, error) { return s.locks.Manager.Cancel(ctx, t.number) })
		if err != nil {
			return err
		}
		if out == lock.Granted {
			e = crossed
		}
	}
	if s.step(t, e) != mustFree {
		return nil
	}
	if _, err := ask(ctx, func() (lock.Result, error) { return s.locks.Manager.Unlock(ctx, t.request) }); err != nil {
		s.later(func(ctx context.Context) { s.giveBack(ctx, t) })
		return err
	}
	s.freed(t)
	return nil
}

// abandon withdraws a ticket whose LOCK had no answer, as soon as the counter can be asked.
func (s *Server) abandon(ctx context.Context, t *ticket) {
	for wait := s.cfg.FirstRetry; ; wait = min(2*wait, s.cfg.LastRetry) {
		out, err := s.locks.Manager.Cancel(ctx, t.number)
		if err == nil {
			// A counter that does not know the ticket was never asked, or was and granted at once. What the owner has there is left to it:
			// it may have had it before, and to hold too much is the lesser evil.
			if out == lock.Granted {
				s.do(t, s.step(t, crossed))
			} else {
				s.do(t, s.step(t, cancel))
			}
			return
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// giveBack frees a released ticket's lock at the counter.
func (s *Server) giveBack(ctx context.Context, t *ticket) {
	for wait := s.cfg.FirstRetry; ; wait = min(2*wait, s.cfg.LastRetry) {
		if _, err := s.locks.Manager.Unlock(ctx, t.request); err == nil {
			s.freed(t)
			return
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// freed lets a released ticket go.
func (s *Server) freed(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tickets[t.number] == t {
		s.drop(t)
		close(t.free)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

var (
	errSilent    = errors.New("no answer")
	errOurselves = errors.New("the client's rpcbind names this lock manager")
)

// callBack sends GRANTED until the client answers, does not want the lock, or has been silent too long.
func (s *Server) callBack(ctx context.Context, t *ticket) {
	began, tries := time.Now(), 0
	end := time.NewTimer(s.cfg.GrantedFor)
	defer end.Stop()
	for wait := s.cfg.FirstRetry; ; wait = min(2*wait, s.cfg.LastRetry) {
		tries++
		st, sent, err := s.tell(ctx, t)
		if sent {
			s.doubt(t)
		}
		if err == nil {
			s.answered(t, st)
		} else {
			s.log.Debug("GRANTED", "ticket", t.number, "host", t.request.Owner.Client.Name, "try", tries, "err", err)
		}
		next := time.NewTimer(wait)
		select {
		case <-t.settled:
			next.Stop()
			return
		case <-end.C:
			next.Stop()
			if e := s.step(t, timeout); e == mustFree {
				s.log.Warn("client does not answer GRANTED", "host", t.request.Owner.Client.Name, "address", s.where(t).addr, "tries", tries,
					"for", time.Since(began).Round(time.Millisecond), "err", err)
				s.do(t, e)
			}
			return
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
	}
}

// tell makes one try: the client's rpcbind names the port, a fresh connection carries the call, in the client's version and transport.
// A client that used LOCK_MSG gets GRANTED_MSG, and answers with a call of its own. XNFS chapter 10.
//
// sent: the client may have had the call more than once by now, so a refusal proves nothing.
func (s *Server) tell(ctx context.Context, t *ticket) (st nlm.Status, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
	defer cancel()
	p := s.where(t)
	c, err := s.dial(ctx, p)
	if err != nil {
		return 0, false, err
	}
	defer c.Close()
	args := &nlm.TestArgs{Version: p.version, Cookie: s.cookie(t), Exclusive: t.request.Exclusive, Lock: t.lock}
	if !p.async {
		res := nlm.Res{Version: p.version}
		began := time.Now()
		err := c.Call(ctx, nlm.Program, uint32(p.version), nlm.ProcGranted, root, args, &res)
		return res.Status, err != nil || c.Retransmits(time.Since(began)), err
	}
	// The RPC's own reply says nothing, and not every client sends one.
	err = c.Call(ctx, nlm.Program, uint32(p.version), nlm.ProcGrantedMsg, root, args, &xdr.Void{})
	select {
	case <-t.settled:
	case <-ctx.Done():
	}
	return 0, true, errors.Join(err, errSilent)
}

// answered takes a client's answer to GRANTED.
func (s *Server) answered(t *ticket, st nlm.Status) {
	e := refuse
	switch {
	case st == nlm.DeniedGracePeriod || st == nlm.DeniedNoLocks: // not now
		return
	case st == nlm.Granted:
		e = confirm
	case s.doubted(t):
		// An earlier GRANTED arrived, its answer was lost, and the client waits no more: it has the lock. One that does not want it
		// would have sent CANCEL.
		s.log.Info("refusal after a try without an answer: the client has the lock", "owner", t.request.Owner)
		e = confirm
	}
	s.do(t, s.step(t, e))
}

func (s *Server) doubt(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.unsure = true
}

func (s *Server) doubted(t *ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.unsure
}

func (s *Server) where(t *ticket) peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.peer
}

// root is the credential of our calls.
var root = oncrpc.Cred{Sys: &oncrpc.AuthSys{MachineName: "dittofs"}}

// dial connects to the client's own lock manager, over the client's transport, or over the other where it does not serve that.
func (s *Server) dial(ctx context.Context, p peer) (*oncrpc.Client, error) {
	network := p.network()
	at, err := s.cfg.Lookup(ctx, p.addr, p.local, nlm.Program, uint32(p.version), network)
	if errors.Is(err, rpcbind.ErrNotRegistered) {
		network = map[string]string{"tcp": "udp", "udp": "tcp"}[network]
		at, err = s.cfg.Lookup(ctx, p.addr, p.local, nlm.Program, uint32(p.version), network)
	}
	if err != nil {
		return nil, err
	}
	if p.addr == p.local && at.Port() == p.port {
		// A client on this host whose rpcbind names us: we would refuse the lock in its name. It asks again by itself.
		return nil, errOurselves
	}
	return oncrpc.DialFrom(ctx, network, at.String(), p.local)
}

// cookie names the ticket in GRANTED. Eight bytes are what every client can carry.
func (s *Server) cookie(t *ticket) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, s.birth), uint32(t.number))
}

// grantedRes is GRANTED_RES: a client's answer to GRANTED_MSG, by its cookie, and only from the client's own address.
func (s *Server) grantedRes(ctx context.Context, p peer, a *nlm.Res) *nlm.Void {
	t := s.byCookie(a.Cookie, p.addr)
	if t == nil {
		return &nlm.Void{}
	}
	s.answered(t, a.Status)
	return &nlm.Void{}
}

func (s *Server) byCookie(cookie []byte, from netip.Addr) *ticket {
	if len(cookie) != 8 || binary.BigEndian.Uint32(cookie) != s.birth {
		return nil
	}
	low := binary.BigEndian.Uint32(cookie[4:])
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, t := range s.tickets {
		if uint32(n) == low && t.peer.addr == from {
			return t
		}
	}
	return nil
}

// granted is GRANTED to us. We wait for no server's locks, so nobody can grant us one.
func (s *Server) granted(ctx context.Context, p peer, a *nlm.TestArgs) *nlm.Res {
	return &nlm.Res{Cookie: a.Cookie, Status: nlm.Denied}
}
