package lock

import (
	"math"
	"time"
)

// Span is a range of bytes, both ends included, so that the last byte of a 2^64 byte file has a number. An empty span is SMB's
// zero-byte lock at First.
type Span struct {
	First, Last uint64
	Empty       bool
}

// span turns offset and length into a Span. Length 0 is to the end of file, but for SMB, where it is a zero-byte lock. What reaches
// beyond 2^64 is refused: [MS-FSA] 2.1.5.8, and X/Open NLM, where it is the caller's error.
func span(offset, length uint64, smb bool) (Span, bool) {
	switch {
	case length == 0 && smb:
		return Span{offset, offset, true}, true
	case length == 0:
		return Span{First: offset, Last: math.MaxUint64}, true
	}
	last := offset + (length - 1)
	return Span{First: offset, Last: last}, last >= offset
}

// overlaps reports whether a and b share a byte. An empty span overlaps only what it lies strictly inside of, so that a zero-byte
// lock at either edge of a range does not conflict with it; two empty spans never do. [MS-FSA] 2.1.4.10.
func (a Span) overlaps(b Span) bool {
	switch {
	case a.Empty && b.Empty:
		return false
	case a.Empty:
		return b.First < a.First && a.First <= b.Last
	case b.Empty:
		return a.First < b.First && b.First <= a.Last
	}
	return a.First <= b.Last && b.First <= a.Last
}

func (a Span) touches(b Span) bool {
	return a.overlaps(b) || (a.Last != math.MaxUint64 && a.Last+1 == b.First) || (b.Last != math.MaxUint64 && b.Last+1 == a.First)
}

// length is a's length as requests write it: 0 to the end of file.
func (a Span) length() uint64 {
	if a.Empty || a.Last == math.MaxUint64 {
		return 0
	}
	return a.Last - a.First + 1
}

// held is one byte range that somebody holds.
type held struct {
	owner     Owner
	id        ID // SMB: the open; local: the seat
	span      Span
	length    uint64 // as it was asked for: SMB unlocks by it
	exclusive bool
	unclaimed bool
	since     int64 // as stamp has it
	user      string
}

// stamp is a moment in eight bytes, since there are many ranges: nanoseconds since 1970, 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func unstamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func (h *held) holder() *Holder {
	return &Holder{Owner: h.owner, Exclusive: h.exclusive, Offset: h.span.First, Length: h.length}
}

// Ident is what two owners are compared by. A local process is known by the kernel's lock owner: threads and forks share it, and
// their process numbers are for people.
func (o Owner) Ident() Owner {
	if o.Client.Door == Local {
		o.PID = 0
	}
	return o
}

func same(a, b Owner) bool { return a.Ident() == b.Ident() }

// posixSet holds NLM and fcntl ranges. One owner's ranges never overlap, and where they touch with the same mode they are one.
type posixSet []held

// conflict finds a range of another owner that overlaps s, where one of the two is exclusive. An owner never conflicts with itself.
func (p posixSet) conflict(owner Owner, s Span, exclusive bool) *held {
	for i := range p {
		h := &p[i]
		if (exclusive || h.exclusive) && h.span.overlaps(s) && !same(h.owner, owner) {
			return h
		}
	}
	return nil
}

// set gives n.span to n.owner in n's mode, or frees it where n is nil of mode (free), in one step: what the owner held there is
// split, merged, up- or downgraded. It returns the new set and what went and came.
func (p posixSet) set(n held, free bool) (out posixSet, gone, come []held) {
	for _, h := range p {
		if !h.span.touches(n.span) || !same(h.owner, n.owner) {
			continue
		}
		if !free && h.exclusive == n.exclusive && h.unclaimed == n.unclaimed {
			if h.span.First <= n.span.First && n.span.Last <= h.span.Last && (h.owner.Client.Door == NLM || h.id == n.id) {
				return p, nil, nil // held already: a retransmission changes nothing
			}
			gone = append(gone, h)
			n.span.First, n.span.Last = min(n.span.First, h.span.First), max(n.span.Last, h.span.Last)
			continue
		}
		if !h.span.overlaps(n.span) {
			continue
		}
		gone = append(gone, h)
		if h.span.First < n.span.First {
			l := h
			l.span.Last = n.span.First - 1
			come = append(come, l)
		}
		if h.span.Last > n.span.Last {
			r := h
			r.span.First = n.span.Last + 1
			come = append(come, r)
		}
	}
	if !free {
		come = append(come, n)
	}
	out = make(posixSet, 0, len(p)+len(come)-len(gone))
	for _, h := range p {
		if !has(gone, h) {
			out = append(out, h)
		}
	}
	for i := range come {
		come[i].length = come[i].span.length()
		out = append(out, come[i])
	}
	return out, gone, come
}

func has(set []held, h held) bool {
	for i := range set {
		if set[i].span == h.span && same(set[i].owner, h.owner) {
			return true
		}
	}
	return false
}

// smbSet holds SMB ranges. They stack instead of merging: each one is freed by itself, exactly as it was taken.
type smbSet []held

// conflict finds a range that a lock of open over s must wait for, [MS-FSA] 2.1.4.10 with LockIntent: an exclusive lock conflicts
// with any, also of its own open; a shared one may stand on its own open's exclusive one.
func (p smbSet) conflict(open ID, s Span, exclusive bool) *held {
	for i := range p {
		h := &p[i]
		if (exclusive || h.exclusive && h.id != open) && h.span.overlaps(s) {
			return h
		}
	}
	return nil
}

// find returns the index of the range that an unlock names, the exclusive one first where both stand, [MS-FSA] 2.1.5.9; -1: none.
func (p smbSet) find(open ID, s Span, length uint64) int {
	at := -1
	for i := range p {
		if h := &p[i]; h.id == open && h.span == s && h.length == length {
			if h.exclusive {
				return i
			}
			if at < 0 {
				at = i
			}
		}
	}
	return at
}
