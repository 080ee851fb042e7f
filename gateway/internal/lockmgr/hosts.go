package lockmgr

import (
	"strings"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/lock"
)

// host is an NLM client on record: it is told when we restart, and its own restart frees its locks.
type host struct {
	lockdb.Host
	used   time.Time // its last range came or went then
	shares bool      // it holds shares, or did
}

// idleHost is how long a client stays on record after its last lock, so that a lone lock now and then costs no registration.
const idleHost = 10 * time.Minute

// watch puts a client on record at its first lock, and returns the vault's sequence to wait for, 0 for none. The address stays while the
// client holds anything, so that nobody can move it and then notify in the client's name. A lock with a higher state than on record is
// the first word of a client that rebooted: what it held before goes, and its SM_NOTIFY, which comes later, frees nothing new.
func (m *Manager) watch(name, address string, state int32) (seq uint64) {
	client := lock.Client{Door: lock.NLM, Name: name}
	m.mu.Lock()
	h := m.hosts[name]
	if h != nil && (m.perClient[client] > 0 || h.shares) {
		if h.Address != address {
			h.used = time.Now()
			m.mu.Unlock()
			return 0
		}
		if h.State != 0 && state != 0 && state-h.State > 0 {
			m.mu.Unlock()
			n := m.forget(client)
			m.log.Info("client rebooted: its locks are freed", "host", name, "address", address, "state", state, "freed", n)
			m.mu.Lock()
			if h = m.hosts[name]; h == nil {
				m.mu.Unlock()
				return m.watch(name, address, state)
			}
		} else if h.State != 0 {
			state = h.State // never back
		}
	}
	if h != nil && h.Address == address && (state == 0 || h.State == state) {
		h.used = time.Now()
		m.mu.Unlock()
		return 0
	}
	first := h == nil
	if first {
		h = &host{Host: lockdb.Host{Name: name, Since: time.Now()}}
		m.hosts[name] = h
	}
	h.Address, h.used = address, time.Now()
	if state != 0 {
		h.State = state
	}
	rec := h.Host
	seq = m.vault.Append(lockdb.Op{Host: &rec})
	m.mu.Unlock()
	if first {
		m.tellStatd(lock.Watch{Host: name, Address: address})
	}
	return seq
}

func (m *Manager) tellStatd(w lock.Watch) {
	m.mu.Lock()
	var to []*Seat
	for _, s := range m.seats {
		if s.name == "statd" {
			to = append(to, s)
		}
	}
	m.mu.Unlock()
	for _, s := range to {
		s.put(lock.Event{Watch: &w}, 0, waits{})
	}
}

// Hosts are the clients on record.
func (m *Manager) Hosts() []lockdb.Host {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []lockdb.Host
	for _, h := range m.hosts {
		list = append(list, h.Host)
	}
	return list
}

// Notified takes an SM_NOTIFY: it counts only from the address of a client on record, for its name, with a higher state than it told us
// before. Then the client has rebooted and its locks go. A host may call itself by its full name where its lock manager uses the short one.
func (m *Manager) Notified(name, address string, state int32) (freed bool) {
	short := func(s string) string { s, _, _ = strings.Cut(s, "."); return strings.ToLower(s) }
	m.mu.Lock()
	h := m.hosts[name]
	if h == nil {
		for _, x := range m.hosts {
			if x.Address == address && short(x.Name) == short(name) {
				h = x
			}
		}
	}
	why := ""
	switch {
	case h == nil:
		why = "no such client on record"
	case h.Address != address:
		why = "not the client's address"
	case h.State != 0 && state-h.State <= 0:
		why = "not a higher state"
	}
	if why != "" {
		m.mu.Unlock()
		m.log.Warn("SM_NOTIFY does not count", "host", name, "address", address, "state", state, "why", why)
		return false
	}
	h.State = state
	rec := h.Host
	m.vault.Append(lockdb.Op{Host: &rec})
	m.mu.Unlock()
	n := m.forget(lock.Client{Door: lock.NLM, Name: rec.Name})
	m.log.Info("client rebooted: its locks are freed", "host", rec.Name, "address", address, "state", state, "freed", n)
	return true
}

// forgetIdleHosts takes clients off the record that have held nothing for long.
func (m *Manager) forgetIdleHosts(now time.Time) {
	m.dropHosts(func(h *host) bool { return now.Sub(h.used) > idleHost })
}

// dropHosts takes those of which off the record that hold nothing.
func (m *Manager) dropHosts(which func(*host) bool) {
	m.mu.Lock()
	look := false
	for _, h := range m.hosts {
		look = look || h.shares && which(h)
	}
	m.mu.Unlock()
	var sharing map[string]bool
	if look {
		sharing = m.sharing()
	}
	m.mu.Lock()
	var idle []lockdb.Host
	for name, h := range m.hosts {
		if h.shares && which(h) && look {
			if h.shares = sharing[name]; h.shares {
				h.used = time.Now()
			}
		}
		if which(h) && !h.shares && m.perClient[lock.Client{Door: lock.NLM, Name: name}] == 0 {
			idle = append(idle, h.Host)
			delete(m.hosts, name)
			rec := h.Host
			m.vault.Append(lockdb.Op{Delete: true, Host: &rec})
		}
	}
	m.mu.Unlock()
	for _, h := range idle {
		m.tellStatd(lock.Watch{Host: h.Name, Address: h.Address, Stop: true})
	}
}
