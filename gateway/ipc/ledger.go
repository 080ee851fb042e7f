package ipc

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"

	"dittofs/gateway/lock"
)

// ledger is what this door holds at the counter, as the counter's answers and events told it. It decides nothing. NLM ranges are not in
// it: they belong to hosts, and the gateway keeps them in its vault.
//
// A ticket's life:
//
//	asked ──Blocked──▶ waiting ──Answer──▶ (gone, and held if Granted)
//	  ├──any other outcome──▶ gone            └──Cancel──▶ gone
//	  └──Answer (the event was faster than the verb's return)──▶ gone
type ledger struct {
	mu       sync.Mutex // guards the fields below
	opens    map[uint64]*opened
	leases   map[leaseID]*caching
	ranges   map[rangeFile][]lock.LockRequest
	accesses map[uint64]lock.AccessRequest
	tickets  map[uint64]*ticket
	late     []uint64 // tickets granted while the door came back to the counter, the latest lateMax
	sessions map[uint64]Session
	serving  map[string]string
}

const lateMax = 1024

// opened is an open that was granted.
type opened struct {
	request lock.OpenRequest
	own     caching  // an oplock's
	lease   *caching // shared by all opens with its lease key; else nil
	pending bool     // it presents that the file is delete pending
}

// caching is what is held of caching rights.
type caching struct {
	rights lock.Rights
	epoch  uint16
	owed   int // breaks to be acknowledged
	opens  int
}

type leaseID struct{ client, key lock.GUID }

// rangeFile is a file as a range's request named it.
type rangeFile struct {
	key lock.Key
	fh  string
}

// ticket is a request that may wait; exactly one of open, access and lock is set.
type ticket struct {
	open    *lock.OpenRequest
	access  *lock.AccessRequest
	lock    *lock.LockRequest
	waiting bool // Blocked was returned
}

func newLedger() *ledger {
	return &ledger{opens: map[uint64]*opened{}, leases: map[leaseID]*caching{}, ranges: map[rangeFile][]lock.LockRequest{},
		accesses: map[uint64]lock.AccessRequest{}, tickets: map[uint64]*ticket{}, sessions: map[uint64]Session{}}
}

// ask notes a ticket before its verb is sent, because its Answer may come before the verb's return.
func (l *ledger) ask(number uint64, t *ticket) {
	if number == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tickets[number] = t
}

// returned notes what a verb that may wait came back with.
func (l *ledger) returned(number uint64, t *ticket, a lock.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.Outcome == lock.Blocked {
		if l.tickets[number] == t {
			t.waiting = true
			if t.open != nil {
				t.open.Made = nil // it is told
			}
		}
		return
	}
	if l.tickets[number] == t {
		delete(l.tickets, number)
	}
	l.granted(t, a)
}

// answer notes the end of a ticket.
func (l *ledger) answer(a lock.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tickets[a.Ticket]
	if t == nil {
		return
	}
	delete(l.tickets, a.Ticket)
	l.granted(t, a)
}

// answerLate is answer for a ticket that ended while the door presented itself: the counter never heard its number.
func (l *ledger) answerLate(a lock.Answer) {
	l.answer(a)
	if a.Outcome != lock.Granted {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) == lateMax {
		l.late = append(l.late[:0], l.late[1:]...)
	}
	l.late = append(l.late, a.Ticket)
}

func (l *ledger) granted(t *ticket, a lock.Answer) {
	if a.Outcome != lock.Granted {
		return
	}
	switch {
	case t.open != nil:
		r := *t.open
		r.Made = nil
		if !a.Durable {
			r.Durable = 0
		}
		if r.Kind != lock.NoCache && r.Kind != lock.Oplock && a.Kind != lock.NoCache {
			r.Kind = a.Kind
		}
		l.addOpen(r, a.Rights, a.Epoch)
	case t.access != nil && !t.access.Op.Lasts():
		l.dispose(t.access.Open, true)
	case t.access != nil:
		r := *t.access
		r.FH = bytes.Clone(r.FH)
		l.accesses[r.ID] = r
	case t.lock != nil:
		l.addRange(*t.lock)
	}
}

