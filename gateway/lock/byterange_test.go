package lock

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSpan(t *testing.T) {
	const top = math.MaxUint64
	for _, c := range []struct {
		offset, length uint64
		smb            bool
		want           Span
		ok             bool
	}{
		{0, 1, false, Span{First: 0, Last: 0}, true},
		{10, 0, false, Span{First: 10, Last: top}, true},
		{10, 0, true, Span{First: 10, Last: 10, Empty: true}, true},
		{top, 1, true, Span{First: top, Last: top}, true},
		{1, top, true, Span{First: 1, Last: top}, true},
		{2, top, true, Span{}, false},
		{top, 2, false, Span{}, false},
		{0, top, false, Span{First: 0, Last: top - 1}, true},
	} {
		got, ok := span(c.offset, c.length, c.smb)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("span(%d, %d, %v) = %v %v, want %v %v", c.offset, c.length, c.smb, got, ok, c.want, c.ok)
		}
	}
}

// A zero-byte lock at 10 meets only what it lies strictly inside of.
func TestZeroByteLock(t *testing.T) {
	for _, c := range []struct {
		offset, length uint64
		want           bool
	}{{10, 0, false}, {9, 1, false}, {10, 1, false}, {11, 1, false}, {9, 2, true}, {10, 2, false}, {9, 3, true}, {0, 0, false}, {11, 3, false}} {
		zero, _ := span(10, 0, true)
		other, _ := span(c.offset, c.length, true)
		if zero.overlaps(other) != c.want || other.overlaps(zero) != c.want {
			t.Errorf("zero bytes at 10 beside %d+%d: want %v", c.offset, c.length, c.want)
		}
	}
}

// bytes is the model: who holds each byte, and how.
type bytes [40]map[uint64]bool

// An NLM owner's locks and unlocks over a few bytes end in what a map of single bytes says, every answer on the way is the model's, and one
// owner's ranges neither overlap nor touch with the same mode.
func TestPOSIXRangesAgainstBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var model bytes
		for i := range model {
			model[i] = map[uint64]bool{}
		}
		tab := &Table{Verb: &Verb{}}
		for step := range 30 {
			tab.Turn++
			owner := uint64(rapid.IntRange(1, 3).Draw(t, "owner"))
			first := rapid.IntRange(0, len(model)-1).Draw(t, "first")
			last := rapid.IntRange(first, len(model)-1).Draw(t, "last")
			r := LockRequest{Owner: Owner{Client: Client{Door: NLM, Name: "c"}, PID: int32(owner)}, Offset: uint64(first), Length: uint64(last-first) + 1,
				Exclusive: rapid.Bool().Draw(t, "exclusive")}
			if last == len(model)-1 {
				r.Length = 0
			}
			unlock := rapid.IntRange(0, 2).Draw(t, "unlock") == 0
			want := Granted
			for i := first; i <= last && !unlock; i++ {
				for o, ex := range model[i] {
					if o != owner && (ex || r.Exclusive) {
						want = Denied
					}
				}
			}
			if unlock {
				tab.Unlock(1, &r)
			} else if got := tab.Lock(1, ID{}, &r).Outcome; got != want {
				t.Fatalf("step %d: lock %d-%d: %v, want %v", step, first, last, got, want)
			}
			for i := first; i <= last; i++ {
				if unlock {
					delete(model[i], owner)
				} else if want == Granted {
					model[i][owner] = r.Exclusive
				}
			}
			compare(t, tab, &model)
		}
	})
}

