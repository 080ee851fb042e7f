package lock

import (
	"slices"
	"time"
)

// waiter is one request while it is judged, and for as long as it waits in the file's line. Exactly one of open, access and lock is set.
type waiter struct {
	ticket ID
	id     ID // the open or access that asks; for a lock the open that it belongs to
	open   *OpenRequest
	access *AccessRequest
	lock   *LockRequest
	turn   uint64
	inLine bool    // a byte range stands in the way, not a break
	rude   bool    // it may overtake: keeping its place would close a cycle
	rounds []round // breaks that it waits for
	since  time.Time
}

func (w *waiter) owner() Owner {
	switch {
	case w.open != nil:
		return w.open.Owner
	case w.access != nil:
		return w.access.Owner
	}
	return w.lock.Owner
}

// under is the open that the request happens under, whose end ends it.
func (w *waiter) under() ID {
	switch {
	case w.access != nil && w.access.Open != 0:
		return ID{w.id.Seat, w.access.Open}
	case w.lock != nil && w.lock.Open != 0:
		return w.id
	}
	return ID{}
}

// own is the lease that the request acts with.
func (w *waiter) own(t *Table) *lease {
	if w.open != nil {
		return t.lease(w.open)
	}
	return t.leaseOf(w.under())
}

func (w *waiter) costs() cost {
	switch {
	case w.open != nil:
		return w.open.costs()
	case w.access != nil:
		return w.access.Op.costs(w.access.Owner.Client.Door)
	case w.lock.Flock:
		return cost{leaves: allRights}
	}
	return lockCosts
}

// join lets a request that cannot be answered yet wait at the end of the line. Denied: it did not ask to.
func (t *Table) join(w *waiter) Outcome {
	if w.ticket.N == 0 {
		return Denied
	}
	if t.Rules.WaitersPerFile > 0 && len(t.line) >= t.Rules.WaitersPerFile {
		return Limit
	}
	w.since = t.At
	// A repeated request keeps its place.
	i := len(t.line)
	for i > 0 && t.line[i-1].turn > w.turn {
		i--
	}
	t.line = slices.Insert(t.line, i, w)
	return Blocked
}

// settle looks at the line, first come first served, until nobody who waits can go on.
func (t *Table) settle() {
	for t.dirty {
		t.dirty = false
		for i := 0; i < len(t.line); {
			w := t.line[i]
			out, h := t.judge(w)
			if out == Blocked && w.inLine && w.lock.Try {
				out = Denied // it waits for breaks only
			}
			if out == Blocked {
				i++
				continue
			}
			// Judging may drop opens, and those who wait under them.
			at := t.place(w)
			if at < 0 {
				i = 0
				continue
			}
			t.line = append(t.line[:at], t.line[at+1:]...)
			i = at
			switch {
			case out != Granted:
				t.answer(w, out, h)
				if w.open != nil {
					t.keyUnused(w.open.Owner.Client.GUID, w.open.LeaseKey, w.open.Kind)
				}
			case w.open != nil:
				res := t.admitOpen(w)
				a := res.Answer(w.ticket.N)
				t.tell(w.ticket.Seat, Event{Answer: &a})
			case w.access != nil:
				t.admitAccess(w.id, w.access)
				t.answer(w, Granted, nil)
			default:
				t.admitLock(w)
				t.answer(w, Granted, nil)
			}
			t.dirty = true
		}
	}
}

func (t *Table) place(w *waiter) int {
	for i, x := range t.line {
		if x == w {
			return i
		}
	}
	return -1
}

func (t *Table) answer(w *waiter, out Outcome, h *Holder) {
	t.tell(w.ticket.Seat, Event{Answer: &Answer{Ticket: w.ticket.N, Outcome: out, Holder: h}})
}

// Cancel withdraws a ticket silently, and reports whether it waited.
func (t *Table) Cancel(ticket ID) bool {
	for i, w := range t.line {
		if w.ticket == ticket {
			t.line = append(t.line[:i], t.line[i+1:]...)
			if w.open != nil {
				t.keyUnused(w.open.Owner.Client.GUID, w.open.LeaseKey, w.open.Kind)
			}
			t.dirty = true
			t.settle()
			return true
		}
	}
	return false
}

// CancelLock finds the ticket of the waiting lock that r describes. X/Open NLM, NLM4_CANCEL.
func (t *Table) CancelLock(r *LockRequest) (ticket ID, ok bool) {
	for _, w := range t.line {
		if w.lock != nil && same(w.lock.Owner, r.Owner) && w.lock.Offset == r.Offset && w.lock.Length == r.Length && w.lock.Exclusive == r.Exclusive {
			return w.ticket, true
		}
	}
	return ID{}, false
}

// Wait is one who waits for byte ranges of others, as the wait-for graph sees it. For hold what it wants; Behind only came earlier: who
// waits for those alone has not lost anything yet.
type Wait struct {
	Ticket      ID
	Turn        uint64
	Owner       Owner
	For, Behind []Owner
}

