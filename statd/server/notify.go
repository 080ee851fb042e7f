package server

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
	"dittofs/statd/nsm"
)

// notify is SM_NOTIFY from a host that was started anew. Anybody can send one, so the counter frees locks only for a monitored name, from
// that host's own address, with a higher state; and a registrant is told only what comes from an address of the host it asked for.
func (s *Server) notify(ctx context.Context, c *oncrpc.Call, a *nsm.Change) (*xdr.Void, error) {
	from := c.Remote.Addr()
	tctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	freed, err := s.cfg.Gateway.Notified(tctx, a.Name, from.String(), a.State)
	if err != nil {
		s.log.Warn("SM_NOTIFY: the gateway is away", "host", a.Name, "from", from, "err", err)
		return nil, oncrpc.ErrNoReply // the host will say it again
	}
	s.metrics.notified.Inc()
	if freed {
		s.log.Info("host was started anew, its locks are free", "host", a.Name, "from", from, "state", a.State)
	} else {
		s.log.Debug("SM_NOTIFY frees nothing", "host", a.Name, "from", from, "state", a.State)
	}
	if s.cfg.Store.Len() > 0 {
		change := *a
		s.later(func(ctx context.Context) { s.tell(ctx, from, change) })
	}
	return &xdr.Void{}, nil
}

// tell calls the registrants that asked for the host at this address.
func (s *Server) tell(ctx context.Context, from netip.Addr, a nsm.Change) {
	for _, r := range s.cfg.Store.List() {
		if !s.at(ctx, r.ID.Name, from) {
			continue
		}
		s.mu.Lock()
		known, ok := s.seen[r.ID]
		s.seen[r.ID] = a.State
		s.mu.Unlock()
		if ok && known == a.State {
			continue
		}
		s.later(func(ctx context.Context) { s.callBack(ctx, r, a.State) })
	}
}

// at reports whether name is the host at addr.
func (s *Server) at(ctx context.Context, name string, addr netip.Addr) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap() == addr
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
	defer cancel()
	as, err := s.cfg.Resolve(ctx, name)
	return err == nil && slices.ContainsFunc(as, func(a netip.Addr) bool { return a.Unmap() == addr })
}

// callBack tells one registrant on this host, by its own procedure, with the bytes that it left.
func (s *Server) callBack(ctx context.Context, r Registration, state int32) {
	home := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	args := &nsm.Status{Name: r.ID.Name, State: state, Priv: r.Priv}
	end := time.Now().Add(s.cfg.GiveUp)
	for wait := s.cfg.FirstRetry; ; wait = min(2*wait, s.cfg.LastRetry) {
		err := s.call(ctx, home, r.ID.My.Program, r.ID.My.Version, func(ctx context.Context, c *oncrpc.Client) error {
			return c.Call(ctx, r.ID.My.Program, r.ID.My.Version, r.ID.My.Proc, oncrpc.Cred{}, args, &xdr.Void{})
		})
		if err == nil {
			return
		}
		if time.Now().After(end) || ctx.Err() != nil {
			s.log.Warn("registrant does not answer", "host", r.ID.Name, "program", r.ID.My.Program, "err", err)
			return
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// call finds the program at host through its rpcbind, over UDP and then TCP, and has do call it.
func (s *Server) call(ctx context.Context, host netip.Addr, program, version uint32, do func(context.Context, *oncrpc.Client) error) (err error) {
	for _, network := range []string{"udp", "tcp"} {
		err = func() error {
			ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
			defer cancel()
			at, err := s.cfg.Lookup(ctx, host, netip.Addr{}, program, version, network)
			if err != nil {
				return err
			}
			c, err := oncrpc.Dial(ctx, network, at.String())
			if err != nil {
				return err
			}
			defer c.Close()
			return do(ctx, c)
		}()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}
