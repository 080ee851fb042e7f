package smb2

import "dittofs/smbd/wire"

// SMB2 LOGOFF, [MS-SMB2] 2.2.7 and 2.2.8. Several commands have this body of no fields.

// empty is a body of a StructureSize of 4 and 2 reserved bytes.
type empty struct{}

// Parse reads the body.
func (*empty) Parse(b []byte) error {
	c := body(b, 4)
	return c.End()
}

// Append appends the body.
func (*empty) Append(b []byte) []byte { return wire.Append32(b, 4) }

// LogoffRequest is the LOGOFF request.
type LogoffRequest struct{ empty }

// LogoffResponse is the LOGOFF response.
type LogoffResponse struct{ empty }
