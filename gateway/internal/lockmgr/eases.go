package lockmgr

import (
	"context"
	"time"

	"dittofs/gateway/lock"
)

// ease is what the opens of a file have of its ease, lock/ease.go. Guarded by file.mu.
type ease struct {
	opens map[lock.ID]*easing // those that asked
	// disturbed counts those who wait until nobody is at ease; calmer is closed when some came back.
	disturbed int
	calmer    chan struct{}
}

type easing struct {
	seat     *Seat
	asks     int
	lent     lock.Ease
	recalled bool
}

// lendAfter is how often an open asks, to which none could be lent when it was admitted, before that is tried again.
const lendAfter = 2

// moves is what an open is at ease for.
const moves = lock.Read | lock.Write | lock.Append | lock.Execute

// lend lends an open what ease there is, and returns it; 0: no more than it has. f is locked.
func (f *file) lend(s *Seat, open uint64) lock.Ease {
	id := lock.ID{Seat: s.n, N: open}
	if f.ease == nil {
		f.ease = &ease{opens: map[lock.ID]*easing{}}
	}
	e := f.ease.opens[id]
	if e == nil {
		e = &easing{seat: s}
		f.ease.opens[id] = e
	}
	if f.ease.disturbed > 0 || e.recalled {
		return 0
	}
	more := f.t.Ease(id) &^ e.lent
	if more == 0 || !s.remember(open, f.t.Key) {
		return 0
	}
	e.lent |= more
	return e.lent
}

// asked lends ease to an open that had to ask, by an event. f is locked.
func (f *file) asked(s *Seat, open uint64) {
	if f.ease != nil {
		if e := f.ease.opens[lock.ID{Seat: s.n, N: open}]; e != nil && e.asks+1 < lendAfter {
			e.asks++
			return
		}
	}
	if ease := f.lend(s, open); ease != 0 {
		s.put(lock.Event{Mark: &lock.MarkEvent{Open: open, Ease: ease, Lent: true}}, 0, waits{})
	}
}

// spent says that an open asks for a range: its door has given its ease up, and it gets no more. f is locked.
func (f *file) spent(open lock.ID) {
	if f.ease == nil {
		return
	}
	if e := f.ease.opens[open]; e != nil {
		e.lent, e.recalled = 0, true
		f.ease.wake()
	}
}

// calm makes room on f, which is locked, for a range, or for an open that caches: when it returns, every open that had ease has handed it
// back, and none is lent before f is unlocked. Opens that cache under the lease key of client keep theirs. f is unlocked while it waits.
func (m *Manager) calm(ctx context.Context, f *file, client, key lock.GUID) error {
	for f.ease != nil {
		out := false
		for id, e := range f.ease.opens {
			if e.lent == 0 || key != (lock.GUID{}) && f.t.SameCache(id, client, key) {
				continue
			}
			if out = true; !e.recalled {
				e.recalled = true
				e.seat.put(lock.Event{Mark: &lock.MarkEvent{Open: id.N}}, 0, waits{})
			}
		}
		if !out {
			return nil
		}
		if f.ease.calmer == nil {
			f.ease.calmer = make(chan struct{})
		}
		here, c, v := f.ease, f.ease.calmer, f.t.Verb
		here.disturbed++
		f.t.Verb = nil
		f.mu.Unlock()
		var err error
		select {
		case <-c:
		case <-ctx.Done():
			err = ctx.Err()
		}
		f.mu.Lock()
		here.disturbed--
		v.At, v.Turn = time.Now(), m.turn.Add(1)
		f.t.Verb = v
		if err != nil {
			return err
		}
	}
	return nil
}

// rested ends an open's ease. f is locked.
func (f *file) rested(open lock.ID) {
	if f.ease == nil {
		return
	}
	e := f.ease.opens[open]
	delete(f.ease.opens, open)
	if e != nil && e.recalled {
		f.ease.wake()
	}
}

func (e *ease) wake() {
	if e.calmer != nil {
		close(e.calmer)
		e.calmer = nil
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
