package nlm

import "dittofs/gateway/xdr"

// Mode is fsh4_mode, what a share denies to others.
type Mode uint32

// Modes.
const (
	DenyNone      Mode = 0
	DenyRead      Mode = 1
	DenyWrite     Mode = 2
	DenyReadWrite Mode = 3
)

// Access is fsh4_access, what a share is for.
type Access uint32

// Accesses.
const (
	AccessNone      Access = 0
	AccessRead      Access = 1
	AccessWrite     Access = 2
	AccessReadWrite Access = 3
)

// Share is nlm4_share.
type Share struct {
	CallerName string
	FH         []byte
	OH         []byte
	Mode       Mode
	Access     Access
}

// ShareArgs is nlm4_shareargs: SHARE, UNSHARE.
type ShareArgs struct {
	Version
	Cookie  []byte
	Share   Share
	Reclaim bool
}

// XDR moves nlm4_shareargs.
func (a *ShareArgs) XDR(x *xdr.Stream) {
	x.Opaque(&a.Cookie, MaxObject)
	x.String(&a.Share.CallerName, MaxString)
	x.Opaque(&a.Share.FH, MaxObject)
	x.Opaque(&a.Share.OH, MaxObject)
	xdr.Enum(x, &a.Share.Mode)
	xdr.Enum(x, &a.Share.Access)
	x.Bool(&a.Reclaim)
}

// ShareRes is nlm4_shareres.
type ShareRes struct {
	Version
	Cookie   []byte
	Status   Status
	Sequence int32
}

// XDR moves nlm4_shareres.
func (r *ShareRes) XDR(x *xdr.Stream) {
	x.Opaque(&r.Cookie, MaxObject)
	r.status(x, &r.Status)
	x.Int32(&r.Sequence)
}
