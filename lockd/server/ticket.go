package server

import (
	"context"
	"math"
	"slices"

	"dittofs/gateway/lock"
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
