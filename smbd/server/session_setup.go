package server

import (
	"context"
	"errors"
	"time"

	"dittofs/gateway/export"
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
	if q.Flags&smb2.SessionSetupFlagBinding != 0 {
		return nil, ntstatus.RequestNotAccepted // no MULTI_CHANNEL, [MS-SMB2] 3.3.5.5 step 4
	}
	if c.s.cfg.Settings.SMB.Encryption == "required" && c.cipher == 0 {
		return nil, ntstatus.AccessDenied
	}
	s := r.session
	if s == nil {
		var err error
		if s, err = c.newSession(); err != nil {
			return nil, err
		}
		r.session, r.SessionID = s, s.id
	}
	if !s.valid {
		s.preauth.Update(r.msg)
	}
	if s.acceptor == nil {
		s.acceptor = auth.NewAcceptor(c.s.authConfig())
	}
	token, done, err := s.acceptor.Accept(q.SecurityBuffer)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	if !done {
		return &smb2.SessionSetupResponse{SecurityBuffer: token}, ntstatus.MoreProcessingRequired
	}
	if s.valid {
		return s.again(ctx, token)
	}
	if err := s.admit(&q); err != nil {
		s.leave(ctx)
		return nil, err
	}
	if q.PreviousSessionID != 0 && q.PreviousSessionID != s.id {
		c.s.supersede(ctx, q.PreviousSessionID, s)
	}
	c.nc.SetReadDeadline(time.Time{})
	c.log.Info("session", "user", s.who(), "id", s.id, "dialect", c.describe(), "encrypted", s.encrypt)
	s.report(ctx, false)
	return &smb2.SessionSetupResponse{SessionFlags: s.flags(), SecurityBuffer: token}, nil
}

// refuse ends a logon that failed: the client learns STATUS_LOGON_FAILURE, the administrator why.
func (s *session) refuse(ctx context.Context, err error) error {
	s.acceptor = nil
	user, reason := "", err.Error()
	var e *auth.Error
	if errors.As(err, &e) {
		user = e.User
	}
	s.c.log.Warn("logon refused", "user", user, "reason", reason)
	s.s.metrics.refused.Inc()
	s.leave(ctx)
	return ntstatus.LogonFailure
}

// admit makes the session valid: keys, and as whom it acts. [MS-SMB2] 3.3.5.5.3.
func (s *session) admit(q *smb2.SessionSetupRequest) error {
	c := s.c
	user, key, anonymous := s.acceptor.Result()
	s.acceptor = nil
	s.user, s.anonymous, s.since = user, anonymous, time.Now()
	s.cred = export.Cred{UID: user.UID, GID: user.GID, Groups: user.Groups}
	if !anonymous {
		keys := seal.Derive(uint16(c.dialect), c.cipher, key, &s.preauth)
		var err error
		if s.signer, err = seal.NewSigner(c.signing, keys.Signing); err != nil {
			return err
		}
		if c.cipher != 0 {
			if s.cipher, err = seal.NewCipher(c.cipher, keys.Encrypt, keys.Decrypt, s.id); err != nil {
				return err
			}
			e := c.s.cfg.Settings.SMB.Encryption
			s.encrypt = e == "desired" || e == "required"
		}
		s.signingRequired = (c.s.securityMode()|c.clientMode|q.SecurityMode)&smb2.SigningRequired != 0
	}
	c.mu.Lock()
	s.valid, s.standing = true, user.Name
	c.mu.Unlock()
	return nil
}

// again is reauthentication of a valid session: the same user proves to be there; keys stay. [MS-SMB2] 3.3.5.5.2.
func (s *session) again(ctx context.Context, token []byte) (reply, error) {
	user, _, anonymous := s.acceptor.Result()
	s.acceptor = nil
	if anonymous != s.anonymous || user.Name != s.user.Name {
		s.c.log.Warn("logon refused", "user", user.Name, "reason", "another user than the session's", "session", s.who())
		s.leave(ctx)
		return nil, ntstatus.LogonFailure
	}
	return &smb2.SessionSetupResponse{SessionFlags: s.flags(), SecurityBuffer: token}, nil
}

func (s *session) flags() (f smb2.SessionFlags) {
	if s.anonymous {
		f |= smb2.SessionFlagIsNull
	}
	if s.encrypt {
		f |= smb2.SessionFlagEncryptData
	}
	return f
}

// who is the user's name, for people.
func (s *session) who() string {
	if s.anonymous {
		return "(anonymous)"
	}
	return s.user.Name
}

// preauth takes a message of the logon into the hash: of NEGOTIATE both, of SESSION_SETUP all but the last response.
// [MS-SMB2] 3.3.5.4, 3.3.5.5.
func (r *request) preauth(response []byte, st ntstatus.Status) {
	c := r.chain.c
	if c.dialect != smb2.Dialect311 {
		return
	}
	switch {
	case r.Command == smb2.Negotiate && st == ntstatus.Success:
		c.preauth.Update(r.msg)
		c.preauth.Update(response)
	case r.Command == smb2.SessionSetup && st == ntstatus.MoreProcessingRequired && r.session != nil && !r.session.valid:
		r.session.preauth.Update(response)
	}
}
