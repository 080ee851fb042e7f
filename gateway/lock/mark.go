package lock

import (
	"cmp"
	"slices"
)

// Quiet marks. The counter lends the local door marks that say: "no open of SMB or NLM is on any file that falls under this mark". Beside
// local opens alone everything that the local door asks is granted (doc.go's tables: SMB's ranges, leases and delete-pending files hang
// on opens, NLM's and NFS' doings hold back no local open), so under a mark it asks nothing: it keeps the books itself. Before the
// counter admits an open of SMB or NLM it calls the mark back, and waits until the books are handed over.
//
//	free ──Asked──▶ lent ──Claim──▶ recalled ──Returned, End──▶ free
//
// An open that executes is always asked for: it denies writing, also to an NFS WRITE.
//
// A mark stands for all files whose keys fall under it, so that the first open of a file costs nothing either. One more, Unheard, says
// that no open of SMB or NLM is on any file at all: nobody hears what changes.
const (
	Marks   = 4096
	Unheard = Marks
)

// lendAfter is how often the local door asks under a mark, with no other door at it in between, before it is lent: what goes to and fro is
// asked for.
const lendAfter = 4

// Mark is the mark that k falls under.
func (k Key) Mark() int {
	return int((k.Ino ^ k.FSID ^ uint64(k.Gen)<<17) * 0x9e3779b97f4a7c15 >> 52)
}

// MarkEvent lends marks to a door, or calls them back; or, with Open, the ease of one open.
type MarkEvent struct {
	Marks []uint32
	Lent  bool
	Open  uint64
	Ease  Ease
}

// Loans is the counter's side: what is lent, to one door at a time. It is not safe for concurrent use.
type Loans struct {
	marks [Marks + 1]loan
	door  bool // somebody borrows
	fresh bool // and has been lent nothing yet
}

type loan struct {
	network        int32 // files with opens of SMB or NLM, and those who want one
	asks           uint8
	lent, recalled bool
}

// Begin says that there is a door that borrows; false: there is another.
func (l *Loans) Begin() bool {
	if l.door {
		return false
	}
	l.door, l.fresh = true, true
	return true
}

// End says that the door has gone, and all its books with it.
func (l *Loans) End() {
	l.door = false
	for i := range l.marks {
		l.marks[i].lent, l.marks[i].recalled = false, false
	}
}

// Claim counts an open of SMB or NLM under mark. While Lent(mark) it must wait; recall is what is to be called back for it. Release ends
// what Claim began.
func (l *Loans) Claim(mark int) (recall []uint32) {
	for _, i := range [...]int{mark, Unheard} {
		l.marks[i].network++
		l.marks[i].asks = 0
		recall = l.recall(i, recall)
	}
	return recall
}

// Release takes a Claim back.
func (l *Loans) Release(mark int) {
	l.marks[mark].network--
	l.marks[Unheard].network--
}

// Lent reports whether an open of SMB or NLM under mark must wait.
func (l *Loans) Lent(mark int) bool { return l.marks[mark].lent || l.marks[Unheard].lent }

// Away reports whether this very mark is lent.
func (l *Loans) Away(mark int) bool { return l.marks[mark].lent }

// Recalled reports whether mark is on its way back.
func (l *Loans) Recalled(mark int) bool { return l.marks[mark].recalled }

// RecallAll is what is to be called back for somebody who wants to see all. The next question brings it back.
func (l *Loans) RecallAll() (recall []uint32) {
	for i := range l.marks {
		recall = l.recall(i, recall)
	}
	l.fresh = l.door
	return recall
}

func (l *Loans) recall(i int, list []uint32) []uint32 {
	if m := &l.marks[i]; m.lent && !m.recalled {
		m.recalled = true
		list = append(list, uint32(i))
	}
	return list
}

