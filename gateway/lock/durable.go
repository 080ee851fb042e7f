package lock

import "time"

// Durable opens, [MS-SMB2] 3.3.5.9.6, 3.3.5.9.7, 3.3.5.9.10, 3.3.5.9.12: kept while their client is away, given back to it, or ended by whoever
// needs what they hold.

// OpenRecord is a durable open with its lease, as it outlives a crash.
type OpenRecord struct {
	Request OpenRequest
	Rights  Rights
	Epoch   uint16
	Pending bool // the file is delete pending
	Since   time.Time
}

func (t *Table) record(o *open) OpenRecord {
	rec := OpenRecord{Request: o.r, Pending: t.pending, Since: o.since}
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

// outlives reports whether o may wait for its client: only while it caches handles. [MS-SMB2] 3.3.7.1.
func (o *open) outlives() bool { return o.r.Durable > 0 && o.lease != nil && o.lease.rights&H != 0 }

// lose disconnects a durable open: it waits for its client, but no longer than it was promised.
func (t *Table) lose(o *open) {
	o.lost = true
	o.spell++
	t.effect(Effect{Kind: AwaitClient, ID: o.id, Spell: o.spell, After: o.r.Durable})
	for i := range t.smb {
		if t.smb[i].id == o.id {
			t.smb[i].unclaimed = true // a door that comes back presents it again
		}
	}
	if l := o.lease; l != nil && l.breaking && t.liveOpen(l) == nil {
		t.dropOpens(l)
	}
	t.dirty = true
}

// dropLost ends the disconnected opens of a lease that caches no handle any more: no client can have them back.
func (t *Table) dropLost(l *lease) {
	for _, o := range append([]*open(nil), t.opens...) {
		if o.lease == l && o.lost && !o.outlives() {
			t.die(o)
		}
	}
}

// ClientTimeout is the clock's word that a disconnected open's client did not come back.
func (t *Table) ClientTimeout(id ID, spell uint64) {
	if o := t.open(id); o != nil && o.lost && o.spell == spell {
		t.die(o)
	}
	t.settle()
}

// take makes o the open id of owner, with its ranges: nothing goes on pointing at the connection that died.
func (t *Table) take(o *open, id ID, owner Owner) {
	old := o.id
	if o.r.Durable > 0 {
		t.effect(Effect{Kind: DropOpen, Open: t.record(o)})
	}
	for i := range t.smb {
		h := &t.smb[i]
		if h.id != old {
			continue
		}
		if o.r.Durable > 0 {
			t.effect(Effect{Kind: DropRange, Range: rangeRecord(h)})
		}
		h.id, h.owner = id, owner
		if o.r.Durable > 0 {
			t.effect(Effect{Kind: PutRange, Range: rangeRecord(h)})
		}
	}
	o.id, o.lost = id, false
	o.r.Owner, o.r.Open, o.r.Ticket, o.r.Reclaim = owner, id.N, 0, false
	if l := o.lease; l != nil && l.kind == Oplock {
		l.open, l.client = id, owner.Client.GUID
	}
}

// Reconnect gives a disconnected durable open back to its client. An open with a lease belongs to the ClientGuid and the lease key, and the
// client must name its file; one with an oplock belongs to whoever knows its number. [MS-SMB2] 3.3.5.9.7 and 3.3.5.9.12.
func (t *Table) Reconnect(id ID, r *ReconnectRequest) ReconnectResult {
	for _, o := range t.opens {
		if !o.lost || o.id.N != r.Open || !o.outlives() {
			continue
		}
		leased := o.r.Kind != Oplock
		switch {
		case r.V2 && o.r.CreateGuid != r.CreateGuid,
			r.Lease != leased,
			leased && (o.r.LeaseKey != r.LeaseKey || o.r.Owner.Client != r.Owner.Client):
			return ReconnectResult{Outcome: Stale}
		case o.r.User != r.User:
			return ReconnectResult{Outcome: Denied}
		case leased && r.Key != t.Key:
			return ReconnectResult{Outcome: Invalid}
		}
		t.take(o, id, r.Owner)
		t.putOpen(o)
		res := ReconnectResult{Outcome: Granted, Open: o.r}
		for i := range t.smb {
			if h := &t.smb[i]; h.id == id {
				h.unclaimed = false
				res.Ranges = append(res.Ranges, LockRequest{Key: t.Key, Owner: r.Owner, Open: id.N, Offset: h.span.First, Length: h.length,
					Exclusive: h.exclusive, Path: t.Path, User: h.user})
			}
		}
		res.Open.Rights, res.Open.Epoch, res.Breaking = o.lease.rights, o.lease.epoch, o.lease.breaking
		return res
	}
	return ReconnectResult{Outcome: Stale}
}

// Restore puts a durable open of an earlier run back, disconnected.
func (t *Table) Restore(rec OpenRecord) {
	id := ID{0, rec.Request.Open}
	o := &open{id: id, r: rec.Request, since: rec.Since}
	t.opens = append(t.opens, o)
	t.Path = rec.Request.Path
	t.pending = t.pending || rec.Pending
	if o.r.Kind != NoCache {
		if o.lease = t.lease(&o.r); o.lease == nil && (o.r.Kind != Oplock || rec.Rights != 0) {
			o.lease = t.newLease(&o.r, id, rec.Rights, rec.Epoch)
		}
	}
	t.lose(o)
}
