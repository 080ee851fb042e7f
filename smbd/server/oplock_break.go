package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// OPLOCK_BREAK: the notification, [MS-SMB2] 3.3.4.6 and 3.3.4.7, and the acknowledgement, 3.3.5.22.

// announceTime is how long a break waits for the CREATE response that names what is broken.
const announceTime = 5 * time.Second

// Broken sends the client of an open or lease the break that the counter decided, without waiting for it. It calls told when the break was
// written, or goes nowhere.
func (s *Server) Broken(b lock.Break, told func()) { s.broken(b, told) }

// broken is Broken by a connection that was not tried before.
func (s *Server) broken(b lock.Break, told func(), tried ...*conn) {
	o, routes := s.routes(b, tried)
	if o == nil {
		s.log.Debug("break of an open that is gone", "file", b.Key)
		told()
		return
	}
	for _, c := range routes {
		tried := append(tried[:len(tried):len(tried)], c)
		if c.notify(func() { o.announce(c, b, told, tried) }) {
			return
		}
	}
	s.log.Debug("break of an open whose client is away", "file", b.Key)
	told()
}

// routes finds the open that a break names, and the connections that it can go by: the open's own first, as [MS-SMB2] 3.3.4.6 has it.
func (s *Server) routes(b lock.Break, tried []*conn) (o *open, routes []*conn) {
	if b.Kind == lock.Oplock {
		o = s.opens.find(b.Open)
	} else if o = s.opens.lease(b.Client, b.LeaseKey); o == nil {
		o = s.opens.find(b.Open)
	}
	if o == nil {
		return nil, nil
	}
	routes = o.session.routes(o.conn)
	if b.Kind != lock.Oplock {
		routes = s.leaseRoutes(b.Client, routes)
	}
	return o, slices.DeleteFunc(routes, func(c *conn) bool { return slices.Contains(tried, c) })
}

// announce sends a break once the client knows the open.
func (o *open) announce(c *conn, b lock.Break, told func(), tried []*conn) {
	t := time.NewTimer(announceTime)
	defer t.Stop()
	select {
	case <-o.announced:
	case <-o.ended:
	case <-t.C:
	}
	if o.sendBreak(c, b) != nil {
		c.s.broken(b, told, tried...)
		return
	}
	told()
	c.follow(b, tried)
}

// leaseRoutes are the connections that lead to a lease's client, whichever of them its opens were made on: the oldest first, as the client
// expects from Windows. [MS-SMB2] 3.3.4.7.
func (s *Server) leaseRoutes(client lock.GUID, opens []*conn) []*conn {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	l := slices.DeleteFunc(all, func(c *conn) bool { return slices.Contains(opens, c) || !c.stands() || c.client != client })
	l = append(l, opens...)
	slices.SortFunc(l, func(a, b *conn) int { return cmp.Compare(a.number, b.number) })
	return l
}

// stands reports whether somebody is logged on.
func (c *conn) stands() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.sessions {
		if h.valid {
			return true
		}
	}
	return false
}

// sealing is a session of the connection whose key can encrypt.
func (c *conn) sealing() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.sessions {
		if h.valid && h.s.cipher != nil {
			return h.s
		}
	}
	return nil
}

func (o *open) sendBreak(c *conn, b lock.Break) error {
	h := smb2.Header{Command: smb2.OplockBreak, Flags: smb2.FlagServerToRedir, MessageID: smb2.BreakMessageID}
	msg := h.Append(make([]byte, 0, smb2.HeaderSize+44))
	if b.Kind == lock.Oplock {
		msg = (&smb2.OplockBreakNotification{OplockLevel: oplockLevel(b.To), FileID: o.id}).Append(msg)
	} else {
		n := smb2.LeaseBreakNotification{Key: smb2.LeaseKey(b.LeaseKey), CurrentState: smb2.LeaseState(b.From), NewState: smb2.LeaseState(b.To)}
		if b.Kind == lock.LeaseV2 {
			n.NewEpoch = b.Epoch
		}
		if b.AckRequired {
			n.Flags = smb2.NotifyBreakAckRequired
		}
		msg = n.Append(msg)
	}
	// It is not signed, and encrypted where the session is.
	var by *session
	if o.session.encrypt || o.tree.share.encrypts() {
		if by = o.session; !slices.Contains(o.session.routes(c), c) {
			by = c.sealing()
		}
		if by == nil {
			return ntstatus.AccessDenied // not in the clear
		}
	}
	return c.write(copied(msg), by)
}

func oplockBreak(ctx context.Context, r *request) (reply, error) {
	if smb2.IsLeaseBreak(r.msg) {
		return leaseAcknowledged(ctx, r)
	}
	var q smb2.OplockBreakAcknowledgement
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.kind != lock.Oplock:
		return nil, ntstatus.InvalidOplockProtocol
	case q.OplockLevel != smb2.OplockNone && q.OplockLevel != smb2.OplockII:
		return nil, ntstatus.InvalidParameter
	}
	out, err := r.session.s.locks.Acknowledge(ctx, lock.Ack{Client: o.owner.Client.GUID, Open: o.number, Keep: oplockRights(q.OplockLevel)})
	switch {
	case err != nil:
		return nil, err
	case out == lock.Late, out == lock.Stale:
		return nil, ntstatus.InvalidOplockProtocol // [MS-SMB2] 3.3.5.22.1
	case out != lock.Granted:
		return nil, ackRefused(out)
	}
	return &smb2.OplockBreakResponse{OplockLevel: q.OplockLevel, FileID: o.id}, nil
}

func leaseAcknowledged(ctx context.Context, r *request) (reply, error) {
	var q smb2.LeaseBreakAcknowledgement
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	out, err := r.session.s.locks.Acknowledge(ctx, lock.Ack{Client: r.chain.c.client, LeaseKey: lock.GUID(q.Key), Keep: lock.Rights(q.State)})
	if err != nil {
		return nil, err
	}
	if out != lock.Granted {
		return nil, ackRefused(out)
	}
	return &smb2.LeaseBreakResponse{Key: q.Key, State: q.State}, nil
}
