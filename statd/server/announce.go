package server

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
	"dittofs/statd/nsm"
)

// announceAll looks for a state of the gateway that was not announced, and announces it. The hosts that were not reached yet stand on disk,
// so that the next statd goes on where this one was killed. Failing to reach a host frees nothing.
func (s *Server) announceAll(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := func() {}
	defer func() { stop() }()
	first, epoch := true, uint64(0)
	for ; ctx.Err() == nil; pause(ctx, s.cfg.Poll) {
		now := s.cfg.Gateway.Epoch()
		if !first && now == epoch {
			continue
		}
		n, err := s.cfg.Gateway.NSM(ctx)
		if err != nil {
			continue
		}
		first, epoch = false, now
		s.state.Store(n.State)
		a := s.cfg.Store.Announced()
		if a.State != n.State {
			a = Announcement{State: n.State, Pending: s.hosts(n.Hosts)}
			if err := s.cfg.Store.Announce(a); err != nil {
				s.log.Error("announcement not stored", "err", err)
			}
		}
		stop() // of an older state
		wg.Wait()
		actx, cancel := context.WithCancel(ctx)
		stop = cancel
		if len(a.Pending) > 0 {
			s.log.Info("announcing", "state", a.State, "hosts", len(a.Pending))
		}
		wg.Go(func() { s.announce(actx, a) })
	}
}

// maxAnnouncing bounds how many hosts are called at once.
const maxAnnouncing = 64

func (s *Server) announce(ctx context.Context, a Announcement) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxAnnouncing)
	for _, h := range a.Pending {
		wg.Go(func() {
			if s.announceTo(ctx, slots, h, a.State) {
				if err := s.cfg.Store.Reached(a.State, h); err != nil {
					s.log.Error("announcement not stored", "err", err)
				}
			}
		})
	}
}

// announceTo sends SM_NOTIFY to one host until it answers. It reports whether the host is done with: reached, or given up.
func (s *Server) announceTo(ctx context.Context, slots chan struct{}, h Target, state int32) bool {
	end := time.Now().Add(s.cfg.GiveUp)
	for wait := s.cfg.FirstRetry; ; wait = min(2*wait, s.cfg.LastRetry) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		err := s.sendNotify(ctx, h, state)
		<-slots
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			s.metrics.announced.Inc()
			s.log.Info("host was told of our state", "host", h.Name, "address", h.Address, "state", state)
			return true
		case time.Now().After(end):
			s.log.Warn("host was not reached: it may hold locks that it does not know to be in question", "host", h.Name, "address", h.Address, "err", err)
			return true
		}
		if !pause(ctx, wait) {
			return false
		}
	}
}

// sendNotify makes one try. A host knows us by the name or by the address that it mounted from, so both are told.
func (s *Server) sendNotify(ctx context.Context, h Target, state int32) error {
	addr, err := netip.ParseAddr(h.Address)
	if err != nil {
		rctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
		defer cancel()
		as, err := s.cfg.Resolve(rctx, h.Name)
		if err != nil {
			return err
		}
		if len(as) == 0 {
			return fmt.Errorf("%s has no address", h.Name)
		}
		addr = as[0]
	}
	return s.call(ctx, addr.Unmap(), nsm.Program, nsm.Version, func(ctx context.Context, c *oncrpc.Client) error {
		for _, name := range []string{s.cfg.Name, c.LocalAddr().Addr().WithZone("").String()} {
			if err := c.Call(ctx, nsm.Program, nsm.Version, nsm.ProcNotify, oncrpc.Cred{}, &nsm.Change{Name: name, State: state}, &xdr.Void{}); err != nil {
				return err
			}
		}
		return nil
	})
}
