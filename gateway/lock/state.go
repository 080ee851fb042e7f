package lock

import (
	"fmt"
	"math"
	"time"
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

// Tally is what is held and who waits, by door.
type Tally [NFS + 1]struct {
	Ranges, Unclaimed, Flocks, Opens, Lost, Leases, Oplocks, Breaking, Accesses int
	LockWaiters, FlockWaiters, OpenWaiters, AccessWaiters                       int
	Oldest                                                                      time.Time // since when the one who has waited longest waits
}

// Tally adds what this file has.
func (t *Table) Tally(n *Tally) {
	at := func(d Door) int { return int(min(d, NFS)) }
	for _, set := range [][]held{t.posix, t.smb} {
		for i := range set {
			x := &n[at(set[i].owner.Client.Door)]
			x.Ranges++
			if set[i].unclaimed {
				x.Unclaimed++
			}
		}
	}
	for i := range t.flocks {
		n[at(t.flocks[i].owner.Client.Door)].Flocks++
	}
	for _, o := range t.opens {
		x := &n[at(o.r.Owner.Client.Door)]
		x.Opens++
		if o.lost {
			x.Lost++
		}
	}
	for _, l := range t.leases {
		x := &n[SMB]
		if l.breaking {
			x.Breaking++
		}
		if l.kind == Oplock {
			x.Oplocks++
		} else {
			x.Leases++
		}
	}
	for _, w := range t.line {
		x := &n[at(w.owner().Client.Door)]
		switch {
		case w.open != nil:
			x.OpenWaiters++
		case w.access != nil:
			x.AccessWaiters++
		case w.lock.Flock:
			x.FlockWaiters++
		default:
			x.LockWaiters++
		}
		if x.Oldest.IsZero() || w.since.Before(x.Oldest) {
			x.Oldest = w.since
		}
	}
	for i := range t.doing {
		n[at(t.doing[i].door)].Accesses++
	}
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
			f.Ranges = append(f.Ranges, RangeState{Owner: h.owner, User: h.user, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, Unclaimed: h.unclaimed, Since: unstamp(h.since)})
		}
	}
	for i := len(f.Ranges) - len(t.flocks); i < len(f.Ranges); i++ {
		f.Ranges[i].Flock = true
	}
	for _, l := range t.leases {
		f.Leases = append(f.Leases, LeaseState{Client: l.client, LeaseKey: l.key, Kind: l.kind, User: t.userOf(l), Rights: l.rights, Breaking: l.breaking, To: l.to, Epoch: l.epoch, Since: l.since})
	}
	for _, w := range t.line {
		f.Waiters = append(f.Waiters, WaiterState{Ticket: w.ticket.N, Owner: w.owner(), User: w.user(), What: w.what(), For: t.waitsFor(w), Since: w.since})
	}
	t.identify(&f)
	return f
}

func (t *Table) userOf(l *lease) string {
	for _, o := range t.opens {
		if o.lease == l {
			return o.r.User
		}
	}
	return ""
}

func (w *waiter) user() string {
	switch {
	case w.open != nil:
		return w.open.User
	case w.lock != nil:
		return w.lock.User
	}
	return ""
}

func (w *waiter) what() string {
	switch {
	case w.open != nil:
		return w.open.What()
	case w.access != nil:
		return w.access.What()
	}
	return w.lock.What()
}

// What says for people what r asks for.
func (r *OpenRequest) What() string { return fmt.Sprintf("open %v, sharing %v", r.Access, r.shares()) }

// What says for people what r asks for.
func (r *AccessRequest) What() string {
	if s, none := r.bytes(); !none && r.Op != OpSetSize {
		return fmt.Sprintf("%v %v", r.Op, s)
	}
	return r.Op.String()
}

// What says for people what r asks for.
func (r *LockRequest) What() string {
	verb, mode := "lock", "shared"
	if r.Exclusive {
		mode = "exclusive"
	}
	if r.Reclaim {
		verb = "reclaim"
	}
	if r.Flock {
		return "flock " + mode
	}
	s, ok := span(r.Offset, r.Length, r.Owner.Client.Door == SMB)
	if !ok {
		return fmt.Sprintf("%s %d bytes at %d %s", verb, r.Length, r.Offset, mode)
	}
	return fmt.Sprintf("%s %v %s", verb, s, mode)
}

// String prints s as 0-9, 10-end, or "nothing at 5".
func (s Span) String() string {
	switch {
	case s.Empty:
		return fmt.Sprintf("nothing at %d", s.First)
	case s.Last == math.MaxUint64:
		return fmt.Sprintf("%d-end", s.First)
	}
	return fmt.Sprintf("%d-%d", s.First, s.Last)
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
