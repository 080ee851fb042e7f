package lock

import "slices"

// Operations: I/O that is admitted, done, and over. [MS-FSA] 2.1.4.10, 2.1.4.12.

// doing is an Access that was admitted: an open held for one operation.
type doing struct {
	id   ID
	open ID
	door Door
	op   Op
	span Span
	none bool // no bytes
}

// Access admits one operation.
func (t *Table) Access(id, ticket ID, r *AccessRequest) Result {
	if r.Op == OpDelete && r.Open == 0 {
		return Result{Outcome: Invalid}
	}
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
	if r.Op == OpRename {
		// The file of an open stream keeps its name, [MS-FSA] 2.1.5.15.11.
		for _, o := range t.opens {
			if o.r.Access&Stream != 0 && o.id != under && r.Owner.Client.Door == SMB {
				return SharingDenied, o.holder()
			}
		}
	}
	own := t.leaseOf(under)
	door := r.Owner.Client.Door
	if needs := r.Op.access().needs(); r.Open == 0 && needs != 0 && !(needs == ShareDelete && t.Rules.UnlinkUnix && door != SMB) {
		out, h := t.judgeSharing(w, own, func(o *open) bool {
			if o.r.Access&touches == 0 || door == Local && o.r.Owner.Client.Door == Local {
				return false
			}
			// What SMB replaces by a rename may not be open over SMB at all, [MS-FSA] 2.1.5.15.11.
			return needs&^o.r.shares() != 0 || door == SMB && r.Op == OpRemove && o.r.Owner.Client.Door == SMB
		})
		if out != Granted {
			return out, h
		}
	}
	if r.Op == OpMoveName {
		// The directory is opened with FILE_SHARE_READ and FILE_SHARE_WRITE, [MS-FSA] 2.1.5.15.11.
		out, h := t.judgeSharing(w, own, func(o *open) bool { return o.r.Access&Delete != 0 && o.r.Owner.Client.Door == SMB })
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
	case c.leaves == 0 && c.gone == 0 && !r.ParentKey.IsZero():
		// The client that makes the change holds the directory's lease, [MS-SMB2] 3.3.4.22.
		client, key := r.Owner.Client.GUID, r.ParentKey
		c.spares = func(l *lease) bool { return l.is(client, key) }
	case r.Op == OpRename || r.Op == OpLink:
		c.batch = true
	}
	return t.judgeCaching(w, own, c)
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

func (t *Table) admitAccess(id ID, r *AccessRequest) {
	if r.Op == OpDelete {
		t.setPending(true)
		return
	}
	d := doing{id: id, door: r.Owner.Client.Door, op: r.Op}
	d.span, d.none = r.bytes()
	if r.Open != 0 {
		d.open = ID{id.Seat, r.Open}
	}
	t.doing = append(t.doing, d)
}

// ChangedBelow says that a file in this directory was modified and closed: what a directory lease lets a client remember of it is old.
// The leases go without waiting, but for the one of client with the key parent. [MS-SMB2] 3.3.4.22.
func (t *Table) ChangedBelow(client, parent GUID) {
	for _, l := range append([]*lease(nil), t.leases...) {
		if !l.is(client, parent) || parent.IsZero() {
			t.demand(l, 0)
		}
	}
	t.settle()
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
