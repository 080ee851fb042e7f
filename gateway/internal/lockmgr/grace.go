package lockmgr

import (
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/lock"
)

// restore puts back what is on record, before anybody is let in. After a crash the NLM locks among it have to be reclaimed.
func (m *Manager) restore(start lockdb.Start) {
	for _, o := range start.Opens {
		m.takeLeaseKey(&o.Request)
		m.durables[o.Request.Open] = o.Request.Key
		m.restoring(o.Request.Key, func(t *lock.Table) {
			t.Restore(lock.OpenRecord{Request: o.Request, Rights: o.Rights, Epoch: o.Epoch, Pending: o.Pending, Since: o.Since})
		})
	}
	for _, h := range start.Hosts {
		m.hosts[h.Name] = &host{Host: h, used: time.Now()}
	}
	returning := map[string]string{}
	for _, r := range start.Ranges {
		unclaimed := !start.Clean && r.Owner.Client.Door == lock.NLM && m.cfg.Grace > 0
		if unclaimed {
			returning[r.Owner.Client.Name] = "" // without a status monitor, unless it is among the hosts
			m.unclaimed.Add(1)
		}
		m.restoring(r.Key, func(t *lock.Table) {
			t.RestoreRange(lock.RangeRecord{Owner: r.Owner, Open: r.Open, Offset: r.Offset, Length: r.Length, Exclusive: r.Exclusive, User: r.User, Since: r.Since}, r.Path, unclaimed)
		})
	}
	grace := len(returning) > 0
	if start.Torn && m.cfg.Grace > 0 {
		for _, h := range start.Hosts {
			returning[h.Name] = h.Address
			grace = true
		}
		m.returning = returning
	}
	if grace {
		m.graceEnds = time.Now().Add(m.cfg.Grace)
		m.log.Info("grace began: NFS clients reclaim their locks", "ranges", len(start.Ranges), "torn", start.Torn, "ends", m.graceEnds)
	}
	// After a clean stop too: the doors may have lived on, and hold what they held.
	if start.Epoch <= 1 || len(m.cfg.Expect) == 0 {
		m.endMuster()
		return
	}
	for _, name := range m.cfg.Expect {
		m.expect[name] = true
	}
}

// restoring is a verb for whose records nobody waits: they are durable already, or events wait for them.
func (m *Manager) restoring(k lock.Key, verb func(t *lock.Table)) {
	f := m.file(k)
	verb(&f.t)
	m.perform(f)
	m.performed(f)
	f.mu.Unlock()
	m.unpin(f)
}

// endMuster lets new requests in.
func (m *Manager) endMuster() { m.ready.Do(func() { close(m.musterOver) }) }

// late reports whether others may have been admitted before a door presents what it held.
func (m *Manager) late() bool {
	select {
	case <-m.musterOver:
		return true
	default:
		return false
	}
}

// GraceLeft is how long grace still runs; 0: no grace.
func (m *Manager) GraceLeft() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.graceEnds.IsZero() {
		return 0
	}
	return max(time.Until(m.graceEnds), time.Nanosecond)
}

// reclaim confirms an NLM lock that is on record for its client. One that stands already is confirmed outside grace too: a client that was
// told of our restart asks for what it holds. Where a crash of the host may have taken records, a client that is on record at all is believed.
func (m *Manager) reclaim(seat uint64, f *file, r *lock.LockRequest) (res lock.Result) {
	// What stands is claimed also when grace is just ending: it must not be swept away after it was confirmed.
	if m.GraceLeft() == 0 && !f.t.Holds(r) {
		return lock.Result{Outcome: lock.Grace}
	}
	before := f.t.Counts().Unclaimed
	if m.returns(r.Owner.Client.Name, r.Watch) {
		res = f.t.Recover(seat, lock.ID{Seat: seat, N: r.Ticket}, r)
	} else {
		res.Outcome = f.t.Reclaim(r)
	}
	m.metrics.reclaims.WithLabelValues(res.Outcome.String()).Inc()
	if res.Outcome == lock.Granted {
		if n := f.t.Counts().Unclaimed - before; n != 0 && m.unclaimed.Add(int64(n)) <= 0 {
			go m.graceOver()
		}
	}
	return res
}

// returns reports whether an NLM client may have held more than is on record for it; a monitored one only at its address.
func (m *Manager) returns(name, address string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.returning[name]
	return ok && (known == "" || known == address)
}

// graceOver ends grace early when every client on record has reclaimed. Of one that may have held more nobody knows when it has.
func (m *Manager) graceOver() {
	m.mu.Lock()
	wait := m.graceEnds.IsZero() || len(m.returning) > 0
	m.mu.Unlock()
	if wait {
		return
	}
	// The count says that it may be so; the files say whether it is.
	left := 0
	m.look(func(t *lock.Table) { left += t.Counts().Unclaimed })
	m.unclaimed.Store(int64(left))
	if left == 0 {
		m.EndGrace()
	}
}

// EndGrace ends the grace period: what nobody has reclaimed is dropped, and whoever waits for it goes on.
func (m *Manager) EndGrace() {
	m.mu.Lock()
	on := !m.graceEnds.IsZero()
	m.graceEnds, m.returning = time.Time{}, nil
	m.mu.Unlock()
	if !on {
		return
	}
	dropped := 0
	m.everyFile(func(t *lock.Table) { dropped += t.DropUnclaimed() })
	m.log.Info("grace ended", "dropped", dropped)
}
