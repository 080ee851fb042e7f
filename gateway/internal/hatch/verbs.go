package hatch

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/ipc"
	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// The verbs of lock.Manager as requests.

// sit holds the seat until the returned function is called.
func (v *visit) sit() (Seat, func(), error) {
	v.gate.RLock()
	if v.seat == nil {
		v.gate.RUnlock()
		return nil, nil, status.Error(codes.FailedPrecondition, "Hello comes first")
	}
	return v.seat, v.gate.RUnlock, nil
}

// verb asks the seat.
func verb[A, B any](v *visit, f func(Seat) (A, error), pb func(A) B) (b B, err error) {
	s, rise, err := v.sit()
	if err != nil {
		return b, err
	}
	defer rise()
	a, err := f(s)
	if err != nil {
		return b, err
	}
	return pb(a), nil
}

func verdict(o lock.Outcome) *lockpb.Verdict { return &lockpb.Verdict{Outcome: uint32(o)} }

func empty(struct{}) *lockpb.Empty { return &lockpb.Empty{} }

func (v *visit) Mustered(context.Context, *lockpb.Empty) (*lockpb.Empty, error) {
	return verb(v, func(s Seat) (struct{}, error) { s.Mustered(); return struct{}{}, nil }, empty)
}

func (v *visit) Open(ctx context.Context, r *lockpb.OpenRequest) (*lockpb.OpenResult, error) {
	return verb(v, func(s Seat) (lock.OpenResult, error) { return s.Open(ctx, ipc.OpenRequestOf(r)) }, ipc.OpenResultPB)
}

func (v *visit) Close(ctx context.Context, r *lockpb.CloseRequest) (*lockpb.CloseResult, error) {
	return verb(v, func(s Seat) (lock.CloseResult, error) { return s.Close(ctx, ipc.CloseRequestOf(r)) }, ipc.CloseResultPB)
}

func (v *visit) Reconnect(ctx context.Context, r *lockpb.ReconnectRequest) (*lockpb.ReconnectResult, error) {
	return verb(v, func(s Seat) (lock.ReconnectResult, error) { return s.Reconnect(ctx, ipc.ReconnectRequestOf(r)) }, ipc.ReconnectResultPB)
}

func (v *visit) Access(ctx context.Context, r *lockpb.AccessRequest) (*lockpb.Result, error) {
	return verb(v, func(s Seat) (lock.Result, error) { return s.Access(ctx, ipc.AccessRequestOf(r)) }, ipc.ResultPB)
}

func (v *visit) Done(ctx context.Context, r *lockpb.DoneRequest) (*lockpb.Empty, error) {
	return verb(v, func(s Seat) (struct{}, error) { return struct{}{}, s.Done(ctx, r.Id, r.Changed) }, empty)
}

func (v *visit) Lock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Result, error) {
	return verb(v, func(s Seat) (lock.Result, error) { return s.Lock(ctx, ipc.LockRequestOf(r)) }, ipc.ResultPB)
}

func (v *visit) Unlock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Result, error) {
	return verb(v, func(s Seat) (lock.Result, error) { return s.Unlock(ctx, ipc.LockRequestOf(r)) }, ipc.ResultPB)
}

func (v *visit) Test(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Result, error) {
	return verb(v, func(s Seat) (lock.Result, error) { return s.Test(ctx, ipc.LockRequestOf(r)) }, ipc.ResultPB)
}

func (v *visit) Cancel(ctx context.Context, r *lockpb.Ticket) (*lockpb.Verdict, error) {
	return verb(v, func(s Seat) (lock.Outcome, error) { return s.Cancel(ctx, r.Ticket) }, verdict)
}

func (v *visit) CancelLock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Verdict, error) {
	return verb(v, func(s Seat) (lock.Outcome, error) { return s.CancelLock(ctx, ipc.LockRequestOf(r)) }, verdict)
}

func (v *visit) Acknowledge(ctx context.Context, r *lockpb.Ack) (*lockpb.Verdict, error) {
	return verb(v, func(s Seat) (lock.Outcome, error) { return s.Acknowledge(ctx, ipc.AckOf(r)) }, verdict)
}

