package krb5

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Limits of what a client may send. A ticket with a large PAC has 64 KiB at most, [MS-KILE] 3.1.1.2 MaxTokenSize.
const (
	MaxToken = 66 << 10
	maxNames = 32
)

// skew is how far the clocks may be apart, RFC 4120 §3.2.3.
const skew = 5 * time.Minute

// Acceptor accepts security contexts for a service. It is for use by many goroutines.
type Acceptor struct {
	keys     *Keytab
	services []string
	born     time.Time
	seen     *replays
	now      func() time.Time
}

// NewAcceptor accepts tickets for one of services ("nfs", "cifs", "host") or for a machine account, whose keys are in the keytab.
func NewAcceptor(keys *Keytab, services ...string) *Acceptor {
	return &Acceptor{keys: keys, services: services, born: time.Now(), seen: newReplays(), now: time.Now}
}

// Accept takes the client's initial token: an AP-REQ in its GSS-API frame, RFC 4121 §4.1. reply is the AP-REP in its frame where the
// client asked for mutual authentication, else nil. An error says for the administrator why nobody comes in.
func (a *Acceptor) Accept(token []byte) (c *Context, reply []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // the library's decoders
			c, reply, err = nil, nil, errors.New("krb5: a token that cannot be read")
		}
	}()
	if len(token) > MaxToken {
		return nil, nil, fmt.Errorf("krb5: a token of %d bytes", len(token))
	}
	body, err := unframe(token, frameAPReq)
	if err != nil {
		return nil, nil, err
	}
	var req messages.APReq
	if err := req.Unmarshal(body); err != nil {
		return nil, nil, errors.New("krb5: AP-REQ does not decode")
	}
	if len(req.Ticket.SName.NameString) == 0 {
		return nil, nil, errors.New("krb5: a ticket for nobody")
	}
	part, by, err := a.open(&req)
	if err != nil {
		return nil, nil, err
	}
	who := types.PrincipalName(part.CName)
	if len(who.NameString) == 0 || len(who.NameString) > maxNames {
		return nil, nil, errors.New("krb5: a ticket of nobody")
	}
	now := a.now()
	if err := valid(&part, now); err != nil {
		return nil, nil, fmt.Errorf("krb5: %s@%s: %w", who.PrincipalNameString(), part.CRealm, err)
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("krb5: %s@%s: %w", who.PrincipalNameString(), part.CRealm, fmt.Errorf(format, args...))
	}

	// The authenticator proves that the client holds the ticket's key, now. RFC 4120 §3.2.3.
	plain, err := decrypt(part.Key, keyusage.AP_REQ_AUTHENTICATOR, req.EncryptedAuthenticator.Cipher)
	if err != nil {
		return nil, nil, refuse("authenticator: %w", err)
	}
	var auth types.Authenticator
	if err := auth.Unmarshal(plain); err != nil {
		return nil, nil, refuse("the authenticator does not decode")
	}
	if auth.CRealm != part.CRealm || !auth.CName.Equal(who) {
		return nil, nil, refuse("the authenticator is of another client")
	}
	at := auth.CTime.Add(time.Duration(auth.Cusec) * time.Microsecond)
	if d := now.Sub(at); d > skew || d < -skew {
		return nil, nil, refuse("the clocks are %v apart", d.Round(time.Second))
	}
	want, err := contextFlags(auth.Cksum)
	if err != nil {
		return nil, nil, refuse("%w", err)
	}
	// One authenticator opens one context. Where the client asked for mutual authentication, our new key makes a replay worthless
	// anyway; elsewhere one from before our start may have been used then.
	if !a.seen.first(sha256.Sum256(append([]byte(by+"\x00"), req.EncryptedAuthenticator.Cipher...)), at.Add(2*skew), now) {
		return nil, nil, refuse("a replay")
	}
	mutual := want&FlagMutual != 0 || types.IsFlagSet(&req.APOptions, flags.APOptionMutualRequired)
	if !mutual && at.Before(a.born.Add(-time.Second)) {
		return nil, nil, refuse("an authenticator from before the start of this server")
	}

	c = &Context{Name: who.NameString, Realm: part.CRealm, Flags: want & flagsAccepted, Until: part.EndTime, key: part.Key}
	if len(auth.SubKey.KeyValue) > 0 {
		if s, ok := suites[auth.SubKey.KeyType]; !ok || len(auth.SubKey.KeyValue) != s.key {
			return nil, nil, refuse("a subkey of encryption type %d", auth.SubKey.KeyType)
		}
		c.key = auth.SubKey
	}
	if !mutual {
		return c, nil, nil
	}
	c.key, c.acceptor = fresh(c.key.KeyType), true
	var r [4]byte
	rand.Read(r[:])
	sequence := int64(binary.BigEndian.Uint32(r[:]) >> 2)
	c.sequence.Store(uint64(sequence))
	reply, err = answer(part.Key, &auth, c.key, sequence)
	if err != nil {
		return nil, nil, err
	}
	return c, frame(frameAPRep, reply), nil
}

