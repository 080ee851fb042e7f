package lock

import (
	"slices"
	"time"
)

// Opens, [MS-FSA] 2.1.5.1 and 2.1.5.5: admitted, presented again after a restart, lost, given back, ended.

type open struct {
	id    ID
	r     OpenRequest
	lease *lease
	lost  bool   // disconnected: a durable open without its client
	spell uint64 // numbers the times it was lost, for ClientTimeout
	since time.Time
}

func (o *open) holder() *Holder {
	h := &Holder{Owner: o.r.Owner, Access: o.r.Access, Share: o.r.shares()}
	if o.lease != nil {
		h.Rights = o.lease.rights
	}
	return h
}

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
		if d.open == (ID{}) && r.Access&touches != 0 && !(d.door == Local && r.Owner.Client.Door == Local) && d.op.access().needs()&^r.shares() != 0 {
			return Blocked, nil
		}
	}
	return t.judgeCaching(w, own, r.costs())
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
		o = &open{id: id, r: *r, since: t.At}
		t.opens = append(t.opens, o)
	}
	t.take(o, id, r.Owner)
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
			t.over(l, Acknowledged)
			l.rights = legal(r.Rights, r.Kind, r.Directory)
			if int16(r.Epoch-l.epoch) > 0 {
				l.epoch = r.Epoch
			}
			res.Rights, res.Epoch, res.Kind, res.Durable = l.rights, l.epoch, l.kind, r.Durable > 0
			if late {
				t.demand(l, t.most(l, id, l.kind))
			}
		}
	}
	if late && r.Access&^Stream != 0 {
		c := r.costs()
		for _, l := range append([]*lease(nil), t.leases...) {
			if l != o.lease && (c.spares == nil || !c.spares(l)) {
				t.demand(l, c.leaves)
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

// Mustered says that a door has presented all it held: what is on record for its opens beyond that was freed before we heard of it, and an
// open on record that nobody presents and that caches no handle any more ended with its client.
func (t *Table) Mustered(seat uint64) {
	for _, o := range append([]*open(nil), t.opens...) {
		if o.lost && !o.outlives() && t.open(o.id) == o {
			t.die(o)
		}
	}
	for i := 0; i < len(t.smb); {
		if h := t.smb[i]; h.unclaimed && h.id.Seat == seat {
			t.smb = append(t.smb[:i], t.smb[i+1:]...)
			t.went(&h)
		} else {
			i++
		}
	}
	// What was granted when the holder gave rights back may be on record, though the door never heard that they were taken.
	for _, l := range append([]*lease(nil), t.leases...) {
		if l.stays()&W != 0 && !t.alone(l) {
			t.demand(l, allRights&^W)
		}
	}
	t.settle()
}

// alone reports whether nobody else has the file open or holds a range, so that l may cache writes.
func (t *Table) alone(l *lease) bool {
	for _, o := range t.opens {
		if o.lease != l && o.r.Access&^(Stream|Inspect) != 0 {
			return false
		}
	}
	for i := range t.smb {
		if t.leaseOf(t.smb[i].id) != l {
			return false
		}
	}
	return len(t.posix) == 0
}

// Close ends an open, or leaves a durable one to its client.
func (t *Table) Close(id ID, keep bool) CloseResult {
	o := t.open(id)
	if o == nil {
		for i, w := range t.line {
			if w.open != nil && w.id == id { // closed before it was admitted
				t.line = append(t.line[:i], t.line[i+1:]...)
				t.keyUnused(w.open.Owner.Client.GUID, w.open.LeaseKey, w.open.Kind)
				t.answer(w, Cancelled, nil)
				t.dirty = true
				t.settle()
				return CloseResult{Outcome: Granted}
			}
		}
		return CloseResult{Outcome: Stale}
	}
	res := CloseResult{Outcome: Granted}
	if keep && o.outlives() {
		t.cancelUnder(id)
		t.lose(o)
		res.Kept = t.open(id) != nil
	} else {
		was := t.pending
		res.Delete = t.end(o)
		if res.Delete && o.r.Owner.Client.Door == NLM { // lockd opens no file
			res.Delete = false
			t.effect(Effect{Kind: Unlink})
		}
		if t.pending && !was {
			// Cached handles keep the name: their holders are asked for them, and nobody waits.
			for _, l := range append([]*lease(nil), t.leases...) {
				if l != o.lease {
					t.demand(l, allRights&^H)
				}
			}
		}
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
	t.opens = slices.DeleteFunc(t.opens, func(x *open) bool { return x == o })
	if o.r.Durable > 0 {
		t.effect(Effect{Kind: DropOpen, Open: t.record(o)})
	}
	if o.r.DeleteOnClose {
		t.setPending(true)
	}
	if l := o.lease; l != nil {
		switch {
		case !slices.ContainsFunc(t.opens, func(x *open) bool { return x.lease == l }):
			t.endLease(l)
		case l.breaking && t.liveOpen(l) == nil:
			t.dropOpens(l) // nobody is left to answer
		}
	}
	t.dirty = true
	if t.pending && !slices.ContainsFunc(t.opens, func(x *open) bool { return x.r.Owner.Client.Door != Local }) {
		t.pending = false
		return true
	}
	return false
}

// die ends an open whose door or client is gone: where it was the last of a file that is delete pending, nobody else removes the name.
func (t *Table) die(o *open) {
	if o.lost && o.id.Seat != 0 {
		t.tell(o.id.Seat, Event{Gone: &Gone{Key: t.Key, Open: o.id.N, Owner: o.r.Owner}}) // the door may keep it for its client
	}
	if t.end(o) {
		t.effect(Effect{Kind: Unlink})
	}
}

func (t *Table) dropOpens(l *lease) {
	for i := 0; i < len(t.opens); {
		if o := t.opens[i]; o.lease == l {
			t.die(o)
			i = 0
		} else {
			i++
		}
	}
}

func (t *Table) endLease(l *lease) {
	t.over(l, Closed)
	for i, x := range t.leases {
		if x == l {
			t.leases = append(t.leases[:i], t.leases[i+1:]...)
			break
		}
	}
	t.keyUnused(l.client, l.key, l.kind)
}

// KeyUsed reports whether a lease, or one who waits, has the key.
func (t *Table) KeyUsed(client, key GUID) bool {
	for _, l := range t.leases {
		if l.is(client, key) {
			return true
		}
	}
	for _, w := range t.line {
		if w.open != nil && (w.open.Kind == LeaseV1 || w.open.Kind == LeaseV2) && w.open.Owner.Client.GUID == client && w.open.LeaseKey == key {
			return true
		}
	}
	return false
}

// keyUnused tells that a lease key is free for another file, when neither a lease nor one who waits has it.
func (t *Table) keyUnused(client, key GUID, kind CacheKind) {
	if kind != LeaseV1 && kind != LeaseV2 {
		return
	}
	if t.KeyUsed(client, key) {
		return
	}
	t.effect(Effect{Kind: LeaseGone, Client: Client{Door: SMB, GUID: client}, LeaseKey: key})
}

// Disposition marks or unmarks the file as delete pending.
func (t *Table) Disposition(id ID, pending bool) Outcome {
	o := t.open(id)
	if o == nil {
		return Stale
	}
	t.setPending(pending)
	t.settle()
	return Granted
}

func (t *Table) setPending(pending bool) {
	if t.pending == pending {
		return
	}
	t.pending, t.dirty = pending, true
	for _, o := range t.opens {
		t.putOpen(o)
	}
}

// DeletePending reports whether the file goes when its last open closes.
func (t *Table) DeletePending() bool { return t.pending }
