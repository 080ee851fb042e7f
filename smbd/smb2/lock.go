package smb2

import "dittofs/smbd/wire"

// SMB2 LOCK, [MS-SMB2] 2.2.26 and 2.2.27.

// LockFlags say what an element does.
type LockFlags uint32

// Lock flags.
const (
	LockFlagSharedLock      LockFlags = 0x01
	LockFlagExclusiveLock   LockFlags = 0x02
	LockFlagUnlock          LockFlags = 0x04
	LockFlagFailImmediately LockFlags = 0x10
)

// LockElement is SMB2_LOCK_ELEMENT, 2.2.26.1.
type LockElement struct {
	Offset uint64
	Length uint64
	Flags  LockFlags
}

// LockRequest is the LOCK request.
type LockRequest struct {
	SequenceNumber uint8  // LockSequenceNumber, 4 bits
	SequenceIndex  uint32 // LockSequenceIndex, 28 bits
	FileID         FileID
	Locks          []LockElement
}

// Parse reads a LOCK request.
func (r *LockRequest) Parse(b []byte) error {
	c := body(b, 48)
	count := c.Uint16()
	sequence := c.Uint32()
	r.SequenceNumber, r.SequenceIndex = uint8(sequence&0xF), sequence>>4
	r.FileID = fileID(&c)
	r.Locks = nil
	if int(count)*24 > c.Len() {
		c.Fail(wire.ErrShort)
	}
	for ; count > 0 && c.Err() == nil; count-- {
		r.Locks = append(r.Locks, LockElement{Offset: c.Uint64(), Length: c.Uint64(), Flags: LockFlags(c.Uint32())})
		c.Skip(4)
	}
	return c.End()
}

// Append appends the body.
func (r *LockRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 48)
	b = wire.Append16(b, uint16(len(r.Locks)))
	b = wire.Append32(b, r.SequenceIndex<<4|uint32(r.SequenceNumber&0xF))
	b = appendFileID(b, r.FileID)
	for _, l := range r.Locks {
		b = wire.Append64(b, l.Offset)
		b = wire.Append64(b, l.Length)
		b = wire.Append32(b, uint32(l.Flags))
		b = wire.AppendZero(b, 4)
	}
	return b
}

// LockResponse is the LOCK response.
type LockResponse struct{ empty }
