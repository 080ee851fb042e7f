package lock

import (
	"slices"
	"time"
)

// Byte ranges: [MS-FSA] 2.1.5.8 and 2.1.5.9, X/Open NLM, fcntl(2), flock(2).

// RangeRecord is a range that outlives a crash: an NLM lock, or a durable open's.
type RangeRecord struct {
	Owner          Owner
	Open           uint64
	Offset, Length uint64
	Exclusive      bool
	User           string
	Since          time.Time
}

func rangeRecord(h *held) RangeRecord {
	rec := RangeRecord{Owner: h.owner, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, User: h.user, Since: unstamp(h.since)}
	if h.owner.Client.Door == SMB {
		rec.Open = h.id.N
	}
	return rec
}

// Lock gives a range, lets the request wait in the line, or refuses it.
func (t *Table) Lock(seat uint64, ticket ID, r *LockRequest) Result {
	w := &waiter{ticket: ticket, id: ID{seat, r.Open}, lock: r, turn: t.Turn}
	out, h := t.judge(w)
	switch out {
	case Granted:
		t.dropWaiting(w)
		t.admitLock(w)
	case Blocked:
		if w.inLine && (ticket.N == 0 || r.Try) {
			out = Denied
			break
		}
		t.dropWaiting(w)
		if out = t.join(w); out == Blocked {
			req := *r
			w.lock = &req
		}
	}
	t.settle()
	return Result{Outcome: out, Holder: h}
}

// judgeLock gives a byte range, or says what stands in its way.
func (t *Table) judgeLock(w *waiter) (Outcome, *Holder) {
	r := w.lock
	w.inLine = false
	isSMB := r.Owner.Client.Door == SMB
	s, ok := span(r.Offset, r.Length, isSMB)
	if !ok {
		return Invalid, nil
	}
	if isSMB && t.open(w.id) == nil || t.pending && r.Owner.Client.Door == NLM {
		return Stale, nil
	}
	if n := t.Rules.RangesPerFile; (n > 0 && len(t.posix)+len(t.smb)+len(t.flocks) >= n || t.full(r.Owner.Client)) && !t.Holds(r) {
		return Limit, nil
	}
	if h := t.rangeConflict(w, s); h != nil {
		w.inLine = true
		return Blocked, h.holder()
	}
	if r.Flock {
		return Granted, nil
	}
	// Who asks to wait keeps its place behind those who came before, unless it holds all of it already (a retransmission) or one of them
	// waits for it: then its place would never come.
	if w.ticket.N != 0 && !r.Try && !w.rude && (isSMB || !t.Holds(r)) {
		me := r.Owner.Ident()
		for _, x := range t.line {
			if x != w && x.before(w, s) && !slices.Contains(t.inTheWay(x), me) {
				w.inLine = true
				return Blocked, &Holder{Owner: x.lock.Owner, Exclusive: x.lock.Exclusive, Offset: x.lock.Offset, Length: x.lock.Length}
			}
		}
	}
	// An operation under way that the range would have held back ends first. Implementation specific: who does not wait does not wait for
	// that either, and gets the range, as in NTFS.
	for i := range t.doing {
		d := &t.doing[i]
		if w.ticket.N != 0 && !d.none && (isSMB && d.open != w.id || !isSMB && d.door == SMB) && d.span.overlaps(s) && (r.Exclusive || d.op != OpRead) {
			return Blocked, nil
		}
	}
	return t.judgeCaching(w, w.own(t), lockCosts)
}

// full asks for the client's limit, and counts what this verb has already given.
func (t *Table) full(c Client) bool {
	if t.Rules.Full == nil {
		return false
	}
	client, all := 0, 0
	for i := range t.Effects {
		if e := &t.Effects[i]; e.Kind == CountRanges {
			if all += e.N; e.Client == c {
				client += e.N
			}
		}
	}
	return t.Rules.Full(c, client, all)
}

