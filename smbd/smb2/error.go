package smb2

import "dittofs/smbd/wire"

// SMB2 ERROR response, [MS-SMB2] 2.2.2: the body of an answer that failed.

// ErrorResponse is the ERROR response.
type ErrorResponse struct {
	ContextCount uint8 // 3.1.1: how many error contexts Data holds
	Data         []byte
}

// Parse reads an ERROR response.
func (r *ErrorResponse) Parse(b []byte) error {
	c := body(b, 9)
	r.ContextCount = c.Uint8()
	c.Skip(1)
	r.Data = nil
	if n := c.Uint32(); n > 0 {
		r.Data = c.Bytes(int(n))
	}
	return c.End()
}

// Append appends the body. Where there is no data, one byte of zero stands for it.
func (r *ErrorResponse) Append(b []byte) []byte {
	b = wire.Append16(b, 9)
	b = append(b, r.ContextCount, 0)
	b = wire.Append32(b, uint32(len(r.Data)))
	if len(r.Data) == 0 {
		return append(b, 0)
	}
	return append(b, r.Data...)
}

// SymlinkError is the data of STATUS_STOPPED_ON_SYMLINK, [MS-SMB2] 2.2.2.2.1.
type SymlinkError struct {
	UnparsedPathLength uint16 // bytes of the path behind the link
	Relative           bool
	SubstituteName     string
	PrintName          string
}

// Append appends the error data of one symbolic link.
func (s *SymlinkError) Append(b []byte) []byte {
	const tag, reparseTag = 0x4C4D5953, 0xA000000C
	sub, print := wire.UTF16Len(s.SubstituteName), wire.UTF16Len(s.PrintName)
	b = wire.Append32(b, uint32(24+sub+print)) // SymLinkLength
	b = wire.Append32(b, tag)
	b = wire.Append32(b, reparseTag)
	b = wire.Append16(b, uint16(12+sub+print)) // ReparseDataLength
	b = wire.Append16(b, s.UnparsedPathLength)
	b = wire.Append16(wire.Append16(b, 0), uint16(sub))
	b = wire.Append16(wire.Append16(b, uint16(sub)), uint16(print))
	flags := uint32(0)
	if s.Relative {
		flags = 1
	}
	b = wire.Append32(b, flags)
	return wire.AppendUTF16(wire.AppendUTF16(b, s.SubstituteName), s.PrintName)
}
