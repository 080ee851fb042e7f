package gss

import (
	"encoding/binary"
	"fmt"
	"time"

	"dittofs/gateway/krb5"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// gss_proc, RFC 2203 §5.
const (
	procData         = 0
	procInit         = 1
	procContinueInit = 2
	procDestroy      = 3
)

const version = 1

// majorFailure is GSS_S_FAILURE, RFC 2744 §3.9.1.
const majorFailure = 13 << 16

// credential is rpc_gss_cred_t of version 1, RFC 2203 §5.
type credential struct {
	Version  uint32
	Proc     uint32
	Sequence uint32
	Service  oncrpc.Service
	Handle   []byte
}

// XDR moves the credential.
func (c *credential) XDR(x *xdr.Stream) {
	x.Uint32(&c.Version)
	x.Uint32(&c.Proc)
	x.Uint32(&c.Sequence)
	xdr.Enum(x, &c.Service)
	x.Opaque(&c.Handle, 64)
}

// initRes is rpc_gss_init_res, RFC 2203 §5.2.3.1.
type initRes struct {
	Handle       []byte
	Major, Minor uint32
	Window       uint32
	Token        []byte
}

// XDR moves the result.
func (r *initRes) XDR(x *xdr.Stream) {
	x.Opaque(&r.Handle, 64)
	x.Uint32(&r.Major)
	x.Uint32(&r.Minor)
	x.Uint32(&r.Window)
	x.Opaque(&r.Token, krb5.MaxToken)
}

func refuse(st oncrpc.AuthStat) oncrpc.Admission { return oncrpc.Admission{Auth: st} }

// Admit opens a call, RFC 2203 §5.3.3.
func (s *Server) Admit(q *oncrpc.SecureCall) oncrpc.Admission {
	var cred credential
	if xdr.Unmarshal(q.Cred, &cred) != nil || cred.Version != version {
		return refuse(oncrpc.AuthBadCred)
	}
	switch cred.Proc {
	case procInit:
		if q.Procedure != 0 || len(cred.Handle) != 0 {
			return refuse(oncrpc.AuthBadCred)
		}
		return s.init(q)
	case procData, procDestroy:
	default: // Kerberos never needs CONTINUE_INIT
		return refuse(oncrpc.AuthBadCred)
	}
	if cred.Service < oncrpc.ServiceNone || cred.Service > oncrpc.ServicePrivacy {
		return refuse(oncrpc.AuthBadCred)
	}

	// The header is proven for every call, before anything of it counts.
	c := s.find(cred.Handle)
	if c == nil || q.VerifierFlavor != oncrpc.FlavorGSS || c.VerifyMIC(q.Header, q.Verifier) != nil {
		return refuse(oncrpc.AuthGSSCredProblem)
	}
	now := time.Now()
	if now.After(c.Until) {
		s.destroy(c)
		return refuse(oncrpc.AuthGSSCredProblem)
	}
	if cred.Sequence >= maxSequence {
		return refuse(oncrpc.AuthGSSCtxProblem)
	}
	if !c.take(cred.Sequence, now) {
		return oncrpc.Admission{Drop: true}
	}
	seal := &protector{c, cred.Sequence, cred.Service}
	if cred.Proc == procDestroy {
		if q.Procedure != 0 {
			return refuse(oncrpc.AuthBadCred)
		}
		s.destroy(c)
		return oncrpc.Admission{Control: true, Seal: seal}
	}
	args, ok := seal.open(q.Args)
	if !ok {
		return oncrpc.Admission{Garbage: true, Seal: seal}
	}
	who := c.who
	who.Service = cred.Service
	return oncrpc.Admission{Args: args, Who: who, Seal: seal}
}

// init makes a context, RFC 2203 §5.2.
func (s *Server) init(q *oncrpc.SecureCall) oncrpc.Admission {
	x := xdr.Decoder(q.Args)
	var token []byte
	x.Opaque(&token, krb5.MaxToken)
	if x.End() != nil {
		return refuse(oncrpc.AuthBadCred)
	}
	now := time.Now()
	k, reply, err := s.cfg.Acceptor.Accept(token)
	if err == nil && k.Flags&krb5.FlagMutual == 0 {
		err = fmt.Errorf("krb5: %s: no mutual authentication asked", k.Principal())
	}
	if err != nil {
		s.refused.Inc()
		s.warn(q, now, err)
		b, _ := xdr.Marshal(nil, &initRes{Major: majorFailure})
		return oncrpc.Admission{Control: true, Results: b}
	}
	c := &gssContext{Context: k, who: oncrpc.Identity{Principal: k.Principal()}}
	c.who.UID, c.who.GID, c.who.GIDs, c.who.Known = s.cfg.Account(k.Name, k.Realm)
	s.add(c, now)
	s.accepted.Inc()
	s.cfg.Log.Info("context", "principal", c.who.Principal, "from", q.Remote, "uid", c.who.UID, "known", c.who.Known)
	b, err := xdr.Marshal(nil, &initRes{Handle: c.id[:], Window: window, Token: reply})
	if err != nil {
		return refuse(oncrpc.AuthFailed)
	}
	return oncrpc.Admission{Control: true, Results: b, Seal: &protector{c, window, oncrpc.ServiceNone}}
}

// warn logs a refusal, one a second for each host.
func (s *Server) warn(q *oncrpc.SecureCall, now time.Time, err error) {
	s.mu.Lock()
	last, ok := s.warned[q.Remote.Addr()]
	if len(s.warned) > 1000 {
		clear(s.warned)
	}
	s.warned[q.Remote.Addr()] = now
	s.mu.Unlock()
	if !ok || now.Sub(last) > time.Second {
		s.cfg.Log.Warn("context refused", "from", q.Remote, "reason", err)
	}
}

// protector opens one call and protects its reply. Its word is the call's sequence number, or the window in the reply to INIT.
type protector struct {
	c       *gssContext
	word    uint32
	service oncrpc.Service
}

// open takes the arguments out of their service's wrapping, RFC 2203 §5.3.3.4.
func (p *protector) open(args []byte) ([]byte, bool) {
	if p.service == oncrpc.ServiceNone {
		return args, true
	}
	x := xdr.Decoder(args)
	var body, mic []byte
	x.Opaque(&body, ^uint32(0))
	if p.service == oncrpc.ServiceIntegrity {
		x.Opaque(&mic, 256)
	}
	if x.End() != nil {
		return nil, false
	}
	if p.service == oncrpc.ServiceIntegrity {
		if p.c.VerifyMIC(body, mic) != nil {
			return nil, false
		}
	} else {
		var err error
		if body, err = p.c.Unwrap(body); err != nil {
			return nil, false
		}
	}
	if len(body) < 4 || binary.BigEndian.Uint32(body) != p.word {
		return nil, false
	}
	return body[4:], true
}

// Verifier proves the sequence number, RFC 2203 §5.3.3.2.
func (p *protector) Verifier() ([]byte, error) {
	return p.c.MIC(binary.BigEndian.AppendUint32(nil, p.word))
}

// Protect appends the results in their service's wrapping.
func (p *protector) Protect(b, results []byte) ([]byte, error) {
	if p.service == oncrpc.ServiceNone {
		return append(b, results...), nil
	}
	body := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(results)), p.word), results...)
	x := xdr.Encoder(b)
	if p.service == oncrpc.ServiceIntegrity {
		mic, err := p.c.MIC(body)
		if err != nil {
			return nil, err
		}
		x.Opaque(&body, ^uint32(0))
		x.Opaque(&mic, 256)
	} else {
		sealed, err := p.c.Wrap(body)
		if err != nil {
			return nil, err
		}
		x.Opaque(&sealed, ^uint32(0))
	}
	return x.Bytes(), x.Err()
}
