package lockmgr

import (
	"cmp"
	"context"

	"dittofs/gateway/lock"
)

// ask is the door's way to a file: it resolves a handle, and waits until new requests may be admitted. Where path is nil nobody wants to know it.
func (s *Seat) ask(ctx context.Context, key *lock.Key, path *string, fh []byte, by *lock.Caller, reclaim bool) (lock.Outcome, error) {
	if len(fh) > 0 {
		if reclaim {
			by = nil // it was judged when it came first
		}
		k, p, out := s.m.cfg.Resolve(ctx, fh, by, path != nil && *path == "")
		if out != 0 {
			return out, nil
		}
		if *key = k; p != "" {
			*path = p
		}
	}
	if reclaim {
		return 0, nil
	}
	select {
	case <-s.m.musterOver:
		return 0, nil
	default:
	}
	select {
	case <-s.m.musterOver:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// claim notes n as something new of this seat on file k, which is locked: whoever takes the seat away either finds it there, or was
// first, and then nothing begins any more.
func (s *Seat) claim(set map[uint64]lock.Key, n uint64, k lock.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := set[n]; used || n == 0 || s.gone {
		return false
	}
	set[n] = k
	return true
}

func (s *Seat) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// Open admits an open.
func (s *Seat) Open(ctx context.Context, r lock.OpenRequest) (lock.OpenResult, error) {
	m := s.m
	if out, err := s.ask(ctx, &r.Key, &r.Path, r.FH, r.By, r.Reclaim); err != nil || out != 0 {
		return lock.OpenResult{Outcome: out}, err
	}
	watching := uint64(0)
	if s.door == lock.NLM && r.By != nil && r.Access != 0 {
		watching = m.shareOf(&r)
	}
	r.FH, r.By = nil, nil
	if s.door != lock.Local {
		release, err := m.marks.claim(ctx, r.Key)
		if err != nil {
			return lock.OpenResult{}, err
		}
		defer release()
	}
	if r.Made != nil {
		s.Changed(ctx, *r.Made)
		r.Made = nil
	}
	id := s.id(r.Open)
	f := m.file(r.Key)
	if r.Kind != lock.NoCache {
		if err := m.calm(ctx, f, r.Owner.Client.GUID, r.LeaseKey); err != nil {
			m.leave(ctx, f)
			return lock.OpenResult{}, err
		}
	}
	if !s.claim(s.opens, r.Open, r.Key) {
		m.leave(ctx, f)
		m.metrics.ruled(s.door, askOpen, lock.Invalid)
		return lock.OpenResult{Outcome: lock.Invalid}, nil
	}
	var res lock.OpenResult
	switch {
	case !m.takeLeaseKey(&r):
		res.Outcome = lock.Invalid
	case s.door == lock.NLM && (!r.Reclaim || shared(&f.t, &r)):
		res = s.share(f, id, &r)
	case !r.Reclaim:
		res = f.t.Open(id, lock.ID{Seat: s.n, N: r.Ticket}, &r)
		defer m.marks.asked(s, r.Key.Mark())
	case m.marks.handsOver(s, r.Key):
		res = f.t.Present(id, &r, false)
	case s.isMustered():
		res.Outcome = lock.Stale // it had its turn
	default:
		res = f.t.Present(id, &r, m.late())
	}
	switch res.Outcome {
	case lock.Granted:
		if s.easy.Load() && !r.Reclaim && r.Access&moves != 0 {
			res.Ease = f.lend(s, r.Open)
		}
	case lock.Blocked:
		req := r
		s.waits(r.Ticket, waits{key: r.Key, open: r.Open, who: &waiter{ask: askOpen, what: req.What,
			denial: lock.Denial{Key: r.Key, Path: cmp.Or(r.Path, f.t.Path), Owner: r.Owner, User: r.User, Holder: res.Holder}}})
	default:
		s.forget(s.opens, r.Open)
	}
	limit := ""
	if res.Outcome == lock.Limit {
		limit = m.limit(&f.t, r.Owner.Client, askOpen)
	}
	path := cmp.Or(r.Path, f.t.Path)
	gone := unlinked(&f.t)
	err := m.leave(ctx, f)
	if err == nil && watching != 0 {
		err = m.vault.Wait(context.WithoutCancel(ctx), watching)
	}
	if err != nil && res.Outcome == lock.Granted {
		m.refuse(r.Key, err, func(t *lock.Table) { t.Close(id, false) })
		s.forget(s.opens, r.Open)
		res = lock.OpenResult{Outcome: lock.Failed}
	}
	// What a disconnected open was to delete is gone before anybody has it open anew.
	if gone && m.cfg.Unlink != nil {
		m.cfg.Unlink(r.Key, path)
	}
	m.metrics.ruled(s.door, askOpen, res.Outcome)
	if counts(res.Outcome) {
		m.denials.note(lock.Denial{Key: r.Key, Path: path, Owner: r.Owner, User: r.User, What: r.What(), Outcome: res.Outcome, Limit: limit, Holder: res.Holder})
	}
	return res, nil
}

// takeLeaseKey binds a lease key to its file, which is locked. A key belongs to one file at a time, [MS-SMB2] 3.3.5.9.8.
func (m *Manager) takeLeaseKey(r *lock.OpenRequest) bool {
	if r.Kind != lock.LeaseV1 && r.Kind != lock.LeaseV2 {
		return true
	}
	k := leaseKey{r.Owner.Client.GUID, r.LeaseKey}
	m.mu.Lock()
	defer m.mu.Unlock()
	if have, ok := m.leaseKeys[k]; ok {
		return have == r.Key
	}
	m.leaseKeys[k] = r.Key
	return true
}

// refuse takes back what the vault did not take. The vault accepts nothing more by then, so that taking back needs no record.
func (m *Manager) refuse(k lock.Key, err error, undo func(t *lock.Table)) {
	m.log.Error("lock database refuses: nothing is granted", "file", k, "err", err)
	m.later(k, undo)
}

// Close ends an open.
func (s *Seat) Close(ctx context.Context, r lock.CloseRequest) (lock.CloseResult, error) {
	k, ok := s.forget(s.opens, r.Open)
	if !ok {
		return lock.CloseResult{Outcome: lock.Stale}, nil
	}
	s.forget(s.eased, r.Open)
	f := s.m.file(k)
	client := f.t.Client(s.id(r.Open))
	f.rested(s.id(r.Open))
	res := f.t.Close(s.id(r.Open), r.Keep)
	if err := s.m.leave(ctx, f); err != nil {
		s.m.log.Error("lock database refuses", "file", k, "err", err)
	}
	if !r.Dir.IsZero() {
		s.m.changedBelow(r.Dir, client.GUID, r.ParentKey)
	}
	return res, nil
}

// changedBelow takes the leases on a directory in which something changed, but for client's with the key parent.
func (m *Manager) changedBelow(dir lock.Key, client, parent lock.GUID) {
	if m.knows(dir) {
		m.later(dir, func(t *lock.Table) { t.ChangedBelow(client, parent) })
	}
}

// Access admits one operation.
func (s *Seat) Access(ctx context.Context, r lock.AccessRequest) (lock.Result, error) {
	m := s.m
	var path string
	if out, err := s.ask(ctx, &r.Key, &path, r.FH, nil, false); err != nil || out != 0 {
		return lock.Result{Outcome: out}, err
	}
	f := m.file(r.Key)
	if r.Op.Lasts() && !s.claim(s.accesses, r.ID, r.Key) {
		m.leave(ctx, f)
		m.metrics.ruled(s.door, askAccess, lock.Invalid)
		return lock.Result{Outcome: lock.Invalid}, nil
	}
	res := f.t.Access(lock.ID{Seat: s.n, N: r.ID}, lock.ID{Seat: s.n, N: r.Ticket}, &r)
	defer m.marks.asked(s, r.Key.Mark())
	switch res.Outcome {
	case lock.Granted:
		if s.easy.Load() && r.Open != 0 && r.Op.Ease() != 0 {
			f.asked(s, r.Open)
		}
	case lock.Blocked:
		req := r
		w := waits{key: r.Key, who: &waiter{ask: askAccess, what: req.What,
			denial: lock.Denial{Key: r.Key, Path: f.t.Path, Owner: r.Owner, Holder: res.Holder}}}
		if r.Op.Lasts() {
			w.access = r.ID
		}
		s.waits(r.Ticket, w)
	default:
		s.forget(s.accesses, r.ID)
	}
	limit := ""
	if res.Outcome == lock.Limit {
		limit = m.limit(&f.t, r.Owner.Client, askAccess)
	}
	path = cmp.Or(path, f.t.Path)
	if err := m.leave(ctx, f); err != nil {
		m.log.Error("lock database refuses", "file", r.Key, "err", err)
		if res.Outcome == lock.Granted && !r.Op.Lasts() {
			res.Outcome = lock.Failed
		}
	}
	m.metrics.ruled(s.door, askAccess, res.Outcome)
	if counts(res.Outcome) {
		m.denials.note(lock.Denial{Key: r.Key, Path: path, Owner: r.Owner, What: r.What(), Outcome: res.Outcome, Limit: limit, Holder: res.Holder})
	}
	return res, nil
}

// Done ends an operation.
func (s *Seat) Done(ctx context.Context, id uint64, changed bool) error {
	k, ok := s.forget(s.accesses, id)
	if !ok {
		return nil
	}
	f := s.m.file(k)
	op, ok := f.t.Done(lock.ID{Seat: s.n, N: id})
	if err := s.m.leave(ctx, f); err != nil {
		s.m.log.Error("lock database refuses", "file", k, "err", err)
	}
	if c := op.Modified(k, s.door); ok && changed && c.Filter != 0 {
		s.m.everyone(c)
	}
	return nil
}

// Lock gives a byte range, or lets the ticket wait in line.
func (s *Seat) Lock(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	m := s.m
	if out, err := s.ask(ctx, &r.Key, &r.Path, r.FH, r.By, r.Reclaim && s.door != lock.NLM); err != nil || out != 0 {
		return lock.Result{Outcome: out}, err
	}
	r.FH, r.By = nil, nil
	res := lock.Result{}
	nlm := r.Owner.Client.Door == lock.NLM
	watching := uint64(0)
	if nlm && r.Watch != "" {
		watching = m.watch(r.Owner.Client.Name, r.Watch, r.NSMState)
	}
	f := m.file(r.Key)
	if r.Open != 0 {
		f.spent(lock.ID{Seat: s.n, N: r.Open})
	}
	if err := m.calm(ctx, f, lock.GUID{}, lock.GUID{}); err != nil {
		m.leave(ctx, f)
		return lock.Result{}, err
	}
	undo := f.t.Before(&r)
	switch {
	case s.isGone():
		res.Outcome = lock.Stale
	case r.Reclaim && !nlm:
		res = f.t.PresentRange(s.n, &r, m.late())
	case nlm && r.Reclaim:
		res = m.reclaim(s.n, f, &r)
	case nlm && m.GraceLeft() > 0 && !f.t.Holds(&r):
		res.Outcome = lock.Grace
	default:
		res = f.t.Lock(s.n, lock.ID{Seat: s.n, N: r.Ticket}, &r)
	}
	kind := askRange
	if r.Flock {
		kind = askFlock
	}
	limit, path := "", cmp.Or(r.Path, f.t.Path)
	switch res.Outcome {
	case lock.Blocked:
		req := r
		s.waits(r.Ticket, waits{key: r.Key, lock: &req, who: &waiter{ask: kind, what: req.What,
			denial: lock.Denial{Key: r.Key, Path: path, Owner: r.Owner, User: r.User, Holder: res.Holder}}})
	case lock.Limit:
		limit = m.limit(&f.t, r.Owner.Client, kind)
	}
	err := m.leave(ctx, f)
	if err == nil && watching != 0 {
		err = m.vault.Wait(context.WithoutCancel(ctx), watching)
	}
	if err != nil && res.Outcome == lock.Granted {
		m.refuse(r.Key, err, func(t *lock.Table) {
			if t.Unlock(s.n, &r); undo != nil {
				undo(t)
			}
		})
		res = lock.Result{Outcome: lock.Failed}
	}
	if res.Outcome == lock.Blocked && m.waiting.Load() > 1 && m.breakDeadlocks(lock.ID{Seat: s.n, N: r.Ticket}) {
		return lock.Result{Outcome: lock.Deadlock}, nil // counted when it left the line
	}
	m.metrics.ruled(s.door, kind, res.Outcome)
	if counts(res.Outcome) {
		m.denials.note(lock.Denial{Key: r.Key, Path: path, Owner: r.Owner, User: r.User, What: r.What(), Outcome: res.Outcome, Limit: limit, Holder: res.Holder})
	}
	return res, nil
}

// Unlock frees a range.
func (s *Seat) Unlock(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	if out, err := s.ask(ctx, &r.Key, nil, r.FH, r.By, true); err != nil || out != 0 {
		return lock.Result{Outcome: out}, err
	}
	f := s.m.file(r.Key)
	res := f.t.Unlock(s.n, &r)
	if err := s.m.leave(ctx, f); err != nil {
		s.m.log.Error("lock database refuses", "file", r.Key, "err", err)
		return lock.Result{Outcome: lock.Failed}, nil
	}
	return res, nil
}

// Test answers what Lock would.
func (s *Seat) Test(ctx context.Context, r lock.LockRequest) (lock.Result, error) {
	if out, err := s.ask(ctx, &r.Key, nil, r.FH, r.By, false); err != nil || out != 0 {
		return lock.Result{Outcome: out}, err
	}
	f := s.m.file(r.Key)
	res := f.t.Test(s.n, &r)
	return res, s.m.leave(ctx, f)
}

// Cancel withdraws a ticket. Granted: it is too late, the answer is on its way or told.
func (s *Seat) Cancel(ctx context.Context, ticket uint64) (lock.Outcome, error) {
	s.mu.Lock()
	w, ok := s.tickets[ticket]
	s.mu.Unlock()
	if !ok {
		return lock.Granted, nil
	}
	f := s.m.file(w.key)
	waited := f.t.Cancel(lock.ID{Seat: s.n, N: ticket})
	if waited {
		s.withdrawn(ticket, lock.Cancelled)
	}
	if err := s.m.leave(ctx, f); err != nil {
		s.m.log.Error("lock database refuses", "file", w.key, "err", err)
	}
	if !waited {
		return lock.Granted, nil
	}
	return lock.Cancelled, nil
}

// withdrawn forgets a ticket that left the line without an answer; out is why.
func (s *Seat) withdrawn(ticket uint64, out lock.Outcome) {
	s.mu.Lock()
	w, ok := s.tickets[ticket]
	if ok {
		delete(s.tickets, ticket)
		delete(s.opens, w.open)
		delete(s.accesses, w.access)
		s.m.waiting.Add(-1)
	}
	s.mu.Unlock()
	if ok {
		s.m.ended(&w, out, nil)
	}
}

// CancelLock withdraws the waiting lock that r describes; Stale: none waits.
func (s *Seat) CancelLock(ctx context.Context, r lock.LockRequest) (lock.Outcome, error) {
	if out, err := s.ask(ctx, &r.Key, nil, r.FH, r.By, true); err != nil || out != 0 {
		return out, err
	}
	f := s.m.file(r.Key)
	id, ok := f.t.CancelLock(&r)
	if ok {
		f.t.Cancel(id)
		s.m.mu.Lock()
		of := s.m.seats[id.Seat]
		s.m.mu.Unlock()
		if of != nil {
			of.withdrawn(id.N, lock.Cancelled)
		}
	}
	if err := s.m.leave(ctx, f); err != nil {
		return lock.Failed, nil
	}
	if !ok {
		return lock.Stale, nil
	}
	return lock.Cancelled, nil
}

// Acknowledge answers a break.
func (s *Seat) Acknowledge(ctx context.Context, a lock.Ack) (lock.Outcome, error) {
	var k lock.Key
	var ok bool
	if a.Open != 0 {
		k, ok = s.find(s.opens, a.Open)
	} else {
		s.m.mu.Lock()
		k, ok = s.m.leaseKeys[leaseKey{a.Client, a.LeaseKey}]
		s.m.mu.Unlock()
	}
	if !ok {
		return lock.Stale, nil
	}
	f := s.m.file(k)
	out := f.t.Acknowledge(s.n, &a)
	if err := s.m.leave(ctx, f); err != nil {
		return lock.Failed, nil
	}
	return out, nil
}

// Disposition marks or unmarks the open's file as delete pending.
func (s *Seat) Disposition(ctx context.Context, open uint64, pending bool) (lock.Outcome, error) {
	k, ok := s.find(s.opens, open)
	if !ok {
		return lock.Stale, nil
	}
	f := s.m.file(k)
	out := f.t.Disposition(lock.ID{Seat: s.n, N: open}, pending)
	if err := s.m.leave(ctx, f); err != nil {
		return lock.Failed, nil
	}
	return out, nil
}

// Forget ends everything that a client holds.
func (s *Seat) Forget(ctx context.Context, c lock.Client) error {
	if c.Door == lock.Local {
		if err := s.m.marks.gather(ctx); err != nil {
			return err
		}
	}
	s.m.forget(c)
	return nil
}

// forget ends everything that c holds on any file, and returns how much it was.
func (m *Manager) forget(c lock.Client) (n int) {
	m.everyFile(func(t *lock.Table) { n += t.Forget(c) })
	if c.Door == lock.NLM {
		m.mu.Lock()
		delete(m.returning, c.Name) // it holds nothing any more, and will not reclaim
		m.mu.Unlock()
	}
	m.graceOver()
	return n
}

// Changed tells the other doors.
func (s *Seat) Changed(_ context.Context, c lock.Change) error {
	if c.Sudden {
		s.m.changedBelow(c.Dir, c.Client, c.ParentKey)
		c.Sudden, c.Client, c.ParentKey = false, lock.GUID{}, lock.GUID{}
	}
	if c.By == 0 {
		c.By = s.door
	}
	s.m.everyone(c)
	s.m.marks.asked(s, lock.Unheard)
	return nil
}

func (s *Seat) isMustered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustered
}