func compare(t *rapid.T, tab *Table, model *bytes) {
	t.Helper()
	var got bytes
	for i := range got {
		got[i] = map[uint64]bool{}
	}
	for a, h := range tab.posix {
		for i := h.span.First; i < uint64(len(got)) && i <= h.span.Last; i++ {
			if _, twice := got[i][uint64(h.owner.PID)]; twice {
				t.Fatalf("byte %d is held twice", i)
			}
			got[i][uint64(h.owner.PID)] = h.exclusive
		}
		for _, x := range tab.posix[a+1:] {
			if same(x.owner, h.owner) && x.exclusive == h.exclusive && x.span.touches(h.span) {
				t.Fatalf("%v and %v are not merged", x.span, h.span)
			}
		}
	}
	for i := range got {
		if len(got[i]) != len(model[i]) {
			t.Fatalf("byte %d: %v, want %v", i, got[i], model[i])
		}
		for o, ex := range model[i] {
			if e, ok := got[i][o]; !ok || e != ex {
				t.Fatalf("byte %d: %v, want %v", i, got[i], model[i])
			}
		}
	}
	// The record follows: puts and drops in order give what is held.
	type rec struct {
		pid            int32
		offset, length uint64
	}
	record := map[rec]bool{}
	for _, e := range tab.Effects {
		k := rec{e.Range.Owner.PID, e.Range.Offset, e.Range.Length}
		switch e.Kind {
		case PutRange:
			record[k] = e.Range.Exclusive
		case DropRange:
			delete(record, k)
		}
	}
	if len(record) != len(tab.posix) {
		t.Fatalf("%d on record, %d held", len(record), len(tab.posix))
	}
}

// SMB ranges stack: each is freed by itself, exactly as it was taken, the exclusive one first.
func TestSMBRangesStack(t *testing.T) {
	tab := &Table{Verb: &Verb{}}
	me := Owner{Client: Client{Door: SMB, GUID: GUID{1}}, Handle: 1}
	you := Owner{Client: Client{Door: SMB, GUID: GUID{2}}, Handle: 2}
	for i, o := range []Owner{me, you} {
		tab.Open(ID{1, uint64(i + 1)}, ID{}, &OpenRequest{Owner: o, Access: Read | Write, Share: ShareAll})
	}
	lock := func(o Owner, exclusive bool, offset, length uint64) Outcome {
		return tab.Lock(1, ID{}, &LockRequest{Owner: o, Open: o.Handle, Offset: offset, Length: length, Exclusive: exclusive}).Outcome
	}
	unlock := func(o Owner, offset, length uint64) Outcome {
		return tab.Unlock(1, &LockRequest{Owner: o, Open: o.Handle, Offset: offset, Length: length}).Outcome
	}
	var got []Outcome
	got = append(got,
		lock(me, true, 0, 10), lock(me, true, 0, 10), lock(me, false, 0, 10), lock(you, false, 9, 1),
		unlock(me, 0, 9), unlock(me, 0, 10), lock(you, false, 9, 1), lock(me, true, 9, 1), unlock(me, 0, 10), unlock(me, 0, 10),
		lock(me, true, 5, 0), unlock(me, 5, 1), unlock(me, 5, 0))
	want := []Outcome{Granted, Denied, Granted, Denied, NotLocked, Granted, Granted, Denied, Granted, NotLocked, Granted, NotLocked, Granted}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A lock that is granted in place changes nothing on record; an upgrade that conflicts changes nothing at all.
func TestPOSIXUpgrade(t *testing.T) {
	tab := &Table{Verb: &Verb{}}
	lock := func(pid int32, exclusive bool) Outcome {
		return tab.Lock(1, ID{}, &LockRequest{Owner: Owner{Client: Client{Door: NLM, Name: "c"}, PID: pid}, Length: 10, Exclusive: exclusive}).Outcome
	}
	got := []Outcome{lock(1, false), lock(2, false), lock(1, true)}
	n := len(tab.Effects)
	got = append(got, lock(1, false))
	if !slices.Equal(got, []Outcome{Granted, Granted, Denied, Granted}) || len(tab.posix) != 2 || len(tab.Effects) != n {
		t.Errorf("%v, %d ranges, %d effects after %d", got, len(tab.posix), len(tab.Effects), n)
	}
}

// Threads of one local process share their locks, whatever their numbers.
func TestLocalOwners(t *testing.T) {
	a := Owner{Client: Client{Door: Local}, PID: 1, Handle: 7}
	b := a
	b.PID = 2
	if !same(a, b) {
		t.Error("two threads of one process are two owners")
	}
}
