package lock

import (
	"fmt"
	"slices"
	"testing"
)

// markWorld is a counter, the local door and the messages between them, each at any moment. One mark's two files are opened by local
// programs (open 1 of file 0, open 2 of file 1) and by one SMB client that shares nothing.
type markWorld struct {
	loans  Loans
	books  Books
	up     []string // to the counter, in order: "open N", "returned", "close N"
	down   []string // to the door: "lent", "recall"
	there  map[uint64]bool
	asked  map[uint64]bool // opens on their way to the counter, or waiting for it
	local  map[uint64]bool // what local programs have open
	claims int             // an SMB open that waits: 1; that was granted: 2
	steps  []string
}

var markKeys = func() (k [2]Key) { // two files under one mark
	k[0] = Key{Ino: 1}
	for k[1] = (Key{Ino: 2}); k[1].Mark() != k[0].Mark(); k[1].Ino++ {
	}
	return k
}()

func newMarkWorld() *markWorld {
	w := &markWorld{there: map[uint64]bool{}, asked: map[uint64]bool{}, local: map[uint64]bool{}}
	w.loans.Begin()
	return w
}

// moves are what can happen next.
func (w *markWorld) moves() (m []string) {
	for _, n := range []uint64{1, 2} {
		if w.local[n] {
			m = append(m, fmt.Sprint("close ", n))
		} else if !w.asked[n] {
			m = append(m, fmt.Sprint("open ", n))
		}
	}
	if len(w.up) > 0 {
		m = append(m, "up")
	}
	if len(w.down) > 0 {
		m = append(m, "down")
	}
	return append(m, "smb", "death")
}

func (w *markWorld) send(list []uint32, what string) {
	if slices.Contains(list, uint32(markKeys[0].Mark())) {
		w.down = append(w.down, what)
	}
}

// grant admits the SMB open that waits, as soon as the mark is back; it shares nothing.
func (w *markWorld) grant() {
	if w.claims == 1 && !w.loans.Lent(markKeys[0].Mark()) {
		if w.claims = 2; len(w.there) > 0 {
			w.claims = 0
			w.loans.Release(markKeys[0].Mark())
		}
	}
}

func (w *markWorld) move(m string) {
	mark := markKeys[0].Mark()
	var what string
	var n uint64
	w.steps = append(w.steps, m)
	switch fmt.Sscanf(m, "%s %d", &what, &n); what {
	case "open":
		r := OpenRequest{Open: n, Key: markKeys[n-1], Owner: Owner{Client: Client{Door: Local}}, Access: Read, Share: ShareAll}
		if w.books.Open(r) {
			w.local[n] = true
		} else {
			w.asked[n] = true
			w.up = append(w.up, m)
		}
	case "close":
		delete(w.local, n)
		if !w.books.Close(n) {
			w.up = append(w.up, m)
		}
	case "smb":
		if w.claims != 0 {
			w.claims = 0
			w.loans.Release(mark)
			return
		}
		w.claims = 1
		w.send(w.loans.Claim(mark), "recall")
		w.loans.Returned(Unheard)
	case "death": // the connection's: nobody gets what was on its way
		opens, _ := w.books.Recall(everyMark)
		clear(w.there)
		w.loans.End()
		w.up, w.down = nil, nil
		clear(w.asked)
		w.grant() // the counter may have heard first
		for _, r := range opens {
			w.asked[r.Open] = true
		}
		for n := range w.local {
			if w.claims != 2 { // presented, or lost
				w.there[n] = true
			} else {
				delete(w.local, n)
			}
		}
		clear(w.asked)
		w.loans.Begin()
	case "up":
		what, n := "", uint64(0)
		fmt.Sscanf(w.up[0], "%s %d", &what, &n)
		w.up = w.up[1:]
		switch what {
		case "open":
			delete(w.asked, n)
			if w.claims != 2 {
				w.there[n], w.local[n] = true, true
			}
			w.send(w.loans.Asked(mark), "lent")
		case "present":
			w.there[n] = true
		case "close":
			delete(w.there, n)
		case "returned":
			w.loans.Returned(mark)
		}
	case "down":
		what := w.down[0]
		w.down = w.down[1:]
		if what == "lent" {
			w.books.Lend([]uint32{uint32(mark)})
			return
		}
		opens, _ := w.books.Recall([]uint32{uint32(mark)})
		for _, r := range opens {
			w.up = append(w.up, fmt.Sprint("present ", r.Open))
		}
		w.up = append(w.up, "returned")
	}
	w.grant()
}

var everyMark = func() (all []uint32) {
	for i := range uint32(Marks + 1) {
		all = append(all, i)
	}
	return all
}()

// Every order of ten events: an SMB open that shares nothing is never held together with a local open, and one that waits goes on when
// all messages have arrived.
func TestMarksEveryOrder(t *testing.T) {
	seen := map[string]bool{}
	var walk func(path []string)
	walk = func(path []string) {
		w := newMarkWorld()
		for _, m := range path {
			w.move(m)
		}
		if w.claims == 2 && len(w.local) > 0 {
			t.Fatalf("both are open after %q", w.steps)
		}
		state := fmt.Sprint(len(path), w.loans.marks[markKeys[0].Mark()], w.loans.fresh, w.books.have[markKeys[0].Mark()], w.books.opens, w.up, w.down, w.there, w.asked, w.local, w.claims)
		if seen[state] {
			return
		}
		seen[state] = true
		if len(path) == 10 {
			for len(w.up)+len(w.down) > 0 {
				w.move(w.moves()[len(w.moves())-3]) // "up" or "down"
			}
			if w.claims == 1 {
				t.Fatalf("it waits for ever after %q", w.steps)
			}
			return
		}
		for _, m := range w.moves() {
			walk(append(slices.Clone(path), m))
		}
	}
	walk(nil)
	if len(seen) < 1000 {
		t.Errorf("only %d states", len(seen))
	}
	t.Log(len(seen), "states")
}
