package smb2

import "dittofs/smbd/wire"

// SMB2 READ, [MS-SMB2] 2.2.19 and 2.2.20.

// Channels of READ and WRITE other than the connection itself are RDMA.
const (
	ChannelNone             uint32 = 0
	ChannelRDMAV1           uint32 = 1
	ChannelRDMAV1Invalidate uint32 = 2
	ChannelRDMATransform    uint32 = 3
)

// Read flags.
const (
	ReadFlagReadUnbuffered    uint8 = 1
	ReadFlagRequestCompressed uint8 = 2
)

// ReadRequest is the READ request. RDMA's channel information is not read.
type ReadRequest struct {
	Padding        uint8
	Flags          uint8
	Length         uint32
	Offset         uint64
	FileID         FileID
	MinimumCount   uint32
	Channel        uint32
	RemainingBytes uint32
}

// Parse reads a READ request.
func (r *ReadRequest) Parse(b []byte) error {
	c := body(b, 49)
	r.Padding = c.Uint8()
	r.Flags = c.Uint8()
	r.Length = c.Uint32()
	r.Offset = c.Uint64()
	r.FileID = fileID(&c)
	r.MinimumCount = c.Uint32()
	r.Channel = c.Uint32()
	r.RemainingBytes = c.Uint32()
	c.Skip(4) // ReadChannelInfoOffset, ReadChannelInfoLength
	return c.End()
}

// Append appends the body.
func (r *ReadRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 49)
	b = append(b, r.Padding, r.Flags)
	b = wire.Append32(b, r.Length)
	b = wire.Append64(b, r.Offset)
	b = appendFileID(b, r.FileID)
	b = wire.Append32(b, r.MinimumCount)
	b = wire.Append32(b, r.Channel)
	b = wire.Append32(b, r.RemainingBytes)
	return wire.AppendZero(b, 5) // channel information, and one byte of buffer
}

// ReadDataOffset is where the data of a READ response begins in its message.
const ReadDataOffset = HeaderSize + 16

// ReadResponse is the READ response.
type ReadResponse struct {
	DataRemaining uint32
	Data          []byte
}

// Parse reads a READ response.
func (r *ReadResponse) Parse(b []byte) error {
	c := body(b, 17)
	offset := c.Uint8()
	c.Skip(1)
	length := c.Uint32()
	r.DataRemaining = c.Uint32()
	c.Skip(4)
	r.Data = c.BufferAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *ReadResponse) Append(b []byte) []byte {
	return append(r.AppendFixed(b, len(r.Data)), r.Data...)
}

// AppendFixed appends what stands before n bytes of data, which the caller puts right behind it.
func (r *ReadResponse) AppendFixed(b []byte, n int) []byte {
	b = wire.Append16(b, 17)
	b = append(b, ReadDataOffset, 0)
	b = wire.Append32(b, uint32(n))
	b = wire.Append32(b, r.DataRemaining)
	return wire.AppendZero(b, 4)
}
