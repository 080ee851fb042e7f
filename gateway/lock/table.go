package lock

import (
	"slices"
	"time"
)

// ID names an open, an access or a ticket across seats: the seat's number and the number that the seat's door chose.
type ID struct{ Seat, N uint64 }

// Rules are the settings that the law obeys.
type Rules struct {
	UnlinkUnix     bool // unlink_open = unix: others may unlink what an SMB open does not share for deleting
	ReadUnix       bool // brl_read = unix: an exclusive SMB range does not hold back READ
	RangesPerFile  int  // 0: no limit
	WaitersPerFile int  // 0: no limit
}

// Table is one file's state: opens, leases, byte ranges, operations in progress, and those who wait. A verb goes in, the outcome and
// effects come out; the effects lie in Effects until the caller has performed them. A Table is not safe for concurrent use.
type Table struct {
	Key     Key
	Path    string // for people
	Rules   Rules
	At      time.Time // the moment of the verb, for people
	Turn    uint64    // rises with every verb over all tables: who came first
	Effects []Effect

	opens   []*open
	leases  []*lease
	posix   posixSet
	smb     smbSet
	flocks  []held
	doing   []doing
	line    []*waiter
	pending bool // delete pending
	leaseN  uint64
	dirty   bool // something was freed: the line must be looked at
}

type open struct {
	id    ID
	r     OpenRequest
	lease *lease
	lost  bool   // disconnected: a durable open without its client
	spell uint64 // numbers the times it was lost, for ClientTimeout
	since time.Time
}

// doing is an Access that was admitted: an open held for one operation.
type doing struct {
	id   ID
	open ID
	door Door
	op   Op
	span Span
	none bool // no bytes
}

// EffectKind says what an Effect asks for.
type EffectKind uint8

// Effects.
const (
	Tell        EffectKind = iota + 1 // Event goes to Seat
	PutRange                          // Range goes on record
	DropRange                         // Range leaves the record
	PutOpen                           // Open goes on record
	DropOpen                          // Open leaves the record
	CountRanges                       // Client holds N ranges more
	AwaitAck                          // AckTimeout(Lease, Stage) when the break timeout has passed
	AwaitClient                       // ClientTimeout(ID, Spell) After that time
	LeaseGone                         // Client's lease key LeaseKey is free
)

// Effect is what a verb asks its caller to do, once the file is unlocked again.
type Effect struct {
	Kind     EffectKind
	Seat     uint64
	Event    Event
	Range    RangeRecord
	Open     OpenRecord
	Client   Client
	LeaseKey GUID
	N        int
	Lease    uint64
	Stage    uint64
	ID       ID
	Spell    uint64
	After    time.Duration
}

// RangeRecord is a range that outlives a crash: an NLM lock, or a durable open's.
type RangeRecord struct {
	Owner          Owner
	Open           uint64
	Offset, Length uint64
	Exclusive      bool
	User           string
	Since          time.Time
}

// OpenRecord is a durable open with its lease, as it outlives a crash.
type OpenRecord struct {
	Request OpenRequest
	Rights  Rights
	Epoch   uint16
	Since   time.Time
}

func (t *Table) effect(e Effect) { t.Effects = append(t.Effects, e) }

func (t *Table) tell(seat uint64, e Event) { t.effect(Effect{Kind: Tell, Seat: seat, Event: e}) }

// Empty reports whether nothing is left to remember.
func (t *Table) Empty() bool {
	return len(t.opens)+len(t.leases)+len(t.posix)+len(t.smb)+len(t.flocks)+len(t.doing)+len(t.line) == 0
}

// Reset makes an empty table another file's, and keeps its memory.
func (t *Table) Reset(key Key) {
	*t = Table{Key: key, Rules: t.Rules, Effects: t.Effects[:0], doing: t.doing[:0], opens: t.opens[:0], line: t.line[:0]}
}

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

func (t *Table) open(id ID) *open {
	if id.N == 0 {
		return nil
	}
	for _, o := range t.opens {
		if o.id == id {
			return o
		}
	}
	return nil
}

func (t *Table) leaseOf(id ID) *lease {
	if o := t.open(id); o != nil {
		return o.lease
	}
	return nil
}