// Waits lists who waits for ranges, and for whom.
func (t *Table) Waits() []Wait {
	var list []Wait
	for _, w := range t.line {
		if w.lock != nil && w.inLine {
			list = append(list, Wait{w.ticket, w.turn, w.lock.Owner.Ident(), t.inTheWay(w), t.ahead(w)})
		}
	}
	return list
}

// inTheWay are the holders of ranges that conflict with what w wants.
func (t *Table) inTheWay(w *waiter) (list []Owner) {
	r := w.lock
	s, _ := span(r.Offset, r.Length, r.Owner.Client.Door == SMB)
	for _, set := range t.rivals(r) {
		for i := range set {
			if h := &set[i]; (r.Exclusive || h.exclusive) && h.span.overlaps(s) && !same(h.owner, r.Owner) {
				list = append(list, h.owner.Ident())
			}
		}
	}
	return list
}

// ahead are those who wait before w for a range that conflicts with what w wants.
func (t *Table) ahead(w *waiter) (list []Owner) {
	if w.rude || w.lock.Flock {
		return nil
	}
	s, _ := span(w.lock.Offset, w.lock.Length, w.lock.Owner.Client.Door == SMB)
	for _, x := range t.line {
		if x != w && x.before(w, s) {
			list = append(list, x.lock.Owner.Ident())
		}
	}
	return list
}

// Overtake lets a waiter pass those who wait before it: keeping its place would close a cycle that no holder is in.
func (t *Table) Overtake(ticket ID) {
	for _, w := range t.line {
		if w.ticket == ticket {
			w.rude, t.dirty = true, true
		}
	}
	t.settle()
}

// rivals are the sets that a request for a range is measured against: flock(2) lives in a space of its own.
func (t *Table) rivals(r *LockRequest) [][]held {
	if r.Flock {
		return [][]held{t.flocks}
	}
	return [][]held{t.posix, t.smb}
}

// before reports whether x, who waits in line, comes before w in conflict with it.
func (x *waiter) before(w *waiter, s Span) bool {
	if x.lock == nil || x.turn >= w.turn || x.lock.Flock != w.lock.Flock || !x.lock.Exclusive && !w.lock.Exclusive || same(x.lock.Owner, w.lock.Owner) {
		return false
	}
	xs, ok := span(x.lock.Offset, x.lock.Length, x.lock.Owner.Client.Door == SMB)
	return ok && xs.overlaps(s)
}

// judge answers a request as the table stands: Granted, Blocked, or the refusal. It sends the breaks that it needs.
func (t *Table) judge(w *waiter) (Outcome, *Holder) {
	switch {
	case w.open != nil:
		return t.judgeOpen(w)
	case w.access != nil:
		return t.judgeAccess(w, w.access)
	}
	return t.judgeLock(w)
}

// judgeSharing finds opens that stand in the way of w, and calls their cached handles back.
func (t *Table) judgeSharing(w *waiter, own *lease, excludes func(*open) bool) (Outcome, *Holder) {
	var h *Holder
	waits := false
	for _, o := range append([]*open(nil), t.opens...) {
		if t.open(o.id) != o || !excludes(o) {
			continue
		}
		if l := o.lease; l != nil && l != own && (l.stays()&H != 0 || l.breaking) {
			t.demand(l, allRights&^H)
			if t.open(o.id) != o {
				continue // a disconnected open that only its client could have closed
			}
			if w.awaits(l, H) {
				waits, h = true, o.holder()
				continue
			}
		}
		if o.lost {
			t.die(o)
			continue
		}
		return SharingDenied, o.holder()
	}
	if waits {
		return Blocked, h
	}
	return Granted, nil
}

// judgeCaching calls back what w costs others, and says whether it must wait for that. [MS-FSA] 2.1.4.12.
func (t *Table) judgeCaching(w *waiter, own *lease, c cost) (Outcome, *Holder) {
	if c.leaves == allRights {
		return Granted, nil
	}
	out, h := Granted, (*Holder)(nil)
	for _, l := range append([]*lease(nil), t.leases...) {
		// Level II goes by its own open's writing too, [MS-FSA] 2.1.4.12: it has no key.
		if l == own && !(l.kind == Oplock && l.stays() == R) || c.spares != nil && c.spares(l) {
			continue
		}
		leaves := c.leaves
		if c.batch && l.kind == Oplock && l.stays()&H != 0 {
			leaves = 0
		}
		if l.stays()&^leaves != 0 {
			t.demand(l, leaves)
		}
		if w.awaits(l, c.gone) {
			out, h = Blocked, &Holder{Rights: l.rights}
			if o := t.liveOpen(l); o != nil {
				h = o.holder()
			}
		}
	}
	return out, h
}
