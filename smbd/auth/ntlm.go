package auth

import (
	"encoding/binary"
	"errors"
	"strings"

	"dittofs/smbd/wire"
)

const signature = "NTLMSSP\x00"

// Message types, [MS-NLMP] 2.2.1.
const (
	typeNegotiate    = 1
	typeChallenge    = 2
	typeAuthenticate = 3
)

// Negotiate flags, [MS-NLMP] 2.2.2.5.
const (
	flagUnicode       = 0x00000001
	flagRequestTarget = 0x00000004
	flagSign          = 0x00000010
	flagSeal          = 0x00000020
	flagNTLM          = 0x00000200
	flagAlwaysSign    = 0x00008000
	flagTargetServer  = 0x00020000
	flagESS           = 0x00080000
	flagTargetInfo    = 0x00800000
	flagVersion       = 0x02000000
	flag128           = 0x20000000
	flagKeyExchange   = 0x40000000
	flag56            = 0x80000000

	offered = flagUnicode | flagRequestTarget | flagSign | flagSeal | flagNTLM | flagAlwaysSign | flagESS | flagVersion | flag128 | flagKeyExchange | flag56
	always  = flagUnicode | flagNTLM | flagESS | flagTargetServer | flagTargetInfo | flagRequestTarget
)

// AV_PAIR identifiers, [MS-NLMP] 2.2.2.1.
const (
	avEOL             = 0
	avNbComputerName  = 1
	avNbDomainName    = 2
	avDNSComputerName = 3
	avDNSDomainName   = 4
	avFlags           = 6
	avTimestamp       = 7

	avFlagMIC = 0x2
)

// Places in the messages, [MS-NLMP] 2.2.1.2 and 2.2.1.3.
const (
	offServerChallenge = 24
	sizeChallenge      = 56
	sizeAuthenticate   = 64 // up to and with NegotiateFlags; Version and MIC may be missing
	offMIC             = 72
	sizeWithMIC        = 88
)

// avPair is an AV_PAIR.
type avPair struct {
	id    uint16
	value []byte
}

type avPairs []avPair

func (p avPairs) append(b []byte) []byte {
	le := binary.LittleEndian
	for _, a := range p {
		b = le.AppendUint16(b, a.id)
		b = le.AppendUint16(b, uint16(len(a.value)))
		b = append(b, a.value...)
	}
	return append(b, 0, 0, 0, 0) // MsvAvEOL
}

// parseAvPairs takes pairs until MsvAvEOL, which must be there.
func parseAvPairs(b []byte) (avPairs, error) {
	var p avPairs
	for {
		if len(b) < 4 {
			return nil, errors.New("AV_PAIRs without their end")
		}
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if id == avEOL {
			return p, nil
		}
		if n > len(b)-4 {
			return nil, errors.New("an AV_PAIR is longer than its message")
		}
		p = append(p, avPair{id, b[4 : 4+n]})
		b = b[4+n:]
	}
}

// NEGOTIATE_MESSAGE, [MS-NLMP] 2.2.1.1. Its names are hints that nobody needs.
func parseNegotiate(b []byte) (flags uint32, err error) {
	if err := header(b, typeNegotiate, 16); err != nil {
		return 0, err
	}
	flags = binary.LittleEndian.Uint32(b[12:])
	if flags&flagUnicode == 0 {
		return 0, &Error{Reason: OldProtocol, Err: errors.New("a client without Unicode")}
	}
	return flags, nil
}

// challengeMessage is a CHALLENGE_MESSAGE, [MS-NLMP] 2.2.1.2.
type challengeMessage struct {
	flags uint32
	nonce [8]byte // ServerChallenge
	name  string  // TargetName
	info  avPairs // TargetInfo
}

