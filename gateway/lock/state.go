package lock

import (
	"fmt"
	"math"
)

// What is held, for people and for gauges.

// Waiting is how many wait in the line.
func (t *Table) Waiting() int { return len(t.line) }

// Counts are sizes, for gauges.
type Counts struct{ Opens, Leases, Ranges, Waiters, Unclaimed int }

// Counts counts.
func (t *Table) Counts() Counts {
	c := Counts{Opens: len(t.opens), Leases: len(t.leases), Ranges: len(t.posix) + len(t.smb) + len(t.flocks), Waiters: len(t.line)}
	for i := range t.posix {
		if t.posix[i].unclaimed {
			c.Unclaimed++
		}
	}
	return c
}

// State lists who holds what and who waits.
func (t *Table) State() FileState {
	f := FileState{Key: t.Key, Path: t.Path, DeletePending: t.pending}
	for _, o := range t.opens {
		f.Opens = append(f.Opens, OpenState{Open: o.id.N, Owner: o.r.Owner, User: o.r.User, Access: o.r.Access, Share: o.r.shares(),
			Durable: o.r.Durable > 0, Disconnected: o.lost, Since: o.since})
	}
	for _, set := range [][]held{t.posix, t.smb, t.flocks} {
		for i := range set {
			h := &set[i]
			f.Ranges = append(f.Ranges, RangeState{Owner: h.owner, User: h.user, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, Unclaimed: h.unclaimed, Since: h.since})
		}
	}
	for i := len(f.Ranges) - len(t.flocks); i < len(f.Ranges); i++ {
		f.Ranges[i].Flock = true
	}
	for _, l := range t.leases {
		f.Leases = append(f.Leases, LeaseState{Client: l.client, LeaseKey: l.key, Kind: l.kind, Rights: l.rights, Breaking: l.breaking, To: l.to, Epoch: l.epoch, Since: l.since})
	}
	for _, w := range t.line {
		f.Waiters = append(f.Waiters, WaiterState{Ticket: w.ticket.N, Owner: w.owner(), What: w.what(), For: t.waitsFor(w), Since: w.since})
	}
	return f
}

func (w *waiter) what() string {
	switch {
	case w.open != nil:
		return "open"
	case w.access != nil:
		return w.access.Op.String()
	}
	mode := "shared"
	if w.lock.Exclusive {
		mode = "exclusive"
	}
	s, _ := span(w.lock.Offset, w.lock.Length, w.lock.Owner.Client.Door == SMB)
	switch {
	case w.lock.Flock:
		return "flock " + mode
	case s.Empty:
		return fmt.Sprintf("lock nothing at %d %s", s.First, mode)
	case s.Last == math.MaxUint64:
		return fmt.Sprintf("lock %d-end %s", s.First, mode)
	}
	return fmt.Sprintf("lock %d-%d %s", w.lock.Offset, w.lock.Offset+w.lock.Length-1, mode)
}

// waitsFor is who must let go, or give back, before w goes on.
func (t *Table) waitsFor(w *waiter) []Owner {
	if w.lock != nil && w.inLine {
		return append(t.inTheWay(w), t.ahead(w)...)
	}
	var list []Owner
	for _, x := range w.rounds {
		for _, l := range t.leases {
			if o := t.liveOpen(l); l.n == x.lease && l.round == x.round && l.breaking && o != nil {
				list = append(list, o.r.Owner)
			}
		}
	}
	return list
}