// drop forgets a ticket whose verb's fate is unknown or that was cancelled.
func (l *ledger) drop(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tickets, number)
}

// cancelled notes Cancel's outcome and returns the true one.
func (l *ledger) cancelled(number uint64, out lock.Outcome) lock.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	if out == lock.Granted {
		return out // its Answer has come or comes
	}
	delete(l.tickets, number)
	if slices.Contains(l.late, number) {
		return lock.Granted
	}
	return out
}

// cancelledLock notes that the waiting lock that r describes is withdrawn.
func (l *ledger) cancelledLock(r lock.LockRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, t := range l.tickets {
		if w := t.lock; w != nil && w.Owner.Ident() == r.Owner.Ident() && w.Key == r.Key && bytes.Equal(w.FH, r.FH) &&
			w.Offset == r.Offset && w.Length == r.Length && w.Exclusive == r.Exclusive {
			delete(l.tickets, n)
		}
	}
}

func (l *ledger) addOpen(r lock.OpenRequest, rights lock.Rights, epoch uint16) {
	l.removeOpen(r.Open)
	r.FH, r.Private = bytes.Clone(r.FH), bytes.Clone(r.Private)
	o := &opened{request: r, own: caching{rights: rights, epoch: epoch}}
	if r.Kind == lock.LeaseV1 || r.Kind == lock.LeaseV2 {
		id := leaseID{r.Owner.Client.GUID, r.LeaseKey}
		c := l.leases[id]
		if c == nil {
			c = &caching{}
			l.leases[id] = c
		}
		c.opens++
		c.rights, c.epoch = rights, epoch
		o.lease = c
	}
	l.opens[r.Open] = o
}

// reconnected notes a durable open that came back, with its ranges.
func (l *ledger) reconnected(r lock.ReconnectResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addOpen(r.Open, r.Open.Rights, r.Open.Epoch)
	for _, h := range r.Ranges {
		l.addRange(h)
	}
}

// removeOpen ends an open with its ranges, accesses and tickets, as the counter does at Close.
func (l *ledger) removeOpen(n uint64) {
	o := l.opens[n]
	if o == nil {
		return
	}
	delete(l.opens, n)
	if o.pending || o.request.DeleteOnClose {
		// The file stays delete pending until its last open ends; another one says so from now on. [MS-FSA] 2.1.5.5.
		for _, x := range l.opens {
			if x.request.Key == o.request.Key {
				x.pending = true
				break
			}
		}
	}
	if o.lease != nil {
		if o.lease.opens--; o.lease.opens == 0 {
			delete(l.leases, leaseID{o.request.Owner.Client.GUID, o.request.LeaseKey})
		}
	}
	l.removeRanges(func(r *lock.LockRequest) bool { return r.Open == n })
	maps.DeleteFunc(l.accesses, func(_ uint64, r lock.AccessRequest) bool { return r.Open == n })
	maps.DeleteFunc(l.tickets, func(_ uint64, t *ticket) bool {
		return t.waiting && (t.lock != nil && t.lock.Open == n || t.access != nil && t.access.Open == n)
	})
}

func (l *ledger) removeRanges(gone func(*lock.LockRequest) bool) {
	for f, rs := range l.ranges {
		rs = slices.DeleteFunc(rs, func(r lock.LockRequest) bool { return gone(&r) })
		if len(rs) == 0 {
			delete(l.ranges, f)
		} else {
			l.ranges[f] = rs
		}
	}
}

// holds reports whether an open stands in the ledger.
func (l *ledger) holds(n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opens[n] != nil
}

func (l *ledger) closed(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeOpen(n)
	maps.DeleteFunc(l.tickets, func(_ uint64, t *ticket) bool { return t.waiting && t.open != nil && t.open.Open == n })
}

// describe notes for people what an open is.
func (l *ledger) describe(n uint64, path, user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.opens[n]; o != nil {
		o.request.Path, o.request.User = path, user
	}
}

func (l *ledger) disposed(n uint64, pending bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispose(n, pending)
}

func (l *ledger) dispose(n uint64, pending bool) {
	o := l.opens[n]
	if o == nil {
		return
	}
	o.pending = pending
	for _, x := range l.opens {
		if !pending && x.request.Key == o.request.Key {
			x.pending = false
		}
	}
}