func (c *challengeMessage) append(b []byte) []byte {
	le := binary.LittleEndian
	name, info := utf16le(c.name), c.info.append(nil)
	b = append(b, signature...)
	b = le.AppendUint32(b, typeChallenge)
	b = appendField(b, name, sizeChallenge)
	b = le.AppendUint32(b, c.flags)
	b = append(b, c.nonce[:]...)
	b = append(b, make([]byte, 8)...)
	b = appendField(b, info, sizeChallenge+len(name))
	b = append(b, 6, 1, 0, 0, 0, 0, 0, 15) // VERSION 6.1, NTLMSSP_REVISION_W2K3
	b = append(b, name...)
	return append(b, info...)
}

// authenticateMessage is an AUTHENTICATE_MESSAGE, [MS-NLMP] 2.2.1.3. Its slices alias the token.
type authenticateMessage struct {
	lm, nt      []byte
	domain      string
	user        string
	workstation string
	sealedKey   []byte // EncryptedRandomSessionKey
	flags       uint32
	payload     int // where the first field's bytes stand
}

func parseAuthenticate(b []byte) (*authenticateMessage, error) {
	if err := header(b, typeAuthenticate, sizeAuthenticate); err != nil {
		return nil, err
	}
	m := &authenticateMessage{payload: len(b)}
	var fault error
	field := func(at int) []byte {
		n, off := uint64(binary.LittleEndian.Uint16(b[at:])), uint64(binary.LittleEndian.Uint32(b[at+4:]))
		switch {
		case n == 0:
			return nil
		case off < sizeAuthenticate || off+n > uint64(len(b)):
			fault = errors.New("a field outside of its message")
			return nil
		}
		m.payload = min(m.payload, int(off))
		return b[off : off+n]
	}
	text := func(at int) string {
		s, err := wire.String(field(at))
		if err != nil {
			fault = err
		}
		return s
	}
	m.lm, m.nt = field(12), field(20)
	m.flags = binary.LittleEndian.Uint32(b[60:])
	if m.flags&flagUnicode != 0 {
		m.domain, m.user, m.workstation = text(28), text(36), text(44)
	}
	m.sealedKey = field(52)
	if fault != nil {
		return nil, malformed("AUTHENTICATE_MESSAGE: %w", fault)
	}
	return m, nil
}

// anonymous: no name, no NT response, and an LM response that is empty or one zero byte. [MS-NLMP] 3.2.5.1.2.
func (m *authenticateMessage) anonymous() bool {
	return m.user == "" && len(m.nt) == 0 && (len(m.lm) == 0 || len(m.lm) == 1 && m.lm[0] == 0)
}

// avFlags is MsvAvFlags of the NTLMv2 response.
func (m *authenticateMessage) avFlags() uint32 {
	if len(m.nt) < sizeNTLMv2 {
		return 0
	}
	pairs, _ := parseAvPairs(m.nt[sizeNTLMv2:])
	for _, p := range pairs {
		if p.id == avFlags && len(p.value) == 4 {
			return binary.LittleEndian.Uint32(p.value)
		}
	}
	return 0
}

func header(b []byte, kind uint32, size int) error {
	if len(b) < size || string(b[:8]) != signature {
		return malformed("no NTLM message in %d bytes", len(b))
	}
	if got := binary.LittleEndian.Uint32(b[8:]); got != kind {
		return malformed("NTLM message %d, want %d", got, kind)
	}
	return nil
}

// appendField is Len, MaxLen and BufferOffset of value.
func appendField(b, value []byte, offset int) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, uint16(len(value)))
	b = le.AppendUint16(b, uint16(len(value)))
	return le.AppendUint32(b, uint32(offset))
}

// netbios is a name as NetBIOS has it: capitals, at most 15 bytes. [MS-NLMP] 2.2.2.1.
func netbios(s string) string {
	s, _, _ = strings.Cut(strings.ToUpper(s), ".")
	if len(s) > 15 {
		s = strings.ToValidUTF8(s[:15], "")
	}
	return s
}

func utf16le(s string) []byte { return wire.AppendUTF16(nil, s) }
