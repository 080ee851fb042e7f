package lock

// Ease is what an open may do without asking, until the counter calls it back. An open is at ease for an operation while no such operation
// by it could be refused, or would call anything back: no byte range is on the file, nobody waits in its line, and no one else caches what
// the operation would change or has cached changes that it would read. Whoever is about to change that, by a range or by an open that
// caches, waits until every open at ease has handed its ease back.
type Ease uint8

// Operations.
const (
	EaseRead Ease = 1 << iota
	EaseWrite
)

// Ease of an operation; 0 where it is always asked for.
func (o Op) Ease() Ease {
	switch o {
	case OpRead:
		return EaseRead
	case OpWrite:
		return EaseWrite
	}
	return 0
}

// Ease is what an open of SMB's may do without asking.
func (t *Table) Ease(id ID) (e Ease) {
	o := t.open(id)
	if o == nil || o.r.Owner.Client.Door != SMB || o.r.Access&Stream != 0 || len(t.smb) > 0 || len(t.posix) > 0 || len(t.line) > 0 {
		return 0
	}
	own := t.leaseOf(id)
	e = EaseRead | EaseWrite
	for _, l := range t.leases {
		switch {
		case l == own && l.kind != Oplock, l.rights == 0 && !l.breaking:
		case l.breaking, l != own && l.rights&W != 0:
			return 0
		default: // an oplock of its own too: once it has come down to level II, which nobody waits for, it goes by its own open's writing
			e &^= EaseWrite
		}
	}
	return e
}

// SameCache reports whether an open caches under this lease key: what is granted to the key takes nothing from it.
func (t *Table) SameCache(id ID, client, key GUID) bool {
	l := t.leaseOf(id)
	return l != nil && l.is(client, key)
}