// rangeConflict finds a held range that conflicts with a lock of s. Between families only modes count; within one, its own rule.
func (t *Table) rangeConflict(w *waiter, s Span) *held {
	r := w.lock
	across := func(set []held) *held {
		for i := range set {
			if h := &set[i]; (r.Exclusive || h.exclusive) && h.span.overlaps(s) {
				return h
			}
		}
		return nil
	}
	switch {
	case r.Flock:
		return posixSet(t.flocks).conflict(r.Owner, s, r.Exclusive)
	case r.Owner.Client.Door == SMB:
		if h := t.smb.conflict(w.id, s, r.Exclusive); h != nil {
			return h
		}
		return across(t.posix)
	}
	if h := t.posix.conflict(r.Owner, s, r.Exclusive); h != nil {
		return h
	}
	return across(t.smb)
}

// dropWaiting ends an earlier ticket of the same NLM owner for the same range: the client repeats its request.
func (t *Table) dropWaiting(w *waiter) {
	if w.lock.Owner.Client.Door != NLM {
		return
	}
	for i := 0; i < len(t.line); {
		x := t.line[i]
		if x.lock != nil && x.lock.Owner == w.lock.Owner && x.lock.Offset == w.lock.Offset && x.lock.Length == w.lock.Length {
			t.line = append(t.line[:i], t.line[i+1:]...)
			if x.ticket != w.ticket {
				t.answer(x, Cancelled, nil)
			}
			w.turn = x.turn
			t.dirty = true // what waited behind the old request may not have to behind the new one
		} else {
			i++
		}
	}
}

func (t *Table) admitLock(w *waiter) {
	r := w.lock
	isSMB := r.Owner.Client.Door == SMB
	s, _ := span(r.Offset, r.Length, isSMB)
	h := held{owner: r.Owner, id: w.id, span: s, length: r.Length, exclusive: r.Exclusive, since: stamp(t.At), user: r.User}
	if r.Path != "" {
		t.Path = r.Path
	}
	// Who waits may now hold what it waits for, or wait behind one who waits for it.
	t.dirty = t.dirty || len(t.line) > 0
	switch {
	case r.Flock:
		t.unflock(r.Owner)
		t.flocks = append(t.flocks, h)
		t.came(&h)
	case isSMB:
		t.smb = append(t.smb, h)
		t.came(&h)
	default:
		t.setPOSIX(h, false)
	}
}

func (t *Table) setPOSIX(h held, free bool) {
	var gone, come []held
	t.posix, gone, come = t.posix.set(h, free)
	for i := range gone {
		t.went(&gone[i])
	}
	for i := range come {
		t.came(&come[i])
	}
}

func (t *Table) unflock(owner Owner) {
	for i := range t.flocks {
		if h := t.flocks[i]; same(h.owner, owner) {
			t.flocks = append(t.flocks[:i], t.flocks[i+1:]...)
			t.went(&h)
			return
		}
	}
}

// Unlock frees a range: exactly for SMB, whatever its owner holds within for others.
func (t *Table) Unlock(seat uint64, r *LockRequest) Result {
	isSMB := r.Owner.Client.Door == SMB
	s, ok := span(r.Offset, r.Length, isSMB)
	if !ok {
		return Result{Outcome: Invalid}
	}
	switch {
	case r.Flock:
		t.unflock(r.Owner)
	case isSMB:
		id := ID{seat, r.Open}
		if t.open(id) == nil {
			return Result{Outcome: Stale}
		}
		i := t.smb.find(id, s, r.Length)
		if i < 0 {
			return Result{Outcome: NotLocked}
		}
		t.unstack(i)
	default:
		t.setPOSIX(held{owner: r.Owner, span: s}, true)
	}
	t.settle()
	return Result{Outcome: Granted}
}

// unstack frees one SMB range.
func (t *Table) unstack(i int) {
	h := t.smb[i]
	t.smb = append(t.smb[:i], t.smb[i+1:]...)
	t.went(&h)
	// Records know no stacks: where the same range still stands, it goes on record again.
	if j := t.smb.find(h.id, h.span, h.length); j >= 0 && t.smb[j].exclusive == h.exclusive && t.durable(&h) {
		t.effect(Effect{Kind: PutRange, Range: rangeRecord(&t.smb[j])})
	}
}

