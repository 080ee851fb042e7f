package smb2

import "dittofs/smbd/wire"

// SMB2 CLOSE, [MS-SMB2] 2.2.15 and 2.2.16.

// CloseFlagPostQueryAttrib asks for the attributes after the close, and says that they are there.
const CloseFlagPostQueryAttrib uint16 = 1

// CloseRequest is the CLOSE request.
type CloseRequest struct {
	Flags  uint16
	FileID FileID
}

// Parse reads a CLOSE request.
func (r *CloseRequest) Parse(b []byte) error {
	c := body(b, 24)
	r.Flags = c.Uint16()
	c.Skip(4)
	r.FileID = fileID(&c)
	return c.End()
}

// Append appends the body.
func (r *CloseRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 24)
	b = wire.Append16(b, r.Flags)
	b = wire.AppendZero(b, 4)
	return appendFileID(b, r.FileID)
}

// CloseResponse is the CLOSE response.
type CloseResponse struct {
	Flags          uint16
	CreationTime   wire.Filetime
	LastAccessTime wire.Filetime
	LastWriteTime  wire.Filetime
	ChangeTime     wire.Filetime
	AllocationSize uint64
	EndOfFile      uint64
	FileAttributes FileAttributes
}

// Parse reads a CLOSE response.
func (r *CloseResponse) Parse(b []byte) error {
	c := body(b, 60)
	r.Flags = c.Uint16()
	c.Skip(4)
	r.CreationTime = c.Filetime()
	r.LastAccessTime = c.Filetime()
	r.LastWriteTime = c.Filetime()
	r.ChangeTime = c.Filetime()
	r.AllocationSize = c.Uint64()
	r.EndOfFile = c.Uint64()
	r.FileAttributes = FileAttributes(c.Uint32())
	return c.End()
}

// Append appends the body.
func (r *CloseResponse) Append(b []byte) []byte {
	b = wire.Append16(b, 60)
	b = wire.Append16(b, r.Flags)
	b = wire.AppendZero(b, 4)
	b = wire.AppendFiletime(b, r.CreationTime)
	b = wire.AppendFiletime(b, r.LastAccessTime)
	b = wire.AppendFiletime(b, r.LastWriteTime)
	b = wire.AppendFiletime(b, r.ChangeTime)
	b = wire.Append64(b, r.AllocationSize)
	b = wire.Append64(b, r.EndOfFile)
	return wire.Append32(b, uint32(r.FileAttributes))
}
