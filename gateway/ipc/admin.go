package ipc

import (
	"context"
	"fmt"
	"net"

	"github.com/containerd/ttrpc"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// Admin is the admin command's window: one connection, no coming back.
type Admin struct {
	client *ttrpc.Client
	rpc    lockpb.AdminClient
}

// DialAdmin comes to the gateway's admin hatch. It does not wait for a gateway to be there.
func DialAdmin(ctx context.Context, path string) (*Admin, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(conn)
	return &Admin{client: c, rpc: lockpb.NewAdminClient(c)}, nil
}

// Close ends the connection.
func (a *Admin) Close() error { return a.client.Close() }

// Status tells how the gateway is.
func (a *Admin) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	p, err := a.rpc.Status(ctx, &lockpb.Empty{})
	if err != nil {
		return Status{}, fmt.Errorf("ipc: status: %w", err)
	}
	return StatusOf(p), nil
}

// List tells who holds what.
func (a *Admin) List(ctx context.Context, f lock.Filter) (lock.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	s, err := listOver(ctx, a.rpc.List, f)
	if err != nil {
		return s, fmt.Errorf("ipc: list: %w", err)
	}
	return s, nil
}

// Sessions lists the SMB sessions.
func (a *Admin) Sessions(ctx context.Context) ([]Session, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	var all []Session
	err := stream(ctx, a.rpc.Sessions, &lockpb.Empty{}, func(p *lockpb.SessionList) { all = append(all, each(p.Sessions, SessionOf)...) })
	if err != nil {
		return nil, fmt.Errorf("ipc: sessions: %w", err)
	}
	return all, nil
}

// EndGrace ends the grace period now; what nobody reclaimed is dropped.
func (a *Admin) EndGrace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	if _, err := a.rpc.EndGrace(ctx, &lockpb.Empty{}); err != nil {
		return fmt.Errorf("ipc: end grace: %w", err)
	}
	return nil
}

// Break takes away what r selects and returns it.
func (a *Admin) Break(ctx context.Context, r BreakRequest) (lock.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	s, err := a.rpc.Break(ctx, BreakRequestPB(r))
	if err != nil {
		return lock.Snapshot{}, fmt.Errorf("ipc: break: %w", err)
	}
	list, err := receiveSnapshot(s.Recv)
	if err != nil {
		return list, fmt.Errorf("ipc: break: %w", err)
	}
	return list, nil
}

// Denials are the latest requests that were refused, the latest last.
func (a *Admin) Denials(ctx context.Context, f lock.Filter) ([]lock.Denial, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	var all []lock.Denial
	err := stream(ctx, a.rpc.Denials, FilterPB(f), func(p *lockpb.DenialList) { all = append(all, each(p.Denials, denialOf)...) })
	if err != nil {
		return nil, fmt.Errorf("ipc: denials: %w", err)
	}
	return all, nil
}

// Hosts are the NFS clients on record.
func (a *Admin) Hosts(ctx context.Context) ([]Host, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	var all []Host
	err := stream(ctx, a.rpc.Hosts, &lockpb.Empty{}, func(p *lockpb.NSMState) { all = append(all, each(p.Hosts, hostOf)...) })
	if err != nil {
		return nil, fmt.Errorf("ipc: hosts: %w", err)
	}
	return all, nil
}

// Forget ends everything that a client holds, and returns how much it was.
func (a *Admin) Forget(ctx context.Context, c lock.Client) (held int, err error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	r, err := a.rpc.Forget(ctx, ClientPB(c))
	if err != nil {
		return 0, fmt.Errorf("ipc: forget: %w", err)
	}
	return int(r.Held), nil
}