// Test answers what Lock would, and changes nothing: leases are not asked.
func (t *Table) Test(seat uint64, r *LockRequest) Result {
	w := &waiter{id: ID{seat, r.Open}, lock: r}
	s, ok := span(r.Offset, r.Length, r.Owner.Client.Door == SMB)
	if !ok {
		return Result{Outcome: Invalid}
	}
	if h := t.rangeConflict(w, s); h != nil {
		return Result{Outcome: Denied, Holder: h.holder()}
	}
	return Result{Outcome: Granted}
}

// Reclaim takes an NLM lock back that is on record for the client, in whole: the record may be stronger, never weaker.
func (t *Table) Reclaim(r *LockRequest) Outcome {
	s, ok := span(r.Offset, r.Length, false)
	if !ok {
		return Invalid
	}
	// The owner's own record comes first: another process of the client may have one of its own.
	owners := map[Owner]bool{}
	note := func(h *held) { owners[h.owner] = true }
	strong := func(h *held) bool { return h.exclusive || !r.Exclusive }
	if !t.covered(s, func(h *held) bool { return h.owner == r.Owner && strong(h) }, note) {
		clear(owners)
		if !t.covered(s, func(h *held) bool {
			return h.owner.Client == r.Owner.Client && strong(h) && (h.unclaimed || h.owner == r.Owner)
		}, note) {
			return Denied
		}
	}
	for o := range owners {
		if o != r.Owner {
			t.setPOSIX(held{owner: o, span: s}, true)
		}
	}
	t.setPOSIX(held{owner: r.Owner, span: s, exclusive: r.Exclusive, since: stamp(t.At), user: r.User}, false)
	t.settle()
	return Granted
}

// Recover is Reclaim after a crash of the host that may have taken what was put on record last: the client's word counts as much as what is on record and nobody
// has confirmed. What it contradicts of that gives way, as does a durable open that came back from the record with such a range, and the rest is judged as a
// new lock is.
func (t *Table) Recover(seat uint64, ticket ID, r *LockRequest) Result {
	if out := t.Reclaim(r); out != Denied {
		return Result{Outcome: out}
	}
	s, _ := span(r.Offset, r.Length, false)
	inTheWay := func(h *held) bool { return (r.Exclusive || h.exclusive) && h.span.overlaps(s) }
	for _, h := range slices.Clone(t.posix) {
		if h.unclaimed && !same(h.owner, r.Owner) && inTheWay(&h) {
			t.setPOSIX(held{owner: h.owner, span: s}, true)
		}
	}
	for _, h := range slices.Clone(t.smb) {
		if o := t.open(h.id); h.unclaimed && h.id.Seat == 0 && o != nil && o.lost && inTheWay(&h) {
			t.die(o)
		}
	}
	return t.Lock(seat, ticket, r)
}

// covered reports whether the ranges that fit together hold all of s, and notes each that it takes for that.
func (t *Table) covered(s Span, fits func(*held) bool, note func(*held)) bool {
	next := s.First
	for again := true; again; {
		again = false
		for i := range t.posix {
			h := &t.posix[i]
			if h.span.First <= next && next <= h.span.Last && fits(h) {
				note(h)
				if h.span.Last >= s.Last {
					return true
				}
				next, again = h.span.Last+1, true
			}
		}
	}
	return false
}

// Before returns what undoes a grant of r: what its owner holds there now. nil: nothing, and Unlock does.
func (t *Table) Before(r *LockRequest) (undo func(*Table)) {
	s, ok := span(r.Offset, r.Length, r.Owner.Client.Door == SMB)
	if !ok || r.Owner.Client.Door == SMB || r.Flock {
		return nil
	}
	var had []held
	for i := range t.posix {
		if h := &t.posix[i]; same(h.owner, r.Owner) && h.span.touches(s) {
			had = append(had, *h)
		}
	}
	if had == nil {
		return nil
	}
	return func(t *Table) {
		for _, h := range had {
			t.setPOSIX(h, false)
		}
		t.settle()
	}
}

// Holds reports whether owner holds all of r's range, at least as strongly; a flock is one whatever its mode.
func (t *Table) Holds(r *LockRequest) bool {
	if r.Flock {
		return slices.ContainsFunc(t.flocks, func(h held) bool { return same(h.owner, r.Owner) })
	}
	s, ok := span(r.Offset, r.Length, false)
	return ok && len(t.posix) > 0 && t.covered(s, func(h *held) bool { return same(h.owner, r.Owner) && (h.exclusive || !r.Exclusive) }, func(*held) {})
}

