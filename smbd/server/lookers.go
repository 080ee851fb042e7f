package server

import (
	"context"
	"sync"

	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/smbd/smb2"
)

// Opens that only look: with attributes and SYNCHRONIZE alone, and nothing to cache, an open meets neither share modes nor leases
// ([MS-FSA] 2.1.5.1.2.2, 2.1.4.12), and nobody has to know it but for one thing: while it is there, a file that is delete pending keeps its
// name, and a file that is delete pending refuses it. Only an open with DELETE makes a file delete pending, all of them are here, and it
// ends with the last open. So the counter hears of those that only look before one with DELETE is asked for, from then on until the last
// open of the file that it knows, and when one of them does something that the counter rules.
//
// Implementation specific: a file that is delete pending by a durable open whose client has been away since before this process began
// does not refuse those that only look.
//
// Lock order: lookers.telling before lookers.mu.
type lookers struct {
	telling sync.Mutex // held while the counter is told

	mu      sync.Mutex // guards the fields below
	files   map[lock.Key]*known
	unasked map[lock.Key]map[*open]lock.OpenRequest
}

// known is a file of which the counter knows opens.
type known struct {
	opens int
	told  bool // one of them has, or had, DELETE: all must be asked for
}

// looks reports whether an open does no more than look.
func looks(o *open, r *lock.OpenRequest) bool {
	return o.stream == nil && o.app == nil && o.access&^(smb2.FileReadAttributes|smb2.Synchronize) == 0 && r.Kind == lock.NoCache && r.Rights == 0 &&
		r.Durable == 0 && !r.Overwrite && !r.DeleteOnClose
}

// deletes reports whether o can make its file delete pending.
func (o *open) deletes() bool {
	return o.access&smb2.Delete != 0 || o.options&smb2.FileDeleteOnClose != 0
}

// come lets an open that only looks in without asking; false: it must ask.
func (l *lookers) come(o *open, r *lock.OpenRequest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.files[o.key]; k != nil && k.told {
		return false
	}
	if l.unasked == nil {
		l.unasked = map[lock.Key]map[*open]lock.OpenRequest{}
	}
	if l.unasked[o.key] == nil {
		l.unasked[o.key] = map[*open]lock.OpenRequest{}
	}
	l.unasked[o.key][o] = *r
	o.unasked.Store(true)
	return true
}

// leave ends an open that the counter was not asked for, and reports whether it was one.
func (l *lookers) leave(o *open) bool {
	if !o.unasked.Load() {
		return false
	}
	l.telling.Lock() // it may be being told
	defer l.telling.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.unasked[o.key][o]; !ok {
		return false
	}
	l.forget(o)
	return true
}

// forget takes o from those who were not asked for. mu is held.
func (l *lookers) forget(o *open) {
	o.unasked.Store(false)
	if delete(l.unasked[o.key], o); len(l.unasked[o.key]) == 0 {
		delete(l.unasked, o.key)
	}
}

// ask announces an open that the counter is going to be asked for. Once one with DELETE is, all opens of its file are the counter's.
func (l *lookers) ask(ctx context.Context, locks *seat.Seat, o *open) error {
	if !l.count(o) {
		return nil
	}
	return l.tell(ctx, locks, o.fileKey())
}

// count notes that the counter knows o, and reports whether it may delete.
func (l *lookers) count(o *open) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.files[o.fileKey()]
	if k == nil {
		if l.files == nil {
			l.files = map[lock.Key]*known{}
		}
		k = &known{}
		l.files[o.fileKey()] = k
	}
	if !o.counted {
		o.counted = true
		k.opens++
	}
	k.told = k.told || o.deletes()
	return o.deletes()
}

// gone ends what ask began.
func (l *lookers) gone(o *open) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !o.counted {
		return
	}
	o.counted = false
	k := l.files[o.fileKey()]
	if k.opens--; k.opens == 0 {
		delete(l.files, o.fileKey())
	}
}

// tell asks the counter for all opens of a file that only look.
func (l *lookers) tell(ctx context.Context, locks *seat.Seat, key lock.Key) error {
	l.telling.Lock()
	defer l.telling.Unlock()
	l.mu.Lock()
	all := make([]*open, 0, len(l.unasked[key]))
	for o := range l.unasked[key] {
		all = append(all, o)
	}
	l.mu.Unlock()
	for _, o := range all {
		l.mu.Lock()
		r := l.unasked[key][o]
		l.mu.Unlock()
		l.count(o)
		res, err := locks.Open(ctx, r, nil)
		if err != nil {
			return err
		}
		l.mu.Lock()
		o.asked = res.Outcome == lock.Granted
		l.forget(o)
		l.mu.Unlock()
	}
	return nil
}

// known lets the counter know an open that is about to do what the counter rules.
func (o *open) known(ctx context.Context) error {
	if !o.unasked.Load() {
		return nil
	}
	s := o.session.s
	return s.opens.lookers.tell(context.WithoutCancel(ctx), s.locks, o.key)
}
