// Package smb2 is the syntax of [MS-SMB2] chapter 2: one file per command, with its request and its response.
//
// Parse takes one whole message, from the first byte of its SMB2 header: offsets inside a message count from there. It takes one element
// of what Split returns. Byte slices that it yields, such as a WRITE's data, alias the message. An error from Parse answers
// STATUS_INVALID_PARAMETER, except wire.ErrUTF16, which answers STATUS_OBJECT_NAME_INVALID.
//
// Append appends the body alone, and counts on it that the header was appended right before: a whole message is
//
//	b = h.Append(b)
//	b = r.Append(b)
//
// Requests and responses go both ways, so that clients for tests and load can be built from the same package.
//
// No locks.
package smb2

import "dittofs/smbd/wire"

// body returns a cursor behind the header and the StructureSize, which must be size.
func body(b []byte, size uint16) wire.Cursor {
	c := wire.Reader(b)
	c.Skip(HeaderSize)
	c.StructureSize(size)
	return c
}

// at16 reads a 16-bit offset and a 16-bit length, and returns the buffer there.
func at16(c *wire.Cursor) []byte {
	offset, length := c.Uint16(), c.Uint16()
	return c.BufferAt(uint64(offset), uint64(length))
}

// at32 is at16 in 32 bits.
func at32(c *wire.Cursor) []byte {
	offset, length := c.Uint32(), c.Uint32()
	return c.BufferAt(uint64(offset), uint64(length))
}

// put16 appends a 16-bit offset, 0 for an empty buffer, and a 16-bit length.
func put16(b []byte, offset, length int) []byte {
	if length == 0 {
		offset = 0
	}
	return wire.Append16(wire.Append16(b, uint16(offset)), uint16(length))
}

// put32 is put16 in 32 bits.
func put32(b []byte, offset, length int) []byte {
	if length == 0 {
		offset = 0
	}
	return wire.Append32(wire.Append32(b, uint32(offset)), uint32(length))
}