// liveOpen is an open of l whose client can be asked.
func (t *Table) liveOpen(l *lease) *open {
	for _, o := range t.opens {
		if o.lease == l && !o.lost {
			return o
		}
	}
	return nil
}

func (t *Table) dropOpens(l *lease) {
	for i := 0; i < len(t.opens); {
		if o := t.opens[i]; o.lease == l {
			t.end(o)
			i = 0
		} else {
			i++
		}
	}
}

func (t *Table) record(o *open) OpenRecord {
	rec := OpenRecord{Request: o.r, Since: o.since}
	if o.lease != nil {
		rec.Rights, rec.Epoch = o.lease.rights, o.lease.epoch
	}
	return rec
}

func (t *Table) putOpen(o *open) {
	if o.r.Durable > 0 {
		t.effect(Effect{Kind: PutOpen, Open: t.record(o)})
	}
}

// recordLease puts the durable opens of l on record anew: rights and epoch outlive a crash.
func (t *Table) recordLease(l *lease) {
	for _, o := range t.opens {
		if o.lease == l {
			t.putOpen(o)
		}
	}
}

func rangeRecord(h *held) RangeRecord {
	rec := RangeRecord{Owner: h.owner, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, User: h.user, Since: h.since}
	if h.owner.Client.Door == SMB {
		rec.Open = h.id.N
	}
	return rec
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
	t.effect(Effect{Kind: CountRanges, Client: h.owner.Client, N: -1})
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

// end removes o with everything that lives by it, and reports whether a delete-pending file has now lost its last network open:
// DELETE_ON_CLOSE unlinks then, and local opens keep the inode. [MS-FSA] 2.1.5.5.
func (t *Table) end(o *open) (remove bool) {
	for i := 0; i < len(t.smb); {
		if t.smb[i].id != o.id {
			i++
			continue
		}
		h := t.smb[i]
		t.smb = append(t.smb[:i], t.smb[i+1:]...)
		t.went(&h)
	}
	for i := 0; i < len(t.line); {
		if w := t.line[i]; w.under() == o.id {
			t.line = append(t.line[:i], t.line[i+1:]...)
			t.answer(w, Cancelled, nil)
		} else {
			i++
		}
	}
	network := 0
	for i := 0; i < len(t.opens); {
		if t.opens[i] == o {
			t.opens = append(t.opens[:i], t.opens[i+1:]...)
			continue
		}
		if t.opens[i].r.Owner.Client.Door != Local {
			network++
		}
		i++
	}
	if o.r.Durable > 0 {
		t.effect(Effect{Kind: DropOpen, Open: t.record(o)})
	}
	if l := o.lease; l != nil {
		used := false
		for _, x := range t.opens {
			used = used || x.lease == l
		}
		if !used {
			t.endLease(l)
		}
	}
	t.dirty = true
	if o.r.DeleteOnClose {
		t.pending = true
	}
	if t.pending && network == 0 {
		t.pending, remove = false, true
	}
	return remove
}

func (t *Table) endLease(l *lease) {
	for i, x := range t.leases {
		if x == l {
			t.leases = append(t.leases[:i], t.leases[i+1:]...)
			break
		}
	}
	t.keyUnused(l.client, l.key, l.kind)
}

// keyUnused tells that a lease key is free for another file, when neither a lease nor one who waits has it.
func (t *Table) keyUnused(client, key GUID, kind CacheKind) {
	if kind != LeaseV1 && kind != LeaseV2 {
		return
	}
	for _, l := range t.leases {
		if l.is(client, key) {
			return
		}
	}
	for _, w := range t.line {
		if w.open != nil && (w.open.Kind == LeaseV1 || w.open.Kind == LeaseV2) && w.open.Owner.Client.GUID == client && w.open.LeaseKey == key {
			return
		}
	}
	t.effect(Effect{Kind: LeaseGone, Client: Client{Door: SMB, GUID: client}, LeaseKey: key})
}

// ---- the verbs

// Open admits an open, lets it wait, or refuses it.
func (t *Table) Open(id, ticket ID, r *OpenRequest) OpenResult {
	w := &waiter{ticket: ticket, id: id, open: r, turn: t.Turn}
	out, h := t.judge(w)
	switch out {
	case Granted:
		res := t.admitOpen(w)
		t.settle()
		return res
	case Blocked:
		if out = t.join(w); out == Blocked {
			req := *r
			w.open = &req
		} else if out == Denied {
			out = TimedOut
		}
	}
	if out != Blocked {
		t.keyUnused(r.Owner.Client.GUID, r.LeaseKey, r.Kind)
	}
	t.settle()
	return OpenResult{Outcome: out, Holder: h}
}

func (t *Table) admitOpen(w *waiter) OpenResult {
	o := &open{id: w.id, r: *w.open, since: t.At}
	o.r.Ticket, o.r.Open, o.r.Reclaim = 0, w.id.N, false
	t.opens = append(t.opens, o)
	if o.r.Path != "" {
		t.Path = o.r.Path
	}
	res := t.grant(o)
	if o.lease == nil {
		t.putOpen(o)
	}
	return res
}

// Present admits an open as its door held it before the counter lost its memory: the door's word is the truth, because nobody was told
// of anything later. late says that others may have been admitted meanwhile; then a sharing violation refuses it, and what its lease
// may no longer hold is called back.
func (t *Table) Present(id ID, r *OpenRequest, late bool) OpenResult {
	if late {
		for _, o := range t.opens {
			if !o.r.same(r) && r.excludes(&o.r) {
				t.keyUnused(r.Owner.Client.GUID, r.LeaseKey, r.Kind)
				return OpenResult{Outcome: SharingDenied, Holder: o.holder()}
			}
		}
	}
	var o *open
	for _, x := range t.opens {
		if x.lost && x.r.same(r) {
			o = x
		}
	}
	if o == nil {
		o = &open{since: t.At}
		t.opens = append(t.opens, o)
	}
	t.take(o, id, r)
	o.r.Durable, o.r.DeleteOnClose = r.Durable, r.DeleteOnClose
	if r.Path != "" {
		t.Path = r.Path
	}
	res := OpenResult{Outcome: Granted}
	if r.Kind != NoCache {
		l := o.lease
		if l == nil {
			l = t.lease(r)
		}
		if l == nil && (r.Kind != Oplock || r.Rights != 0) {
			l = t.newLease(r, id, 0, r.Epoch)
		}
		if o.lease = l; l != nil {
			l.rights, l.breaking, l.forced = legal(r.Rights, r.Kind, r.Directory), false, false
			if int16(r.Epoch-l.epoch) > 0 {
				l.epoch = r.Epoch
			}
			res.Rights, res.Epoch = l.rights, l.epoch
			if late {
				t.demand(l, t.most(l, id))
			}
		}
	}
	if late && r.Access != 0 {
		for _, l := range append([]*lease(nil), t.leases...) {
			if l != o.lease {
				t.demand(l, r.costs().leaves)
			}
		}
	}
	t.putOpen(o)
	t.settle()
	return res
}

// same reports whether r and b are the same durable open: by its CreateGuid, or by its owner.
func (r *OpenRequest) same(b *OpenRequest) bool {
	if r.Owner.Client != b.Owner.Client || r.Kind != b.Kind || r.LeaseKey != b.LeaseKey {
		return false
	}
	if !r.CreateGuid.IsZero() || !b.CreateGuid.IsZero() {
		return r.CreateGuid == b.CreateGuid
	}
	return same(r.Owner, b.Owner)
}

// take makes o the open id of r's owner, with its ranges: nothing goes on pointing at the connection that died.
func (t *Table) take(o *open, id ID, r *OpenRequest) {
	old := o.id
	if o.r.Durable > 0 {
		t.effect(Effect{Kind: DropOpen, Open: t.record(o)})
	}
	var mine []int
	for i := range t.smb {
		if old.N != 0 && t.smb[i].id == old {
			mine = append(mine, i)
			if o.r.Durable > 0 {
				t.effect(Effect{Kind: DropRange, Range: rangeRecord(&t.smb[i])})
			}
		}
	}
	durable, guid, del := o.r.Durable, o.r.CreateGuid, o.r.DeleteOnClose
	if old.N == 0 {
		o.r = *r
	} else {
		o.r.Owner = r.Owner
		o.r.Durable, o.r.CreateGuid, o.r.DeleteOnClose = durable, guid, del
		if len(r.Private) > 0 {
			o.r.Private = r.Private
		}
	}
	o.r.Open, o.r.Ticket, o.r.Reclaim = id.N, 0, false
	o.id, o.lost = id, false
	if o.lease != nil && o.lease.kind == Oplock {
		o.lease.open = id
	}
	for _, i := range mine {
		t.smb[i].id, t.smb[i].owner = id, r.Owner
		if o.r.Durable > 0 {
			t.effect(Effect{Kind: PutRange, Range: rangeRecord(&t.smb[i])})
		}
	}
}

// Reconnect gives a disconnected durable open back to its client, [MS-SMB2] 3.3.5.9.7 and 3.3.5.9.12: the CreateGuid or, for version
// 1, the open's number must be the same, and so must client and lease key.
func (t *Table) Reconnect(id ID, r *OpenRequest) OpenResult {
	for _, o := range t.opens {
		if !o.lost || o.r.Owner.Client != r.Owner.Client || o.r.Kind != r.Kind || r.Kind != Oplock && o.r.LeaseKey != r.LeaseKey {
			continue
		}
		if o.r.CreateGuid != r.CreateGuid || r.CreateGuid.IsZero() && o.id.N != r.Open {
			continue
		}
		t.take(o, id, r)
		for i := range t.smb {
			t.smb[i].unclaimed = t.smb[i].unclaimed && t.smb[i].id != id
		}
		t.putOpen(o)
		res := OpenResult{Outcome: Granted}
		if o.lease != nil {
			res.Rights, res.Epoch, res.Breaking = o.lease.rights, o.lease.epoch, o.lease.breaking
		}
		return res
	}
	t.keyUnused(r.Owner.Client.GUID, r.LeaseKey, r.Kind)
	return OpenResult{Outcome: Stale}
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

// Mustered says that a door has presented all it held: what is on record for its opens beyond that was freed before we heard of it.
func (t *Table) Mustered(seat uint64) {
	for i := 0; i < len(t.smb); {
		if h := t.smb[i]; h.unclaimed && h.id.Seat == seat {
			t.smb = append(t.smb[:i], t.smb[i+1:]...)
			t.went(&h)
		} else {
			i++
		}
	}
	t.settle()
}

// Restore puts a durable open of an earlier run back, disconnected.
func (t *Table) Restore(rec OpenRecord) {
	id := ID{0, rec.Request.Open}
	o := &open{id: id, r: rec.Request, since: rec.Since}
	t.opens = append(t.opens, o)
	t.Path = rec.Request.Path
	if o.r.Kind != NoCache {
		if o.lease = t.lease(&o.r); o.lease == nil && (o.r.Kind != Oplock || rec.Rights != 0) {
			o.lease = t.newLease(&o.r, id, rec.Rights, rec.Epoch)
		}
	}
	t.lose(o)
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
	h := held{owner: rec.Owner, span: s, length: rec.Length, exclusive: rec.Exclusive, user: rec.User, since: rec.Since}
	if isSMB {
		for _, o := range t.opens {
			if o.id.N == rec.Open && o.r.Owner == rec.Owner {
				h.id, h.unclaimed = o.id, true
				t.smb = append(t.smb, h)
				t.effect(Effect{Kind: CountRanges, Client: rec.Owner.Client, N: 1})
				return
			}
		}
		return
	}
	h.unclaimed = unclaimed
	t.posix = append(t.posix, h)
	t.effect(Effect{Kind: CountRanges, Client: rec.Owner.Client, N: 1})
}

// lose disconnects a durable open: it waits for its client, but no longer than it was promised.
func (t *Table) lose(o *open) {
	o.lost = true
	o.spell++
	t.effect(Effect{Kind: AwaitClient, ID: o.id, Spell: o.spell, After: o.r.Durable})
	if l := o.lease; l != nil && l.breaking && t.liveOpen(l) == nil {
		t.dropOpens(l)
	}
	t.dirty = true
}

// Close ends an open, or leaves a durable one to its client.
func (t *Table) Close(id ID, keep bool) CloseResult {
	o := t.open(id)
	if o == nil {
		return CloseResult{Outcome: Stale}
	}
	res := CloseResult{Outcome: Granted}
	if keep && o.r.Durable > 0 {
		t.cancelUnder(id)
		t.lose(o)
	} else {
		res.Delete = t.end(o)
	}
	t.settle()
	return res
}

func (t *Table) cancelUnder(id ID) {
	for i := 0; i < len(t.line); {
		if w := t.line[i]; w.under() == id {
			t.line = append(t.line[:i], t.line[i+1:]...)
			t.answer(w, Cancelled, nil)
		} else {
			i++
		}
	}
}

// ClientTimeout is the clock's word that a disconnected open's client did not come back.
func (t *Table) ClientTimeout(id ID, spell uint64) {
	if o := t.open(id); o != nil && o.lost && o.spell == spell {
		t.end(o)
	}
	t.settle()
}

// Access admits one operation.
func (t *Table) Access(id, ticket ID, r *AccessRequest) Result {
	if t.Empty() {
		if r.Open != 0 {
			return Result{Outcome: Stale}
		}
		t.admitAccess(id, r)
		return Result{Outcome: Granted}
	}
	w := waiter{ticket: ticket, id: id, turn: t.Turn}
	out, h := t.judgeAccess(&w, r)
	switch out {
	case Granted:
		t.admitAccess(id, r)
	case Blocked:
		req, stay := *r, w
		stay.access = &req
		stay.rounds = slices.Clone(w.rounds)
		if out = t.join(&stay); out == Denied {
			out = TimedOut
		}
	}
	t.settle()
	return Result{Outcome: out, Holder: h}
}

func (t *Table) admitAccess(id ID, r *AccessRequest) {
	d := doing{id: id, door: r.Owner.Client.Door, op: r.Op}
	d.span, d.none = r.bytes()
	if r.Open != 0 {
		d.open = ID{id.Seat, r.Open}
	}
	t.doing = append(t.doing, d)
}

// Done ends an operation, and reports whether it was one.
func (t *Table) Done(id ID) (op Op, ok bool) {
	for i := range t.doing {
		if t.doing[i].id == id {
			op = t.doing[i].op
			t.doing = append(t.doing[:i], t.doing[i+1:]...)
			t.dirty = t.dirty || len(t.line) > 0
			t.settle()
			return op, true
		}
	}
	return 0, false
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
		} else {
			i++
		}
	}
}

