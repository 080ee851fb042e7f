package lockmgr

import "dittofs/gateway/lock"

// What the administrator takes away.

// Revoke takes away what f selects, or with dry only says what it would, and returns it. Local programs' opens stay, [lock.Table.Revoke].
func (m *Manager) Revoke(f lock.Filter, dry bool) lock.Snapshot {
	s := m.List(f)
	files := s.Files[:0]
	for _, st := range s.Files {
		st.Opens = keep(st.Opens, func(o *lock.OpenState) bool { return o.Owner.Client.Door != lock.Local })
		if len(st.Opens)+len(st.Ranges)+len(st.Leases)+len(st.Waiters) > 0 {
			files = append(files, st)
		}
	}
	if s.Files = files; dry {
		return s
	}
	for i := range s.Files {
		ids := map[string]bool{}
		each(&s.Files[i], func(k lock.Kind, id string) {
			ids[id] = true
			m.metrics.revoked[k].Inc()
		})
		m.later(s.Files[i].Key, func(t *lock.Table) { t.Revoke(ids) })
	}
	m.graceOver()
	return s
}

func each(st *lock.FileState, f func(k lock.Kind, id string)) {
	for i := range st.Ranges {
		f(st.Ranges[i].Kind(), st.Ranges[i].ID)
	}
	for i := range st.Opens {
		f(lock.KindOpen, st.Opens[i].ID)
	}
	for i := range st.Leases {
		f(st.Leases[i].What(), st.Leases[i].ID)
	}
	for i := range st.Waiters {
		f(lock.KindWaiter, st.Waiters[i].ID)
	}
}

// Dismiss ends everything that an NFS host or an SMB client holds, and returns how much it was. The host is not told of our next restart.
func (m *Manager) Dismiss(c lock.Client) (held int) {
	held = m.forget(c)
	if c.Door == lock.NLM {
		m.dropHosts(func(h *host) bool { return h.Name == c.Name })
	}
	return held
}
