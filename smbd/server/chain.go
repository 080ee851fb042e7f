package server

import (
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
	in       *packet // the frame
	load     load
	pended   bool
	alone    bool // NEGOTIATE and SESSION_SETUP: what follows depends on them
	requests []*request
	sealed   *session // whose cipher opened the frame
	orphan   bool     // the first request claims to be related to something before it

	turn   uint64 // on the connection's field
	fatal  error  // ends the connection
	adrift bool   // its connection is lost, its session goes on

	// What related requests take over from the one before.
	session uint64
	tree    uint32
	open    *smb2.FileID
	failed  error // of the CREATE
	bare    bool  // there was no session

	done []response // built, not yet sent

	// Room for what most frames are: one request and its response.
	only    request
	pend    func() // only.pend
	onlyOne [1]*request
	onlyID  smb2.FileID
	answer  [1]response
	written smb2.WriteResponse
}

// request is one command, [MS-SMB2] 3.3.1.12.
type request struct {
	smb2.Header
	life    life
	chain   *chain
	msg     []byte
	last    bool
	session *session
	channel *channel // of the session on this connection
	tree    *tree
	pinned  *open
	after   []func()      // once the response has been sent
	counted bool          // among its open's, by its ChannelSequence
	asyncID uint64        // not 0: an interim response went out
	owing   *open         // whose CLOSE is answered after this
	watches chan struct{} // of a CHANGE_NOTIFY that waits: closed when it is answered; with conn.mu held
	repeats bool          // the client can send it again over another channel; with conn.mu held
}

// response is a message that is ready but for its place in the compound.
type response struct {
	out  *packet
	sign seal.Signer
	seal *session
	hash *seal.Preauth // takes the message as it leaves
	then []func()
}

var chains sync.Pool

func newChain(c *conn, in *packet) *chain {
	ch, _ := chains.Get().(*chain)
	if ch == nil {
		ch = &chain{}
		ch.pend = ch.only.pend
	}
	ch.c, ch.in = c, in
	return ch
}

// request adds a request.
func (ch *chain) request(msg []byte) *request {
	r := &ch.only
	if len(ch.requests) == 0 {
		ch.requests = append(ch.onlyOne[:0], r)
	} else {
		r = &request{}
		ch.requests = append(ch.requests, r)
	}
	r.chain, r.msg = ch, msg
	return r
}

// drop takes the last request away.
func (ch *chain) drop(r *request) {
	ch.requests = ch.requests[:len(ch.requests)-1]
	if r == &ch.only {
		*r = request{}
	}
}

// release gives the chain back. READ and WRITE keep nothing of it, so that it serves again.
func (ch *chain) release() {
	if len(ch.requests) != 1 || ch.only.Command != smb2.Read && ch.only.Command != smb2.Write {
		return
	}
	ch.in.free()
	pend := ch.pend
	*ch = chain{pend: pend}
	chains.Put(ch)
}

// stop ends the request's wait; why is what it answers then.
func (r *request) stop(why error) { r.life.stop(why) }

// proceed lets the next requests of the connection begin.
func (r *request) proceed() {
	if ch := r.chain; r.last {
		ch.c.field.pass(ch.turn)
	}
}

// moving is proceed where from here on n bytes are moved.
func (r *request) moving(n int) {
	if ch := r.chain; r.last {
		ch.c.field.moving(ch.turn, n)
	}
}

// run answers the requests in turn. The responses of a compound leave as one frame, [MS-SMB2] 3.3.4.1.3.
func (ch *chain) run() {
	c := ch.c
	all := &c.running
	defer func() { all.Done() }()
	for i, r := range ch.requests {
		r.last = i == len(ch.requests)-1
		resp, err := c.dispatch(&r.life, r)
		if err != nil && errors.As(err, new(errProtocol)) {
			ch.fatal = err
			c.broke(err)
			c.forget(r)
			ch.done = nil
			break
		}
		if ch.done == nil {
			ch.done = ch.answer[:0]
		}
		ch.done = append(ch.done, r.answer(resp, err))
		c.forget(r)
	}
	ch.flush()
	for _, r := range ch.requests {
		if r.watches != nil {
			close(r.watches)
		}
		if r.owing != nil {
			r.owing.owed.Done()
		}
	}
	c.flight.leave(ch.load, ch.pended)
	if ch.adrift {
		all = &c.adrift
		r := ch.requests[len(ch.requests)-1]
		r.session.landed(r)
	}
}

// flush sends the responses that are ready.
func (ch *chain) flush() {
	sent := ch.done
	if len(sent) == 0 {
		return
	}
	ch.done = nil
	var sealBy *session
	for i := range sent {
		d := &sent[i]
		if len(sent) > 1 {
			d.out = d.out.put(wire.Pad(d.out.msg, 0, 8)) // the last one too, as clients expect
		}
		if i < len(sent)-1 {
			wire.Put32(d.out.msg[smb2.OffsetNextCommand:], uint32(len(d.out.msg)))
		}
		if d.seal != nil {
			sealBy = d.seal
		} else if d.sign != nil {
			d.sign.Sign(d.out.msg)
		}
		if d.hash != nil {
			d.hash.Update(d.out.msg)
		}
	}
	ch.c.write(joined(sent), sealBy)
	for _, d := range sent {
		for _, f := range d.then {
			f()
		}
	}
}

// joined is the responses as one message.
func joined(list []response) *packet {
	out := list[0].out
	for _, d := range list[1:] {
		out = out.put(append(out.msg, d.out.msg...))
		d.out.free()
	}
	return out
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
	if r.owing = r.pinned; r.owing != nil {
		r.owing.owed.Add(1)
	}
	ch.flush()
	r.asyncID = c.async.Add(1)
	c.mu.Lock()
	c.pending[r.asyncID] = r
	if r.Command == smb2.ChangeNotify {
		r.watches = make(chan struct{})
	}
	c.mu.Unlock()
	h := smb2.Header{
		CreditCharge: r.CreditCharge, Status: ntstatus.Pending, Command: r.Command, Credits: c.credits.grant(r.Credits),
		Flags: smb2.FlagServerToRedir | smb2.FlagAsyncCommand, MessageID: r.MessageID, AsyncID: r.asyncID, SessionID: r.SessionID,
	}
	c.write(newMessage(&h, &smb2.ErrorResponse{}), r.sealFor()) // an interim response is not signed, [MS-SMB2] 3.3.4.1.1
	r.proceed()
}

// pendFunc is pend as a value.
func (r *request) pendFunc() func() {
	if r == &r.chain.only {
		return r.chain.pend
	}
	return r.pend
}
