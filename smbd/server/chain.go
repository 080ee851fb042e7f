package server

import (
	"context"
	"errors"
	"sync"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// chain is one frame's requests: a compound of several, [MS-SMB2] 3.3.5.2.7, or one.
type chain struct {
	c        *conn
	load     load
	pended   bool
	alone    bool // NEGOTIATE and SESSION_SETUP: what follows depends on them
	requests []*request
	sealed   *session // whose cipher opened the frame
	orphan   bool     // the first request claims to be related to something before it

	moved chan struct{} // closed when the next frame's requests may begin
	once  sync.Once
	fatal error // ends the connection

	// What related requests take over from the one before.
	session uint64
	tree    uint32
	open    *smb2.FileID
	failed  error // of the CREATE
	bare    bool  // there was no session

	done []response // built, not yet sent
}

// request is one command, [MS-SMB2] 3.3.1.12.
type request struct {
	smb2.Header
	chain   *chain
	msg     []byte
	last    bool
	session *session
	channel *channel // of the session on this connection
	tree    *tree
	pinned  *open
	after   []func() // once the response has been sent
	asyncID uint64   // not 0: an interim response went out

	cancel  context.CancelCauseFunc
	context context.Context // of this request only; handlers get it as their argument
}

// response is a message that is ready but for its place in the compound.
type response struct {
	msg  []byte
	sign seal.Signer
	seal *session
	hash *seal.Preauth // takes the message as it leaves
	then []func()
}

func (r *request) ctx(parent context.Context) {
	r.context, r.cancel = context.WithCancelCause(parent)
}

// stop ends the request's wait; why is what it answers then.
func (r *request) stop(why error) { r.cancel(why) }

// proceed lets the next requests of the connection begin.
func (ch *chain) proceed() { ch.once.Do(func() { close(ch.moved) }) }

func (r *request) proceed() {
	if r.last {
		r.chain.proceed()
	}
}

// run answers the requests in turn. The responses of a compound leave as one frame, [MS-SMB2] 3.3.4.1.3.
func (ch *chain) run() {
	defer ch.proceed()
	defer func() { ch.c.flight.leave(ch.load, ch.pended) }()
	for i, r := range ch.requests {
		r.last = i == len(ch.requests)-1
		resp, err := ch.c.dispatch(r.context, r)
		if errors.As(err, new(errProtocol)) {
			ch.fatal = err
			ch.c.broke(err)
			ch.c.forget(r)
			return
		}
		ch.done = append(ch.done, r.answer(resp, err))
		ch.c.forget(r)
	}
	ch.flush()
}

// flush sends the responses that are ready.
func (ch *chain) flush() {
	if len(ch.done) == 0 {
		return
	}
	var out []byte
	var sealBy *session
	for i := range ch.done {
		d := &ch.done[i]
		if len(ch.done) > 1 {
			d.msg = wire.Pad(d.msg, 0, 8) // the last one too, as clients expect
		}
		if i < len(ch.done)-1 {
			wire.Put32(d.msg[20:], uint32(len(d.msg))) // NextCommand
		}
		if d.seal != nil {
			sealBy = d.seal
		} else if d.sign != nil {
			d.sign.Sign(d.msg)
		}
		if d.hash != nil {
			d.hash.Update(d.msg)
		}
		if len(ch.done) == 1 {
			out = d.msg
		} else {
			out = append(out, d.msg...)
		}
	}
	sent := ch.done
	ch.done = nil
	ch.c.write(out, sealBy)
	for _, d := range sent {
		for _, f := range d.then {
			f()
		}
	}
}

// pend tells the client that its request waits for others: STATUS_PENDING with an AsyncId, [MS-SMB2] 3.3.4.2. Inside a compound only the
// last request may answer apart; before it, the client simply waits.
func (r *request) pend() {
	if !r.last || r.asyncID != 0 {
		return
	}
	ch, c := r.chain, r.chain.c
	if !c.flight.pend(ch.load) {
		r.stop(ntstatus.InsufficientResources)
		return
	}
	ch.pended = true
	ch.flush()
	r.asyncID = c.async.Add(1)
	c.mu.Lock()
	c.pending[r.asyncID] = r
	c.mu.Unlock()
	h := smb2.Header{
		CreditCharge: r.CreditCharge, Status: ntstatus.Pending, Command: r.Command, Credits: c.credits.grant(r.Credits),
		Flags: smb2.FlagServerToRedir | smb2.FlagAsyncCommand, MessageID: r.MessageID, AsyncID: r.asyncID, SessionID: r.SessionID,
	}
	msg := h.Append(make([]byte, 0, 73))
	msg = (&smb2.ErrorResponse{}).Append(msg)
	c.write(msg, r.sealFor()) // an interim response is not signed, [MS-SMB2] 3.3.4.1.1
	ch.proceed()
}

// reply is what a handler answers with: a body of chapter 2.2, or for READ the whole message with room for the header.
type reply interface{ Append(b []byte) []byte }

// whole is a response whose header's place is already there.
type whole []byte

func (w whole) Append(b []byte) []byte { return append(b, w[smb2.HeaderSize:]...) }

// answer builds the response: handler's body, or an error's.
func (r *request) answer(body reply, err error) response {
	st := ntstatus.Of(err)
	c := r.chain.c
	h := smb2.Header{
		CreditCharge: r.CreditCharge, Status: st, Command: r.Command, MessageID: r.MessageID, SessionID: r.SessionID, TreeID: r.TreeID,
		Flags: smb2.FlagServerToRedir | r.Flags&(smb2.FlagRelatedOperations|smb2.FlagPriorityMask),
	}
	if r.asyncID != 0 {
		h.Flags |= smb2.FlagAsyncCommand
		h.AsyncID = r.asyncID
	} else {
		h.Credits = c.credits.grant(r.wants(st))
	}
	signer, sealer := r.signFor(st), r.sealFor()
	if r.Flags&smb2.FlagSigned != 0 && signer == nil && sealer == nil {
		// Implementation specific: what is refused before its signature can be looked at carries it back, as clients expect.
		h.Flags |= smb2.FlagSigned
		h.Signature = r.Signature
	}
	if body == nil {
		body = &smb2.ErrorResponse{}
	}
	var msg []byte
	if w, ok := body.(whole); ok {
		h.Append(w[:0])
		msg = w
	} else {
		msg = body.Append(h.Append(make([]byte, 0, 256)))
	}
	return response{msg: msg, sign: signer, seal: sealer, hash: r.preauth(st), then: r.after}
}

// wants is how many credits the client asks for. Before its logon has succeeded it gets one at a time.
func (r *request) wants(st ntstatus.Status) uint16 {
	if r.session == nil || r.Command == smb2.SessionSetup && st != ntstatus.Success {
		return 1
	}
	return r.Credits
}

// signFor says whose key signs the response: a signed request's, and the last SESSION_SETUP's always. Until a channel has a key of its
// own, the session's serves. [MS-SMB2] 3.3.4.1.1.
func (r *request) signFor(st ntstatus.Status) seal.Signer {
	s := r.session
	if s == nil || !s.valid.Load() || r.Flags&smb2.FlagSigned == 0 && (r.Command != smb2.SessionSetup || st != ntstatus.Success) {
		return nil
	}
	if r.channel != nil && r.channel.signer != nil {
		return r.channel.signer
	}
	return s.signer
}

// sealFor: what came encrypted is answered encrypted, and so is everything on a session or share that demands it. [MS-SMB2] 3.3.4.1.4.
func (r *request) sealFor() *session {
	s := r.session
	switch {
	case r.chain.sealed != nil:
		return r.chain.sealed
	case s != nil && s.cipher != nil && s.encrypt && r.Command != smb2.SessionSetup,
		s != nil && s.cipher != nil && r.tree != nil && r.tree.share.encrypt:
		return s
	}
	return nil
}
