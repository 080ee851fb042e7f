package lockmgr

import (
	"context"
	"maps"
	"slices"

	"dittofs/gateway/lock"
)

// breakDeadlocks looks for cycles in the wait-for graph over all files and doors, and takes the newest waiter of each out of its line. It
// reports whether that was one of mine, whose caller answers it; the others get an Answer.
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
			f.mu.Unlock()
			m.unpin(f)
		}
		victim, ok := newest(all)
		if !ok {
			return self
		}
		f := m.file(victim.key)
		waited := f.t.Cancel(victim.Ticket)
		own := len(mine) > 0 && mine[0] == victim.Ticket
		m.mu.Lock()
		s := m.seats[victim.Ticket.Seat]
		m.mu.Unlock()
		if waited {
			m.metrics.deadlocks.Inc()
			m.log.Info("deadlock", "file", victim.key, "victim", victim.Owner, "waited for", victim.For)
			if own {
				self = true
			}
			if s != nil && own {
				s.withdrawn(victim.Ticket.N)
			} else if s != nil {
				m.tell(victim.Ticket.Seat, lock.Event{Answer: &lock.Answer{Ticket: victim.Ticket.N, Outcome: lock.Deadlock}}, 0)
			}
		}
		m.perform(f)
		seq := f.seq
		f.t.Effects = f.t.Effects[:0]
		f.mu.Unlock()
		if seq != 0 {
			m.vault.Wait(context.Background(), seq)
		}
		m.unpin(f)
	}
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

// newest finds a cycle and returns the wait in it that began last.
func newest(all map[lock.Owner][]edge) (victim edge, ok bool) {
	const (
		unseen = iota
		open
		closed
	)
	state := map[lock.Owner]int{}
	var path []edge
	var visit func(o lock.Owner) bool
	visit = func(o lock.Owner) bool {
		state[o] = open
		for _, e := range all[o] {
			for _, next := range e.For {
				path = append(path, e)
				switch state[next] {
				case open:
					for i := len(path) - 1; i >= 0; i-- {
						if !ok || path[i].Turn > victim.Turn {
							victim, ok = path[i], true
						}
						if path[i].Owner == next {
							break
						}
					}
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
			return victim, ok
		}
	}
	return victim, false
}
