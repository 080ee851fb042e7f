package hatch

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dittofs/gateway/ipc/lockpb"
)

// debts are the quiet marks that were called back from a daemon and have not come back. Somebody waits for each.
type debts struct {
	mu    sync.Mutex // guards the fields below
	n     uint64
	since map[uint32]uint64 // the call, by number
}

// owes notes that marks were called back.
func (v *visit) owes(marks []uint32) {
	d := &v.debts
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since == nil {
		d.since = map[uint32]uint64{}
	}
	d.n++
	call := d.n
	for _, i := range marks {
		d.since[i] = call
	}
	patience := v.house.Patience
	time.AfterFunc(patience, func() {
		d.mu.Lock()
		late := false
		for _, c := range d.since {
			late = late || c <= call
		}
		d.mu.Unlock()
		if late {
			v.once.Do(func() { v.log.Error("daemon does not give its marks back: it loses its seat", "after", patience) })
			v.end()
		}
	})
}

// Returned says that the daemon has handed over its books for marks.
func (v *visit) Returned(ctx context.Context, r *lockpb.Mark) (*lockpb.Empty, error) {
	return verb(v, func(s Seat) (struct{}, error) {
		if r.Open != 0 {
			s.Rested(r.Open)
			return struct{}{}, nil
		}
		if len(r.Marks) == 0 {
			return struct{}{}, status.Error(codes.InvalidArgument, "no marks")
		}
		v.debts.mu.Lock()
		for _, i := range r.Marks {
			delete(v.debts.since, i)
		}
		v.debts.mu.Unlock()
		return struct{}{}, s.Returned(ctx, r.Marks)
	}, empty)
}
