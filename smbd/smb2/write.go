package smb2

import "dittofs/smbd/wire"

// SMB2 WRITE, [MS-SMB2] 2.2.21 and 2.2.22.

// Write flags.
const (
	WriteFlagWriteThrough    uint32 = 1
	WriteFlagWriteUnbuffered uint32 = 2
)

// WriteRequest is the WRITE request. RDMA's channel information is not read.
type WriteRequest struct {
	Offset         uint64
	FileID         FileID
	Channel        uint32
	RemainingBytes uint32
	Flags          uint32
	Data           []byte // aliases the message
}

// Parse reads a WRITE request.
func (r *WriteRequest) Parse(b []byte) error {
	c := body(b, 49)
	offset, length := c.Uint16(), c.Uint32()
	r.Offset = c.Uint64()
	r.FileID = fileID(&c)
	r.Channel = c.Uint32()
	r.RemainingBytes = c.Uint32()
	c.Skip(4) // WriteChannelInfoOffset, WriteChannelInfoLength
	r.Flags = c.Uint32()
	r.Data = c.BufferAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *WriteRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 49)
	b = wire.Append16(b, HeaderSize+48)
	b = wire.Append32(b, uint32(len(r.Data)))
	b = wire.Append64(b, r.Offset)
	b = appendFileID(b, r.FileID)
	b = wire.Append32(b, r.Channel)
	b = wire.Append32(b, r.RemainingBytes)
	b = wire.AppendZero(b, 4)
	b = wire.Append32(b, r.Flags)
	if len(r.Data) == 0 {
		return append(b, 0) // the buffer has at least one byte
	}
	return append(b, r.Data...)
}

// WriteResponse is the WRITE response.
type WriteResponse struct {
	Count     uint32
	Remaining uint32
}

// Parse reads a WRITE response.
func (r *WriteResponse) Parse(b []byte) error {
	c := body(b, 17)
	c.Skip(2)
	r.Count = c.Uint32()
	r.Remaining = c.Uint32()
	return c.End()
}

// Append appends the body.
func (r *WriteResponse) Append(b []byte) []byte {
	b = wire.Append32(b, 17)
	b = wire.Append32(b, r.Count)
	b = wire.Append32(b, r.Remaining)
	return wire.AppendZero(b, 4)
}