func (l *ledger) done(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accesses, id)
}

// addRange notes a range: SMB's stack, a local one replaces what its owner held there.
func (l *ledger) addRange(r lock.LockRequest) {
	if r.Owner.Client.Door == lock.NLM {
		return
	}
	r.FH = bytes.Clone(r.FH)
	f := rangeFile{r.Key, string(r.FH)}
	if r.Owner.Client.Door == lock.Local {
		l.subtract(f, r)
	}
	l.ranges[f] = append(l.ranges[f], r)
}

// unlocked notes a freed range: exactly that of an SMB open, whatever the owner holds within for others.
func (l *ledger) unlocked(r lock.LockRequest) {
	if r.Owner.Client.Door == lock.NLM {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := rangeFile{r.Key, string(r.FH)}
	if r.Owner.Client.Door == lock.Local {
		l.subtract(f, r)
		return
	}
	rs := l.ranges[f]
	i := slices.IndexFunc(rs, func(h lock.LockRequest) bool {
		return h.Owner.Ident() == r.Owner.Ident() && h.Open == r.Open && h.Offset == r.Offset && h.Length == r.Length
	})
	if i < 0 {
		return
	}
	if rs = slices.Delete(rs, i, i+1); len(rs) == 0 {
		delete(l.ranges, f)
	} else {
		l.ranges[f] = rs
	}
}

// subtract takes r's bytes away from what its owner holds in f.
func (l *ledger) subtract(f rangeFile, r lock.LockRequest) {
	var keep []lock.LockRequest
	first, last := r.Offset, end(r.Offset, r.Length)
	for _, h := range l.ranges[f] {
		hfirst, hlast := h.Offset, end(h.Offset, h.Length)
		if h.Owner.Ident() != r.Owner.Ident() || h.Flock != r.Flock || hlast < first || last < hfirst {
			keep = append(keep, h)
			continue
		}
		if hfirst < first {
			left := h
			left.Length = first - hfirst
			keep = append(keep, left)
		}
		if last < hlast {
			right := h
			right.Offset = last + 1
			if right.Length = hlast - last; hlast == math.MaxUint64 {
				right.Length = 0
			}
			keep = append(keep, right)
		}
	}
	if keep == nil {
		delete(l.ranges, f)
	} else {
		l.ranges[f] = keep
	}
}

// end returns the last byte of a POSIX range; length 0 is to the end of file.
func end(offset, length uint64) uint64 {
	if length == 0 || length-1 > math.MaxUint64-offset {
		return math.MaxUint64
	}
	return offset + length - 1
}

// broken notes a break: without an acknowledgement the rights are gone at once, else when it is acknowledged.
func (l *ledger) broken(b lock.Break) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.caching(b.Client, b.LeaseKey, b.Open, b.Kind == lock.Oplock)
	if c == nil {
		return
	}
	if b.Epoch != 0 {
		c.epoch = b.Epoch
	}
	if b.AckRequired {
		c.owed++
	} else {
		c.rights = b.To
	}
}

// acknowledged notes what an acknowledgement left. After a forced break the lease is empty.
func (l *ledger) acknowledged(a lock.Ack, out lock.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.caching(a.Client, a.LeaseKey, a.Open, a.LeaseKey.IsZero() && a.Open != 0)
	switch {
	case c == nil:
	case out == lock.Granted:
		c.rights &= a.Keep
		c.owed--
	case out == lock.Late && c.owed > 0: // else it was for an earlier lease with this key
		c.rights, c.owed = 0, 0
	}
}

func (l *ledger) caching(client, key lock.GUID, open uint64, oplock bool) *caching {
	if !oplock {
		return l.leases[leaseID{client, key}]
	}
	if o := l.opens[open]; o != nil {
		return &o.own
	}
	return nil
}

// forgotten notes that a client's holdings ended.
func (l *ledger) forgotten(c lock.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, o := range l.opens {
		if o.request.Owner.Client == c {
			l.removeOpen(n)
		}
	}
	l.removeRanges(func(r *lock.LockRequest) bool { return r.Owner.Client == c })
	maps.DeleteFunc(l.accesses, func(_ uint64, r lock.AccessRequest) bool { return r.Owner.Client == c })
	maps.DeleteFunc(l.tickets, func(_ uint64, t *ticket) bool {
		return t.lock != nil && t.lock.Owner.Client == c || t.open != nil && t.open.Owner.Client == c || t.access != nil && t.access.Owner.Client == c
	})
}

