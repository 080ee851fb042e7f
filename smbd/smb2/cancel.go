package smb2

// SMB2 CANCEL, [MS-SMB2] 2.2.30. It has no response.

// CancelRequest is the CANCEL request.
type CancelRequest struct{ empty }
