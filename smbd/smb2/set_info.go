package smb2

import "dittofs/smbd/wire"

// SMB2 SET_INFO, [MS-SMB2] 2.2.39 and 2.2.40.

// SetInfoRequest is the SET_INFO request.
type SetInfoRequest struct {
	InfoType              InfoType
	FileInfoClass         uint8  // an fscc.FileClass or fscc.FSClass
	AdditionalInformation uint32 // SecurityInformation
	FileID                FileID
	Buffer                []byte
}

// Parse reads a SET_INFO request.
func (r *SetInfoRequest) Parse(b []byte) error {
	c := body(b, 33)
	r.InfoType = InfoType(c.Uint8())
	r.FileInfoClass = c.Uint8()
	length, offset := c.Uint32(), c.Uint16()
	c.Skip(2)
	r.AdditionalInformation = c.Uint32()
	r.FileID = fileID(&c)
	r.Buffer = c.BufferAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *SetInfoRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 33)
	b = append(b, uint8(r.InfoType), r.FileInfoClass)
	b = wire.Append32(b, uint32(len(r.Buffer)))
	b = wire.Append32(b, HeaderSize+32) // BufferOffset, Reserved
	b = wire.Append32(b, r.AdditionalInformation)
	b = appendFileID(b, r.FileID)
	return append(b, r.Buffer...)
}

// SetInfoResponse is the SET_INFO response: a StructureSize of 2 and nothing else.
type SetInfoResponse struct{}

// Parse reads a SET_INFO response.
func (*SetInfoResponse) Parse(b []byte) error {
	c := body(b, 2)
	return c.End()
}

// Append appends the body.
func (*SetInfoResponse) Append(b []byte) []byte { return wire.Append16(b, 2) }