// PresentRange gives a door back a range of SMB or of a local owner that it held before the counter lost its memory. late says that
// others may have been admitted meanwhile.
func (t *Table) PresentRange(seat uint64, r *LockRequest, late bool) Result {
	w := &waiter{id: ID{seat, r.Open}, lock: r, turn: t.Turn}
	isSMB := r.Owner.Client.Door == SMB
	s, ok := span(r.Offset, r.Length, isSMB)
	switch {
	case !ok:
		return Result{Outcome: Invalid}
	case isSMB && t.open(w.id) == nil:
		return Result{Outcome: Stale}
	}
	for i := range t.smb {
		// A durable open's ranges are on record too.
		if h := &t.smb[i]; isSMB && h.unclaimed && h.id == w.id && h.span == s && h.length == r.Length && h.exclusive == r.Exclusive {
			h.unclaimed = false
			return Result{Outcome: Granted}
		}
	}
	if late {
		if h := t.rangeConflict(w, s); h != nil {
			return Result{Outcome: Denied, Holder: h.holder()}
		}
	}
	t.admitLock(w)
	t.settle()
	return Result{Outcome: Granted}
}

// RestoreRange puts a range of an earlier run back; an NLM range waits to be reclaimed where unclaimed.
func (t *Table) RestoreRange(rec RangeRecord, path string, unclaimed bool) {
	if path != "" {
		t.Path = path
	}
	isSMB := rec.Owner.Client.Door == SMB
	s, ok := span(rec.Offset, rec.Length, isSMB)
	if !ok {
		return
	}
	h := held{owner: rec.Owner, span: s, length: rec.Length, exclusive: rec.Exclusive, user: rec.User, since: stamp(rec.Since)}
	if isSMB {
		for _, o := range t.opens {
			if o.id.N == rec.Open && o.r.Owner == rec.Owner {
				h.id, h.unclaimed = o.id, true
				t.smb = append(t.smb, h)
				t.effect(Effect{Kind: CountRanges, Client: rec.Owner.Client, N: 1})
				return
			}
		}
		t.effect(Effect{Kind: DropRange, Range: rec}) // its open did not come back
		return
	}
	h.unclaimed = unclaimed
	t.posix = append(t.posix, h)
	t.effect(Effect{Kind: CountRanges, Client: rec.Owner.Client, N: 1})
}

// DropUnclaimed ends grace: what nobody reclaimed goes. It returns how many ranges went.
func (t *Table) DropUnclaimed() (n int) {
	return t.dropPOSIX(func(h *held) bool { return h.unclaimed })
}

func (t *Table) dropPOSIX(which func(*held) bool) (n int) {
	kept := make(posixSet, 0, len(t.posix))
	var gone []held
	for i := range t.posix {
		if which(&t.posix[i]) {
			gone = append(gone, t.posix[i])
		} else {
			kept = append(kept, t.posix[i])
		}
	}
	t.posix = kept
	for i := range gone {
		t.went(&gone[i])
	}
	t.settle()
	return len(gone)
}

// came and went account for a range: on record where it must outlive a crash, and in its client's count.
func (t *Table) came(h *held) {
	if t.durable(h) {
		t.effect(Effect{Kind: PutRange, Range: rangeRecord(h)})
	}
	t.effect(Effect{Kind: CountRanges, Client: h.owner.Client, N: 1})
}

func (t *Table) went(h *held) {
	if t.durable(h) {
		t.effect(Effect{Kind: DropRange, Range: rangeRecord(h)})
	}
	t.effect(Effect{Kind: CountRanges, Client: h.owner.Client, N: -1, After: t.At.Sub(unstamp(h.since))})
	t.dirty = true
}

func (t *Table) durable(h *held) bool {
	switch h.owner.Client.Door {
	case NLM:
		return true
	case SMB:
		o := t.open(h.id)
		return o != nil && o.r.Durable > 0
	}
	return false
}
