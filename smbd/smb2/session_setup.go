package smb2

import "dittofs/smbd/wire"

// SMB2 SESSION_SETUP, [MS-SMB2] 2.2.5 and 2.2.6.

// SessionSetupFlagBinding asks to bind a session to one more connection.
const SessionSetupFlagBinding uint8 = 1

// SessionSetupRequest is the SESSION_SETUP request.
type SessionSetupRequest struct {
	Flags             uint8
	SecurityMode      SecurityMode // one byte here
	Capabilities      Capabilities
	Channel           uint32
	PreviousSessionID uint64
	SecurityBuffer    []byte
}

// Parse reads a SESSION_SETUP request.
func (r *SessionSetupRequest) Parse(b []byte) error {
	c := body(b, 25)
	r.Flags = c.Uint8()
	r.SecurityMode = SecurityMode(c.Uint8())
	r.Capabilities = Capabilities(c.Uint32())
	r.Channel = c.Uint32()
	r.SecurityBuffer = at16(&c)
	r.PreviousSessionID = c.Uint64()
	return c.End()
}

// Append appends the body.
func (r *SessionSetupRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 25)
	b = append(b, r.Flags, uint8(r.SecurityMode))
	b = wire.Append32(b, uint32(r.Capabilities))
	b = wire.Append32(b, r.Channel)
	b = put16(b, HeaderSize+24, len(r.SecurityBuffer))
	b = wire.Append64(b, r.PreviousSessionID)
	return append(b, r.SecurityBuffer...)
}

// SessionFlags tells what kind of session was made.
type SessionFlags uint16

// Session flags.
const (
	SessionFlagIsGuest     SessionFlags = 1
	SessionFlagIsNull      SessionFlags = 2
	SessionFlagEncryptData SessionFlags = 4
)

// SessionSetupResponse is the SESSION_SETUP response.
type SessionSetupResponse struct {
	SessionFlags   SessionFlags
	SecurityBuffer []byte
}

// Parse reads a SESSION_SETUP response.
func (r *SessionSetupResponse) Parse(b []byte) error {
	c := body(b, 9)
	r.SessionFlags = SessionFlags(c.Uint16())
	r.SecurityBuffer = at16(&c)
	return c.End()
}

// Append appends the body.
func (r *SessionSetupResponse) Append(b []byte) []byte {
	b = wire.Append16(b, 9)
	b = wire.Append16(b, uint16(r.SessionFlags))
	b = wire.Append16(b, HeaderSize+8) // clients look at the offset even where the length is 0
	b = wire.Append16(b, uint16(len(r.SecurityBuffer)))
	return append(b, r.SecurityBuffer...)
}
