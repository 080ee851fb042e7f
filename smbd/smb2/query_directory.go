package smb2

import "dittofs/smbd/wire"

// SMB2 QUERY_DIRECTORY, [MS-SMB2] 2.2.33 and 2.2.34.

// QueryDirectoryFlags are the request's Flags.
type QueryDirectoryFlags uint8

// Query directory flags.
const (
	RestartScans      QueryDirectoryFlags = 0x01
	ReturnSingleEntry QueryDirectoryFlags = 0x02
	IndexSpecified    QueryDirectoryFlags = 0x04
	Reopen            QueryDirectoryFlags = 0x10
)

// QueryDirectoryRequest is the QUERY_DIRECTORY request.
type QueryDirectoryRequest struct {
	FileInformationClass uint8 // an fscc.FileClass
	Flags                QueryDirectoryFlags
	FileIndex            uint32
	FileID               FileID
	OutputBufferLength   uint32
	FileName             string // the pattern
}

// Parse reads a QUERY_DIRECTORY request.
func (r *QueryDirectoryRequest) Parse(b []byte) error {
	c := body(b, 33)
	r.FileInformationClass = c.Uint8()
	r.Flags = QueryDirectoryFlags(c.Uint8())
	r.FileIndex = c.Uint32()
	r.FileID = fileID(&c)
	offset, length := c.Uint16(), c.Uint16()
	r.OutputBufferLength = c.Uint32()
	r.FileName = c.StringAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *QueryDirectoryRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 33)
	b = append(b, r.FileInformationClass, uint8(r.Flags))
	b = wire.Append32(b, r.FileIndex)
	b = appendFileID(b, r.FileID)
	b = put16(b, HeaderSize+32, wire.UTF16Len(r.FileName))
	b = wire.Append32(b, r.OutputBufferLength)
	if r.FileName == "" {
		return append(b, 0) // the buffer has at least one byte
	}
	return wire.AppendUTF16(b, r.FileName)
}

// output is the response of QUERY_DIRECTORY, CHANGE_NOTIFY and QUERY_INFO: a buffer at 72.
type output struct{ Buffer []byte }

// Parse reads the response.
func (r *output) Parse(b []byte) error {
	c := body(b, 9)
	offset, length := c.Uint16(), c.Uint32()
	r.Buffer = c.BufferAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *output) Append(b []byte) []byte {
	b = wire.Append16(b, 9)
	b = wire.Append16(b, OutputBufferOffset)
	b = wire.Append32(b, uint32(len(r.Buffer)))
	return append(b, r.Buffer...)
}

// OutputBufferOffset is where the buffer of those responses begins in its message.
const OutputBufferOffset = HeaderSize + 8

// QueryDirectoryResponse is the QUERY_DIRECTORY response.
type QueryDirectoryResponse struct{ Buffer []byte }

// Parse reads a QUERY_DIRECTORY response.
func (r *QueryDirectoryResponse) Parse(b []byte) error { return (*output)(r).Parse(b) }

// Append appends the body.
func (r *QueryDirectoryResponse) Append(b []byte) []byte { return (*output)(r).Append(b) }
