package smb2

import "dittofs/smbd/wire"

// SMB2 NEGOTIATE_CONTEXT, [MS-SMB2] 2.2.3.1 and 2.2.4.1: what 3.1.1 negotiates beyond the dialect. Both sides use the same forms.

// NegotiateContextType tells the kinds apart.
type NegotiateContextType uint16

// Kinds of negotiate context.
const (
	PreauthIntegrityContext NegotiateContextType = 0x0001
	EncryptionContext       NegotiateContextType = 0x0002
	CompressionContext      NegotiateContextType = 0x0003
	NetnameContext          NegotiateContextType = 0x0005
	TransportContext        NegotiateContextType = 0x0006
	RDMATransformContext    NegotiateContextType = 0x0007
	SigningContext          NegotiateContextType = 0x0008
)

// HashAlgorithm is a preauth integrity hash.
type HashAlgorithm uint16

// SHA512 is the only one.
const SHA512 HashAlgorithm = 0x0001

// Cipher is an encryption algorithm.
type Cipher uint16

// Ciphers.
const (
	AES128CCM Cipher = 0x0001
	AES128GCM Cipher = 0x0002
	AES256CCM Cipher = 0x0003
	AES256GCM Cipher = 0x0004
)

// String is the name as people write it.
func (c Cipher) String() string {
	return [...]string{"none", "AES-128-CCM", "AES-128-GCM", "AES-256-CCM", "AES-256-GCM", "unknown"}[min(c, 5)]
}

// SigningAlgorithm signs messages.
type SigningAlgorithm uint16

// Signing algorithms.
const (
	HMACSHA256 SigningAlgorithm = 0x0000
	AESCMAC    SigningAlgorithm = 0x0001
	AESGMAC    SigningAlgorithm = 0x0002
)

// String is the name as people write it.
func (s SigningAlgorithm) String() string {
	return [...]string{"HMAC-SHA256", "AES-CMAC", "AES-GMAC", "unknown"}[min(s, 3)]
}

// CompressionAlgorithm compresses messages.
type CompressionAlgorithm uint16

// Compression algorithms.
const (
	CompressionNone      CompressionAlgorithm = 0x0000
	CompressionLZNT1     CompressionAlgorithm = 0x0001
	CompressionLZ77      CompressionAlgorithm = 0x0002
	CompressionLZ77Huff  CompressionAlgorithm = 0x0003
	CompressionPatternV1 CompressionAlgorithm = 0x0004
	CompressionLZ4       CompressionAlgorithm = 0x0005
)

// PreauthIntegrityCapabilities, [MS-SMB2] 2.2.3.1.1.
type PreauthIntegrityCapabilities struct {
	HashAlgorithms []HashAlgorithm
	Salt           []byte
}

// CompressionCapabilities, [MS-SMB2] 2.2.3.1.3.
type CompressionCapabilities struct {
	Flags      uint32 // 1: chained
	Algorithms []CompressionAlgorithm
}

// NegotiateContext is a context of a kind that this package does not know.
type NegotiateContext struct {
	Type NegotiateContextType
	Data []byte
}

// NegotiateContexts is the list. A nil field is absent. A kind that comes twice is a fault.
type NegotiateContexts struct {
	Preauth        *PreauthIntegrityCapabilities
	Ciphers        []Cipher // 2.2.3.1.2
	Compression    *CompressionCapabilities
	Netname        *string            // 2.2.3.1.4
	Transport      *uint32            // 2.2.3.1.5, flags; 1: the transport's own security is accepted
	RDMATransforms []uint16           // 2.2.3.1.6
	Signing        []SigningAlgorithm // 2.2.3.1.7
	Unknown        []NegotiateContext
}

func (n *NegotiateContexts) parse(c *wire.Cursor, offset uint32, count uint16) {
	if c.Err() != nil || count == 0 {
		return
	}
	// The list runs to the end of the message, wherever it begins.
	end := uint64(c.Pos() + c.Len())
	if uint64(offset) >= end {
		c.Fail(wire.ErrShort)
		return
	}
	l := wire.Reader(c.BufferAt(uint64(offset), end-uint64(offset)))
	var seen [9]bool
	for ; count > 0 && l.Err() == nil; count-- {
		l.Align(8)
		kind, length := NegotiateContextType(l.Uint16()), l.Uint16()
		l.Skip(4)
		data := l.Bytes(int(length))
		if l.Err() != nil {
			break
		}
		if int(kind) < len(seen) {
			if seen[kind] {
				l.Fail(wire.ErrValue)
			}
			seen[kind] = true
		}
		if err := n.one(kind, data); err != nil {
			l.Fail(err)
		}
	}
	if l.Err() != nil {
		c.Fail(l.Err())
	}
}

