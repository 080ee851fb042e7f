package server

import (
	"context"
	"sync"
	"time"

	"dittofs/gateway/ipc"
)

// reportAfter is how late the gateway may hear of a session. Implementation specific.
const reportAfter = 10 * time.Millisecond

// reports tells the gateway who is here, for people: a moment later, so that what changes meanwhile is told once, and of a session that has
// gone by then nothing.
//
// Lock order: reports.mu before session.mu.
type reports struct {
	mu      sync.Mutex // guards the fields below
	changed map[*session]bool
	told    map[*session]struct{}
	armed   bool
}

// add notes that a session began, changed or ended.
func (t *reports) add(ctx context.Context, s *session, ended bool) {
	if s.s.cfg.Report == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed, t.told = map[*session]bool{}, map[*session]struct{}{}
	}
	switch _, told := t.told[s]; {
	case ended && !told:
		delete(t.changed, s)
		return
	case !ended && s.isOver():
		return
	}
	t.changed[s] = t.changed[s] || ended
	if !t.armed {
		t.armed = true
		ctx = context.WithoutCancel(ctx)
		time.AfterFunc(reportAfter, func() { t.tell(ctx) })
	}
}

// tell tells what has changed, until nothing has.
func (t *reports) tell(ctx context.Context) {
	for {
		t.mu.Lock()
		all := t.changed
		t.changed = map[*session]bool{}
		for s, ended := range all {
			if ended {
				delete(t.told, s)
			} else {
				t.told[s] = struct{}{}
			}
		}
		t.armed = len(all) > 0
		t.mu.Unlock()
		if len(all) == 0 {
			return
		}
		for s, ended := range all {
			if err := s.s.cfg.Report(ctx, s.report(), ended); err != nil {
				s.log.Debug("session not reported", "err", err)
			}
		}
	}
}

func (s *session) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// report is what people see of a session.
func (s *session) report() ipc.Session {
	r := ipc.Session{ID: s.id, User: s.who(), Address: s.first.address, Dialect: s.first.dialect.String(), Signed: s.signer != nil,
		Encrypted: s.encrypt && s.cipher != nil, Since: s.since}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.channels) > 0 {
		r.Address = s.channels[0].c.address
	}
	for _, t := range s.trees {
		r.Share = append(r.Share, t.share.name)
	}
	return r
}
