package smb2

// SMB2 ECHO, [MS-SMB2] 2.2.28 and 2.2.29.

// EchoRequest is the ECHO request.
type EchoRequest struct{ empty }

// EchoResponse is the ECHO response.
type EchoResponse struct{ empty }
