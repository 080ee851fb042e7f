package hatch

import (
	"context"
	"path"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dittofs/gateway/ipc"
	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// admin is a connection of the admin command. It needs no Hello and has no seat of its own. What it changes is in the log with the
// process and the user who asked, socket(7) SO_PEERCRED.
type admin visit

// lend gives f a seat that holds nothing and hears nothing.
func (a *admin) lend(f func(Seat) error) error {
	s := a.house.Counter.Attach(0, "admin", func(lock.Event) {})
	defer s.Detach()
	return f(s)
}

// filter reads what is selected; an absolute path becomes the file that it names now.
func (a *admin) filter(f lock.Filter) (lock.Filter, error) {
	if !path.IsAbs(f.Path) {
		return f, nil
	}
	if a.house.Find == nil {
		return f, status.Error(codes.Unimplemented, "no exports: give the path as lock list prints it")
	}
	k, err := a.house.Find(f.Path)
	if err != nil {
		return f, status.Error(codes.NotFound, err.Error())
	}
	f.Key, f.Path = k, ""
	return f, nil
}

func (a *admin) Status(context.Context, *lockpb.Empty) (*lockpb.StatusReply, error) {
	return ipc.StatusPB(a.house.Status()), nil
}

func (a *admin) List(ctx context.Context, r *lockpb.Filter, out lockpb.Admin_ListServer) (err error) {
	defer (*visit)(a).rescue("List", &err)
	f, err := a.filter(ipc.FilterOf(r))
	if err != nil {
		return err
	}
	return a.lend(func(s Seat) error {
		list, err := s.List(ctx, f)
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
	a.log.Info("grace ended by the administrator", "uid", a.uid)
	a.house.Counter.EndGrace()
	return &lockpb.Empty{}, nil
}

func (a *admin) Break(_ context.Context, r *lockpb.BreakRequest, out lockpb.Admin_BreakServer) (err error) {
	defer (*visit)(a).rescue("Break", &err)
	b := ipc.BreakRequestOf(r)
	if b.Filter.ID == "" && b.Filter.Path == "" && b.Filter.Client == "" {
		return status.Error(codes.InvalidArgument, "break what? An ID, a path or a client says it")
	}
	f, err := a.filter(b.Filter)
	if err != nil {
		return err
	}
	s := a.house.Counter.Revoke(f, b.DryRun)
	if !b.DryRun {
		a.record(s)
	}
	return ipc.SendSnapshot(s, out.Send)
}

// record writes down each thing that was taken away.
func (a *admin) record(s lock.Snapshot) {
	for _, f := range s.Files {
		say := func(id, kind string, owner any, user string, rest ...any) {
			a.log.Info("taken away by the administrator", append([]any{"uid", a.uid, "id", id, "kind", kind, "path", f.Path, "file", f.Key, "owner", owner, "user", user}, rest...)...)
		}
		for _, r := range f.Ranges {
			say(r.ID, r.Kind().String(), r.Owner, r.User, "offset", r.Offset, "length", r.Length, "exclusive", r.Exclusive, "since", r.Since)
		}
		for _, o := range f.Opens {
			say(o.ID, lock.KindOpen.String(), o.Owner, o.User, "access", o.Access, "share", o.Share, "since", o.Since)
		}
		for _, l := range f.Leases {
			say(l.ID, l.What().String(), lock.Client{Door: lock.SMB, GUID: l.Client}, l.User, "rights", l.Rights, "since", l.Since)
		}
		for _, w := range f.Waiters {
			say(w.ID, lock.KindWaiter.String(), w.Owner, w.User, "what", w.What, "since", w.Since)
		}
	}
}

func (a *admin) Denials(_ context.Context, r *lockpb.Filter, out lockpb.Admin_DenialsServer) (err error) {
	defer (*visit)(a).rescue("Denials", &err)
	f, err := a.filter(ipc.FilterOf(r))
	if err != nil {
		return err
	}
	return ipc.SendDenials(a.house.Counter.Denials(f), out.Send)
}

func (a *admin) Hosts(_ context.Context, _ *lockpb.Empty, out lockpb.Admin_HostsServer) (err error) {
	defer (*visit)(a).rescue("Hosts", &err)
	return ipc.SendNSM(ipc.NSM{Hosts: hosts(a.house.Counter.Hosts())}, out.Send)
}

// Forget ends what an NFS host or an SMB client holds. Local programs' descriptors cannot be taken away.
func (a *admin) Forget(_ context.Context, r *lockpb.Client) (*lockpb.ForgetReply, error) {
	c := ipc.ClientOf(r)
	if c.Door != lock.NLM && c.Door != lock.SMB {
		return nil, status.Errorf(codes.InvalidArgument, "%v cannot be forgotten, only nlm:HOST and smb:GUID", c)
	}
	n := a.house.Counter.Dismiss(c)
	a.log.Info("client forgotten by the administrator", "uid", a.uid, "client", c, "held", n)
	return &lockpb.ForgetReply{Held: uint64(n)}, nil
}
