package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"dittofs/gateway/accounts"
	"dittofs/gateway/krb5"
	"dittofs/smbd/wire"
)

// MaxToken bounds a security blob, and so what an unauthenticated client makes us remember.
const MaxToken = 64 << 10

// User is an account that may come in.
type User = accounts.User

// Users finds accounts, whatever the case of their names. One that has a method Groups(User) []uint32 is asked for the supplementary
// groups after the password was right, and not before: the time that takes would tell which names exist.
type Users interface {
	Lookup(name string) (User, bool)
}

// Config is what an Acceptor says of its server, and whom it lets in.
type Config struct {
	ServerName string // NetBIOS style
	Domain     string // empty: ServerName, as a server has that belongs to no domain
	Users      Users
	Anonymous  bool // let clients in that name nobody
	NoNTLM     bool // Kerberos only
	// Kerberos accepts tickets; nil: Kerberos is not offered. Principal finds whom a principal acts as.
	Kerberos  *krb5.Acceptor
	Principal func(name []string, realm string) (User, bool)
}

// Hint is NEGOTIATE's security blob: a NegTokenInit2 that offers Kerberos, where there is any, and NTLM. [MS-SPNG] 2.2.1.
func Hint(cfg Config) []byte {
	var mechs []byte
	if cfg.Kerberos != nil {
		mechs = derOIDsKRB5
	}
	if !cfg.NoNTLM {
		mechs = slices.Concat(mechs, derOIDNTLM)
	}
	return initialToken(
		der(tagContext0, der(tagSequence, mechs)),
		der(tagContext3, der(tagSequence, der(tagContext0, der(tagGeneralString, []byte("not_defined_in_RFC4178@please_ignore"))))),
	)
}

// Acceptor authenticates one session. It is not for use by several goroutines.
//
//	start ──NEGOTIATE──▶ challenged ──AUTHENTICATE──▶ done
//	  ├─other mechanism─▶ chosen ──NEGOTIATE──▶ challenged ──AUTHENTICATE without MIC──▶ checked ──mechListMIC──▶ done
//	  └──AP-REQ──▶ done
//
// Any fault leads to failed, where every token is refused.
type Acceptor struct {
	cfg   Config
	state state

	spnego  bool   // the tokens are wrapped
	mech    []byte // the mechanism that was chosen
	mechs   []byte // MechTypeList as it came, over which mechListMIC goes
	needMIC bool   // the mechanism is not what the client prefers: RFC 4178 §5

	negotiate []byte // the NEGOTIATE_MESSAGE, for the MIC
	challenge []byte // the CHALLENGE_MESSAGE, for the MIC
	flags     uint32 // offered in the challenge

	ticket *krb5.Context // Kerberos

	user      User
	key       []byte
	anonymous bool
}

type state uint8

const (
	start state = iota
	chosen
	challenged
	checked
	done
	failed
)

// NewAcceptor makes the acceptor of one session.
func NewAcceptor(cfg Config) *Acceptor { return &Acceptor{cfg: cfg} }

// Accept takes the client's next token and returns what goes back: with done false beside STATUS_MORE_PROCESSING_REQUIRED, with done true
// beside STATUS_SUCCESS. An error is an *Error, ends the exchange and is STATUS_LOGON_FAILURE.
func (a *Acceptor) Accept(token []byte) (reply []byte, finished bool, err error) {
	before := a.state
	a.state = failed
	if before == done || before == failed {
		return nil, false, malformed("a token after the exchange has ended")
	}
	if len(token) > MaxToken {
		return nil, false, malformed("a token of %d bytes", len(token))
	}
	next, reply, err := a.step(before, token)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			err = &Error{Reason: Malformed, Err: err}
		}
		return nil, false, err
	}
	a.state = next
	return reply, next == done, nil
}

// Result is who came in, and the session key, once Accept said done: of 16 bytes, or with Kerberos as long as the ticket's. An anonymous
// session has no user.
func (a *Acceptor) Result() (u User, sessionKey []byte, anonymous bool) {
	if a.state != done {
		return User{}, nil, false
	}
	return a.user, a.key, a.anonymous
}

