package server

import (
	"context"
	"fmt"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// admit turns a frame into the requests that it holds. [MS-SMB2] 3.3.5.2. A nil chain without error needs no answer.
func (c *conn) admit(in *packet) (*chain, error) {
	var sealed *session
	frame := in.msg
	if seal.IsTransform(frame) {
		id, ok := seal.TransformSession(frame)
		if !ok {
			return nil, errProtocol("a TRANSFORM_HEADER that ends early")
		}
		// [MS-SMB2] 3.3.5.2.1.1: whoever cannot be deciphered is cut off.
		h, valid := c.channel(id)
		if !valid || h.s.cipher == nil {
			return nil, errProtocol(fmt.Sprintf("encrypted for session %#x, which has no key", id))
		}
		sealed = h.s
		plain, err := sealed.cipher.OpenInPlace(frame)
		if err != nil {
			return nil, errProtocol(err.Error())
		}
		frame = plain
	}
	if smb2.Is(frame, smb2.ProtocolSMB1) {
		return nil, c.negotiateSMB1(frame, sealed)
	}
	ch := newChain(c, in)
	ch.sealed, ch.load.bytes = sealed, uint64(len(frame))
	for i, rest := 0, frame; i == 0 || rest != nil; i++ {
		msg, after, err := smb2.First(rest)
		if err != nil {
			return nil, errProtocol(err.Error())
		}
		rest = after
		r := ch.request(msg)
		if err := r.Header.Parse(msg); err != nil {
			return nil, errProtocol(err.Error())
		}
		if r.Flags&smb2.FlagServerToRedir != 0 {
			return nil, errProtocol("a response from a client")
		}
		if i == 0 && r.Flags&smb2.FlagRelatedOperations != 0 {
			ch.orphan = true
		}
		if r.Command == smb2.Cancel {
			c.cancel(r)
			ch.drop(r)
			continue
		}
		charge := uint16(1)
		if c.ours&smb2.CapLargeMTU != 0 {
			charge = r.CreditCharge
		}
		// [MS-SMB2] 3.3.5.2.3: an id outside the window, or a second time, ends the connection.
		if !c.credits.take(r.MessageID, charge) {
			return nil, errProtocol(fmt.Sprintf("message id %d is not in the window", r.MessageID))
		}
		if c.dialect == 0 && r.Command != smb2.Negotiate {
			return nil, errProtocol("a request before NEGOTIATE")
		}
		ch.load.credits += int(max(charge, 1))
		if r.Command != smb2.Write && r.Command != smb2.SetInfo {
			ch.load.bytes += min(payload(r.Command, msg), largeTransfer)
		}
		ch.alone = ch.alone || r.Command == smb2.Negotiate || r.Command == smb2.SessionSetup
	}
	if len(ch.requests) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	for _, r := range ch.requests {
		c.requests[r.MessageID] = r
		if c.ended {
			r.life.stop(context.Canceled)
		}
	}
	c.mu.Unlock()
	return ch, nil
}

// cancel is CANCEL, [MS-SMB2] 3.3.5.16: it names a request and gets no answer of its own. Implementation specific: a CHANGE_NOTIFY, which
// waits for nobody but its client then, is answered before what comes after the CANCEL.
func (c *conn) cancel(r *request) {
	if h, valid := c.channel(r.SessionID); valid && r.chain.sealed == nil && h.signer != nil && r.Flags&smb2.FlagSigned != 0 && !h.signer.Verify(r.msg) {
		return
	}
	c.mu.Lock()
	q := c.requests[r.MessageID]
	if r.Flags&smb2.FlagAsyncCommand != 0 {
		q = c.pending[r.AsyncID]
	}
	var watches chan struct{}
	if q != nil && q.SessionID == r.SessionID {
		q.stop(ntstatus.Cancelled)
		watches = q.watches
	}
	c.mu.Unlock()
	if watches != nil {
		<-watches
	}
}

// forget ends a request: nobody finds it any more.
func (c *conn) forget(r *request) {
	c.mu.Lock()
	if c.requests[r.MessageID] == r {
		delete(c.requests, r.MessageID)
	}
	delete(c.pending, r.asyncID)
	c.mu.Unlock()
}