func (l *ledger) session(s Session, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ended {
		delete(l.sessions, s.ID)
	} else {
		l.sessions[s.ID] = s
	}
}

func (l *ledger) serves(doors map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving = maps.Clone(doors)
}

// held is a copy of the ledger in the order in which it is presented.
type held struct {
	opens    []lock.OpenRequest // as they were granted
	pending  []uint64           // opens that set Disposition
	ranges   []lock.LockRequest
	accesses []lock.AccessRequest
	tickets  []numbered
	sessions []Session
	serving  map[string]string
}

type numbered struct {
	number uint64
	*ticket
}

func (l *ledger) snapshot() held {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := held{serving: maps.Clone(l.serving)}
	for n, o := range l.opens {
		r, c := o.request, &o.own
		if o.lease != nil {
			c = o.lease
		}
		r.Ticket, r.Reclaim, r.Rights, r.Epoch = 0, true, c.rights, c.epoch
		r.Overwrite = false // it happened
		h.opens = append(h.opens, r)
		if o.pending {
			h.pending = append(h.pending, n)
		}
	}
	for _, rs := range l.ranges {
		for _, r := range rs {
			r.Ticket, r.Reclaim = 0, true
			h.ranges = append(h.ranges, r)
		}
	}
	for _, r := range l.accesses {
		r.Ticket = 0
		h.accesses = append(h.accesses, r)
	}
	for n, t := range l.tickets {
		if t.waiting {
			h.tickets = append(h.tickets, numbered{n, t})
		}
	}
	h.sessions = slices.Collect(maps.Values(l.sessions))
	slices.SortFunc(h.opens, func(a, b lock.OpenRequest) int { return cmp.Compare(a.Open, b.Open) })
	slices.Sort(h.pending)
	slices.SortFunc(h.accesses, func(a, b lock.AccessRequest) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(h.tickets, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	slices.SortFunc(h.sessions, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(h.ranges, func(a, b lock.LockRequest) int {
		return cmp.Or(cmp.Compare(a.Key.FSID, b.Key.FSID), cmp.Compare(a.Key.Ino, b.Key.Ino), cmp.Compare(a.Key.Gen, b.Key.Gen), bytes.Compare(a.FH, b.FH))
	})
	return h
}

// regranted notes with which rights an open came back; it returns the break that this is to the holder, or nil.
func (l *ledger) regranted(r lock.OpenRequest, res lock.OpenResult) *lock.Break {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.opens[r.Open]
	if o == nil {
		return nil
	}
	c := &o.own
	if o.lease != nil {
		c = o.lease
	}
	had := c.rights
	if res.Outcome == lock.Granted {
		if c.rights &= res.Rights; res.Epoch != 0 {
			c.epoch = res.Epoch
		}
	} else {
		if l.removeOpen(r.Open); c.opens == 0 {
			c.rights = 0
		}
	}
	if c.rights == had {
		return nil
	}
	return &lock.Break{Key: r.Key, Client: r.Owner.Client.GUID, LeaseKey: r.LeaseKey, Kind: r.Kind, Open: r.Open, From: had, To: c.rights, Epoch: c.epoch}
}

// taken notes what the administrator took away.
func (l *ledger) taken(g lock.Gone) {
	if g.Range {
		l.unlocked(lock.LockRequest{Key: g.Key, Owner: g.Owner, Open: g.Open, Offset: g.Offset, Length: g.Length, Flock: g.Flock})
	} else {
		l.closed(g.Open)
	}
}

// lost notes that a range did not come back.
func (l *ledger) lost(r lock.LockRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeRanges(func(h *lock.LockRequest) bool {
		return h.Key == r.Key && bytes.Equal(h.FH, r.FH) && h.Owner.Ident() == r.Owner.Ident() && h.Open == r.Open && h.Offset == r.Offset && h.Length == r.Length
	})
}
