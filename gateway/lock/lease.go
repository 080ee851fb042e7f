package lock

import "time"

// Leases and oplocks, [MS-FSA] 2.1.4.12, 2.1.5.18, 2.1.5.19 and [MS-SMB2] 3.3.1.4. An oplock is a lease of one open.
//
//	held ──demand──▶ breaking ──ack──▶ held(less) or gone
//	                  │   ▲ └──ack of a stage──▶ breaking, one stage further
//	                  │   └─demand: what is needed shrinks by intersection
//	                  └──AckTimeout──▶ held(none): it may ask for more again
//
// A lease of which only R goes needs no acknowledgement and has no breaking state.
type lease struct {
	n        uint64 // numbers the table's leases, for AckTimeout
	client   GUID
	key      GUID
	kind     CacheKind
	open     ID // an oplock's
	dir      bool
	rights   Rights // what the holder has until it acknowledges
	breaking bool
	to       Rights // what the break that is out leaves
	need     Rights // what all that wait together leave: a subset of to
	epoch    uint16
	round    uint64 // one for each break from held on; stages share it
	stage    uint64 // one for each break that is sent
	since    time.Time
	asked    time.Time // when the break that is out began
}

// legal is the largest legal lease within r: none, R, RH, RW, RWH for files, none, R, RH for directories; an oplock knows no RH.
// Without R there is nothing: a request for H, W or WH is granted none. [MS-SMB2] 3.3.5.9.8.
func legal(r Rights, kind CacheKind, dir bool) Rights {
	if kind == NoCache || r&R == 0 || dir && kind == Oplock {
		return 0
	}
	r &= R | W | H
	if dir {
		r &^= W
	}
	if kind == Oplock && r&W == 0 {
		r = R
	}
	return r
}

// is reports whether l belongs to the lease key that r asks with.
func (l *lease) is(client, key GUID) bool {
	return l.kind != Oplock && l.client == client && l.key == key
}

// stays is what l comes down to: a breaking lease is judged by what it is breaking to.
func (l *lease) stays() Rights {
	if l.breaking {
		return l.need
	}
	return l.rights
}

// demand asks l to keep at most max. A break that is out already is not repeated; what is needed beyond it follows as the next stage
// when the holder has acknowledged.
func (t *Table) demand(l *lease, max Rights) {
	keep := legal(l.rights&max, l.kind, l.dir)
	if l.kind == Oplock && keep != l.rights {
		keep &= R // an oplock is broken to level II or to none
	}
	switch {
	case l.breaking:
		l.need = legal(l.need&max, l.kind, l.dir)
		return
	case keep == l.rights:
		return
	}
	o := t.liveOpen(l)
	if l.rights != R && o == nil {
		// Only a live client could give these rights back. Its disconnected opens end here, [MS-SMB2] 3.3.4.6, 3.3.4.7.
		t.dropOpens(l)
		return
	}
	l.epoch++
	l.round++
	l.need = keep
	t.send(l, keep, o)
}

// send sends one break. One that takes R alone is done with the sending.
func (t *Table) send(l *lease, to Rights, o *open) {
	ack := l.rights != R
	if o != nil {
		t.tell(o.id.Seat, Event{Break: &Break{Key: t.Key, Client: l.client, LeaseKey: l.key, Kind: l.kind, Open: o.id.N,
			From: l.rights, To: to, Epoch: l.epoch, AckRequired: ack}})
	}
	if ack {
		if !l.breaking {
			l.asked = t.At
		}
		l.breaking, l.to = true, to
		l.stage++
		t.effect(Effect{Kind: AwaitAck, Lease: l.n, Stage: l.stage})
		return
	}
	t.over(l, Acknowledged)
	l.rights = to
	t.dropLost(l)
	t.recordLease(l)
	t.dirty = true
}

