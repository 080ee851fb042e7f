package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// What a client sends again after it has lost a channel: [MS-SMB2] 3.3.5.2.10 for the operations on an open, 3.3.5.9.10 for CREATE, 3.3.5.14 for LOCK.

// sequences is an Open's ChannelSequence, OutstandingRequestCount and OutstandingPreRequestCount, guarded by open.mu.
type sequences struct {
	now              uint16
	current, earlier int
}

// modifies are the commands that must not overtake what was sent before the channel was lost.
func modifies(c smb2.Command) bool { return c == smb2.Write || c == smb2.SetInfo || c == smb2.IOCTL }

// admit counts r among the open's requests, or refuses it: it is older than what came by another channel, or a repetition of what may still be under way.
func (q *sequences) admit(r *request) error {
	if r.chain.c.dialect < smb2.Dialect300 {
		return nil
	}
	n := r.ChannelSequence()
	switch d := n - q.now; {
	case d > 0x7FFF && modifies(r.Command):
		return ntstatus.FileNotAvailable
	case d > 0x7FFF:
		return nil
	case d != 0:
		q.earlier, q.current, q.now = q.earlier+q.current, 0, n
	}
	if r.Flags&smb2.FlagReplayOperation != 0 && modifies(r.Command) && q.earlier > 0 {
		return ntstatus.FileNotAvailable
	}
	q.current++
	r.counted = true
	return nil
}

func (q *sequences) done(r *request) {
	switch {
	case !r.counted:
	case r.ChannelSequence() == q.now:
		q.current--
	default:
		q.earlier--
	}
	r.counted = false
}

// lockSequences are the LockSequenceArray: the number of the last LOCK of each index that was done.
type lockSequences [64]struct {
	valid  bool
	number uint8
}

// repeated reports whether a LOCK was done before. If it was not, whatever it does replaces what was known of its index.
func (o *open) repeated(r *request, q *smb2.LockRequest) bool {
	c := r.chain.c
	if !o.durable.granted() && !(c.dialect >= smb2.Dialect300 && c.ours&smb2.CapMultiChannel != 0) || q.SequenceIndex < 1 || q.SequenceIndex > 64 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.locks == nil {
		o.locks = new(lockSequences)
	}
	s := &o.locks[q.SequenceIndex-1]
	if s.valid && s.number == q.SequenceNumber {
		return true
	}
	s.valid = false
	return false
}

// locked notes that a LOCK was done.
func (o *open) locked(q *smb2.LockRequest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.locks != nil && q.SequenceIndex >= 1 && q.SequenceIndex <= 64 {
		s := &o.locks[q.SequenceIndex-1]
		s.valid, s.number = true, q.SequenceNumber
	}
}

// createID is what a client calls a CREATE by.
type createID struct{ client, guid lock.GUID }

// begin notes that a CREATE is under way. It returns what is known of an earlier one of the same name: known, and its open unless that one is
// under way, too.
func (t *opens) begin(id createID, replay bool) (o *open, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, known = t.creates[id]
	if known && o != nil && replay {
		o.mu.Lock()
		known = !o.used // Open.IsReplayEligible; else it is a CREATE of its own
		o.mu.Unlock()
	}
	if !known {
		t.creates[id] = nil
	}
	return o, known
}

// made notes which open the CREATE led to; nil: to none.
func (t *opens) made(id createID, o *open) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o == nil || t.by[o.number] != o {
		delete(t.creates, id)
	} else {
		t.creates[id] = o
	}
}

// forget forgets the CREATE that led to o. mu is held.
func (t *opens) forget(o *open) {
	id := createID{o.owner.Client.GUID, o.createGUID}
	if !o.createGUID.IsZero() && t.creates[id] == o {
		delete(t.creates, id)
	}
}

// again answers a CREATE whose name is known.
func (c *creation) again(ctx context.Context, o *open) (reply, error) {
	x := &c.q.Contexts
	switch {
	case c.r.Flags&smb2.FlagReplayOperation == 0:
		return nil, ntstatus.DuplicateObjectID
	case o == nil:
		return nil, ntstatus.FileNotAvailable // under way
	}
	leased := o.kind == lock.LeaseV1 || o.kind == lock.LeaseV2
	if leased != (x.Lease != nil) || leased && lock.GUID(x.Lease.Key) != o.leaseKey {
		return nil, ntstatus.AccessDenied
	}
	if c.s.s.opens.find(o.number) != o {
		// Its connection is lost: this is the client that comes back.
		x.DurableReconnectV2 = &smb2.DurableReconnectV2{FileID: smb2.FileID{Persistent: o.number}, CreateGUID: x.DurableRequestV2.CreateGUID}
		return reconnect(ctx, c.r, c.q)
	}
	if o.session != c.s || o.tree != c.tree {
		return nil, ntstatus.AccessDenied
	}
	if err := o.use(c.r); err != nil {
		return nil, err
	}
	c.r.pinned = o
	i, err := o.stat()
	if err != nil {
		return nil, err
	}
	a := created(o, i)
	a.CreateAction = o.action
	c.r.chain.open = &o.id
	now := c.s.s.opens.latest(o)
	// With an oplock the answer says what this request would have been given.
	if now.kind == lock.Oplock && oplockRights(c.q.RequestedOplockLevel)&now.granted != now.granted {
		a.OplockLevel = c.q.RequestedOplockLevel
		return a, nil
	}
	a.OplockLevel, a.Contexts.Lease = now.cached()
	o.durable.answer(&a.Contexts)
	return a, nil
}

// latest is o, or the open of the same lease that was granted last: what it was granted is the lease's.
func (t *opens) latest(o *open) *open {
	if o.kind == lock.Oplock || o.kind == lock.NoCache {
		return o
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.by {
		if x.key == o.key && x.leaseKey == o.leaseKey && x.owner.Client == o.owner.Client && int16(x.epoch-o.epoch) > 0 {
			o = x
		}
	}
	return o
}
