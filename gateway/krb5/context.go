package krb5

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

// Flags of a context, RFC 4121 §4.1.1.1.
const (
	FlagMutual    = 0x02
	FlagReplay    = 0x04
	FlagSequence  = 0x08
	FlagConf      = 0x10
	FlagInteg     = 0x20
	FlagDCEStyle  = 0x1000
	flagsAccepted = FlagMutual | FlagReplay | FlagSequence | FlagConf | FlagInteg
)

// Context is an accepted security context: who the client is, and the per-message tokens of RFC 4121. It is for use by many goroutines.
type Context struct {
	Name  []string  // of the client's principal: "alice", or "host", "client.example"
	Realm string    // of the client
	Flags uint32    // that the client asked for
	Until time.Time // the ticket's end

	key      types.EncryptionKey
	acceptor bool // key is our own subkey
	sequence atomic.Uint64
}

// Principal is the client's name as people write it.
func (c *Context) Principal() string {
	var b bytes.Buffer
	for i, n := range c.Name {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(n)
	}
	b.WriteByte('@')
	b.WriteString(c.Realm)
	return b.String()
}

// SessionKey is the key that SMB derives its own from; only the first 16 bytes count before SMB 3.1.1. [MS-KILE] 3.1.1.2.
func (c *Context) SessionKey() []byte { return bytes.Clone(c.key.KeyValue) }

// Key usages, RFC 4121 §2.
const (
	usageAcceptorSeal  = 22
	usageAcceptorSign  = 23
	usageInitiatorSeal = 24
	usageInitiatorSign = 25
)

// Tokens, RFC 4121 §4.2.
const (
	tokenHeader = 16
	idMIC       = 0x0404
	idWrap      = 0x0504

	byAcceptor     = 0x01
	sealed         = 0x02
	acceptorSubkey = 0x04
)

// Faults of a token, GSS_S_DEFECTIVE_TOKEN and GSS_S_BAD_SIG of RFC 2743.
var (
	ErrDefective = errors.New("krb5: defective token")
	ErrBadMIC    = errors.New("krb5: the token's checksum is wrong")
)

func (c *Context) flags() byte {
	if c.acceptor {
		return byAcceptor | acceptorSubkey
	}
	return byAcceptor
}

// header begins a token of ours.
func (c *Context) header(id uint16, flags byte) []byte {
	b := make([]byte, tokenHeader, tokenHeader+64)
	binary.BigEndian.PutUint16(b, id)
	b[2] = flags
	b[3] = 0xff
	if id == idMIC {
		binary.BigEndian.PutUint32(b[4:], 0xffffffff)
	}
	binary.BigEndian.PutUint64(b[8:], c.sequence.Add(1)-1)
	return b
}

// MIC is a token that proves text, RFC 4121 §4.2.6.1.
func (c *Context) MIC(text []byte) ([]byte, error) {
	h := c.header(idMIC, c.flags())
	sum, err := checksum(c.key, usageAcceptorSign, join(text, h))
	if err != nil {
		return nil, err
	}
	return append(h, sum...), nil
}

// VerifyMIC checks the client's token over text. The order of tokens is not looked at: both users of this room number their messages.
func (c *Context) VerifyMIC(text, token []byte) error {
	if len(token) < tokenHeader || binary.BigEndian.Uint16(token) != idMIC || c.foreign(token[2], false) || token[3] != 0xff ||
		binary.BigEndian.Uint32(token[4:]) != 0xffffffff {
		return ErrDefective
	}
	sum, err := checksum(c.key, usageInitiatorSign, join(text, token[:tokenHeader]))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(sum, token[tokenHeader:]) != 1 {
		return ErrBadMIC
	}
	return nil
}

// foreign: flags that a token from the client of this context cannot have.
func (c *Context) foreign(flags byte, seal bool) bool {
	want := byte(0)
	if c.acceptor {
		want |= acceptorSubkey
	}
	if seal {
		want |= sealed
	}
	return flags&(byAcceptor|sealed|acceptorSubkey) != want
}

// Wrap seals text, RFC 4121 §4.2.6.2 with confidentiality.
func (c *Context) Wrap(text []byte) ([]byte, error) {
	h := c.header(idWrap, c.flags()|sealed)
	cipher, err := encrypt(c.key, usageAcceptorSeal, join(text, h))
	if err != nil {
		return nil, err
	}
	return append(h, cipher...), nil
}

// Unwrap opens what the client sealed. A token without confidentiality is refused.
func (c *Context) Unwrap(token []byte) ([]byte, error) {
	if len(token) < tokenHeader || binary.BigEndian.Uint16(token) != idWrap || c.foreign(token[2], true) || token[3] != 0xff {
		return nil, ErrDefective
	}
	extra := int(binary.BigEndian.Uint16(token[4:]))
	turned := int(binary.BigEndian.Uint16(token[6:]))
	cipher := token[tokenHeader:]
	if turned != 0 && len(cipher) > 0 { // RFC 4121 §4.2.5: the bytes were rotated to the right
		n := turned % len(cipher)
		cipher = join(cipher[n:], cipher[:n])
	}
	plain, err := decrypt(c.key, usageInitiatorSeal, cipher)
	if err != nil {
		return nil, ErrBadMIC
	}
	if len(plain) < extra+tokenHeader {
		return nil, ErrDefective
	}
	end := len(plain) - tokenHeader
	var h [tokenHeader]byte
	copy(h[:], token)
	h[6], h[7] = 0, 0
	if subtle.ConstantTimeCompare(h[:], plain[end:]) != 1 {
		return nil, ErrBadMIC
	}
	return plain[:end-extra], nil
}

func join(a, b []byte) []byte { return append(append(make([]byte, 0, len(a)+len(b)), a...), b...) }
