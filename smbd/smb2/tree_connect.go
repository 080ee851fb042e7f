package smb2

import "dittofs/smbd/wire"

// SMB2 TREE_CONNECT, [MS-SMB2] 2.2.9 and 2.2.10.

// TreeConnectFlags is the request's Flags, which only 3.1.1 has.
type TreeConnectFlags uint16

// Tree connect flags.
const (
	TreeConnectClusterReconnect TreeConnectFlags = 1
	TreeConnectRedirectToOwner  TreeConnectFlags = 2
	TreeConnectExtensionPresent TreeConnectFlags = 4
)

// TreeConnectRequest is the TREE_CONNECT request. Its extension (2.2.9.1) carries a remoted identity; it is not read.
type TreeConnectRequest struct {
	Flags TreeConnectFlags
	Path  string // \\server\share
}

// Parse reads a TREE_CONNECT request.
func (r *TreeConnectRequest) Parse(b []byte) error {
	c := body(b, 9)
	r.Flags = TreeConnectFlags(c.Uint16())
	offset, length := c.Uint16(), c.Uint16()
	r.Path = c.StringAt(uint64(offset), uint64(length))
	return c.End()
}

// Append appends the body.
func (r *TreeConnectRequest) Append(b []byte) []byte {
	b = wire.Append16(b, 9)
	b = wire.Append16(b, uint16(r.Flags))
	b = put16(b, HeaderSize+8, wire.UTF16Len(r.Path))
	return wire.AppendUTF16(b, r.Path)
}

// ShareType is what a share holds.
type ShareType uint8

// Share types.
const (
	ShareTypeDisk  ShareType = 1
	ShareTypePipe  ShareType = 2
	ShareTypePrint ShareType = 3
)

// ShareFlags are properties of a share; the two caching bits are one value.
type ShareFlags uint32

// Share flags.
const (
	ShareFlagManualCaching            ShareFlags = 0x00000000
	ShareFlagAutoCaching              ShareFlags = 0x00000010
	ShareFlagVDOCaching               ShareFlags = 0x00000020
	ShareFlagNoCaching                ShareFlags = 0x00000030
	ShareFlagDFS                      ShareFlags = 0x00000001
	ShareFlagDFSRoot                  ShareFlags = 0x00000002
	ShareFlagRestrictExclusiveOpens   ShareFlags = 0x00000100
	ShareFlagForceSharedDelete        ShareFlags = 0x00000200
	ShareFlagAllowNamespaceCaching    ShareFlags = 0x00000400
	ShareFlagAccessBasedDirectoryEnum ShareFlags = 0x00000800
	ShareFlagForceLevelIIOplock       ShareFlags = 0x00001000
	ShareFlagEnableHashV1             ShareFlags = 0x00002000
	ShareFlagEnableHashV2             ShareFlags = 0x00004000
	ShareFlagEncryptData              ShareFlags = 0x00008000
	ShareFlagIdentityRemoting         ShareFlags = 0x00040000
	ShareFlagCompressData             ShareFlags = 0x00100000
	ShareFlagIsolatedTransport        ShareFlags = 0x00200000
)

// ShareCapabilities are capabilities of a share.
type ShareCapabilities uint32

// Share capabilities.
const (
	ShareCapDFS                    ShareCapabilities = 0x00000008
	ShareCapContinuousAvailability ShareCapabilities = 0x00000010
	ShareCapScaleOut               ShareCapabilities = 0x00000020
	ShareCapCluster                ShareCapabilities = 0x00000040
	ShareCapAsymmetric             ShareCapabilities = 0x00000080
	ShareCapRedirectToOwner        ShareCapabilities = 0x00000100
)

// TreeConnectResponse is the TREE_CONNECT response.
type TreeConnectResponse struct {
	ShareType     ShareType
	ShareFlags    ShareFlags
	Capabilities  ShareCapabilities
	MaximalAccess AccessMask
}

// Parse reads a TREE_CONNECT response.
func (r *TreeConnectResponse) Parse(b []byte) error {
	c := body(b, 16)
	r.ShareType = ShareType(c.Uint8())
	c.Skip(1)
	r.ShareFlags = ShareFlags(c.Uint32())
	r.Capabilities = ShareCapabilities(c.Uint32())
	r.MaximalAccess = AccessMask(c.Uint32())
	return c.End()
}

// Append appends the body.
func (r *TreeConnectResponse) Append(b []byte) []byte {
	b = wire.Append16(b, 16)
	b = append(b, uint8(r.ShareType), 0)
	b = wire.Append32(b, uint32(r.ShareFlags))
	b = wire.Append32(b, uint32(r.Capabilities))
	return wire.Append32(b, uint32(r.MaximalAccess))
}
