package smb2

import "dittofs/smbd/wire"

// SMB2 TRANSFORM_HEADER, [MS-SMB2] 2.2.41: what stands before an encrypted message.

// TransformHeaderSize is its length.
const TransformHeaderSize = 52

// TransformAAD is where the part begins that the signature covers as additional data: from Nonce to the end of the header.
const TransformAAD = 20

// TransformFlagEncrypted is the only flag; before 3.1.1 the field names the cipher, which was always AES-128-CCM: the same value.
const TransformFlagEncrypted uint16 = 1

// TransformHeader is the header.
type TransformHeader struct {
	Signature           [16]byte
	Nonce               [16]byte // the first 11 bytes for CCM, the first 12 for GCM
	OriginalMessageSize uint32
	Flags               uint16
	SessionID           uint64
}

// Parse reads the header; the encrypted message follows it.
func (h *TransformHeader) Parse(b []byte) error {
	if len(b) < TransformHeaderSize || !Is(b, ProtocolTransform) {
		return ErrProtocol
	}
	c := wire.Reader(b)
	c.Skip(4)
	h.Signature = c.Bytes16()
	h.Nonce = c.Bytes16()
	h.OriginalMessageSize = c.Uint32()
	c.Skip(2)
	h.Flags = c.Uint16()
	h.SessionID = c.Uint64()
	return c.End()
}

// Append appends the header.
func (h *TransformHeader) Append(b []byte) []byte {
	b = append(b, ProtocolTransform...)
	b = append(b, h.Signature[:]...)
	b = append(b, h.Nonce[:]...)
	b = wire.Append32(b, h.OriginalMessageSize)
	b = wire.AppendZero(b, 2)
	b = wire.Append16(b, h.Flags)
	return wire.Append64(b, h.SessionID)
}
