package lockmgr

import (
	"net/netip"

	"dittofs/gateway/lock"
)

// NLM's shares, X/Open NLM SHARE, belong to their client as its locks do, and stay when lockd dies: their opens have the number of lockd's seat with a
// bit that no seat has. A lockd that was started anew does not know them; its client's next word about the same file replaces what is there.

const shares = 1 << 63

// id is an open of this seat's in the law.
func (s *Seat) id(n uint64) lock.ID {
	if s.door == lock.NLM {
		return lock.ID{Seat: s.n | shares, N: n}
	}
	return lock.ID{Seat: s.n, N: n}
}

// shared reports whether the owner of r has the file shared by word of a lockd that is gone.
func shared(t *lock.Table, r *lock.OpenRequest) bool {
	_, _, ok := t.Share(r.Owner)
	return ok
}

// share is an Open over NLM. The owner's share of an earlier lockd goes; where the new one is refused it comes back, unless somebody was
// quicker.
func (s *Seat) share(f *file, id lock.ID, r *lock.OpenRequest) lock.OpenResult {
	old, had, ok := f.t.Share(r.Owner)
	if ok {
		f.t.Close(old, false)
	}
	res := f.t.Open(id, lock.ID{Seat: s.n, N: r.Ticket}, r)
	if ok && res.Outcome != lock.Granted && res.Outcome != lock.Blocked {
		f.t.Open(old, lock.ID{}, &had)
	}
	return res
}

// shareOf puts the client of a share on record, as its first lock does, and returns the vault's sequence to wait for: FREE_ALL and SM_NOTIFY are
// taken from clients on record.
func (m *Manager) shareOf(r *lock.OpenRequest) (seq uint64) {
	at, err := netip.ParseAddrPort(r.By.Address)
	if err != nil {
		return 0
	}
	seq = m.watch(r.Owner.Client.Name, at.Addr().String(), 0)
	m.mu.Lock()
	if h := m.hosts[r.Owner.Client.Name]; h != nil {
		h.shares = true
	}
	m.mu.Unlock()
	return seq
}

// sharing are the NLM clients that hold shares.
func (m *Manager) sharing() map[string]bool {
	names := map[string]bool{}
	m.look(func(t *lock.Table) {
		for _, c := range t.Sharers() {
			names[c.Name] = true
		}
	})
	return names
}
