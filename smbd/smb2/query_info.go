package smb2

import "dittofs/smbd/wire"

// SMB2 QUERY_INFO, [MS-SMB2] 2.2.37 and 2.2.38.

// InfoType says what is asked about, in QUERY_INFO and SET_INFO.
type InfoType uint8

// Info types.
const (
	InfoFile       InfoType = 1
	InfoFileSystem InfoType = 2
	InfoSecurity   InfoType = 3
	InfoQuota      InfoType = 4
)

// SecurityInformation is AdditionalInformation where the info type is InfoSecurity.
type SecurityInformation uint32

// Parts of a security descriptor.
const (
	OwnerSecurityInformation     SecurityInformation = 0x00000001
	GroupSecurityInformation     SecurityInformation = 0x00000002
	DACLSecurityInformation      SecurityInformation = 0x00000004
	SACLSecurityInformation      SecurityInformation = 0x00000008
	LabelSecurityInformation     SecurityInformation = 0x00000010
	AttributeSecurityInformation SecurityInformation = 0x00000020
	ScopeSecurityInformation     SecurityInformation = 0x00000040
	BackupSecurityInformation    SecurityInformation = 0x00010000
)

// Flags of a query for extended attributes.
const (
	QueryRestartScan       uint32 = 1
	QueryReturnSingleEntry uint32 = 2
	QueryIndexSpecified    uint32 = 4
)

// QueryInfoRequest is the QUERY_INFO request.
type QueryInfoRequest struct {
	InfoType              InfoType
	FileInfoClass         uint8 // an fscc.FileClass or fscc.FSClass
	OutputBufferLength    uint32
	AdditionalInformation uint32 // SecurityInformation, or the index of an extended attribute
	Flags                 uint32
	FileID                FileID
	InputBuffer           []byte
}

// Parse reads a QUERY_INFO request.
func (r *QueryInfoRequest) Parse(b []byte) error {
	c := body(b, 41)
	r.InfoType = InfoType(c.Uint8())
	r.FileInfoClass = c.Uint8()
	r.OutputBufferLength = c.Uint32()
	offset := c.Uint16()
	c.Skip(2)
	length := c.Uint32()
	r.AdditionalInformation = c.Uint32()
	r.Flags = c.Uint32()
	r.FileID = fileID(&c)
	r.InputBuffer = c.BufferAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *QueryInfoRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 41)
	b = append(b, uint8(r.InfoType), r.FileInfoClass)
	b = wire.Append32(b, r.OutputBufferLength)
	b = wire.Append32(b, HeaderSize+40) // InputBufferOffset, Reserved
	b = wire.Append32(b, uint32(len(r.InputBuffer)))
	b = wire.Append32(b, r.AdditionalInformation)
	b = wire.Append32(b, r.Flags)
	b = appendFileID(b, r.FileID)
	if len(r.InputBuffer) == 0 {
		return append(b, 0) // the buffer has at least one byte
	}
	return append(b, r.InputBuffer...)
}

// QueryInfoResponse is the QUERY_INFO response.
type QueryInfoResponse struct{ Buffer []byte }

// Parse reads a QUERY_INFO response.
func (r *QueryInfoResponse) Parse(b []byte) error { return (*output)(r).Parse(b) }

// Append appends the body.
func (r *QueryInfoResponse) Append(b []byte) []byte { return (*output)(r).Append(b) }
