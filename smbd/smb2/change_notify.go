package smb2

import "dittofs/smbd/wire"

// SMB2 CHANGE_NOTIFY, [MS-SMB2] 2.2.35 and 2.2.36.

// WatchTree asks for changes in the whole tree beneath the directory.
const WatchTree uint16 = 1

// CompletionFilter says which changes count.
type CompletionFilter uint32

// Completion filters.
const (
	NotifyChangeFileName    CompletionFilter = 0x00000001
	NotifyChangeDirName     CompletionFilter = 0x00000002
	NotifyChangeAttributes  CompletionFilter = 0x00000004
	NotifyChangeSize        CompletionFilter = 0x00000008
	NotifyChangeLastWrite   CompletionFilter = 0x00000010
	NotifyChangeLastAccess  CompletionFilter = 0x00000020
	NotifyChangeCreation    CompletionFilter = 0x00000040
	NotifyChangeEA          CompletionFilter = 0x00000080
	NotifyChangeSecurity    CompletionFilter = 0x00000100
	NotifyChangeStreamName  CompletionFilter = 0x00000200
	NotifyChangeStreamSize  CompletionFilter = 0x00000400
	NotifyChangeStreamWrite CompletionFilter = 0x00000800
)

// ChangeNotifyRequest is the CHANGE_NOTIFY request.
type ChangeNotifyRequest struct {
	Flags              uint16
	OutputBufferLength uint32
	FileID             FileID
	CompletionFilter   CompletionFilter
}

// Parse reads a CHANGE_NOTIFY request.
func (r *ChangeNotifyRequest) Parse(b []byte) error {
	c := body(b, 32)
	r.Flags = c.Uint16()
	r.OutputBufferLength = c.Uint32()
	r.FileID = fileID(&c)
	r.CompletionFilter = CompletionFilter(c.Uint32())
	c.Skip(4)
	return c.End()
}

// Append appends the body.
func (r *ChangeNotifyRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 32)
	b = wire.Append16(b, r.Flags)
	b = wire.Append32(b, r.OutputBufferLength)
	b = appendFileID(b, r.FileID)
	b = wire.Append32(b, uint32(r.CompletionFilter))
	return wire.AppendZero(b, 4)
}

// ChangeNotifyResponse is the CHANGE_NOTIFY response.
type ChangeNotifyResponse struct{ Buffer []byte }

// Parse reads a CHANGE_NOTIFY response.
func (r *ChangeNotifyResponse) Parse(b []byte) error { return (*output)(r).Parse(b) }

// Append appends the body.
func (r *ChangeNotifyResponse) Append(b []byte) []byte { return (*output)(r).Append(b) }
