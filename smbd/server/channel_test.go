package server

import (
	"runtime"
	"testing"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// bound makes p's session reachable over one more connection.
func (p *peer) bound(t *testing.T) *peer {
	t.Helper()
	q := p.s.dial(t, smb2.Dialect311)
	h, err := q.conn.newChannel(p.s.session(p.h.SessionID))
	if err != nil {
		t.Fatal(err)
	}
	h.stand()
	q.h = p.h
	return q
}

// A session is one over all its channels: trees, opens and notifications; and it lasts as long as one of them. [MS-SMB2] 3.3.1.14, 3.3.7.1.
func TestChannels(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	q := p.bound(t)
	var a smb2.CreateResponse
	create := opening("file", smb2.FileOpenIf)
	create.RequestedOplockLevel = smb2.OplockExclusive
	p.do(smb2.Create, create, &a)
	q.do(smb2.Write, &smb2.WriteRequest{FileID: a.FileID, Data: []byte("abc")}, &smb2.WriteResponse{})

	// The connection that the open was made on is gone: the break goes over the other one.
	p.nc.Close()
	for c := p.conn; ; {
		s.Server.mu.Lock()
		_, there := s.conns[c]
		s.Server.mu.Unlock()
		if !there {
			break
		}
		q.do(smb2.Echo, &smb2.EchoRequest{}, &smb2.EchoResponse{})
	}
	var key lock.Key
	var number uint64
	s.counter.mu.Lock()
	for n, o := range s.counter.opens {
		number, key = n, o.Key
	}
	s.counter.mu.Unlock()
	s.Broken(lock.Break{Kind: lock.Oplock, Open: number, Key: key, To: lock.R}, func() {})
	if h, _ := q.receive(); h.Command != smb2.OplockBreak {
		t.Errorf("over the other channel: %v", &h)
	}
	q.do(smb2.Read, &smb2.ReadRequest{FileID: a.FileID, Length: 3}, &smb2.ReadResponse{})
	if n := s.held(); n != 1 {
		t.Errorf("%d opens are held", n)
	}
	q.nc.Close()
	q.gone()
	for s.session(p.h.SessionID) != nil { // the last channel is gone
		runtime.Gosched()
	}
}

// LOGOFF on one channel ends the session on all of them.
func TestLogoffOnOneChannel(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	q := p.bound(t)
	q.do(smb2.Logoff, &smb2.LogoffRequest{}, &smb2.LogoffResponse{})
	p.fails(ntstatus.UserSessionDeleted, smb2.Create, opening("file", smb2.FileOpenIf))
	q.fails(ntstatus.UserSessionDeleted, smb2.Create, opening("file", smb2.FileOpenIf))
}

// Only a session's own user may bind it, and only with what it has agreed on. [MS-SMB2] 3.3.5.5.
func TestMayBind(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	q := s.dial(t, smb2.Dialect311)
	old := s.dial(t, smb2.Dialect210)
	h, _ := p.conn.channel(p.h.SessionID)
	ask := func(c *conn, flags smb2.Flags, change func(r *request)) error {
		r := &request{chain: newChain(c, nil), session: h.s}
		r.Flags, r.SessionID = flags, h.s.id
		if change != nil {
			change(r)
		}
		err := r.mayBind()
		if err == nil {
			r.channel.leave(t.Context())
		}
		return err
	}
	q.conn.ours |= smb2.CapMultiChannel
	protect := p.protect(t, "signed")
	h.s.first.signing = protect.signer.Algorithm()
	q.conn.signing = h.s.first.signing
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"as it should be", ask(q.conn, smb2.FlagSigned, nil), nil},
		{"not signed", ask(q.conn, 0, nil), ntstatus.InvalidParameter},
		{"no session", ask(q.conn, smb2.FlagSigned, func(r *request) { r.session = nil }), ntstatus.UserSessionDeleted},
		{"session 0", ask(q.conn, smb2.FlagSigned, func(r *request) { r.SessionID = 0 }), ntstatus.InvalidParameter},
		{"bound already", ask(p.conn, smb2.FlagSigned, func(r *request) { r.channel = h; p.conn.ours |= smb2.CapMultiChannel }), ntstatus.RequestNotAccepted},
		{"another algorithm", ask(old.conn, smb2.FlagSigned, nil), ntstatus.RequestOutOfSequence},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	identity := newIdentity(h.s.identity.Load().user, false)
	identity.user.Name = "bob"
	b, err := q.conn.newChannel(h.s)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.bind(t.Context(), identity, make([]byte, 16)); err != ntstatus.AccessDenied {
		t.Errorf("another user: %v", err)
	}
	if _, valid := q.conn.channel(h.s.id); valid || h.s.ended {
		t.Error("a binding that failed leaves a channel, or ends the session")
	}
}

// A CREATE that can be sent again outlives its connection while the session has another one, where the repetition finds it under way; any
// other is cancelled, and so is every one with the session's last channel. [MS-SMB2] 3.3.7.1.
func TestCreateOutlivesChannel(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	q := p.bound(t)
	asked := make(chan lock.OpenRequest, 4)
	s.onOpen = func(r lock.OpenRequest) (lock.OpenResult, bool) {
		if r.Path == "again" {
			s.counter.opens[r.Open] = r
		}
		asked <- r
		return lock.OpenResult{Outcome: lock.Blocked}, true
	}
	again := opening("again", smb2.FileOpenIf)
	again.Contexts.DurableRequestV2 = &smb2.DurableRequestV2{CreateGUID: [16]byte{1}}
	for _, c := range []*smb2.CreateRequest{again, opening("once", smb2.FileOpenIf)} {
		if h, _ := p.ask(smb2.Create, c); h.Status != ntstatus.Pending {
			t.Fatalf("create: %v", &h)
		}
	}
	first := <-asked
	once := <-asked
	p.nc.Close()
	for n := 0; n == 0; runtime.Gosched() { // what cannot be sent again is cancelled
		s.counter.mu.Lock()
		n = len(s.cancels)
		s.counter.mu.Unlock()
	}
	s.counter.mu.Lock()
	if s.cancels[0] != once.Ticket || len(s.cancels) != 1 {
		t.Errorf("cancelled: %v, want %d", s.cancels, once.Ticket)
	}
	s.counter.mu.Unlock()

	replay := func() smb2.Header {
		q.send(q.message(smb2.Create, again, smb2.FlagReplayOperation))
		h, _ := q.receive()
		return h
	}
	if h := replay(); h.Status != ntstatus.FileNotAvailable {
		t.Errorf("while it is under way: %v", &h)
	}
	s.locks.Deliver(lock.Answer{Ticket: first.Ticket, Outcome: lock.Granted})
	h := replay()
	for ; h.Status == ntstatus.FileNotAvailable; h = replay() {
	}
	if h.Status != 0 {
		t.Errorf("when it is done: %v", &h)
	}
}
