package ipc

import (
	"context"
	"sync"
	"time"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// eases are the opens that read and write without asking (lock/ease.go).
//
// Lock order: eases.mu is a leaf.
type eases struct {
	mu      sync.Mutex // guards the fields below
	line    *line      // the connection by which ease is lent; nil: none is
	opens   map[uint64]*eased
	doing   map[uint64]doing  // by number
	idle    sync.Cond         // told when an open at ease, or that was so, does nothing any more
	touched map[lock.Key]bool // the other doors are being told; true: and must be again
}

// eased is an open at ease, one whose ease went while something was done under it, or one that ease may be on its way to.
type eased struct {
	may   lock.Ease
	doing int
	spent bool // it gets no more
}

// doing is an operation of an open at ease.
type doing struct {
	key lock.Key
	of  *eased
}

func (e *eases) begin(l *line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.idle.L == nil {
		e.idle.L, e.opens, e.doing, e.touched = &e.mu, map[uint64]*eased{}, map[uint64]doing{}, map[lock.Key]bool{}
	}
	e.line = l
}

// end takes all ease away, because l has ended.
func (e *eases) end(l *line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.line != l {
		return
	}
	e.line = nil
	for n, o := range e.opens {
		o.may = 0
		delete(e.opens, n)
	}
}

// settle waits, a second at most, for what is still being done under ease that has ended: what is done after the door has presented itself
// has been asked for.
func (e *eases) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	late := false
	defer time.AfterFunc(time.Second, func() {
		e.mu.Lock()
		late = true
		e.mu.Unlock()
		e.idle.Broadcast()
	}).Stop()
	for len(e.doing) > 0 && !late {
		e.idle.Wait()
	}
}

// enter begins an operation of an open at ease, or reports that the counter must be asked.
func (e *eases) enter(r *lock.AccessRequest) bool {
	if r.Open == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.opens[r.Open]
	if o == nil || r.Op.Ease()&o.may == 0 {
		return false
	}
	o.doing++
	e.doing[r.ID] = doing{r.Key, o}
	return true
}

// leave ends an operation that was begun at ease; false: it was asked for.
func (e *eases) leave(id uint64) (lock.Key, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, ok := e.doing[id]
	if !ok {
		return lock.Key{}, false
	}
	delete(e.doing, id)
	if d.of.doing--; d.of.doing == 0 {
		e.idle.Broadcast()
	}
	return d.key, true
}

// expect says that an open is being asked for. A call to give its ease back may be faster than the answer that lends it; then what is
// expected has gone.
func (e *eases) expect(n uint64) *eased {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := &eased{}
	e.opens[n] = o
	return o
}

// lent takes the ease that came with an open's answer.
func (e *eases) lent(n uint64, o *eased, may lock.Ease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.opens[n] == o && !o.spent {
		o.may |= may
	}
}

// revoke takes an open's ease and waits for nothing: whoever reads events must go on, because what is being done may wait for one.
func (e *eases) revoke(n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.opens[n]; o != nil {
		o.may, o.spent = 0, true
	}
}

// spend takes an open's ease for good, before a range is asked for under it, and waits for what is being done: the counter need not call
// it back.
func (e *eases) spend(n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.opens[n]
	if o == nil {
		o = &eased{}
		e.opens[n] = o
	}
	o.spent = true
	e.rest(o)
}

// drop takes an open's ease, and waits for what is being done under it.
func (e *eases) drop(n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.opens[n]; o != nil {
		if e.rest(o); e.opens[n] == o {
			delete(e.opens, n)
		}
	}
}

// rest takes o's ease and waits until nothing is done under it. mu is held.
func (e *eases) rest(o *eased) {
	o.may = 0
	for o.doing > 0 {
		e.idle.Wait()
	}
}

// easeOf takes the ease that l lends an open, or the call to give it back.
func (m *counter) easeOf(l *line, ev *lock.MarkEvent) {
	e := &m.ease
	if ev.Lent {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.line == l && m.ledger.holds(ev.Open) { // one that was closed meanwhile stays so
			if e.opens[ev.Open] == nil {
				e.opens[ev.Open] = &eased{}
			}
			if o := e.opens[ev.Open]; !o.spent {
				o.may |= ev.Ease
			}
		}
		return
	}
	l.reading.Go(func() {
		e.drop(ev.Open)
		ctx, cancel := context.WithTimeout(context.Background(), Deadline)
		defer cancel()
		if _, err := l.rpc.Returned(ctx, &lockpb.Mark{Open: ev.Open}); err != nil {
			l.hangup()
		}
	})
}

// telling is the time between two tellings that a file was written at ease.
const telling = 50 * time.Millisecond

// touched tells the other doors that a file was written at ease: at once, and then not before some time has gone.
func (m *counter) touched(k lock.Key) {
	e := &m.ease
	e.mu.Lock()
	_, told := e.touched[k]
	e.touched[k] = told
	e.mu.Unlock()
	if told {
		return
	}
	go func() {
		for more := true; more; {
			m.Changed(context.Background(), lock.OpWrite.Modified(k, m.options.Door))
			time.Sleep(telling)
			e.mu.Lock()
			if more = e.touched[k]; more {
				e.touched[k] = false
			} else {
				delete(e.touched, k)
			}
			e.mu.Unlock()
		}
	}()
}
