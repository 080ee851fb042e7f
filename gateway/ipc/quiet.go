package ipc

import (
	"context"
	"slices"
	"sync"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// quiet is what the door does without asking, under marks that the counter has lent it (lock/mark.go).
//
// Lock order: quiet.mu before ledger.mu.
type quiet struct {
	ledger *ledger

	mu    sync.Mutex // guards the fields below
	line  *line      // the connection by which marks are lent; nil: none are
	books lock.Books
	// handing are the opens and accesses that are on their way from the books to the counter.
	handing map[uint64]chan struct{}
}

// begin lets marks come by l.
func (q *quiet) begin(l *line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.line = l
}

// end takes all marks away, because l has ended: what stands in the books is presented with the rest.
func (q *quiet) end(l *line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line == l {
		q.line = nil
		q.enter(q.books.Recall(everyMark))
	}
}

var everyMark = func() (all []uint32) {
	for i := range uint32(lock.Marks + 1) {
		all = append(all, i)
	}
	return all
}()

// enter moves what was in the books to the ledger.
func (q *quiet) enter(opens []lock.OpenRequest, accesses []lock.AccessRequest) {
	q.ledger.mu.Lock()
	defer q.ledger.mu.Unlock()
	for _, r := range opens {
		q.ledger.addOpen(r, 0, 0)
	}
	for _, r := range accesses {
		q.ledger.accesses[r.ID] = r
	}
}

// open reports whether r was granted without asking.
func (q *quiet) open(r lock.OpenRequest) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.books.Open(r)
}

// access reports whether r was granted without asking.
func (q *quiet) access(r lock.AccessRequest) bool {
	q.mu.Lock()
	if q.books.Access(r) {
		q.mu.Unlock()
		return true
	}
	c := q.handing[r.Open]
	q.mu.Unlock()
	if c != nil {
		<-c
	}
	return false
}

// closed reports whether the open n ended without telling. One that is being handed over is waited for.
func (q *quiet) closed(n uint64) bool { return q.over(n, q.books.Close) }

// done reports whether the access id ended without telling.
func (q *quiet) done(id uint64) bool { return q.over(id, q.books.Done) }

func (q *quiet) over(n uint64, was func(uint64) bool) bool {
	q.mu.Lock()
	if was(n) {
		q.mu.Unlock()
		return true
	}
	c := q.handing[n]
	q.mu.Unlock()
	if c != nil {
		<-c
	}
	return false
}

// unheard reports whether nobody hears what changes.
func (q *quiet) unheard() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.books.Holds(lock.Unheard)
}

// mark takes marks that l lends, or the call to give them back.
func (m *counter) mark(l *line, e *lock.MarkEvent) {
	q := &m.quiet
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line != l {
		return
	}
	if e.Lent {
		q.books.Lend(e.Marks)
		return
	}
	opens, accesses := q.books.Recall(e.Marks)
	q.enter(opens, accesses)
	over := make(chan struct{})
	var numbers []uint64
	for _, r := range opens {
		numbers = append(numbers, r.Open)
	}
	for _, r := range accesses {
		numbers = append(numbers, r.ID)
	}
	if q.handing == nil {
		q.handing = map[uint64]chan struct{}{}
	}
	for _, n := range numbers {
		q.handing[n] = over
	}
	l.reading.Go(func() {
		if err := m.handOver(l, e.Marks, opens, accesses); err != nil {
			l.hangup() // what is in the ledger is presented by the next connection
		}
		q.mu.Lock()
		for _, n := range numbers {
			delete(q.handing, n)
		}
		q.mu.Unlock()
		close(over)
	})
}

// handOver tells the counter what stood in the books, and then that it was all.
func (m *counter) handOver(l *line, marks []uint32, opens []lock.OpenRequest, accesses []lock.AccessRequest) error {
	ctx := context.Background()
	err := all(ctx, opens, func(ctx context.Context, r lock.OpenRequest) error {
		r.Reclaim = true
		return m.presentOpen(ctx, l, r)
	})
	if err != nil {
		return err
	}
	err = all(ctx, accesses, func(ctx context.Context, r lock.AccessRequest) error {
		r.Ticket = 0
		_, err := l.rpc.Access(ctx, AccessRequestPB(r))
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(marks, 1024) {
		if err := all(ctx, [][]uint32{part}, func(ctx context.Context, part []uint32) error {
			_, err := l.rpc.Returned(ctx, &lockpb.Mark{Marks: part})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// describe says for people what an open is that was not worth the words while it was quiet.
func (m *counter) describe(r *lock.OpenRequest) {
	if r.Path == "" && m.options.Describe != nil {
		m.options.Describe(r)
		m.ledger.describe(r.Open, r.Path, r.User)
	}
}
