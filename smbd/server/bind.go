package server

import (
	"context"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// Binding a session to one more connection, [MS-SMB2] 3.3.5.5 step 4.

// mayBind admits a SESSION_SETUP that asks for it. The signature, by the session's key, has been verified.
func (r *request) mayBind() error {
	s, c := r.session, r.chain.c
	switch {
	case r.SessionID == 0:
		return ntstatus.InvalidParameter
	case s == nil:
		return ntstatus.UserSessionDeleted
	// A key of AES-GMAC is used with no other algorithm, and the other way round.
	case s.first.signing == seal.AESGMAC && c.signing != seal.AESGMAC:
		return ntstatus.RequestOutOfSequence
	case s.first.signing != seal.AESGMAC && c.signing == seal.AESGMAC:
		return ntstatus.NotSupported
	case c.ours&smb2.CapMultiChannel == 0:
		return ntstatus.RequestNotAccepted
	case r.Flags&smb2.FlagSigned == 0, s.first.dialect != c.dialect, s.first.cipher != c.cipher:
		return ntstatus.InvalidParameter
	case !s.valid.Load():
		return ntstatus.RequestNotAccepted
	case s.expired():
		return ntstatus.NetworkSessionExpired
	case s.signer == nil:
		return ntstatus.NotSupported // anonymous
	case r.channel != nil && r.channel.valid:
		return ntstatus.RequestNotAccepted
	case r.channel == nil:
		var err error
		if r.channel, err = c.newChannel(s); err != nil {
			return err
		}
	}
	return nil
}

// bind makes the channel valid, with a signing key of its own. It must be the session's user who comes.
func (h *channel) bind(ctx context.Context, who *identity, key []byte) error {
	s, c := h.s, h.c
	if have := s.identity.Load(); who.anonymous || have.anonymous || who.user.Name != have.user.Name {
		c.log.Warn("session not bound", "user", who.user.Name, "session", s.who())
		h.leave(ctx)
		return ntstatus.AccessDenied
	}
	signer, err := seal.NewSigner(c.signing, seal.Derive(uint16(c.dialect), c.cipher, key, &h.preauth).Signing)
	if err != nil {
		h.leave(ctx)
		return err
	}
	h.signer = signer
	h.stand()
	c.log.Info("session bound", "user", s.who(), "id", s.id, "dialect", c.describe())
	return nil
}
