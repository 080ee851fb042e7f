package server

import (
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// Responses, [MS-SMB2] 3.3.4.1.

// reply is what a handler answers with: a body of chapter 2.2, or for READ a packet, the whole message with room for the header.
type reply interface{ Append(b []byte) []byte }

// newMessage is a message with a body of chapter 2.2.
func newMessage(h *smb2.Header, body reply) *packet {
	p := newResponse(0)
	return p.put(body.Append(h.Append(p.msg)))
}

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
	out, whole := body.(*packet)
	if whole {
		h.Append(out.msg[:0])
	} else {
		out = newMessage(&h, body)
	}
	return response{out: out, sign: signer, seal: sealer, hash: r.preauth(st), then: r.after}
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
		s != nil && s.cipher != nil && r.tree != nil && r.tree.share.encrypts():
		return s
	}
	return nil
}
