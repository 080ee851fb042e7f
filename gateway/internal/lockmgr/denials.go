package lockmgr

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"dittofs/gateway/lock"
)

// denialsMax is how many different refusals are remembered.
const denialsMax = 1024

// denials are the latest refusals. What the same owner asks again and again is one of them.
type denials struct {
	mu     sync.Mutex // guards the fields below
	oldest *list.List // of lock.Denial, by At
	same   map[denied]*list.Element
}

// denied is what makes two refusals one.
type denied struct {
	key     lock.Key
	owner   lock.Owner
	what    string
	outcome lock.Outcome
}

func newDenials() *denials { return &denials{oldest: list.New(), same: map[denied]*list.Element{}} }

// counts reports whether an outcome is a refusal that somebody may ask about: not an answer to what never was, nor an open's end.
func counts(o lock.Outcome) bool {
	switch o {
	case lock.Denied, lock.SharingDenied, lock.DeletePending, lock.Grace, lock.Deadlock, lock.Limit, lock.Failed, lock.Cancelled, lock.TimedOut:
		return true
	}
	return false
}

func (d *denials) note(n lock.Denial) {
	n.At, n.Times = time.Now(), 1
	k := denied{n.Key, n.Owner, n.What, n.Outcome}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.same[k]; e != nil {
		old := e.Value.(lock.Denial)
		n.Times += old.Times
		if n.Holder == nil {
			n.Holder = old.Holder
		}
		e.Value = n
		d.oldest.MoveToBack(e)
		return
	}
	if d.oldest.Len() >= denialsMax {
		o := d.oldest.Remove(d.oldest.Front()).(lock.Denial)
		delete(d.same, denied{o.Key, o.Owner, o.What, o.Outcome})
	}
	d.same[k] = d.oldest.PushBack(n)
}

// Denials are the latest refusals that f selects, the latest last.
func (m *Manager) Denials(f lock.Filter) (out []lock.Denial) {
	m.denials.mu.Lock()
	defer m.denials.mu.Unlock()
	for e := m.denials.oldest.Back(); e != nil; e = e.Prev() {
		d := e.Value.(lock.Denial)
		if (f.Path == "" || d.Path == f.Path) && (f.Key.IsZero() || d.Key == f.Key) && selects(&f, d.Owner, d.User) {
			out = append(out, d)
		}
	}
	slices.Reverse(out)
	return out
}
