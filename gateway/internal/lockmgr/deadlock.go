package lockmgr

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"dittofs/gateway/lock"
)

// breakDeadlocks looks for cycles in the wait-for graph over all files and doors, and takes the newest waiter of each out of its line. It
// reports whether that was one of mine, whose caller answers it; the others get an Answer. A cycle that exists only because somebody keeps
// a place in a line is no deadlock: that one overtakes.
//
// Files are read one after the other. A cycle that is there cannot go away by itself, so it is seen whole; an edge that went meanwhile
// is looked at again before a victim is taken.
func (m *Manager) breakDeadlocks(mine ...lock.ID) (self bool) {
	m.deadlocks.Lock()
	defer m.deadlocks.Unlock()
	for range 100 {
		all := map[lock.Owner][]edge{}
		for _, k := range m.waitedFor() {
			f := m.file(k)
			for _, w := range f.t.Waits() {
				all[w.Owner] = append(all[w.Owner], edge{w, k})
			}
			m.performed(f)
			f.mu.Unlock()
			m.unpin(f)
		}
		if c := cycle(all, func(e *edge) []lock.Owner { return e.For }); c != nil {
			victim := slices.MaxFunc(c, func(a, b step) int { return cmp.Compare(a.Turn, b.Turn) }).edge
			self = m.end(victim, mine) || self
		} else if c := cycle(all, func(e *edge) []lock.Owner { return append(slices.Clip(e.For), e.Behind...) }); c != nil {
			// Somebody in it waits only for one who came earlier, and may pass.
			for _, s := range c {
				if !slices.Contains(s.For, s.next) {
					m.restoring(s.key, func(t *lock.Table) { t.Overtake(s.Ticket) })
				}
			}
		} else {
			return self
		}
	}
	return self
}

// end takes the victim out of its line, and reports whether it is one of mine.
func (m *Manager) end(victim edge, mine []lock.ID) (self bool) {
	f := m.file(victim.key)
	if f.t.Cancel(victim.Ticket) {
		m.mu.Lock()
		s := m.seats[victim.Ticket.Seat]
		m.mu.Unlock()
		m.metrics.deadlocks.Inc()
		m.log.Info("deadlock", "file", victim.key, "victim", victim.Owner, "waited for", victim.For)
		self = slices.Contains(mine, victim.Ticket)
		switch {
		case s == nil:
		case self:
			s.withdrawn(victim.Ticket.N, lock.Deadlock)
		default:
			m.tell(victim.Ticket.Seat, lock.Event{Answer: &lock.Answer{Ticket: victim.Ticket.N, Outcome: lock.Deadlock}}, f.seq)
		}
	}
	m.perform(f)
	seq := f.seq
	m.performed(f)
	f.mu.Unlock()
	if seq != 0 {
		m.vault.Wait(context.Background(), seq)
	}
	m.unpin(f)
	return self
}

// waitedFor are the files in whose lines somebody waits.
func (m *Manager) waitedFor() []lock.Key {
	m.mu.Lock()
	seats := slices.Collect(maps.Values(m.seats))
	m.mu.Unlock()
	keys := map[lock.Key]bool{}
	for _, s := range seats {
		s.mu.Lock()
		for _, w := range s.tickets {
			keys[w.key] = true
		}
		s.mu.Unlock()
	}
	return slices.Collect(maps.Keys(keys))
}

type edge struct {
	lock.Wait
	key lock.Key
}

// step is one edge of a path, and the owner it leads to.
type step struct {
	edge
	next lock.Owner
}

// cycle finds a cycle over the edges that to gives.
func cycle(all map[lock.Owner][]edge, to func(*edge) []lock.Owner) (found []step) {
	const (
		unseen = iota
		open
		closed
	)
	state := map[lock.Owner]int{}
	var path []step
	var visit func(o lock.Owner) bool
	visit = func(o lock.Owner) bool {
		state[o] = open
		for i := range all[o] {
			e := &all[o][i]
			for _, next := range to(e) {
				path = append(path, step{*e, next})
				switch state[next] {
				case open:
					from := slices.IndexFunc(path, func(s step) bool { return s.Owner == next })
					found = path[from:]
					return true
				case unseen:
					if visit(next) {
						return true
					}
				}
				path = path[:len(path)-1]
			}
		}
		state[o] = closed
		return false
	}
	for o := range all {
		if state[o] == unseen && visit(o) {
			break
		}
	}
	return found
}
