package smb2

// SMB2 TREE_DISCONNECT, [MS-SMB2] 2.2.11 and 2.2.12.

// TreeDisconnectRequest is the TREE_DISCONNECT request.
type TreeDisconnectRequest struct{ empty }

// TreeDisconnectResponse is the TREE_DISCONNECT response.
type TreeDisconnectResponse struct{ empty }
