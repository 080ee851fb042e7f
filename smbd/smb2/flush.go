package smb2

import "dittofs/smbd/wire"

// SMB2 FLUSH, [MS-SMB2] 2.2.17 and 2.2.18.

// FlushRequest is the FLUSH request.
type FlushRequest struct {
	Full   bool // Reserved1 is FFFF: Apple's F_FULLFSYNC
	FileID FileID
}

// Parse reads a FLUSH request.
func (r *FlushRequest) Parse(b []byte) error {
	c := body(b, 24)
	r.Full = c.Uint16() == 0xFFFF
	c.Skip(4)
	r.FileID = fileID(&c)
	return c.End()
}

// Append appends the body.
func (r *FlushRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 24)
	if r.Full {
		b = wire.Append16(b, 0xFFFF)
	} else {
		b = wire.Append16(b, 0)
	}
	b = wire.AppendZero(b, 4)
	return appendFileID(b, r.FileID)
}

// FlushResponse is the FLUSH response.
type FlushResponse struct{ empty }