func (t *Table) admitLock(w *waiter) {
	r := w.lock
	isSMB := r.Owner.Client.Door == SMB
	s, _ := span(r.Offset, r.Length, isSMB)
	h := held{owner: r.Owner, id: w.id, span: s, length: r.Length, exclusive: r.Exclusive, since: t.At, user: r.User}
	if r.Path != "" {
		t.Path = r.Path
	}
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
		h := t.smb[i]
		t.smb = append(t.smb[:i], t.smb[i+1:]...)
		t.went(&h)
		// Records know no stacks: where the same range still stands, it goes on record again.
		if j := t.smb.find(id, s, r.Length); j >= 0 && t.smb[j].exclusive == h.exclusive && t.durable(&h) {
			t.effect(Effect{Kind: PutRange, Range: rangeRecord(&t.smb[j])})
		}
	default:
		t.setPOSIX(held{owner: r.Owner, span: s}, true)
	}
	t.settle()
	return Result{Outcome: Granted}
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
	owners := map[Owner]bool{}
	next, done := s.First, false
	for again := true; again && !done; {
		again = false
		for i := range t.posix {
			h := &t.posix[i]
			if h.owner.Client == r.Owner.Client && (h.exclusive || !r.Exclusive) && (h.unclaimed || h.owner == r.Owner) &&
				h.span.First <= next && next <= h.span.Last {
				owners[h.owner] = true
				if h.span.Last >= s.Last {
					done = true
					break
				}
				next, again = h.span.Last+1, true
			}
		}
	}
	if !done {
		return Denied
	}
	for o := range owners {
		if o != r.Owner {
			t.setPOSIX(held{owner: o, span: s}, true)
		}
	}
	t.setPOSIX(held{owner: r.Owner, span: s, exclusive: r.Exclusive, since: t.At, user: r.User}, false)
	t.settle()
	return Granted
}

