package server

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"slices"
	"time"

	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/lockd/nlm"
)

// A ticket is a client that waits for a lock, from LOCK until it has answered GRANTED or does not want the lock.
//
//	asked ──blocked──▶ waiting ──answer──▶ granted ──confirm──▶ confirmed
//	  │                   └─cancel─▶ cancelled  └─refuse, timeout, cancel, unlocked─▶ released
//	  └─answer─▶ early ──blocked──▶ confirmed: LOCK's own reply says GRANTED
//
// crossed is a cancel that the counter had overtaken with a grant: it goes to released from everywhere. released stays in the table until the
// counter has the lock back, so that the client's next LOCK is not freed by mistake.
type ticket struct {
	number  uint64
	request lock.LockRequest // as the counter was asked
	lock    nlm.Lock         // as the client asked, for GRANTED
	holder  holder

	state   state         // by step alone; guarded by Server.mu, like the next three
	peer    peer          // where to call back: where it was last heard
	toldIt  bool          // LOCK's reply is out
	unsure  bool          // a GRANTED may have arrived without our knowing
	settled chan struct{} // closed when it leaves granted
	free    chan struct{} // closed when a released one is free
}

// holder is whose ticket it is: one owner on one file.
type holder struct {
	fh    string
	owner lock.Owner
}

type state uint8

const (
	asked state = iota
	waiting
	early
	granted
	confirmed
	cancelled
	released
)

func (s state) String() string {
	return [...]string{"asked", "waiting", "early", "granted", "confirmed", "cancelled", "released"}[s]
}

type event uint8

const (
	blocked  event = iota // LOCK came back Blocked
	answer                // the counter grants
	ended                 // the counter ends the waiting otherwise
	told                  // the client has the reply that it must wait
	confirm               // GRANTED_RES granted, or LOCK again
	refuse                // GRANTED_RES denied
	timeout               // the client does not answer
	cancel                // CANCEL, and the counter withdrew it
	crossed               // CANCEL, and the counter had granted it
	unlocked              // UNLOCK over the whole range
)

func (e event) String() string {
	return [...]string{"blocked", "answer", "ended", "told", "confirm", "refuse", "timeout", "cancel", "crossed", "unlocked"}[e]
}

// effect is what a step leaves to be done.
type effect uint8

const (
	nothing    effect = iota
	done              // the ticket is settled
	callBack          // send GRANTED
	mustFree          // the counter must have the lock back
	wasGranted        // LOCK answers GRANTED itself
)

// step is the machine: every change of a ticket's state happens here.
func (s *Server) step(t *ticket, e event) (do effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := t.state
	switch e {
	case blocked:
		switch t.state {
		case asked:
			t.state = waiting
		case early:
			t.state, do = confirmed, wasGranted
		}
	case told:
		if t.toldIt = true; t.state == granted && !t.calling() {
			do = callBack
		}
	case answer:
		switch t.state {
		case asked:
			t.state = early
		case waiting:
			if t.state = granted; t.toldIt {
				do = callBack
			}
		}
	case ended:
		if t.state == asked || t.state == waiting {
			t.state, do = cancelled, done
		}
	case confirm:
		if t.state == granted {
			t.state, do = confirmed, done
		}
	case refuse, timeout, unlocked:
		if t.state == granted {
			t.state, do = released, mustFree
		}
	case cancel:
		switch t.state {
		case asked, waiting:
			t.state, do = cancelled, done
		case early, granted:
			t.state, do = released, mustFree
		}
	case crossed:
		if t.state < confirmed {
			t.state, do = released, mustFree
		}
	}
	if do == callBack {
		t.settled = make(chan struct{})
	}
	if t.state != from {
		if t.calling() && from == granted {
			close(t.settled)
		}
		if t.state == confirmed || t.state == cancelled {
			s.drop(t)
		}
		s.metrics.transition(from, t.state)
		s.log.Debug("ticket", "ticket", t.number, "owner", t.request.Owner, "event", e.String(), "from", from.String(), "to", t.state.String())
	}
	return do
}

func (t *ticket) calling() bool { return t.settled != nil }

// newTicket enters a ticket before its LOCK is asked, because the answer may be faster. nil: too many wait.
func (s *Server) newTicket(r lock.LockRequest, p peer, a *nlm.LockArgs) *ticket {
	t := &ticket{number: s.locks.Number(), request: r, peer: p, holder: holder{string(r.FH), r.Owner}, free: make(chan struct{}),
		lock: nlm.Lock{CallerName: a.Lock.CallerName, FH: r.FH, OH: []byte(r.Owner.OH), SVID: a.Lock.SVID, Offset: a.Lock.Offset, Length: a.Lock.Length}}
	t.request.Ticket = t.number
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tickets) >= maxTickets {
		return nil
	}
	s.tickets[t.number] = t
	s.holders[t.holder] = append(s.holders[t.holder], t)
	s.metrics.tickets.Inc()
	return t
}

// drop removes t from the table. s.mu is held.
func (s *Server) drop(t *ticket) {
	if s.tickets[t.number] != t {
		return
	}
	delete(s.tickets, t.number)
	s.metrics.tickets.Dec()
	if rest := slices.DeleteFunc(s.holders[t.holder], func(o *ticket) bool { return o == t }); len(rest) > 0 {
		s.holders[t.holder] = rest
	} else {
		delete(s.holders, t.holder)
	}
}

// remove drops a ticket that did not come to wait.
func (s *Server) remove(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(t)
}

// known finds the ticket of the same owner, file, range and kind.
func (s *Server) known(r lock.LockRequest) (*ticket, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.holders[holder{string(r.FH), r.Owner}] {
		if t.request.Offset == r.Offset && t.request.Length == r.Length && t.request.Exclusive == r.Exclusive {
			return t, true
		}
	}
	return nil, false
}

// within finds the owner's tickets whose range lies in r.
func (s *Server) within(r lock.LockRequest) (ts []*ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.holders[holder{string(r.FH), r.Owner}] {
		if r.Offset <= t.request.Offset && last(t.request) <= last(r) {
			ts = append(ts, t)
		}
	}
	return ts
}

func last(r lock.LockRequest) uint64 {
	if r.Length == 0 {
		return math.MaxUint64
	}
	return r.Offset + r.Length - 1
}

func (s *Server) stateOf(t *ticket) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.state
}

// moved notes where the client was heard last.
func (s *Server) moved(t *ticket, p peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.peer = p
}

// told notes that the client knows that it waits; from now on it may be called back.
func (s *Server) told(t *ticket) { s.do(t, s.step(t, told)) }

func (s *Server) do(t *ticket, e effect) {
	switch e {
	case callBack:
		s.later(func(ctx context.Context) { s.callBack(ctx, t) })
	case mustFree:
		s.later(func(ctx context.Context) { s.giveBack(ctx, t) })
	}
}

// Event takes the counter's events. It does not block.
func (s *Server) Event(e lock.Event) {
	if e.Answer == nil {
		return
	}
	s.mu.Lock()
	t := s.tickets[e.Answer.Ticket]
	s.mu.Unlock()
	if t == nil {
		return // cancelled, and given back where the counter had granted it
	}
	if e.Answer.Outcome == lock.Granted {
		s.do(t, s.step(t, answer))
		return
	}
	// The client learns the reason when it asks again, which it does while it waits.
	s.log.Info("waiting ended", "owner", t.request.Owner, "outcome", e.Answer.Outcome)
	s.do(t, s.step(t, ended))
}

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