// Until is when what the client proved ends, the ticket's with Kerberos; zero: never.
func (a *Acceptor) Until() time.Time {
	if a.ticket == nil {
		return time.Time{}
	}
	return a.ticket.Until
}

func (a *Acceptor) step(s state, token []byte) (state, []byte, error) {
	if s == start {
		if bytes.HasPrefix(token, []byte(signature)) && !a.cfg.NoNTLM {
			return a.onNegotiate(token)
		}
		a.spnego = true
		return a.onInit(token)
	}
	var mic []byte
	if a.spnego {
		r, err := parseNegTokenResp(token, a.mech)
		if err != nil {
			return failed, nil, err
		}
		if r.state == stateReject {
			return failed, nil, &Error{Reason: NoMechanism, Err: errors.New("the client gave up")}
		}
		token, mic = r.token, r.mic
	}
	switch s {
	case chosen:
		if a.kerberos() {
			return a.onTicket(token, mic)
		}
		return a.onNegotiate(token)
	case challenged:
		return a.onAuthenticate(token, mic)
	default: // checked
		return a.onMIC(mic)
	}
}

// onInit chooses the first mechanism of the client's that is ours too. The optimistic token counts only where that is what the client
// prefers. RFC 4178 §4.2.1.
func (a *Acceptor) onInit(token []byte) (state, []byte, error) {
	init, err := parseNegTokenInit(token)
	if err != nil {
		return failed, nil, err
	}
	at := slices.IndexFunc(init.mechs, a.offers)
	if at < 0 {
		return failed, nil, &Error{Reason: NoMechanism, Err: errors.New("the client offers no mechanism of ours")}
	}
	a.mech, a.mechs = bytes.Clone(init.mechs[at]), bytes.Clone(init.list)
	a.needMIC = at > 0
	if at > 0 || len(init.token) == 0 {
		st := stateIncomplete
		if a.needMIC {
			st = stateRequestMIC
		}
		return chosen, negTokenResp{state: st, mech: a.mech}.append(nil), nil
	}
	if a.kerberos() {
		return a.onTicket(init.token, init.mic)
	}
	return a.onNegotiate(init.token)
}

func (a *Acceptor) offers(oid []byte) bool {
	return bytes.Equal(oid, oidNTLM) && !a.cfg.NoNTLM || a.cfg.Kerberos != nil && isKerberos(oid)
}

func isKerberos(oid []byte) bool { return bytes.Equal(oid, krb5.OID) || bytes.Equal(oid, krb5.OIDMS) }

func (a *Acceptor) kerberos() bool { return isKerberos(a.mech) }

// onNegotiate answers a NEGOTIATE_MESSAGE with a CHALLENGE_MESSAGE. [MS-NLMP] 3.2.5.1.1.
func (a *Acceptor) onNegotiate(token []byte) (state, []byte, error) {
	asked, err := parseNegotiate(token)
	if err != nil {
		return failed, nil, err
	}
	c := challengeMessage{flags: asked&offered | always, name: netbios(a.cfg.ServerName)}
	rand.Read(c.nonce[:])
	domain := a.cfg.Domain
	if domain == "" {
		domain = a.cfg.ServerName
	}
	host := strings.ToLower(a.cfg.ServerName)
	c.info = avPairs{
		{avNbDomainName, utf16le(netbios(domain))},
		{avNbComputerName, utf16le(c.name)},
		{avDNSDomainName, utf16le(host)},
		{avDNSComputerName, utf16le(host)},
		{avTimestamp, wire.AppendFiletime(nil, wire.FiletimeOf(time.Now()))},
	}
	a.flags = c.flags
	a.negotiate = bytes.Clone(token)
	a.challenge = c.append(nil)
	if !a.spnego {
		return challenged, a.challenge, nil
	}
	return challenged, negTokenResp{state: stateIncomplete, mech: oidNTLM, token: a.challenge}.append(nil), nil
}

