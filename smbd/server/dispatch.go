package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// handler answers one request with a body, an error that ntstatus.Of understands, or both: a warning that carries a result.
type handler func(ctx context.Context, r *request) (reply, error)

// command says how a request is admitted. [MS-SMB2] 3.3.5.2.
type command struct {
	session, tree bool // must name one
	handle        handler
}

var commands = [...]command{
	smb2.Negotiate:      {false, false, negotiate},
	smb2.SessionSetup:   {false, false, sessionSetup},
	smb2.Logoff:         {true, false, logoff},
	smb2.TreeConnect:    {true, false, treeConnect},
	smb2.TreeDisconnect: {true, true, treeDisconnect},
	smb2.Create:         {true, true, create},
	smb2.Close:          {true, true, closeFile},
	smb2.Flush:          {true, true, flush},
	smb2.Read:           {true, true, read},
	smb2.Write:          {true, true, write},
	smb2.Lock:           {true, true, lockRanges},
	smb2.IOCTL:          {true, true, ioctl},
	smb2.Cancel:         {false, false, nil}, // never comes here
	smb2.Echo:           {false, false, echo},
	smb2.QueryDirectory: {true, true, queryDirectory},
	smb2.ChangeNotify:   {true, true, changeNotify},
	smb2.QueryInfo:      {true, true, queryInfo},
	smb2.SetInfo:        {true, true, setInfo},
	smb2.OplockBreak:    {true, true, oplockBreak},
}

// dispatch admits a request and lets its handler answer.
func (c *conn) dispatch(ctx context.Context, r *request) (body reply, err error) {
	start := time.Now()
	if err = r.admit(); err == nil {
		body, err = c.handle(ctx, r)
	}
	if r.pinned != nil {
		r.pinned.unuse(r)
		r.pinned = nil
	}
	if why := context.Cause(ctx); why != nil && errors.Is(err, context.Canceled) {
		err = why
	}
	st := ntstatus.Of(err)
	if st.IsError() && st != ntstatus.MoreProcessingRequired { // which is an error by its number only
		body = nil
	}
	if e, ok := err.(errorBody); ok {
		body = e.body
	}
	ch := r.chain
	ch.session, ch.tree, ch.bare = r.SessionID, r.TreeID, r.session == nil
	if r.Command == smb2.Create {
		ch.failed = nil
		if st.IsError() {
			ch.failed = st // and with it all that is about the file; a WRITE that fails does not keep the CLOSE from closing
		}
	}
	c.s.metrics.answered(r.Command, st)
	if c.log.Enabled(ctx, slog.LevelDebug) {
		h := r.Header
		c.log.Debug("request", "header", &h, "status", st, "took", time.Since(start))
	}
	return body, err
}

// errorBody is an error whose response says more than its status. [MS-SMB2] 2.2.2.
type errorBody struct {
	ntstatus.Status
	body reply
}

func (e errorBody) Unwrap() error { return e.Status }

// admit finds the request's session and tree and checks its signature. [MS-SMB2] 3.3.5.2.4 to 3.3.5.2.11.
func (r *request) admit() error {
	if !r.Command.Known() || commands[r.Command].handle == nil {
		return ntstatus.InvalidParameter
	}
	cmd, ch := commands[r.Command], r.chain
	if r.Flags&smb2.FlagRelatedOperations != 0 {
		if ch.orphan || ch.bare {
			return ntstatus.InvalidParameter
		}
		r.SessionID, r.TreeID = ch.session, ch.tree
	}
	if cmd.session || r.SessionID != 0 && r.Command != smb2.Negotiate {
		if err := r.admitSession(cmd.session); err != nil {
			return err
		}
	}
	if cmd.tree {
		if r.tree = r.session.tree(r.TreeID); r.tree == nil {
			return ntstatus.NetworkNameDeleted
		}
		if r.tree.share.encrypts() && ch.sealed == nil {
			return ntstatus.AccessDenied
		}
		if r.Command == smb2.Create && !r.tree.share.admits(r.session) {
			return ntstatus.AccessDenied // the session went over to another user
		}
	}
	return r.admitCharge()
}

// admitSession finds the request's session among those of its connection. A SESSION_SETUP may name one of another connection, to be bound
// to it, and is then signed by the session's key. [MS-SMB2] 3.3.5.2.4, 3.3.5.2.9.
func (r *request) admitSession(needed bool) error {
	ch, setup := r.chain, r.Command == smb2.SessionSetup
	h, valid := ch.c.channel(r.SessionID)
	var s *session
	switch {
	case h != nil:
		s = h.s
	case setup:
		s = ch.c.s.session(r.SessionID)
	}
	if s == nil || needed && !valid {
		if !needed && !setup {
			return nil // ECHO needs none
		}
		return ntstatus.UserSessionDeleted
	}
	signer, stands := s.signer, s.valid.Load()
	if !stands {
		signer = nil
	} else if valid {
		signer = h.signer
	}
	switch {
	case ch.sealed != nil:
		if ch.sealed != s {
			return ntstatus.AccessDenied // encrypted with another session's key
		}
	case s.encrypt && !setup:
		return ntstatus.AccessDenied
	case r.Flags&smb2.FlagSigned != 0 && signer != nil:
		if !signer.Verify(r.msg) {
			ch.c.log.Warn("bad signature", "command", r.Command, "user", s.who())
			return ntstatus.AccessDenied
		}
	case stands && signer != nil && h != nil && (s.encrypt || s.signingRequired):
		return ntstatus.AccessDenied
	}
	r.session, r.channel = s, h
	if valid && s.expired() && !(int(r.Command) < len(lasting) && lasting[r.Command]) {
		return ntstatus.NetworkSessionExpired
	}
	return nil
}

// lasting are the commands that are served on an expired session. [MS-SMB2] 3.3.5.2.9.
var lasting = [...]bool{smb2.SessionSetup: true, smb2.Logoff: true, smb2.Close: true, smb2.Lock: true, smb2.Echo: true}

// admitCharge: the credits must pay for the longer of request and response. [MS-SMB2] 3.3.5.2.5.
func (r *request) admitCharge() error {
	c := r.chain.c
	if c.ours&smb2.CapLargeMTU == 0 {
		return nil
	}
	n := payload(r.Command, r.msg)
	if n > 0 && (n-1)/65536+1 > uint64(max(r.CreditCharge, 1)) {
		return ntstatus.InvalidParameter
	}
	return nil
}

// payload is the longer of what a request carries and what it asks for, read from where the standard puts these fields.
func payload(cmd smb2.Command, msg []byte) uint64 {
	at := func(o int) uint64 {
		c := wire.Reader(msg)
		c.Skip(smb2.HeaderSize + o)
		return uint64(c.Uint32())
	}
	switch cmd {
	case smb2.Read, smb2.Write, smb2.QueryInfo, smb2.SetInfo, smb2.ChangeNotify:
		return at(4)
	case smb2.QueryDirectory:
		return at(28)
	case smb2.IOCTL:
		return max(at(28)+at(40), at(32)+at(44))
	}
	return 0
}

// parse reads a request's body; what it cannot be is STATUS_INVALID_PARAMETER.
func parse(p interface{ Parse([]byte) error }, r *request) error {
	switch err := p.Parse(r.msg); {
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrUTF16):
		return ntstatus.ObjectNameInvalid
	}
	return ntstatus.InvalidParameter
}
