package lock

import (
	"fmt"
	"math"
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

// ---- who waits

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
				t.tell(w.ticket.Seat, Event{Answer: &Answer{Ticket: w.ticket.N, Outcome: Granted, Rights: res.Rights, Epoch: res.Epoch, Breaking: res.Breaking}})
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

// ---- the three questions

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

// judgeOpen is [MS-FSA] 2.1.5.1.2: delete pending, share modes, then caching rights. A sharing violation is looked at again after cached
// handles were given back.
func (t *Table) judgeOpen(w *waiter) (Outcome, *Holder) {
	r := w.open
	if t.pending {
		return DeletePending, nil
	}
	own := t.lease(r)
	if out, h := t.judgeSharing(w, own, func(o *open) bool { return r.excludes(&o.r) }); out != Granted {
		return out, h
	}
	for i := range t.doing {
		d := &t.doing[i]
		if d.open == (ID{}) && r.Access != 0 && !(d.door == Local && r.Owner.Client.Door == Local) && d.op.access().needs()&^r.shares() != 0 {
			return Blocked, nil
		}
	}
	return t.judgeCaching(w, own, r.costs())
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
			t.end(o)
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
		if l == own || c.spares != nil && c.spares(l) {
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

// access is what an operation without an open needs others to share.
func (o Op) access() Access {
	switch o {
	case OpRead:
		return Read
	case OpWrite, OpSetSize:
		return Write
	case OpRemove, OpRename:
		return Delete
	}
	return 0
}

// judgeAccess admits one operation. Under an open the share modes were asked at the open.
func (t *Table) judgeAccess(w *waiter, r *AccessRequest) (Outcome, *Holder) {
	if t.pending && (r.Op == OpRename || r.Op == OpLink) && r.Open == 0 {
		return DeletePending, nil
	}
	var under ID
	if r.Open != 0 {
		if under = (ID{w.id.Seat, r.Open}); t.open(under) == nil {
			return Stale, nil
		}
	}
	own := t.leaseOf(under)
	door := r.Owner.Client.Door
	if needs := r.Op.access().needs(); r.Open == 0 && needs != 0 && !(needs == ShareDelete && t.Rules.UnlinkUnix && door != SMB) {
		out, h := t.judgeSharing(w, own, func(o *open) bool {
			if o.r.Access == 0 || door == Local && o.r.Owner.Client.Door == Local {
				return false
			}
			// What SMB replaces by a rename may not be open over SMB at all, [MS-FSA] 2.1.5.15.11.
			return needs&^o.r.shares() != 0 || door == SMB && r.Op == OpRemove && o.r.Owner.Client.Door == SMB
		})
		if out != Granted {
			return out, h
		}
	}
	if s, none := r.bytes(); !none {
		if h := t.ioConflict(r, under, s); h != nil {
			return Denied, h.holder()
		}
	}
	c := r.Op.costs(door)
	switch {
	case r.Op == OpChangeDir && !r.ParentKey.IsZero():
		// The client that makes the change holds the directory's lease, [MS-SMB2] 3.3.4.22.
		client, key := r.Owner.Client.GUID, r.ParentKey
		c.spares = func(l *lease) bool { return l.is(client, key) }
	case r.Op == OpRename || r.Op == OpLink:
		c.batch = true
	}
	return t.judgeCaching(w, own, c)
}

// bytes is the range that an operation touches; none where it touches no bytes.
func (r *AccessRequest) bytes() (s Span, none bool) {
	switch r.Op {
	case OpRead, OpWrite:
		if r.Length == 0 {
			return Span{}, true
		}
	case OpSetSize:
	default:
		return Span{}, true
	}
	s, ok := span(r.Offset, r.Length, false)
	if !ok {
		s = Span{First: r.Offset, Last: ^uint64(0)}
	}
	return s, false
}

// ioConflict finds a range that holds back reading or writing s. SMB ranges are mandatory for everybody else's I/O that the counter
// sees, [MS-FSA] 2.1.4.10: reading passes shared ranges and its own open's, writing only its own open's exclusive ones. NLM and fcntl
// ranges hold back SMB alone; among themselves they are advisory.
func (t *Table) ioConflict(r *AccessRequest, under ID, s Span) *held {
	write := r.Op != OpRead
	door := r.Owner.Client.Door
	if write || !(t.Rules.ReadUnix && door == NFS) {
		for i := range t.smb {
			h := &t.smb[i]
			if !h.span.overlaps(s) || h.exclusive && h.id == under && under.N != 0 {
				continue
			}
			if write || h.exclusive {
				return h
			}
		}
	}
	if door != SMB {
		return nil
	}
	for i := range t.posix {
		if h := &t.posix[i]; h.span.overlaps(s) && (write || h.exclusive) {
			return h
		}
	}
	return nil
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
	if n := t.Rules.RangesPerFile; n > 0 && len(t.posix)+len(t.smb)+len(t.flocks) >= n && !t.Holds(r) {
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

// ---- for people

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
