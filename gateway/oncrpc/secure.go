package oncrpc

import (
	"net/netip"

	"dittofs/gateway/xdr"
)

// Security is the flavor RPCSEC_GSS to a Server, RFC 2203. Package gss is one.
type Security interface {
	// Admit opens a call. It may block for a look into the user database.
	Admit(q *SecureCall) Admission
}

// SecureCall is what came with the flavor RPCSEC_GSS. Everything aliases the record.
type SecureCall struct {
	Procedure      uint32
	Header         []byte // from the xid to the end of the credential: what the verifier proves, RFC 2203 §5.3.1
	Cred           []byte
	VerifierFlavor uint32
	Verifier       []byte
	Args           []byte // as they came: plain, proven or sealed
	Remote         netip.AddrPort
}

// Admission is what becomes of the call: dropped, refused, garbage, about the context itself, or opened; the first of these that is set.
type Admission struct {
	Drop    bool      // no reply, RFC 2203 §5.3.3.1
	Auth    AuthStat  // refused, unless AuthOK
	Garbage bool      // the arguments are not what they are proven to be, RFC 2203 §5.3.3.4
	Control bool      // the call was about the context and is answered by Results, RFC 2203 §5.2
	Results []byte    // of a Control call
	Args    []byte    // opened
	Who     Identity  // the caller
	Seal    Protector // protects the reply
}

// Identity is who proved to be there.
type Identity struct {
	Principal string
	Service   Service
	Known     bool // the principal has a local account: the ids below are its own
	UID, GID  uint32
	GIDs      []uint32
}

// Service is how arguments and results are protected, rpc_gss_service_t of RFC 2203 §5.
type Service uint32

// Services.
const (
	ServiceNone      Service = 1 // krb5: the header alone
	ServiceIntegrity Service = 2 // krb5i
	ServicePrivacy   Service = 3 // krb5p
)

// Protector protects one reply.
type Protector interface {
	// Verifier is the reply's verifier, RFC 2203 §5.3.3.2.
	Verifier() ([]byte, error)
	// Protect appends results as the call's service wants them.
	Protect(b, results []byte) ([]byte, error)
}

// RPCSEC_GSS adds two states, RFC 2203 §5.1.
const (
	AuthGSSCredProblem AuthStat = 13
	AuthGSSCtxProblem  AuthStat = 14
)

func (s Service) String() string {
	switch s {
	case ServiceNone:
		return "krb5"
	case ServiceIntegrity:
		return "krb5i"
	case ServicePrivacy:
		return "krb5p"
	}
	return "none"
}

// secure opens a call of flavor RPCSEC_GSS. run: it is to run; else send says whether x.out is the reply.
func (x *exchange) secure() (run, send bool) {
	h := &x.header
	args := x.args.Bytes()
	body := (len(h.Verf.Body) + 3) &^ 3
	q := SecureCall{Procedure: h.Proc, Header: x.record.data[:len(x.record.data)-len(args)-body-8], Cred: h.Cred.Body,
		VerifierFlavor: h.Verf.Flavor, Verifier: h.Verf.Body, Args: args, Remote: x.Remote}
	a := x.server.cfg.Security.Admit(&q)
	switch {
	case a.Drop:
		return false, false
	case a.Auth != AuthOK:
		x.out = appendAuthError(x.out[:4], x.XID, a.Auth)
		return false, true
	case a.Garbage:
		x.seal = a.Seal
		x.refuse(GarbageArgs)
		return false, x.protect(false)
	case a.Control:
		x.seal = a.Seal
		x.out = append(appendAccepted(x.out[:4], x.XID, Success), a.Results...)
		return false, x.protect(false)
	}
	x.seal = a.Seal
	x.args = xdr.Decoder(a.Args)
	x.Principal, x.Service, x.Known = a.Who.Principal, a.Who.Service, a.Who.Known
	x.Sys = AuthSys{UID: a.Who.UID, GID: a.Who.GID, GIDs: a.Who.GIDs}
	return true, true
}

// plainReply is the length of an accepted reply's head with an empty verifier, behind the record mark.
const plainReply = 24

// protect turns the plain reply in x.out, and its tail, into the one that the caller can trust. It reports whether there is one.
func (x *exchange) protect(results bool) bool {
	if x.seal == nil || x.out[4+11]&1 == msgDenied { // a denial has no verifier
		return true
	}
	verifier, err := x.seal.Verifier()
	if err != nil {
		x.server.log.Error("reply not protected", "from", x.Remote, "err", err)
		return false
	}
	plain := append(x.out[4+plainReply:len(x.out):len(x.out)], x.Tail...)
	plain = append(plain, padding[:-len(x.Tail)&3]...)
	x.Tail = nil
	stat := x.out[4+plainReply-4 : 4+plainReply]
	head := appendWords(append([]byte(nil), x.out[:4]...), x.XID, msgReply, msgAccepted, FlavorGSS, uint32(len(verifier)))
	head = append(append(head, verifier...), padding[:-len(verifier)&3]...)
	head = append(head, stat...)
	if !results || stat[3] != byte(Success) {
		x.out = append(head, plain...)
		return true
	}
	if x.out, err = x.seal.Protect(head, plain); err != nil {
		x.server.log.Error("reply not protected", "from", x.Remote, "err", err)
		return false
	}
	return true
}
