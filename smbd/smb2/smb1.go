package smb2

import (
	"bytes"
	"slices"

	"dittofs/smbd/wire"
)

// Multi-protocol negotiation: the SMB_COM_NEGOTIATE of SMB1 that asks for SMB2, [MS-SMB2] 3.3.5.3 and [MS-CIFS] 2.2.4.52.1.

// What SMB2 is called in an SMB1 negotiate.
const (
	SMB1Dialect202      = "SMB 2.002"
	SMB1DialectWildcard = "SMB 2.???"
)

// SMB1Negotiate is the request's list of dialects.
type SMB1Negotiate struct{ Dialects []string }

// Parse reads an SMB1 message from the first byte of its header.
func (r *SMB1Negotiate) Parse(b []byte) error {
	const comNegotiate, headerSize = 0x72, 32
	c := wire.Reader(b)
	if string(c.Bytes(4)) != ProtocolSMB1 || c.Uint8() != comNegotiate {
		return ErrProtocol
	}
	c.Skip(headerSize - 5)
	c.Skip(2 * int(c.Uint8())) // words
	list := c.Bytes(int(c.Uint16()))
	r.Dialects = nil
	for len(list) > 0 && c.Err() == nil {
		end := bytes.IndexByte(list, 0)
		if list[0] != 2 || end < 0 { // BufferFormat: dialect
			c.Fail(wire.ErrValue)
			break
		}
		r.Dialects = append(r.Dialects, string(list[1:end]))
		list = list[end+1:]
	}
	return c.End()
}

// Dialect is what to answer: DialectWildcard where the client asks for any SMB2, Dialect202 where it asks for that, else 0.
func (r *SMB1Negotiate) Dialect() Dialect {
	switch {
	case slices.Contains(r.Dialects, SMB1DialectWildcard):
		return DialectWildcard
	case slices.Contains(r.Dialects, SMB1Dialect202):
		return Dialect202
	}
	return 0
}
