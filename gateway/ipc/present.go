package ipc

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// presenters is how many requests travel at once while the door presents itself.
const presenters = 16

// present tells a counter that has a new seat for this door what the door holds: opens, then what hangs on them, then Mustered, then who
// waits. Nothing new is asked meanwhile. What does not come back was lost to somebody who came in between; it is logged, and caching
// rights that go with it are a Break to the door.
func (m *counter) present(ctx context.Context, l *line) error {
	h := m.ledger.snapshot()
	err := all(ctx, []map[string]string{h.serving}, func(ctx context.Context, doors map[string]string) error {
		_, err := l.rpc.Serving(ctx, &lockpb.Doors{Doors: doors})
		return err
	})
	if err != nil {
		return err
	}
	if err := all(ctx, h.opens, func(ctx context.Context, r lock.OpenRequest) error { return m.presentOpen(ctx, l, r) }); err != nil {
		return err
	}
	err = all(ctx, h.pending, func(ctx context.Context, n uint64) error {
		_, err := l.rpc.Disposition(ctx, &lockpb.DispositionRequest{Open: n, Pending: true})
		return err
	})
	if err != nil {
		return err
	}
	if err := all(ctx, h.ranges, func(ctx context.Context, r lock.LockRequest) error { return m.presentRange(ctx, l, r) }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	if _, err := l.rpc.Mustered(ctx, &lockpb.Empty{}); err != nil {
		return err
	}
	for _, r := range h.accesses {
		// The operation is under way and cannot be called back; it is announced so that nothing that it breaks is granted meanwhile.
		if _, err := l.rpc.Access(ctx, AccessRequestPB(r)); err != nil {
			return err
		}
	}
	for _, t := range h.tickets {
		if err := m.presentTicket(ctx, l, t); err != nil {
			return err
		}
	}
	for _, s := range h.sessions {
		if _, err := l.rpc.Session(ctx, &lockpb.SessionRequest{Session: SessionPB(s)}); err != nil {
			return err
		}
	}
	if n := len(h.opens) + len(h.ranges) + len(h.tickets); n > 0 {
		m.options.Log.Info("presented again", "opens", len(h.opens), "ranges", len(h.ranges), "tickets", len(h.tickets))
	}
	return nil
}

// all asks f for each of ts, within one Deadline.
func all[T any](ctx context.Context, ts []T, f func(context.Context, T) error) error {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(presenters)
	for _, t := range ts {
		g.Go(func() error { return f(ctx, t) })
	}
	return g.Wait()
}

func (m *counter) presentOpen(ctx context.Context, l *line, r lock.OpenRequest) error {
	m.describe(&r)
	p, err := l.rpc.Open(ctx, OpenRequestPB(r))
	if err != nil {
		return fmt.Errorf("present open: %w", err)
	}
	res := OpenResultOf(p)
	if res.Outcome != lock.Granted {
		m.options.Log.Warn("open did not come back", "open", r.Open, "file", r.Key, "path", r.Path, "owner", r.Owner, "outcome", res.Outcome)
	}
	if b := m.ledger.regranted(r, res); b != nil {
		m.event(item{Event: lock.Event{Break: b}})
	}
	return nil
}

func (m *counter) presentRange(ctx context.Context, l *line, r lock.LockRequest) error {
	p, err := l.rpc.Lock(ctx, LockRequestPB(r))
	if err != nil {
		return fmt.Errorf("present range: %w", err)
	}
	if out := lock.Outcome(p.Outcome); out != lock.Granted {
		m.options.Log.Warn("range did not come back", "file", r.Key, "path", r.Path, "owner", r.Owner, "offset", r.Offset, "length", r.Length, "outcome", out)
		m.ledger.lost(r)
	}
	return nil
}

// presentTicket asks again for what a ticket waits for. One that need not wait any more is answered as by an event.
func (m *counter) presentTicket(ctx context.Context, l *line, t numbered) error {
	a := lock.Answer{Ticket: t.number}
	switch {
	case t.open != nil:
		p, err := l.rpc.Open(ctx, OpenRequestPB(*t.open))
		if err != nil {
			return fmt.Errorf("present ticket: %w", err)
		}
		res := OpenResultOf(p)
		a = res.Answer(t.number)
	case t.access != nil:
		p, err := l.rpc.Access(ctx, AccessRequestPB(*t.access))
		if err != nil {
			return fmt.Errorf("present ticket: %w", err)
		}
		a.Outcome, a.Holder = lock.Outcome(p.Outcome), holderOf(p.Holder)
	case t.lock != nil:
		p, err := l.rpc.Lock(ctx, LockRequestPB(*t.lock))
		if err != nil {
			return fmt.Errorf("present ticket: %w", err)
		}
		a.Outcome, a.Holder = lock.Outcome(p.Outcome), holderOf(p.Holder)
	}
	if a.Outcome == lock.Blocked {
		return nil
	}
	m.ledger.answerLate(a)
	if !m.deliver(a) && m.options.Sink != nil {
		m.events.put(item{Event: lock.Event{Answer: &a}})
	}
	return nil
}