// acknowledge takes the holder's answer, [MS-SMB2] 3.3.5.22.1 and .2.
func (t *Table) acknowledge(l *lease, keep Rights) Outcome {
	switch {
	case !l.breaking:
		return Late
	case keep&^l.to != 0 || keep != legal(keep, l.kind, l.dir):
		return Invalid
	}
	l.rights = keep
	t.dropLost(l)
	t.dirty = true
	if keep&^l.need == 0 {
		t.over(l, Acknowledged)
		t.recordLease(l)
		return Granted
	}
	to := keep & l.need
	if keep != R {
		to = legal(keep&(l.need|R), l.kind, l.dir) // one step at a time: handles are closed before reading ends
	}
	if to == keep {
		to = legal(keep&l.need, l.kind, l.dir)
	}
	t.recordLease(l)
	t.send(l, to, t.liveOpen(l))
	return Granted
}

// over ends l's break, if one is out.
func (t *Table) over(l *lease, end BreakEnd) {
	if l.breaking {
		l.breaking = false
		t.effect(Effect{Kind: BreakOver, After: t.At.Sub(l.asked), End: end})
	}
}

// awaits reports whether an operation that cannot go on while the holder has any of gone must wait for l. Once it waits, it does so
// until the whole break is done, through all its stages.
func (w *waiter) awaits(l *lease, gone Rights) bool {
	if !l.breaking {
		return false
	}
	for _, x := range w.rounds {
		if x.lease == l.n && x.round == l.round {
			return true
		}
	}
	if l.rights&gone == 0 {
		return false
	}
	w.rounds = append(w.rounds, round{l.n, l.round})
	return true
}

type round struct{ lease, round uint64 }

// AckTimeout is the clock's word that nobody acknowledged in time: the break is forced.
func (t *Table) AckTimeout(n, stage uint64) (forced bool) {
	for _, l := range append([]*lease(nil), t.leases...) {
		if l.n == n && l.breaking && l.stage == stage {
			t.over(l, Forced)
			l.rights, l.need, forced = 0, 0, true
			t.dropLost(l)
			t.recordLease(l)
			t.dirty = true
		}
	}
	t.settle()
	return forced
}

// cost is what an operation leaves of other holders' caching rights, and which rights must be back before it goes on.
type cost struct {
	leaves, gone Rights
	batch        bool              // a batch oplock goes whole, [MS-FSA] 2.1.5.15
	spares       func(*lease) bool // whose lease stays; nil: nobody's
}

const allRights = R | W | H

// costs is [MS-FSA] 2.1.4.12's table. A writer (data, size, byte-range lock, overwriting open) leaves nothing, but waits only for
// written data: handle caching alone is called back without waiting. Whoever moves or removes the name waits for cached handles.
// Implementation specific: changed modes, owners and times by NFS and local programs bring back cached writes, whose times come later.
func (o Op) costs(door Door) cost {
	switch o {
	case OpRead:
		return cost{leaves: allRights &^ W, gone: W}
	case OpWrite, OpSetSize:
		return cost{gone: W}
	case OpSetAttr:
		if door != SMB {
			return cost{leaves: allRights &^ W, gone: W}
		}
	case OpRemove:
		return cost{gone: W | H}
	case OpRename, OpLink, OpDelete:
		return cost{leaves: allRights &^ H, gone: H}
	case OpChangeDir, OpMoveName:
		return cost{}
	}
	return cost{leaves: allRights}
}

// costs of an open, [MS-FSA] 2.1.4.12 OPEN: attributes alone break nothing.
func (r *OpenRequest) costs() cost {
	switch {
	case r.Overwrite || r.localWriter():
		return cost{gone: W}
	case r.Access&^Stream == Inspect:
		return cost{leaves: allRights &^ W, gone: W, spares: func(l *lease) bool { return l.kind != Oplock }}
	case r.Access&^Stream != 0:
		return cost{leaves: allRights &^ W, gone: W}
	}
	return cost{leaves: allRights}
}

// lockCosts is a byte-range lock's: as a write.
var lockCosts = cost{gone: W}

