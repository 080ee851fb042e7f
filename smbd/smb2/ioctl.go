package smb2

import (
	"net/netip"

	"dittofs/smbd/wire"
)

// SMB2 IOCTL, [MS-SMB2] 2.2.31 and 2.2.32, and the control codes' own structures.

// CtlCode is a file system or device control. Package fscc names the codes.
type CtlCode uint32

// IOCTLFlagIsFSCTL says that the code is an FSCTL; a request without it answers STATUS_NOT_SUPPORTED.
const IOCTLFlagIsFSCTL uint32 = 1

// IOCTLRequest is the IOCTL request.
type IOCTLRequest struct {
	CtlCode           CtlCode
	FileID            FileID
	MaxInputResponse  uint32
	MaxOutputResponse uint32
	Flags             uint32
	Input             []byte
	Output            []byte
}

// Parse reads an IOCTL request.
func (r *IOCTLRequest) Parse(b []byte) error {
	c := body(b, 57)
	c.Skip(2)
	r.CtlCode = CtlCode(c.Uint32())
	r.FileID = fileID(&c)
	r.Input = at32(&c)
	r.MaxInputResponse = c.Uint32()
	r.Output = at32(&c)
	r.MaxOutputResponse = c.Uint32()
	r.Flags = c.Uint32()
	c.Skip(4)
	return c.End()
}

// Append appends the body.
func (r *IOCTLRequest) Append(b []byte) []byte {
	output := (HeaderSize + 56 + len(r.Input) + 7) &^ 7
	start := len(b) - HeaderSize
	b = wire.Append32(b, 57)
	b = wire.Append32(b, uint32(r.CtlCode))
	b = appendFileID(b, r.FileID)
	b = put32(b, HeaderSize+56, len(r.Input))
	b = wire.Append32(b, r.MaxInputResponse)
	b = put32(b, output, len(r.Output))
	b = wire.Append32(b, r.MaxOutputResponse)
	b = wire.Append32(b, r.Flags)
	b = wire.AppendZero(b, 4)
	b = append(b, r.Input...)
	if len(r.Output) > 0 {
		b = append(wire.Pad(b, start, 8), r.Output...)
	}
	return b
}

// IOCTLResponse is the IOCTL response.
type IOCTLResponse struct {
	CtlCode CtlCode
	FileID  FileID
	Flags   uint32
	Output  []byte
}

// Parse reads an IOCTL response.
func (r *IOCTLResponse) Parse(b []byte) error {
	c := body(b, 49)
	c.Skip(2)
	r.CtlCode = CtlCode(c.Uint32())
	r.FileID = fileID(&c)
	c.Skip(8) // InputOffset, InputCount
	r.Output = at32(&c)
	r.Flags = c.Uint32()
	c.Skip(4)
	return c.End()
}

// Append appends the body.
func (r *IOCTLResponse) Append(b []byte) []byte {
	b = wire.Append32(b, 49)
	b = wire.Append32(b, uint32(r.CtlCode))
	b = appendFileID(b, r.FileID)
	b = wire.Append32(b, HeaderSize+48) // InputOffset: where the output begins too
	b = wire.Append32(b, 0)
	b = wire.Append32(b, HeaderSize+48)
	b = wire.Append32(b, uint32(len(r.Output)))
	b = wire.Append32(b, r.Flags)
	b = wire.AppendZero(b, 4)
	return append(b, r.Output...)
}

// ValidateNegotiateInfoRequest is VALIDATE_NEGOTIATE_INFO, 2.2.31.4. Its Parse and Append deal with the IOCTL's buffer, not a message.
type ValidateNegotiateInfoRequest struct {
	Capabilities Capabilities
	GUID         [16]byte
	SecurityMode SecurityMode
	Dialects     []Dialect
}

// Parse reads the IOCTL's input.
func (r *ValidateNegotiateInfoRequest) Parse(input []byte) error {
	c := wire.Reader(input)
	r.Capabilities = Capabilities(c.Uint32())
	r.GUID = c.Bytes16()
	r.SecurityMode = SecurityMode(c.Uint16())
	r.Dialects = nil
	for n := c.Uint16(); n > 0 && c.Err() == nil; n-- {
		r.Dialects = append(r.Dialects, Dialect(c.Uint16()))
	}
	return c.End()
}

// Append appends the IOCTL's input.
func (r *ValidateNegotiateInfoRequest) Append(b []byte) []byte {
	b = wire.Append32(b, uint32(r.Capabilities))
	b = append(b, r.GUID[:]...)
	b = wire.Append16(b, uint16(r.SecurityMode))
	b = wire.Append16(b, uint16(len(r.Dialects)))
	return append16(b, r.Dialects)
}

// ValidateNegotiateInfoResponse is VALIDATE_NEGOTIATE_INFO, 2.2.32.6.
type ValidateNegotiateInfoResponse struct {
	Capabilities Capabilities
	GUID         [16]byte
	SecurityMode SecurityMode
	Dialect      Dialect
}