// Holds reports whether owner holds all of r's range, at least as strongly.
func (t *Table) Holds(r *LockRequest) bool {
	s, ok := span(r.Offset, r.Length, false)
	for i := range t.posix {
		h := &t.posix[i]
		if ok && same(h.owner, r.Owner) && (h.exclusive || !r.Exclusive) && h.span.First <= s.First && s.Last <= h.span.Last {
			return true
		}
	}
	return false
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

// Acknowledge takes a lease's or an oplock's acknowledgement.
func (t *Table) Acknowledge(seat uint64, a *Ack) Outcome {
	for _, l := range t.leases {
		if l.kind == Oplock && a.Open != 0 && l.open == (ID{seat, a.Open}) || a.Open == 0 && l.is(a.Client, a.LeaseKey) {
			out := t.acknowledge(l, a.Keep)
			t.settle()
			return out
		}
	}
	return Stale
}

// Disposition marks or unmarks the file as delete pending.
func (t *Table) Disposition(id ID, pending bool) Outcome {
	o := t.open(id)
	if o == nil {
		return Stale
	}
	if t.pending != pending {
		t.pending, t.dirty = pending, true
	}
	t.settle()
	return Granted
}

// Forget ends everything that a client holds here.
func (t *Table) Forget(c Client) (n int) {
	n = t.drop(func(o *open) bool { return o.r.Owner.Client == c }, func(w *waiter) bool { return w.owner().Client == c }, false)
	for i := 0; i < len(t.flocks); {
		if h := t.flocks[i]; h.owner.Client == c {
			t.flocks = append(t.flocks[:i], t.flocks[i+1:]...)
			t.went(&h)
			n++
		} else {
			i++
		}
	}
	return n + t.dropPOSIX(func(h *held) bool { return h.owner.Client == c })
}

// Detach is a door's death: its plain opens, local ranges, tickets and operations end; durable opens wait for their clients, and NLM
// locks belong to clients and stay.
func (t *Table) Detach(seat uint64) {
	t.drop(func(o *open) bool { return o.id.Seat == seat }, func(w *waiter) bool { return w.ticket.Seat == seat }, true)
	for i := 0; i < len(t.doing); {
		if t.doing[i].id.Seat == seat {
			t.doing = append(t.doing[:i], t.doing[i+1:]...)
			t.dirty = true
		} else {
			i++
		}
	}
	for i := 0; i < len(t.flocks); {
		if h := t.flocks[i]; h.id.Seat == seat {
			t.flocks = append(t.flocks[:i], t.flocks[i+1:]...)
			t.went(&h)
		} else {
			i++
		}
	}
	t.dropPOSIX(func(h *held) bool { return h.owner.Client.Door != NLM && h.id.Seat == seat })
}

func (t *Table) drop(which func(*open) bool, waiting func(*waiter) bool, keep bool) (n int) {
	for i := 0; i < len(t.line); {
		if w := t.line[i]; waiting(w) {
			t.line = append(t.line[:i], t.line[i+1:]...)
			if w.open != nil {
				t.keyUnused(w.open.Owner.Client.GUID, w.open.LeaseKey, w.open.Kind)
			}
			if !keep {
				t.answer(w, Cancelled, nil)
			}
			t.dirty = true
		} else {
			i++
		}
	}
	for _, o := range append([]*open(nil), t.opens...) {
		if !which(o) || t.open(o.id) != o {
			continue
		}
		n++
		if keep && o.r.Durable > 0 && !o.lost {
			t.lose(o)
		} else if !keep || !o.lost {
			t.end(o)
		}
	}
	return n
}

func (o *open) holder() *Holder {
	h := &Holder{Owner: o.r.Owner, Access: o.r.Access, Share: o.r.shares()}
	if o.lease != nil {
		h.Rights = o.lease.rights
	}
	return h
}