// Asked says that the door had to ask under mark. lend is what it is lent now: all that is free, the first time.
func (l *Loans) Asked(mark int) (lend []uint32) {
	switch m := &l.marks[mark]; {
	case !l.door:
	case l.fresh:
		l.fresh = false
		for i := range l.marks {
			lend = l.lend(i, lend)
		}
	case m.network == 0 && !m.lent:
		if m.asks++; m.asks >= lendAfter {
			lend = l.lend(mark, lend)
		}
	}
	return lend
}

func (l *Loans) lend(i int, list []uint32) []uint32 {
	if m := &l.marks[i]; m.network == 0 && !m.lent {
		m.lent, m.asks = true, 0
		list = append(list, uint32(i))
	}
	return list
}

// Returned says that the door has handed over its books for mark.
func (l *Loans) Returned(mark int) {
	if m := &l.marks[mark]; m.recalled {
		m.lent, m.recalled = false, false
	}
}

// Books is the door's side: what it may do without asking, and what it has done so. It is not safe for concurrent use.
type Books struct {
	have     [Marks + 1]bool
	opens    map[uint64]OpenRequest
	accesses map[uint64]AccessRequest
}

// Lend adds marks.
func (b *Books) Lend(marks []uint32) {
	for _, i := range marks {
		if i <= Unheard {
			b.have[i] = true
		}
	}
}

// Holds reports whether the door has mark.
func (b *Books) Holds(mark int) bool { return b.have[mark] }

// Recall takes marks away. What was written down under them is to be told to the counter, and then that it was all.
func (b *Books) Recall(marks []uint32) (opens []OpenRequest, accesses []AccessRequest) {
	for _, i := range marks {
		if i <= Unheard {
			b.have[i] = false
		}
	}
	gone := func(k Key) bool { return !b.have[k.Mark()] }
	for n, r := range b.opens {
		if gone(r.Key) {
			r.Overwrite = false // it happened
			opens = append(opens, r)
			delete(b.opens, n)
		}
	}
	for n, r := range b.accesses {
		if gone(r.Key) {
			accesses = append(accesses, r)
			delete(b.accesses, n)
		}
	}
	slices.SortFunc(opens, func(x, y OpenRequest) int { return cmp.Compare(x.Open, y.Open) })
	return opens, accesses
}

// Open writes an open down, or reports that the counter must be asked.
func (b *Books) Open(r OpenRequest) bool {
	if !b.have[r.Key.Mark()] || !r.quiet() {
		return false
	}
	if b.opens == nil {
		b.opens = map[uint64]OpenRequest{}
	}
	b.opens[r.Open] = r
	return true
}

// quiet reports whether r asks for nothing but to read and write beside others.
func (r *OpenRequest) quiet() bool {
	return r.Owner.Client.Door == Local && r.Access&Execute == 0 && r.Share == ShareAll && r.Kind == NoCache && r.Durable == 0 &&
		!r.DeleteOnClose && !r.Reclaim && len(r.FH) == 0
}

// Close ends an open that was written down, and reports whether it was.
func (b *Books) Close(n uint64) bool {
	_, ok := b.opens[n]
	delete(b.opens, n)
	return ok
}

// Access writes an operation down, or reports that the counter must be asked.
func (b *Books) Access(r AccessRequest) bool {
	if !b.have[r.Key.Mark()] || r.Owner.Client.Door != Local || len(r.FH) > 0 {
		return false
	}
	if b.accesses == nil {
		b.accesses = map[uint64]AccessRequest{}
	}
	b.accesses[r.ID] = r
	return true
}

// Done ends an operation that was written down, and reports whether it was.
func (b *Books) Done(id uint64) bool {
	_, ok := b.accesses[id]
	delete(b.accesses, id)
	return ok
}

// Network reports whether an open of SMB or NLM is on the file, or waits for it.
func (t *Table) Network() bool {
	for _, o := range t.opens {
		if o.r.Owner.Client.Door != Local {
			return true
		}
	}
	for _, w := range t.line {
		if w.open != nil && w.open.Owner.Client.Door != Local {
			return true
		}
	}
	return false
}