// onAuthenticate checks an AUTHENTICATE_MESSAGE. [MS-NLMP] 3.2.5.1.2.
func (a *Acceptor) onAuthenticate(token, mic []byte) (state, []byte, error) {
	m, err := parseAuthenticate(token)
	if err != nil {
		return failed, nil, err
	}
	who := func(r Reason, err error) error {
		return &Error{Reason: r, User: m.user, Domain: m.domain, Workstation: m.workstation, Err: err}
	}
	if m.flags&flagUnicode == 0 || m.flags&flagESS == 0 && !m.anonymous() { // who is nobody proves nothing, and gets no keys
		return failed, nil, who(OldProtocol, errors.New("without Unicode or extended session security"))
	}
	if m.anonymous() {
		if !a.cfg.Anonymous {
			return failed, nil, who(AnonymousRefused, nil)
		}
		a.anonymous = true
		a.key, err = m.exportedKey(make([]byte, 16))
	} else {
		var r Reason
		if r, err = a.check(m); r != 0 {
			return failed, nil, who(r, err)
		}
	}
	if err != nil {
		return failed, nil, who(Malformed, err)
	}
	if err := a.checkMIC(token, m); err != nil {
		return failed, nil, who(Tampered, err)
	}
	if !a.spnego {
		return done, nil, nil
	}

	// RFC 4178 §5: a client that preferred NTLM may leave the MIC out; otherwise both sides send one.
	var r = negTokenResp{state: stateCompleted}
	switch {
	case len(mic) > 0:
		if !a.verifyMechListMIC(m.flags, mic) {
			return failed, nil, who(Tampered, errors.New("mechListMIC is wrong"))
		}
		r.mic = mechListMIC(serverToClient, m.flags, a.key, a.mechs)
	case a.needMIC && !a.anonymous:
		r.state, r.mic = stateIncomplete, mechListMIC(serverToClient, m.flags, a.key, a.mechs)
		a.flags = m.flags
		return checked, r.append(nil), nil
	}
	return done, r.append(nil), nil
}

// onMIC takes the mechListMIC that had not come along with the mechanism's last token.
func (a *Acceptor) onMIC(mic []byte) (state, []byte, error) {
	if !a.verifyMechListMIC(a.flags, mic) {
		return failed, nil, &Error{Reason: Tampered, User: a.user.Name, Err: errors.New("mechListMIC is wrong")}
	}
	return done, negTokenResp{state: stateCompleted}.append(nil), nil
}

func (a *Acceptor) verifyMechListMIC(flags uint32, mic []byte) bool {
	if a.ticket != nil {
		return a.ticket.VerifyMIC(a.mechs, mic) == nil
	}
	want := mechListMIC(clientToServer, flags, a.key, a.mechs)
	return subtle.ConstantTimeCompare(mic, want) == 1
}

// check compares the NTLMv2 response. A name that nobody has costs the same work.
func (a *Acceptor) check(m *authenticateMessage) (Reason, error) {
	if len(m.nt) <= 24 {
		return OldProtocol, errors.New("LM or NTLMv1 response")
	}
	u, known := a.cfg.Users.Lookup(m.user)
	if !known {
		rand.Read(u.NTHash[:])
	}
	proof, base, err := ntlmv2(u.NTHash, m.user, m.domain, a.challenge[offServerChallenge:offServerChallenge+8], m.nt)
	if err != nil {
		return Malformed, err
	}
	right := subtle.ConstantTimeCompare(proof[:], m.nt[:16]) == 1
	switch {
	case !known:
		return UnknownUser, nil
	case !right:
		return WrongPassword, nil
	}
	if g, ok := a.cfg.Users.(interface{ Groups(User) []uint32 }); ok && u.Groups == nil {
		u.Groups = g.Groups(u)
	}
	a.user = u
	if a.key, err = m.exportedKey(base[:]); err != nil {
		return Malformed, err
	}
	return 0, nil
}

// checkMIC: MsvAvFlags, which the response's proof covers, says whether the message carries a MIC. [MS-NLMP] 3.2.5.1.2.
func (a *Acceptor) checkMIC(token []byte, m *authenticateMessage) error {
	if m.avFlags()&avFlagMIC == 0 {
		return nil
	}
	if len(token) < sizeWithMIC || m.payload < sizeWithMIC {
		return errors.New("the MIC is missing")
	}
	if subtle.ConstantTimeCompare(messageMIC(a.key, a.negotiate, a.challenge, token), token[offMIC:sizeWithMIC]) != 1 {
		return errors.New("the MIC is wrong")
	}
	return nil
}
