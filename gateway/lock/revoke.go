package lock

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// What the administrator takes away, and by which names. Implementation specific.

// identify gives everything in f its ID, made of what it is: the same lock has the same ID in every list and after a restart. Where one
// open holds the same range more than once, the copies are told apart by their order.
func (t *Table) identify(f *FileState) {
	seen := map[string]uint64{}
	id := func(kind byte, owner Owner, key GUID, n ...uint64) string {
		owner = owner.Ident()
		b := binary.BigEndian.AppendUint64([]byte{kind}, t.Key.FSID)
		b = binary.BigEndian.AppendUint64(b, t.Key.Ino)
		b = binary.BigEndian.AppendUint32(b, t.Key.Gen)
		b = append(b, byte(owner.Client.Door))
		b = append(b, owner.Client.GUID[:]...)
		b = append(b, key[:]...)
		for _, s := range []string{owner.Client.Name, owner.OH} {
			b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
			b = append(b, s...)
		}
		for _, x := range append([]uint64{owner.Session, owner.Handle, uint64(owner.PID)}, n...) {
			b = binary.BigEndian.AppendUint64(b, x)
		}
		again := seen[string(b)]
		seen[string(b)] = again + 1
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, again))
		return string(kind) + hex.EncodeToString(sum[:6])
	}
	for i := range f.Ranges {
		r := &f.Ranges[i]
		kind, exclusive := byte('r'), uint64(0)
		if r.Flock {
			kind = 'f'
		}
		if r.Exclusive {
			exclusive = 1
		}
		r.ID = id(kind, r.Owner, GUID{}, r.Offset, r.Length, exclusive)
	}
	for i := range f.Opens {
		f.Opens[i].ID = id('o', f.Opens[i].Owner, GUID{}, f.Opens[i].Open)
	}
	for i := range f.Leases {
		l := &f.Leases[i]
		n := uint64(0)
		if l.Kind == Oplock {
			n = t.leases[i].n
		}
		l.ID = id('l', Owner{Client: Client{Door: SMB, GUID: l.Client}}, l.LeaseKey, uint64(l.Kind), n)
	}
	for i := range f.Waiters {
		f.Waiters[i].ID = id('w', f.Waiters[i].Owner, GUID{}, t.line[i].ticket.Seat, t.line[i].ticket.N)
	}
}

// Revoke takes away what has these IDs, and lets whoever waits for it go on. A range or an open ends at once, and its door is told, so
// that it does not present it again. A lease or an oplock is broken to none as any other holder's request would break it. One who waits
// is answered Cancelled. A local program's open stays: the kernel goes on serving its descriptor, and the law must go on counting it.
func (t *Table) Revoke(ids map[string]bool) {
	st := t.State()
	for i := len(t.line) - 1; i >= 0; i-- {
		if w := t.line[i]; ids[st.Waiters[i].ID] {
			t.line = append(t.line[:i], t.line[i+1:]...)
			t.answer(w, Cancelled, nil)
			if w.open != nil {
				t.keyUnused(w.open.Owner.Client.GUID, w.open.LeaseKey, w.open.Kind)
			}
			t.dirty = true
		}
	}
	posix, smb, flocks := st.Ranges[:len(t.posix)], st.Ranges[len(t.posix):][:len(t.smb)], st.Ranges[len(t.posix)+len(t.smb):]
	for i := len(flocks) - 1; i >= 0; i-- {
		if h := t.flocks[i]; ids[flocks[i].ID] {
			t.flocks = append(t.flocks[:i], t.flocks[i+1:]...)
			t.went(&h)
			t.tellGone(&h, true)
		}
	}
	for i := len(smb) - 1; i >= 0; i-- {
		if h := t.smb[i]; ids[smb[i].ID] {
			t.unstack(i)
			t.tellGone(&h, false)
		}
	}
	gone := posix[:0:0]
	for i := range posix {
		if ids[posix[i].ID] {
			gone = append(gone, posix[i])
			t.tellGone(&t.posix[i], false)
		}
	}
	leases := append([]*lease(nil), t.leases...)
	for i, l := range leases {
		if ids[st.Leases[i].ID] {
			t.demand(l, 0)
		}
	}
	for _, o := range append([]*open(nil), t.opens...) {
		for i := range st.Opens {
			if s := &st.Opens[i]; s.Open == o.id.N && s.Owner == o.r.Owner && ids[s.ID] && t.open(o.id) == o && s.Owner.Client.Door != Local {
				t.tell(o.id.Seat, Event{Gone: &Gone{Key: t.Key, Open: o.id.N, Owner: o.r.Owner}})
				t.die(o)
			}
		}
	}
	t.dropPOSIX(func(h *held) bool {
		for i := range gone {
			if g := &gone[i]; g.Owner == h.owner && g.Offset == h.span.First && g.Length == h.length {
				return true
			}
		}
		return false
	})
}

// tellGone tells the door that keeps the range. NLM's belong to hosts, and no door keeps them.
func (t *Table) tellGone(h *held, flock bool) {
	if h.owner.Client.Door == NLM {
		return
	}
	t.tell(h.id.Seat, Event{Gone: &Gone{Key: t.Key, Open: h.id.N, Range: true, Owner: h.owner, Offset: h.span.First, Length: h.length, Exclusive: h.exclusive, Flock: flock}})
}
