package smb2

import (
	"fmt"
	"slices"

	"dittofs/smbd/wire"
)

// SMB2 NEGOTIATE, [MS-SMB2] 2.2.3 and 2.2.4.

// Dialect is a revision of the protocol.
type Dialect uint16

// Dialects.
const (
	Dialect202      Dialect = 0x0202
	Dialect210      Dialect = 0x0210
	Dialect300      Dialect = 0x0300
	Dialect302      Dialect = 0x0302
	Dialect311      Dialect = 0x0311
	DialectWildcard Dialect = 0x02FF // the answer to SMB1's "SMB 2.???"
)

// String is the number as people write it.
func (d Dialect) String() string {
	switch d {
	case Dialect202:
		return "2.0.2"
	case Dialect210:
		return "2.1"
	case Dialect300:
		return "3.0"
	case Dialect302:
		return "3.0.2"
	case Dialect311:
		return "3.1.1"
	case DialectWildcard:
		return "2.???"
	}
	return fmt.Sprintf("dialect(0x%04X)", uint16(d))
}

// SecurityMode is the SecurityMode of NEGOTIATE and SESSION_SETUP.
type SecurityMode uint16

// Security modes.
const (
	SigningEnabled  SecurityMode = 1
	SigningRequired SecurityMode = 2
)

// Capabilities is the Capabilities of NEGOTIATE and SESSION_SETUP.
type Capabilities uint32

// Capabilities.
const (
	CapDFS               Capabilities = 0x01
	CapLeasing           Capabilities = 0x02
	CapLargeMTU          Capabilities = 0x04
	CapMultiChannel      Capabilities = 0x08
	CapPersistentHandles Capabilities = 0x10
	CapDirectoryLeasing  Capabilities = 0x20
	CapEncryption        Capabilities = 0x40
	CapNotifications     Capabilities = 0x80
)

// NegotiateRequest is the NEGOTIATE request. Contexts count only where Dialects name 3.1.1.
type NegotiateRequest struct {
	SecurityMode SecurityMode
	Capabilities Capabilities
	ClientGUID   [16]byte
	Dialects     []Dialect
	Contexts     NegotiateContexts
}

// Parse reads a NEGOTIATE request.
func (r *NegotiateRequest) Parse(b []byte) error {
	c := body(b, 36)
	dialects := int(c.Uint16())
	r.SecurityMode = SecurityMode(c.Uint16())
	c.Skip(2)
	r.Capabilities = Capabilities(c.Uint32())
	r.ClientGUID = c.Bytes16()
	offset, count := c.Uint32(), c.Uint16()
	c.Skip(2)
	r.Dialects = nil
	for ; dialects > 0 && c.Err() == nil; dialects-- {
		r.Dialects = append(r.Dialects, Dialect(c.Uint16()))
	}
	r.Contexts = NegotiateContexts{}
	if slices.Contains(r.Dialects, Dialect311) {
		r.Contexts.parse(&c, offset, count)
	}
	return c.End()
}

// Append appends the body.
func (r *NegotiateRequest) Append(b []byte) []byte {
	start := len(b) - HeaderSize
	b = wire.Append16(b, 36)
	b = wire.Append16(b, uint16(len(r.Dialects)))
	b = wire.Append16(b, uint16(r.SecurityMode))
	b = wire.AppendZero(b, 2)
	b = wire.Append32(b, uint32(r.Capabilities))
	b = append(b, r.ClientGUID[:]...)
	at := len(b)
	b = wire.AppendZero(b, 8)
	for _, d := range r.Dialects {
		b = wire.Append16(b, uint16(d))
	}
	if slices.Contains(r.Dialects, Dialect311) {
		b = wire.Pad(b, start, 8)
		wire.Put32(b[at:], uint32(len(b)-start))
		var n uint16
		b, n = r.Contexts.append(b, start)
		wire.Put16(b[at+4:], n)
	}
	return b
}

// NegotiateResponse is the NEGOTIATE response.
type NegotiateResponse struct {
	SecurityMode    SecurityMode
	Dialect         Dialect // DialectRevision
	ServerGUID      [16]byte
	Capabilities    Capabilities
	MaxTransactSize uint32
	MaxReadSize     uint32
	MaxWriteSize    uint32
	SystemTime      wire.Filetime
	ServerStartTime wire.Filetime
	SecurityBuffer  []byte
	Contexts        NegotiateContexts // 3.1.1
}

// Parse reads a NEGOTIATE response.
func (r *NegotiateResponse) Parse(b []byte) error {
	c := body(b, 65)
	r.SecurityMode = SecurityMode(c.Uint16())
	r.Dialect = Dialect(c.Uint16())
	count := c.Uint16()
	r.ServerGUID = c.Bytes16()
	r.Capabilities = Capabilities(c.Uint32())
	r.MaxTransactSize = c.Uint32()
	r.MaxReadSize = c.Uint32()
	r.MaxWriteSize = c.Uint32()
	r.SystemTime = c.Filetime()
	r.ServerStartTime = c.Filetime()
	r.SecurityBuffer = at16(&c)
	offset := c.Uint32()
	r.Contexts = NegotiateContexts{}
	if r.Dialect == Dialect311 {
		r.Contexts.parse(&c, offset, count)
	}
	return c.End()
}

// Append appends the body.
func (r *NegotiateResponse) Append(b []byte) []byte {
	start := len(b) - HeaderSize
	b = wire.Append16(b, 65)
	b = wire.Append16(b, uint16(r.SecurityMode))
	b = wire.Append16(b, uint16(r.Dialect))
	count := len(b)
	b = wire.AppendZero(b, 2)
	b = append(b, r.ServerGUID[:]...)
	b = wire.Append32(b, uint32(r.Capabilities))
	b = wire.Append32(b, r.MaxTransactSize)
	b = wire.Append32(b, r.MaxReadSize)
	b = wire.Append32(b, r.MaxWriteSize)
	b = wire.AppendFiletime(b, r.SystemTime)
	b = wire.AppendFiletime(b, r.ServerStartTime)
	b = wire.Append16(b, HeaderSize+64) // clients look at the offset even where the length is 0
	b = wire.Append16(b, uint16(len(r.SecurityBuffer)))
	at := len(b)
	b = wire.AppendZero(b, 4)
	b = append(b, r.SecurityBuffer...)
	if r.Dialect == Dialect311 {
		b = wire.Pad(b, start, 8)
		wire.Put32(b[at:], uint32(len(b)-start))
		var n uint16
		b, n = r.Contexts.append(b, start)
		wire.Put16(b[count:], n)
	}
	return b
}
