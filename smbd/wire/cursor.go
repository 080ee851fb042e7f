package wire

import (
	"encoding/binary"
	"errors"
)

// Faults of a cursor.
var (
	ErrShort = errors.New("wire: message ends early")
	ErrValue = errors.New("wire: value out of its range")
	ErrUTF16 = errors.New("wire: UTF-16 with a stray surrogate")
)

// Cursor reads a message from its beginning.
type Cursor struct {
	msg []byte
	at  int // at most len(msg)
	err error
}

// Reader returns a cursor at the first byte of b.
func Reader(b []byte) Cursor { return Cursor{msg: b} }

// Err is the first fault.
func (c *Cursor) Err() error { return c.err }

// End is Err. Bytes after the last field are no fault: SMB2 pads messages, and newer dialects add fields.
func (c *Cursor) End() error { return c.err }

// Fail records a fault, unless there is one.
func (c *Cursor) Fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Pos is the number of bytes before the cursor.
func (c *Cursor) Pos() int { return c.at }

// Len is the number of bytes after the cursor; after a fault it is 0.
func (c *Cursor) Len() int {
	if c.err != nil {
		return 0
	}
	return len(c.msg) - c.at
}

// Bytes reads n bytes, which alias the message.
func (c *Cursor) Bytes(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.msg)-c.at {
		c.err = ErrShort
		return nil
	}
	b := c.msg[c.at : c.at+n : c.at+n]
	c.at += n
	return b
}

// Rest reads all that is left.
func (c *Cursor) Rest() []byte { return c.Bytes(c.Len()) }

// Skip passes over n bytes.
func (c *Cursor) Skip(n int) { c.Bytes(n) }

// Align passes over bytes until the position is a multiple of n. The message may end before that.
func (c *Cursor) Align(n int) {
	if r := c.at % n; r != 0 {
		c.Skip(min(n-r, c.Len()))
	}
}

// Uint8 reads a byte.
func (c *Cursor) Uint8() uint8 {
	if b := c.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads 2 bytes.
func (c *Cursor) Uint16() uint16 {
	if b := c.Bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads 4 bytes.
func (c *Cursor) Uint32() uint32 {
	if b := c.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads 8 bytes.
func (c *Cursor) Uint64() uint64 {
	if b := c.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Bool reads a byte that is FALSE when 0 and TRUE otherwise, [MS-DTYP] 2.2.4.
func (c *Cursor) Bool() bool { return c.Uint8() != 0 }

// Filetime reads a FILETIME.
func (c *Cursor) Filetime() Filetime { return Filetime(c.Uint64()) }

// Bytes16 reads 16 bytes: a GUID, a key, a signature.
func (c *Cursor) Bytes16() (v [16]byte) {
	copy(v[:], c.Bytes(16))
	return v
}

// String reads n bytes of UTF-16LE.
func (c *Cursor) String(n int) string { return c.text(c.Bytes(n)) }

// StructureSize reads the 2 bytes that begin each SMB2 body, and takes any other value than n for a fault.
func (c *Cursor) StructureSize(n uint16) {
	if c.Uint16() != n {
		c.Fail(ErrValue)
	}
}

// BufferAt returns length bytes at offset from the beginning of the message, wherever the cursor is. A buffer of no bytes is nil, and
// its offset means nothing.
func (c *Cursor) BufferAt(offset, length uint64) []byte {
	if c.err != nil || length == 0 {
		return nil
	}
	n := uint64(len(c.msg))
	if offset > n || length > n-offset {
		c.err = ErrShort
		return nil
	}
	return c.msg[offset : offset+length : offset+length]
}

// StringAt is BufferAt for UTF-16LE.
func (c *Cursor) StringAt(offset, length uint64) string { return c.text(c.BufferAt(offset, length)) }

func (c *Cursor) text(b []byte) string {
	if c.err != nil {
		return ""
	}
	s, err := String(b)
	if err != nil {
		c.err = err
	}
	return s
}
