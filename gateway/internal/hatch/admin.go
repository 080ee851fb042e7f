package hatch

import (
	"context"

	"dittofs/gateway/ipc"
	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// admin is a connection of the admin command. It needs no Hello and has no seat of its own.
type admin visit

// lend gives f a seat that holds nothing and hears nothing.
func (a *admin) lend(f func(Seat) error) error {
	s := a.house.Counter.Attach(0, "admin", func(lock.Event) {})
	defer s.Detach()
	return f(s)
}

func (a *admin) Status(context.Context, *lockpb.Empty) (*lockpb.StatusReply, error) {
	return ipc.StatusPB(a.house.Status()), nil
}

func (a *admin) List(ctx context.Context, r *lockpb.Filter, out lockpb.Admin_ListServer) (err error) {
	defer (*visit)(a).rescue("List", &err)
	return a.lend(func(s Seat) error {
		list, err := s.List(ctx, ipc.FilterOf(r))
		if err != nil {
			return err
		}
		return ipc.SendSnapshot(list, out.Send)
	})
}

func (a *admin) Sessions(_ context.Context, _ *lockpb.Empty, out lockpb.Admin_SessionsServer) (err error) {
	defer (*visit)(a).rescue("Sessions", &err)
	return ipc.SendSessions(a.house.Sessions(), out.Send)
}

func (a *admin) EndGrace(context.Context, *lockpb.Empty) (*lockpb.Empty, error) {
	a.log.Info("grace ended by the administrator")
	a.house.Counter.EndGrace()
	return &lockpb.Empty{}, nil
}

func (a *admin) Forget(ctx context.Context, r *lockpb.Client) (*lockpb.Empty, error) {
	c := ipc.ClientOf(r)
	a.log.Info("client forgotten by the administrator", "client", c)
	return &lockpb.Empty{}, a.lend(func(s Seat) error { return s.Forget(ctx, c) })
}