// open decrypts the ticket with each key that could have sealed it: clients reach one service under many names.
func (a *Acceptor) open(req *messages.APReq) (part messages.EncTicketPart, by string, err error) {
	entries, err := a.keys.entries()
	if err != nil && len(entries) == 0 {
		return part, "", err
	}
	ticket := &req.Ticket
	tried := 0
	for pass := range 2 {
		for i := range entries {
			e := &entries[i]
			same := ticket.EncPart.KVNO == 0 || uint32(ticket.EncPart.KVNO) == e.version
			if e.key.KeyType != ticket.EncPart.EType || !e.serves(a.services) || same != (pass == 0) {
				continue
			}
			tried++
			plain, err := decrypt(e.key, keyusage.KDC_REP_TICKET, ticket.EncPart.Cipher)
			if err != nil {
				continue
			}
			if err := part.Unmarshal(plain); err != nil {
				return part, "", errors.New("krb5: the ticket does not decode")
			}
			return part, strings.Join(e.components, "/") + "@" + e.realm, nil
		}
	}
	return part, "", fmt.Errorf("krb5: a ticket for %s@%s, encryption type %d, key version %d: none of %d keys fits",
		ticket.SName.PrincipalNameString(), ticket.Realm, ticket.EncPart.EType, ticket.EncPart.KVNO, tried)
}

// valid: the ticket's time and state, RFC 4120 §3.2.3.
func valid(p *messages.EncTicketPart, now time.Time) error {
	start := p.StartTime
	if start.IsZero() {
		start = p.AuthTime
	}
	switch {
	case types.IsFlagSet(&p.Flags, flags.Invalid):
		return errors.New("the ticket is marked invalid")
	case now.Add(skew).Before(start):
		return errors.New("the ticket is not valid yet")
	case now.Add(-skew).After(p.EndTime):
		return errors.New("the ticket has expired")
	}
	if s, ok := suites[p.Key.KeyType]; !ok || len(p.Key.KeyValue) != s.key {
		return fmt.Errorf("a session key of encryption type %d", p.Key.KeyType)
	}
	return nil
}

// contextFlags reads the authenticator's checksum field, RFC 4121 §4.1.1. Clients that leave it out ask for nothing.
func contextFlags(sum types.Checksum) (uint32, error) {
	if sum.CksumType == 0 && len(sum.Checksum) == 0 {
		return 0, nil
	}
	if sum.CksumType != 0x8003 || len(sum.Checksum) < 24 || binary.LittleEndian.Uint32(sum.Checksum) != 16 {
		return 0, errors.New("the authenticator has no GSS-API checksum")
	}
	return binary.LittleEndian.Uint32(sum.Checksum[20:]), nil
}

// encAPRepPart and apRep are RFC 4120 §5.5.2.
type encAPRepPart struct {
	CTime    time.Time           `asn1:"generalized,explicit,tag:0"`
	CUSec    int                 `asn1:"explicit,tag:1"`
	Subkey   types.EncryptionKey `asn1:"explicit,tag:2"`
	Sequence int64               `asn1:"explicit,tag:3"`
}

type apRep struct {
	PVNO    int                 `asn1:"explicit,tag:0"`
	MsgType int                 `asn1:"explicit,tag:1"`
	EncPart types.EncryptedData `asn1:"explicit,tag:2"`
}

// answer is the AP-REP that proves us to the client, RFC 4120 §3.2.4.
func answer(session types.EncryptionKey, auth *types.Authenticator, subkey types.EncryptionKey, sequence int64) ([]byte, error) {
	b, err := asn1.Marshal(encAPRepPart{CTime: auth.CTime.UTC().Truncate(time.Second), CUSec: auth.Cusec, Subkey: subkey, Sequence: sequence})
	if err != nil {
		return nil, err
	}
	cipher, err := encrypt(session, keyusage.AP_REP_ENCPART, asn1tools.AddASNAppTag(b, asnAppTag.EncAPRepPart))
	if err != nil {
		return nil, err
	}
	b, err = asn1.Marshal(apRep{PVNO: 5, MsgType: 15, EncPart: types.EncryptedData{EType: session.KeyType, Cipher: cipher}})
	if err != nil {
		return nil, err
	}
	return asn1tools.AddASNAppTag(b, asnAppTag.APREP), nil
}

// Mechanism object identifiers, without tag and length: 1.2.840.113554.1.2.2, and the one that Windows 2000 misspelt, 1.2.840.48018.1.2.2.
var (
	OID   = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}
	OIDMS = []byte{0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02}
)

// Token identifiers of the frame, RFC 4121 §4.1.
const (
	frameAPReq = 0x0100
	frameAPRep = 0x0200
)

// frame wraps a message as a GSS-API token, RFC 2743 §3.1.
func frame(id uint16, body []byte) []byte {
	inner := append([]byte{0x06, byte(len(OID))}, OID...)
	inner = binary.BigEndian.AppendUint16(inner, id)
	n := len(inner) + len(body)
	out := append([]byte{0x60}, asn1tools.MarshalLengthBytes(n)...)
	return append(append(out, inner...), body...)
}

// unframe takes the frame off.
func unframe(token []byte, id uint16) ([]byte, error) {
	bad := errors.New("krb5: not a Kerberos token")
	if len(token) < 2 || token[0] != 0x60 {
		return nil, bad
	}
	n, rest := uint64(token[1]), token[2:]
	if n >= 0x80 {
		size := int(n & 0x7f)
		if size == 0 || size > 4 || size > len(rest) {
			return nil, bad
		}
		n = 0
		for _, b := range rest[:size] {
			n = n<<8 | uint64(b)
		}
		rest = rest[size:]
	}
	if n != uint64(len(rest)) || len(rest) < 2+len(OID)+2 || rest[0] != 0x06 || int(rest[1]) != len(OID) ||
		!bytes.Equal(rest[2:2+len(OID)], OID) || binary.BigEndian.Uint16(rest[2+len(OID):]) != id {
		return nil, bad
	}
	return rest[2+len(OID)+2:], nil
}
