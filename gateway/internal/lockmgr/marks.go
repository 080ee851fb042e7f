package lockmgr

import (
	"context"
	"sync"

	"dittofs/gateway/lock"
)

// marks are the quiet marks that the local door has borrowed, lock/mark.go.
type marks struct {
	mu      sync.Mutex // guards the fields below
	loans   lock.Loans
	door    *Seat         // who borrows; nil: nobody
	changed chan struct{} // closed when something came back; nil: nobody waits
}

// Borrow says that the seat's door understands marks; SMB's, that it takes its opens' ease.
func (s *Seat) Borrow() {
	if s.door == lock.SMB {
		s.easy.Store(true)
		return
	}
	k := &s.m.marks
	k.mu.Lock()
	defer k.mu.Unlock()
	if !s.isGone() && k.loans.Begin() {
		k.door = s
	}
}

// Returned says that the door has handed over its books for marks.
func (s *Seat) Returned(_ context.Context, marks []uint32) error {
	k := &s.m.marks
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.door != s {
		return nil
	}
	for _, i := range marks {
		if i <= lock.Unheard {
			k.loans.Returned(int(i))
		}
	}
	k.wake()
	return nil
}

// bereft is the end of the door that borrows, and of its books.
func (k *marks) bereft(s *Seat) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.door == s {
		k.door = nil
		k.loans.End()
		k.wake()
	}
}

// handsOver reports whether s presents an open from its books for a file that no other door can have open.
func (k *marks) handsOver(s *Seat, key lock.Key) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.door == s && k.loans.Away(key.Mark())
}

func (k *marks) wake() {
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// wait releases k.mu until something came back.
func (k *marks) wait(ctx context.Context) error {
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	c := k.changed
	k.mu.Unlock()
	defer k.mu.Lock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell lends or recalls; an empty list says nothing.
func (k *marks) tell(list []uint32, lent bool) {
	if len(list) > 0 {
		k.door.put(lock.Event{Mark: &lock.MarkEvent{Marks: list, Lent: lent}}, 0, waits{})
	}
}

// claim makes room for an open of SMB or NLM on the file of key: it waits until the local door has handed its books over. Nothing is lent
// there until release, nor while such an open is in the table.
func (k *marks) claim(ctx context.Context, key lock.Key) (release func(), err error) {
	mark := key.Mark()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell(k.loans.Claim(mark), false)
	for k.loans.Lent(mark) {
		if err := k.wait(ctx); err != nil {
			k.loans.Release(mark)
			return nil, err
		}
	}
	return func() { k.count(key, false) }, nil
}

// count notes that a file with opens of SMB or NLM came or went.
func (k *marks) count(key lock.Key, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if more {
		k.tell(k.loans.Claim(key.Mark()), false)
	} else {
		k.loans.Release(key.Mark())
	}
}

// asked notes that s had to ask under mark; it may be lent now, but not before all doors have presented what they held.
func (k *marks) asked(s *Seat, mark int) {
	if s.door != lock.Local || !s.m.late() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.door == s {
		k.tell(k.loans.Asked(mark), true)
	}
}

// gather waits until the local door has handed over all its books.
func (k *marks) gather(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell(k.loans.RecallAll(), false)
	for i := range lock.Unheard + 1 {
		for k.loans.Recalled(i) {
			if err := k.wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