func (n *NegotiateContexts) one(kind NegotiateContextType, data []byte) error {
	c := wire.Reader(data)
	switch kind {
	case PreauthIntegrityContext:
		count, salt := c.Uint16(), c.Uint16()
		n.Preauth = &PreauthIntegrityCapabilities{HashAlgorithms: list16[HashAlgorithm](&c, count), Salt: c.Bytes(int(salt))}
	case EncryptionContext:
		n.Ciphers = list16[Cipher](&c, c.Uint16())
	case CompressionContext:
		count := c.Uint16()
		c.Skip(2)
		flags := c.Uint32()
		n.Compression = &CompressionCapabilities{Flags: flags, Algorithms: list16[CompressionAlgorithm](&c, count)}
	case NetnameContext:
		s := c.String(len(data))
		n.Netname = &s
	case TransportContext:
		flags := c.Uint32()
		n.Transport = &flags
	case RDMATransformContext:
		count := c.Uint16()
		c.Skip(6)
		n.RDMATransforms = list16[uint16](&c, count)
	case SigningContext:
		n.Signing = list16[SigningAlgorithm](&c, c.Uint16())
	default:
		n.Unknown = append(n.Unknown, NegotiateContext{Type: kind, Data: data})
	}
	return c.End()
}

// list16 reads count values of 2 bytes; it is never nil.
func list16[T ~uint16](c *wire.Cursor, count uint16) []T {
	v := []T{}
	for ; count > 0 && c.Err() == nil; count-- {
		v = append(v, T(c.Uint16()))
	}
	return v
}

func append16[T ~uint16](b []byte, v []T) []byte {
	for _, x := range v {
		b = wire.Append16(b, uint16(x))
	}
	return b
}

// append appends the list, each context on 8 bytes from start, and returns how many there are.
func (n *NegotiateContexts) append(b []byte, start int) ([]byte, uint16) {
	var count uint16
	add := func(kind NegotiateContextType, fill func([]byte) []byte) {
		b = wire.Pad(b, start, 8)
		at := len(b)
		b = wire.Append16(b, uint16(kind))
		b = wire.AppendZero(b, 6)
		b = fill(b)
		wire.Put16(b[at+2:], uint16(len(b)-at-8))
		count++
	}
	if p := n.Preauth; p != nil {
		add(PreauthIntegrityContext, func(b []byte) []byte {
			b = wire.Append16(wire.Append16(b, uint16(len(p.HashAlgorithms))), uint16(len(p.Salt)))
			return append(append16(b, p.HashAlgorithms), p.Salt...)
		})
	}
	if n.Ciphers != nil {
		add(EncryptionContext, func(b []byte) []byte {
			return append16(wire.Append16(b, uint16(len(n.Ciphers))), n.Ciphers)
		})
	}
	if p := n.Compression; p != nil {
		add(CompressionContext, func(b []byte) []byte {
			b = wire.Append32(wire.Append32(b, uint32(uint16(len(p.Algorithms)))), p.Flags)
			return append16(b, p.Algorithms)
		})
	}
	if n.Netname != nil {
		add(NetnameContext, func(b []byte) []byte { return wire.AppendUTF16(b, *n.Netname) })
	}
	if n.Transport != nil {
		add(TransportContext, func(b []byte) []byte { return wire.Append32(b, *n.Transport) })
	}
	if n.RDMATransforms != nil {
		add(RDMATransformContext, func(b []byte) []byte {
			b = wire.AppendZero(wire.Append16(b, uint16(len(n.RDMATransforms))), 6)
			return append16(b, n.RDMATransforms)
		})
	}
	if n.Signing != nil {
		add(SigningContext, func(b []byte) []byte {
			return append16(wire.Append16(b, uint16(len(n.Signing))), n.Signing)
		})
	}
	for _, u := range n.Unknown {
		add(u.Type, func(b []byte) []byte { return append(b, u.Data...) })
	}
	return b, count
}
