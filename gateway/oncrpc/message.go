package oncrpc

import (
	"errors"
	"fmt"

	"dittofs/gateway/xdr"
)

// Message types, reply and accept states, RFC 5531 §9.
const (
	msgCall  = 0
	msgReply = 1

	msgAccepted = 0
	msgDenied   = 1

	rpcVersion = 2
)

// AcceptStat is accept_stat, RFC 5531 §9.
type AcceptStat uint32

// Accept states.
const (
	Success      AcceptStat = 0
	ProgUnavail  AcceptStat = 1
	ProgMismatch AcceptStat = 2
	ProcUnavail  AcceptStat = 3
	GarbageArgs  AcceptStat = 4
	SystemErr    AcceptStat = 5
)

func (s AcceptStat) String() string {
	names := [...]string{"SUCCESS", "PROG_UNAVAIL", "PROG_MISMATCH", "PROC_UNAVAIL", "GARBAGE_ARGS", "SYSTEM_ERR"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("accept_stat(%d)", uint32(s))
}

// Reject states, RFC 5531 §9.
const (
	rpcMismatch = 0
	authError   = 1
)

// AuthStat is auth_stat, RFC 5531 §9.
type AuthStat uint32

// Authentication states.
const (
	AuthOK           AuthStat = 0
	AuthBadCred      AuthStat = 1
	AuthRejectedCred AuthStat = 2
	AuthBadVerf      AuthStat = 3
	AuthRejectedVerf AuthStat = 4
	AuthTooWeak      AuthStat = 5
	AuthInvalidResp  AuthStat = 6
	AuthFailed       AuthStat = 7
)

func (s AuthStat) String() string {
	names := [...]string{"AUTH_OK", "AUTH_BADCRED", "AUTH_REJECTEDCRED", "AUTH_BADVERF", "AUTH_REJECTEDVERF", "AUTH_TOOWEAK", "AUTH_INVALIDRESP", "AUTH_FAILED"}
	if int(s) < len(names) {
		return names[s]
	}
	switch s {
	case AuthGSSCredProblem:
		return "RPCSEC_GSS_CREDPROBLEM"
	case AuthGSSCtxProblem:
		return "RPCSEC_GSS_CTXPROBLEM"
	}
	return fmt.Sprintf("auth_stat(%d)", uint32(s))
}

// maxAuth is the limit of an opaque_auth's body, RFC 5531 §8.2.
const maxAuth = 400

// opaqueAuth is opaque_auth, RFC 5531 §8.2.
type opaqueAuth struct {
	Flavor uint32
	Body   []byte
}

func (a *opaqueAuth) XDR(x *xdr.Stream) {
	x.Uint32(&a.Flavor)
	x.Opaque(&a.Body, maxAuth)
}

// XDR moves authsys_parms, RFC 5531 Appendix A.
func (a *AuthSys) XDR(x *xdr.Stream) {
	x.Uint32(&a.Stamp)
	x.String(&a.MachineName, 255)
	x.Uint32(&a.UID)
	x.Uint32(&a.GID)
	n := uint32(len(a.GIDs))
	x.Uint32(&n)
	if n > 16 {
		x.Fail(xdr.ErrTooLong)
		return
	}
	if x.Decoding() && x.Err() == nil {
		a.GIDs = make([]uint32, n)
	}
	for i := range a.GIDs {
		x.Uint32(&a.GIDs[i])
	}
}

// callHeader is the fixed part of a call, RFC 5531 §9 call_body.
type callHeader struct {
	XID     uint32
	RPC     uint32
	Program uint32
	Version uint32
	Proc    uint32
	Cred    opaqueAuth
	Verf    opaqueAuth
}

var errNotCall = errors.New("oncrpc: not a call message")

// parse reads the header and leaves the arguments in x. A header that cannot be read is an error, and the end of its connection. A
// foreign RPC version is not: the caller answers RPC_MISMATCH, and nothing behind the version was read.
func (h *callHeader) parse(x *xdr.Stream) error {
	*h = callHeader{}
	var kind uint32
	x.Uint32(&h.XID)
	x.Uint32(&kind)
	x.Uint32(&h.RPC)
	if x.Err() != nil || kind != msgCall {
		return errNotCall
	}
	if h.RPC != rpcVersion {
		return nil
	}
	x.Uint32(&h.Program)
	x.Uint32(&h.Version)
	x.Uint32(&h.Proc)
	h.Cred.XDR(x)
	h.Verf.XDR(x)
	if err := x.Err(); err != nil {
		return fmt.Errorf("oncrpc: call header: %w", err)
	}
	return nil
}

// appendCall writes a call's header.
func appendCall(b []byte, h *callHeader) []byte {
	x := xdr.Encoder(b)
	kind := uint32(msgCall)
	x.Uint32(&h.XID)
	x.Uint32(&kind)
	x.Uint32(&h.RPC)
	x.Uint32(&h.Program)
	x.Uint32(&h.Version)
	x.Uint32(&h.Proc)
	h.Cred.XDR(&x)
	h.Verf.XDR(&x)
	return x.Bytes()
}

func appendWords(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = append(b, byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
	}
	return b
}

// appendAccepted writes an accepted reply up to its results, with an empty verifier. RFC 5531 §9.
func appendAccepted(b []byte, xid uint32, stat AcceptStat) []byte {
	return appendWords(b, xid, msgReply, msgAccepted, FlavorNone, 0, uint32(stat))
}

// appendAuthError writes a reply that refuses the credential.
func appendAuthError(b []byte, xid uint32, stat AuthStat) []byte {
	return appendWords(b, xid, msgReply, msgDenied, authError, uint32(stat))
}

// appendRPCMismatch writes a reply that refuses the RPC version.
func appendRPCMismatch(b []byte, xid uint32) []byte {
	return appendWords(b, xid, msgReply, msgDenied, rpcMismatch, rpcVersion, rpcVersion)
}

// Refused is a server's reply other than success, as an error.
type Refused struct {
	Denied    bool       // MSG_DENIED
	Accept    AcceptStat // unless Denied
	Auth      AuthStat   // Denied with AUTH_ERROR
	Low, High uint32     // PROG_MISMATCH, or Denied with RPC_MISMATCH
}

func (r *Refused) Error() string {
	switch {
	case r.Denied && r.Auth != AuthOK:
		return "oncrpc: " + r.Auth.String()
	case r.Denied:
		return fmt.Sprintf("oncrpc: RPC_MISMATCH, versions %d to %d", r.Low, r.High)
	case r.Accept == ProgMismatch:
		return fmt.Sprintf("oncrpc: PROG_MISMATCH, versions %d to %d", r.Low, r.High)
	}
	return "oncrpc: " + r.Accept.String()
}

var errNotReply = errors.New("oncrpc: not a reply message")

// parseReply reads a reply's header and leaves the results in x. A refusal is a *Refused.
func parseReply(x *xdr.Stream) (xid uint32, err error) {
	var kind, stat uint32
	x.Uint32(&xid)
	x.Uint32(&kind)
	x.Uint32(&stat)
	if x.Err() != nil || kind != msgReply || stat > msgDenied {
		return xid, errNotReply
	}
	r := &Refused{}
	if stat == msgDenied {
		var why uint32
		r.Denied = true
		x.Uint32(&why)
		if why == rpcMismatch {
			x.Uint32(&r.Low)
			x.Uint32(&r.High)
		} else {
			xdr.Enum(x, &r.Auth)
			if r.Auth == AuthOK {
				r.Auth = AuthFailed
			}
		}
	} else {
		var verf opaqueAuth
		verf.XDR(x)
		xdr.Enum(x, &r.Accept)
		if r.Accept == ProgMismatch {
			x.Uint32(&r.Low)
			x.Uint32(&r.High)
		}
	}
	if x.Err() != nil {
		return xid, errNotReply
	}
	if !r.Denied && r.Accept == Success {
		return xid, nil
	}
	return xid, r
}