// Parse reads the IOCTL's output.
func (r *ValidateNegotiateInfoResponse) Parse(output []byte) error {
	c := wire.Reader(output)
	r.Capabilities = Capabilities(c.Uint32())
	r.GUID = c.Bytes16()
	r.SecurityMode = SecurityMode(c.Uint16())
	r.Dialect = Dialect(c.Uint16())
	return c.End()
}

// Append appends the IOCTL's output.
func (r *ValidateNegotiateInfoResponse) Append(b []byte) []byte {
	b = wire.Append32(b, uint32(r.Capabilities))
	b = append(b, r.GUID[:]...)
	b = wire.Append16(b, uint16(r.SecurityMode))
	return wire.Append16(b, uint16(r.Dialect))
}

// CopyChunk is SRV_COPYCHUNK, 2.2.31.1.1.
type CopyChunk struct {
	SourceOffset uint64
	TargetOffset uint64
	Length       uint32
}

// SrvCopyChunkCopy is SRV_COPYCHUNK_COPY, 2.2.31.1.
type SrvCopyChunkCopy struct {
	SourceKey [24]byte
	Chunks    []CopyChunk
}

// Parse reads the IOCTL's input.
func (r *SrvCopyChunkCopy) Parse(input []byte) error {
	c := wire.Reader(input)
	copy(r.SourceKey[:], c.Bytes(24))
	n := c.Uint32()
	c.Skip(4)
	if uint64(n)*24 > uint64(c.Len()) {
		c.Fail(wire.ErrShort)
	}
	r.Chunks = nil
	for ; n > 0 && c.Err() == nil; n-- {
		r.Chunks = append(r.Chunks, CopyChunk{SourceOffset: c.Uint64(), TargetOffset: c.Uint64(), Length: c.Uint32()})
		c.Skip(4)
	}
	return c.End()
}

// Append appends the IOCTL's input.
func (r *SrvCopyChunkCopy) Append(b []byte) []byte {
	b = append(b, r.SourceKey[:]...)
	b = wire.Append32(b, uint32(len(r.Chunks)))
	b = wire.AppendZero(b, 4)
	for _, k := range r.Chunks {
		b = wire.Append64(b, k.SourceOffset)
		b = wire.Append64(b, k.TargetOffset)
		b = wire.Append32(b, k.Length)
		b = wire.AppendZero(b, 4)
	}
	return b
}

// SrvCopyChunkResponse is SRV_COPYCHUNK_RESPONSE, 2.2.32.1.
type SrvCopyChunkResponse struct {
	ChunksWritten     uint32
	ChunkBytesWritten uint32
	TotalBytesWritten uint32
}

// Parse reads the IOCTL's output.
func (r *SrvCopyChunkResponse) Parse(output []byte) error {
	c := wire.Reader(output)
	r.ChunksWritten = c.Uint32()
	r.ChunkBytesWritten = c.Uint32()
	r.TotalBytesWritten = c.Uint32()
	return c.End()
}

// Append appends the IOCTL's output.
func (r *SrvCopyChunkResponse) Append(b []byte) []byte {
	b = wire.Append32(b, r.ChunksWritten)
	b = wire.Append32(b, r.ChunkBytesWritten)
	return wire.Append32(b, r.TotalBytesWritten)
}

// AppendResumeKey appends SRV_REQUEST_RESUME_KEY's answer, 2.2.32.3: the key, and an empty context.
func AppendResumeKey(b []byte, key [24]byte) []byte {
	return wire.AppendZero(append(b, key[:]...), 8)
}

// NetworkInterface is NETWORK_INTERFACE_INFO, 2.2.32.5.
type NetworkInterface struct {
	Index      uint32
	Capability uint32 // 1: RSS, 2: RDMA
	LinkSpeed  uint64 // bits per second
	Address    netip.Addr
}

// AppendNetworkInterfaces appends the answer to FSCTL_QUERY_NETWORK_INTERFACE_INFO.
func AppendNetworkInterfaces(b []byte, list []NetworkInterface) []byte {
	const size, inet, inet6 = 152, 0x0002, 0x0017
	for i, n := range list {
		start := len(b)
		next := uint32(size)
		if i == len(list)-1 {
			next = 0
		}
		b = wire.Append32(b, next)
		b = wire.Append32(b, n.Index)
		b = wire.Append32(b, n.Capability)
		b = wire.AppendZero(b, 4)
		b = wire.Append64(b, n.LinkSpeed)
		a := n.Address.Unmap()
		if a.Is4() {
			b = wire.Append32(b, inet) // Family, Port
		} else {
			b = wire.AppendZero(wire.Append32(b, inet6), 4) // Family, Port, FlowInfo
		}
		b = append(b, a.AsSlice()...)
		b = wire.AppendZero(b, size-(len(b)-start))
	}
	return b
}