func (v *visit) Disposition(ctx context.Context, r *lockpb.DispositionRequest) (*lockpb.Verdict, error) {
	return verb(v, func(s Seat) (lock.Outcome, error) { return s.Disposition(ctx, r.Open, r.Pending) }, verdict)
}

func (v *visit) Forget(ctx context.Context, r *lockpb.Client) (*lockpb.Empty, error) {
	return verb(v, func(s Seat) (struct{}, error) { return struct{}{}, s.Forget(ctx, ipc.ClientOf(r)) }, empty)
}

func (v *visit) Changed(ctx context.Context, r *lockpb.Change) (*lockpb.Empty, error) {
	return verb(v, func(s Seat) (struct{}, error) { return struct{}{}, s.Changed(ctx, ipc.ChangeOf(r)) }, empty)
}

func (v *visit) List(ctx context.Context, r *lockpb.Filter, s lockpb.Counter_ListServer) (err error) {
	defer v.rescue("List", &err)
	list, err := verb(v, func(s Seat) (lock.Snapshot, error) { return s.List(ctx, ipc.FilterOf(r)) }, func(s lock.Snapshot) lock.Snapshot { return s })
	if err != nil {
		return err
	}
	return ipc.SendSnapshot(list, s.Send)
}

// Events sends what the counter tells this seat until the connection ends.
func (v *visit) Events(ctx context.Context, _ *lockpb.Empty, s lockpb.Counter_EventsServer) (err error) {
	defer v.rescue("Events", &err)
	v.house.mu.Lock()
	second := v.events
	v.events = true
	v.house.mu.Unlock()
	if second {
		return status.Error(codes.FailedPrecondition, "events go to one reader")
	}
	for {
		for b := v.out.take(); len(b.Events) > 0; b = v.out.take() {
			if err := s.Send(b); err != nil {
				return err
			}
		}
		select {
		case <-v.out.filled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Serving notes which doors the daemon serves.
func (v *visit) Serving(_ context.Context, r *lockpb.Doors) (*lockpb.Empty, error) {
	return verb(v, func(Seat) (struct{}, error) {
		v.house.mu.Lock()
		defer v.house.mu.Unlock()
		v.doors = r.Doors
		return struct{}{}, nil
	}, empty)
}

// sessionsMax bounds the session list.
const sessionsMax = 1 << 16

// Session notes that a session began, changed or ended.
func (v *visit) Session(_ context.Context, r *lockpb.SessionRequest) (*lockpb.Empty, error) {
	return verb(v, func(Seat) (struct{}, error) {
		v.house.mu.Lock()
		defer v.house.mu.Unlock()
		s := ipc.SessionOf(r.Session)
		if r.Ended {
			delete(v.sessions, s.ID)
			return struct{}{}, nil
		}
		if len(v.sessions) >= sessionsMax {
			return struct{}{}, status.Errorf(codes.ResourceExhausted, "more than %d sessions", sessionsMax)
		}
		v.sessions[s.ID] = s
		return struct{}{}, nil
	}, empty)
}

func (v *visit) NSM(_ context.Context, _ *lockpb.Empty, s lockpb.Counter_NSMServer) (err error) {
	defer v.rescue("NSM", &err)
	n, err := verb(v, func(Seat) (ipc.NSM, error) {
		c := v.house.Counter
		return ipc.NSM{State: c.NSMState(), Hosts: hosts(c.Hosts())}, nil
	}, func(n ipc.NSM) ipc.NSM { return n })
	if err != nil {
		return err
	}
	return ipc.SendNSM(n, s.Send)
}

func hosts(hs []lockdb.Host) (out []ipc.Host) {
	for _, h := range hs {
		out = append(out, ipc.Host{Name: h.Name, Address: h.Address, State: h.State})
	}
	return out
}

func (v *visit) Notified(_ context.Context, r *lockpb.NotifiedRequest) (*lockpb.NotifiedReply, error) {
	if v.hatch != "statd" {
		return nil, status.Error(codes.PermissionDenied, "SM_NOTIFY comes to statd")
	}
	return verb(v, func(Seat) (bool, error) {
		return v.house.Counter.Notified(string(r.Name), string(r.Address), r.State), nil
	}, func(freed bool) *lockpb.NotifiedReply { return &lockpb.NotifiedReply{Freed: freed} })
}
