package smb2

import "dittofs/smbd/wire"

// SMB2 OPLOCK_BREAK: the forms for oplocks, [MS-SMB2] 2.2.23.1, 2.2.24.1 and 2.2.25.1, and for leases, 2.2.23.2, 2.2.24.2 and
// 2.2.25.2. The StructureSize tells them apart.

// BreakMessageID is the MessageId of a notification, which no request asked for.
const BreakMessageID = ^uint64(0)

// IsLeaseBreak reports whether an OPLOCK_BREAK message has a lease's form. What has neither form fails to parse as either.
func IsLeaseBreak(b []byte) bool {
	c := wire.Reader(b)
	c.Skip(HeaderSize)
	n := c.Uint16()
	return n == 36 || n == 44
}

// OplockBreakNotification tells a client that its oplock goes down to OplockLevel. 2.2.23.1.
type OplockBreakNotification struct {
	OplockLevel OplockLevel
	FileID      FileID
}

// Parse reads the message.
func (r *OplockBreakNotification) Parse(b []byte) error {
	return parseOplock(b, &r.OplockLevel, &r.FileID)
}

// Append appends the body.
func (r *OplockBreakNotification) Append(b []byte) []byte {
	return appendOplock(b, r.OplockLevel, r.FileID)
}

// OplockBreakAcknowledgement is the client's answer. 2.2.24.1.
type OplockBreakAcknowledgement struct {
	OplockLevel OplockLevel
	FileID      FileID
}

// Parse reads the message.
func (r *OplockBreakAcknowledgement) Parse(b []byte) error {
	return parseOplock(b, &r.OplockLevel, &r.FileID)
}

// Append appends the body.
func (r *OplockBreakAcknowledgement) Append(b []byte) []byte {
	return appendOplock(b, r.OplockLevel, r.FileID)
}

// OplockBreakResponse ends the break. 2.2.25.1.
type OplockBreakResponse struct {
	OplockLevel OplockLevel
	FileID      FileID
}

// Parse reads the message.
func (r *OplockBreakResponse) Parse(b []byte) error { return parseOplock(b, &r.OplockLevel, &r.FileID) }

// Append appends the body.
func (r *OplockBreakResponse) Append(b []byte) []byte {
	return appendOplock(b, r.OplockLevel, r.FileID)
}

func parseOplock(b []byte, level *OplockLevel, id *FileID) error {
	c := body(b, 24)
	*level = OplockLevel(c.Uint8())
	c.Skip(5)
	*id = fileID(&c)
	return c.End()
}

func appendOplock(b []byte, level OplockLevel, id FileID) []byte {
	b = wire.Append16(b, 24)
	b = append(b, uint8(level), 0)
	b = wire.AppendZero(b, 4)
	return appendFileID(b, id)
}
