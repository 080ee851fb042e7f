package lockmgr

import (
	"context"

	"dittofs/gateway/lock"
)

// Reconnect gives a disconnected durable open back to its client.
func (s *Seat) Reconnect(ctx context.Context, r lock.ReconnectRequest) (lock.ReconnectResult, error) {
	m := s.m
	if out, err := s.ask(ctx, nil, nil, nil, nil, false); err != nil || out != 0 {
		return lock.ReconnectResult{Outcome: out}, err
	}
	res := lock.ReconnectResult{Outcome: lock.Stale}
	m.mu.Lock()
	k, ok := m.durables[r.Open]
	m.mu.Unlock()
	if ok {
		id := lock.ID{Seat: s.n, N: r.Open}
		f := m.file(k)
		claimed := s.claim(s.opens, r.Open, k)
		if claimed {
			res = f.t.Reconnect(id, &r)
		}
		err := m.leave(ctx, f)
		if err != nil && res.Outcome == lock.Granted {
			m.refuse(k, err, func(t *lock.Table) { t.Close(id, true) })
			res = lock.ReconnectResult{Outcome: lock.Failed}
		}
		if claimed && res.Outcome != lock.Granted {
			s.forget(s.opens, r.Open)
		}
	}
	m.metrics.ruled(s.door, askOpen, res.Outcome)
	return res, nil
}

// unlinked takes the file's deletion, if there is one, out of the effects, for a caller that waits for it.
func unlinked(t *lock.Table) bool {
	for i := range t.Effects {
		if t.Effects[i].Kind == lock.Unlink {
			t.Effects = append(t.Effects[:i], t.Effects[i+1:]...)
			return true
		}
	}
	return false
}
