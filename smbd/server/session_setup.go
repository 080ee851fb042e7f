package server

import (
	"context"
	"errors"
	"time"

	"dittofs/smbd/auth"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// SESSION_SETUP, [MS-SMB2] 3.3.5.5.

func sessionSetup(ctx context.Context, r *request) (reply, error) {
	var q smb2.SessionSetupRequest
	c := r.chain.c
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	if c.s.cfg.Settings.SMB.Encryption == "required" && c.cipher == 0 {
		return nil, ntstatus.AccessDenied
	}
	binding := q.Flags&smb2.SessionSetupFlagBinding != 0
	switch {
	case binding:
		if err := r.mayBind(); err != nil {
			return nil, err
		}
	case r.SessionID == 0:
		h, err := c.newSession()
		if err != nil {
			return nil, err
		}
		r.channel, r.session, r.SessionID = h, h.s, h.s.id
	case r.channel == nil:
		r.session = nil // it belongs to other connections, and answers nobody here
		return nil, ntstatus.UserSessionDeleted
	}
	h := r.channel
	if !h.valid {
		h.preauth.Update(r.msg)
	}
	if h.acceptor == nil {
		h.acceptor = auth.NewAcceptor(c.s.authConfig())
	}
	token, done, err := h.acceptor.Accept(q.SecurityBuffer)
	if err != nil {
		return nil, h.refuse(ctx, err)
	}
	if !done {
		return &smb2.SessionSetupResponse{SecurityBuffer: token}, ntstatus.MoreProcessingRequired
	}
	user, key, anonymous := h.acceptor.Result()
	who := newIdentity(user, anonymous)
	who.until, h.acceptor = h.acceptor.Until(), nil
	switch s := h.s; {
	case binding:
		err = h.bind(ctx, who, key)
	case h.valid:
		err = s.again(who)
	default:
		if err = h.admit(&q, who, key); err != nil {
			h.leave(ctx)
		} else if q.PreviousSessionID != 0 && q.PreviousSessionID != s.id {
			c.s.supersede(ctx, q.PreviousSessionID, s)
		}
	}
	if err != nil {
		return nil, err
	}
	h.s.s.reports.add(ctx, h.s, false)
	return &smb2.SessionSetupResponse{SessionFlags: h.s.flags(), SecurityBuffer: token}, nil
}

// refuse ends a logon that failed: the client learns STATUS_LOGON_FAILURE, the administrator why. A session that does not prove again
// who it is ends, but not because one more connection wants to be bound to it.
func (h *channel) refuse(ctx context.Context, err error) error {
	h.acceptor = nil
	st, user, reason := ntstatus.LogonFailure, "", err.Error()
	var e *auth.Error
	if errors.As(err, &e) {
		user = e.User
		if e.Reason == auth.Malformed {
			st = ntstatus.InvalidParameter
		}
	}
	delay := h.c.s.visitors.failed(h.c.from, time.Now())
	h.c.log.Warn("logon refused", "user", user, "reason", reason, "delay", delay)
	h.c.s.metrics.refused.Inc()
	select {
	case <-time.After(delay): // meanwhile the connection reads nothing
	case <-ctx.Done():
	}
	if h.valid {
		h.s.end(ctx)
	} else {
		h.leave(ctx)
	}
	return st
}

// admit makes the session valid: keys, and as whom it acts. [MS-SMB2] 3.3.5.5.3.
func (h *channel) admit(q *smb2.SessionSetupRequest, who *identity, key []byte) error {
	s, c := h.s, h.c
	s.identity.Store(who)
	s.since = time.Now()
	if !who.anonymous {
		keys := seal.Derive(uint16(c.dialect), c.cipher, key, &h.preauth)
		var err error
		if s.signer, err = seal.NewSigner(c.signing, keys.Signing); err != nil {
			return err
		}
		h.signer = s.signer
		if c.cipher != 0 {
			if s.cipher, err = seal.NewCipher(c.cipher, keys.Encrypt, keys.Decrypt, s.id); err != nil {
				return err
			}
			e := c.s.cfg.Settings.SMB.Encryption
			s.encrypt = e == "desired" || e == "required"
		}
		s.signingRequired = (c.s.securityMode()|c.clientMode|q.SecurityMode)&smb2.SigningRequired != 0
	}
	s.valid.Store(true)
	h.stand()
	c.log.Info("session", "user", s.who(), "id", s.id, "dialect", c.describe(), "encrypted", s.encrypt)
	return nil
}

// again is reauthentication of a valid session: from now on it acts as the new user. Keys, trees and opens stay. [MS-SMB2] 3.3.5.5.2.
func (s *session) again(who *identity) error {
	if s.signer == nil && !who.anonymous {
		return ntstatus.NotSupported // an anonymous session has no keys, and so cannot become a user's
	}
	if before := s.identity.Swap(who); before.user.Name != who.user.Name {
		s.log.Info("session goes over to another user", "id", s.id, "from", before.user.Name, "to", s.who())
	}
	return nil
}

// preauth is the hash that the response to a message of the logon goes into: of NEGOTIATE both messages do, of SESSION_SETUP all but the
// last response. [MS-SMB2] 3.3.5.4, 3.3.5.5.
func (r *request) preauth(st ntstatus.Status) *seal.Preauth {
	c := r.chain.c
	switch {
	case c.dialect != smb2.Dialect311:
	case r.Command == smb2.Negotiate && st == ntstatus.Success:
		c.preauth.Update(r.msg)
		return &c.preauth
	case r.Command == smb2.SessionSetup && st == ntstatus.MoreProcessingRequired && r.channel != nil && !r.channel.valid:
		return &r.channel.preauth
	}
	return nil
}
