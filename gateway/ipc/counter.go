package ipc

import (
	"context"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// The verbs of lock.Manager. Each enters its outcome in the ledger before its connection counts as free, so that a door that comes back
// presents it.

func (m *counter) Open(ctx context.Context, r lock.OpenRequest) (res lock.OpenResult, err error) {
	if m.quiet.open(r) {
		return lock.OpenResult{Outcome: lock.Granted}, nil
	}
	m.describe(&r)
	if m.options.Eases {
		at := m.ease.expect(r.Open)
		defer func() {
			if res.Outcome == lock.Granted {
				m.ease.lent(r.Open, at, res.Ease)
			} else {
				m.ease.drop(r.Open)
			}
		}()
	}
	t := &ticket{open: &r}
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		m.ledger.ask(r.Ticket, t)
		p, err := l.rpc.Open(ctx, OpenRequestPB(r))
		if err != nil {
			m.ledger.drop(r.Ticket)
			return err
		}
		res = OpenResultOf(p)
		m.ledger.returned(r.Ticket, t, res.Answer(r.Ticket))
		return nil
	})
	return res, err
}

func (m *counter) Reconnect(ctx context.Context, r lock.ReconnectRequest) (res lock.ReconnectResult, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Reconnect(ctx, ReconnectRequestPB(r))
		if err != nil {
			return err
		}
		if res = ReconnectResultOf(p); res.Outcome == lock.Granted {
			m.ledger.reconnected(res)
		}
		return nil
	})
	return res, err
}

func (m *counter) Close(ctx context.Context, r lock.CloseRequest) (res lock.CloseResult, err error) {
	if m.quiet.closed(r.Open) {
		return lock.CloseResult{Outcome: lock.Granted}, nil
	}
	m.ease.drop(r.Open)
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Close(ctx, CloseRequestPB(r))
		if err != nil {
			return err
		}
		res = CloseResultOf(p)
		m.ledger.closed(r.Open)
		m.ease.drop(r.Open) // one that was lent meanwhile
		return nil
	})
	return res, err
}

func (m *counter) Access(ctx context.Context, r lock.AccessRequest) (res lock.Result, err error) {
	if m.quiet.access(r) {
		return lock.Result{Outcome: lock.Granted, Quiet: true}, nil
	}
	if m.ease.enter(&r) {
		return lock.Result{Outcome: lock.Granted, Quiet: true}, nil
	}
	t := &ticket{access: &r}
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		m.ledger.ask(r.Ticket, t)
		p, err := l.rpc.Access(ctx, AccessRequestPB(r))
		if err != nil {
			m.ledger.drop(r.Ticket)
			return err
		}
		res = ResultOf(p)
		m.ledger.returned(r.Ticket, t, lock.Answer{Outcome: res.Outcome})
		return nil
	})
	return res, err
}

func (m *counter) Done(ctx context.Context, id uint64, changed bool) error {
	if m.quiet.done(id) {
		return nil
	}
	if k, ok := m.ease.leave(id); ok {
		if changed {
			m.touched(k)
		}
		return nil
	}
	return m.ask(ctx, func(ctx context.Context, l *line) error {
		_, err := l.rpc.Done(ctx, &lockpb.DoneRequest{Id: id, Changed: changed})
		if err == nil {
			m.ledger.done(id)
		}
		return err
	})
}

func (m *counter) Lock(ctx context.Context, r lock.LockRequest) (res lock.Result, err error) {
	if m.options.Eases && r.Open != 0 {
		m.ease.spend(r.Open)
	}
	t := &ticket{lock: &r}
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		m.ledger.ask(r.Ticket, t)
		p, err := l.rpc.Lock(ctx, LockRequestPB(r))
		if err != nil {
			m.ledger.drop(r.Ticket)
			return err
		}
		res = ResultOf(p)
		m.ledger.returned(r.Ticket, t, lock.Answer{Outcome: res.Outcome})
		return nil
	})
	return res, err
}

func (m *counter) Unlock(ctx context.Context, r lock.LockRequest) (res lock.Result, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Unlock(ctx, LockRequestPB(r))
		if err != nil {
			return err
		}
		if res = ResultOf(p); res.Outcome == lock.Granted {
			m.ledger.unlocked(r)
		}
		return nil
	})
	return res, err
}

func (m *counter) Test(ctx context.Context, r lock.LockRequest) (res lock.Result, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Test(ctx, LockRequestPB(r))
		res = ResultOf(p)
		return err
	})
	return res, err
}

func (m *counter) Cancel(ctx context.Context, number uint64) (out lock.Outcome, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Cancel(ctx, &lockpb.Ticket{Ticket: number})
		if err == nil {
			out = m.ledger.cancelled(number, lock.Outcome(p.Outcome))
		}
		return err
	})
	if err != nil {
		m.ledger.drop(number) // its caller has gone: it is not presented again
	}
	return out, err
}

func (m *counter) CancelLock(ctx context.Context, r lock.LockRequest) (out lock.Outcome, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.CancelLock(ctx, LockRequestPB(r))
		if err != nil {
			return err
		}
		if out = lock.Outcome(p.Outcome); out != lock.Granted {
			m.ledger.cancelledLock(r)
		}
		return nil
	})
	return out, err
}

func (m *counter) Acknowledge(ctx context.Context, a lock.Ack) (out lock.Outcome, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Acknowledge(ctx, AckPB(a))
		if err != nil {
			return err
		}
		out = lock.Outcome(p.Outcome)
		m.ledger.acknowledged(a, out)
		return nil
	})
	return out, err
}

func (m *counter) Disposition(ctx context.Context, open uint64, pending bool) (out lock.Outcome, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		p, err := l.rpc.Disposition(ctx, &lockpb.DispositionRequest{Open: open, Pending: pending})
		if err != nil {
			return err
		}
		if out = lock.Outcome(p.Outcome); out == lock.Granted {
			m.ledger.disposed(open, pending)
		}
		return nil
	})
	return out, err
}

func (m *counter) Forget(ctx context.Context, c lock.Client) error {
	return m.ask(ctx, func(ctx context.Context, l *line) error {
		_, err := l.rpc.Forget(ctx, ClientPB(c))
		if err == nil {
			m.ledger.forgotten(c)
		}
		return err
	})
}

func (m *counter) Changed(ctx context.Context, c lock.Change) error {
	if m.quiet.unheard() {
		return nil
	}
	return m.ask(ctx, func(ctx context.Context, l *line) error {
		_, err := l.rpc.Changed(ctx, ChangePB(c))
		return err
	})
}

func (m *counter) List(ctx context.Context, f lock.Filter) (s lock.Snapshot, err error) {
	err = m.ask(ctx, func(ctx context.Context, l *line) error {
		s, err = listOver(ctx, l.rpc.List, f)
		return err
	})
	return s, err
}