// most is the largest lease that can be granted beside everybody else. own is the lease that asks (its opens and ranges are no
// others), nil for a new one; self is the open that asks.
func (t *Table) most(own *lease, self ID, kind CacheKind) Rights {
	c := allRights
	for _, o := range t.opens {
		switch {
		case o.id == self || own != nil && o.lease == own || o.r.Access&^(Stream|Inspect) == 0:
		case o.r.localWriter():
			return 0
		default:
			c &^= W
		}
	}
	for _, l := range t.leases {
		switch {
		case l == own:
		case l.stays()&W != 0:
			return 0
		// Level II oplocks and handle caching do not live together, [MS-FSA] 2.1.5.18.1 and .2.
		case kind == Oplock && l.kind != Oplock && l.stays()&H != 0:
			return 0
		case kind != Oplock && l.kind == Oplock && l.stays() != 0:
			c &= R
		case l.stays() != 0:
			c &^= W
		}
	}
	for i := range t.smb {
		if o := t.open(t.smb[i].id); o == nil || o.id != self && (own == nil || o.lease != own) {
			return 0 // no lease beside foreign SMB ranges, [MS-FSA] 2.1.5.18.2
		}
	}
	for i := range t.posix {
		if t.posix[i].exclusive {
			return 0
		}
		c &= R
	}
	if len(t.flocks) > 0 {
		c &= R
	}
	for i := range t.doing {
		if d := &t.doing[i]; d.open == (ID{}) || d.open != self && (own == nil || t.leaseOf(d.open) != own) {
			c &= d.op.costs(d.door).leaves
		}
	}
	for _, w := range t.line {
		if own == nil || w.own(t) != own {
			c &= w.costs().leaves
		}
	}
	if c&R == 0 {
		return 0
	}
	return c
}

// grant gives open o what it asked for, as far as others allow.
func (t *Table) grant(o *open) (res OpenResult) {
	r := &o.r
	res.Outcome = Granted
	if r.Kind == NoCache {
		o.r.Durable = 0 // what is not cached is not kept, [MS-SMB2] 3.3.5.9.6 and 3.3.5.9.10
		return res
	}
	l := t.lease(r)
	want := legal(r.Rights, r.Kind, r.Directory)
	switch {
	case l != nil && l.breaking:
		res.Breaking = l.breaking
	case l != nil:
		// An upgrade keeps all that is held and gives all that is asked; else the lease stays what it is. [MS-SMB2] 3.3.5.9.8.
		if may := legal(want&t.most(l, o.id, l.kind), l.kind, l.dir); l.rights&^may == 0 && may != l.rights && may == want {
			l.rights = may
			l.epoch++
		}
	default:
		may := legal(want&t.most(nil, o.id, r.Kind), r.Kind, r.Directory)
		if may == 0 && r.Kind == Oplock {
			o.r.Durable = 0
			return res
		}
		l = t.newLease(r, o.id, may, r.Epoch+1)
	}
	o.lease = l
	o.r.Kind = l.kind
	if l.rights&H == 0 || l.breaking {
		o.r.Durable = 0
	}
	t.recordLease(l)
	res.Rights, res.Epoch, res.Kind, res.Durable = l.rights, l.epoch, l.kind, o.r.Durable > 0
	return res
}

func (t *Table) newLease(r *OpenRequest, id ID, rights Rights, epoch uint16) *lease {
	// An empty table is forgotten, and a clock of its time may still run: numbers do not begin again.
	t.leaseN = max(t.leaseN+1, t.Turn<<16)
	l := &lease{n: t.leaseN, client: r.Owner.Client.GUID, key: r.LeaseKey, kind: r.Kind, dir: r.Directory, rights: rights, epoch: epoch, since: t.At}
	if r.Kind == Oplock {
		l.open, l.key = id, GUID{}
	}
	t.leases = append(t.leases, l)
	return l
}

// lease finds the lease that r's open joins: the same client's with the same key.
func (t *Table) lease(r *OpenRequest) *lease {
	if r.Kind != LeaseV1 && r.Kind != LeaseV2 {
		return nil
	}
	for _, l := range t.leases {
		if l.is(r.Owner.Client.GUID, r.LeaseKey) {
			return l
		}
	}
	return nil
}
