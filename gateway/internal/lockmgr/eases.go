package lockmgr

import (
	"context"

	"dittofs/gateway/lock"
)

// easing is what an open of a file has of the file's ease, lock/ease.go. Guarded by file.mu.
type easing struct {
	seat     *Seat
	asks     int
	lent     lock.Ease
	recalled bool
}

// lendAfter is how often an open asks before it gets ease: what is opened for one read or write is not worth the words.
const lendAfter = 2

// ease lends an open that has just asked what ease there is. f is locked.
func (f *file) ease(s *Seat, open uint64) {
	id := lock.ID{Seat: s.n, N: open}
	e := f.eased[id]
	if e == nil {
		if f.eased == nil {
			f.eased = map[lock.ID]*easing{}
		}
		e = &easing{seat: s}
		f.eased[id] = e
	}
	if e.asks++; e.asks < lendAfter || f.disturbed > 0 || e.recalled {
		return
	}
	if more := f.t.Ease(id) &^ e.lent; more != 0 && s.remember(open, f.t.Key) {
		e.lent |= more
		s.put(lock.Event{Mark: &lock.MarkEvent{Open: open, Ease: e.lent, Lent: true}}, 0, waits{})
	}
}

// calm makes room on a file for a range, or for an open that caches: until release no ease is lent there, and every open that had some
// has handed it back. Opens that cache under the lease key of client keep theirs.
func (m *Manager) calm(ctx context.Context, k lock.Key, client, key lock.GUID) (release func(), err error) {
	f := m.pin(k)
	f.mu.Lock()
	f.disturbed++
	release = func() {
		f.mu.Lock()
		f.disturbed--
		f.mu.Unlock()
		m.unpin(f)
	}
	for {
		out := false
		for id, e := range f.eased {
			if e.lent == 0 || key != (lock.GUID{}) && f.t.SameCache(id, client, key) {
				continue
			}
			if out = true; !e.recalled {
				e.recalled = true
				e.seat.put(lock.Event{Mark: &lock.MarkEvent{Open: id.N}}, 0, waits{})
			}
		}
		if !out {
			f.mu.Unlock()
			return release, nil
		}
		if f.calmer == nil {
			f.calmer = make(chan struct{})
		}
		c := f.calmer
		f.mu.Unlock()
		select {
		case <-c:
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
		f.mu.Lock()
	}
}

// rested ends an open's ease. f is locked.
func (f *file) rested(open lock.ID) {
	e := f.eased[open]
	if e == nil {
		return
	}
	delete(f.eased, open)
	if e.recalled && f.calmer != nil {
		close(f.calmer)
		f.calmer = nil
	}
}

// Rested says that the door has handed an open's ease back, or has none.
func (s *Seat) Rested(open uint64) {
	s.mu.Lock()
	k, ok := s.eased[open]
	delete(s.eased, open)
	s.mu.Unlock()
	if !ok {
		return
	}
	f := s.m.pin(k)
	f.mu.Lock()
	f.rested(lock.ID{Seat: s.n, N: open})
	f.mu.Unlock()
	s.m.unpin(f)
}

// remember notes where an open has ease; false: the door has gone.
func (s *Seat) remember(open uint64, k lock.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	if s.eased == nil {
		s.eased = map[uint64]lock.Key{}
	}
	s.eased[open] = k
	return true
}

// uneasy is the end of a door, and of all its ease.
func (s *Seat) uneasy() {
	s.mu.Lock()
	list := make([]uint64, 0, len(s.eased))
	for n := range s.eased {
		list = append(list, n)
	}
	s.mu.Unlock()
	for _, n := range list {
		s.Rested(n)
	}
}
