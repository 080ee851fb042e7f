package nfs3

import (
	"context"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// SYMLINK, RFC 1813 §3.3.10.

// SymlinkArgs is SYMLINK3args with its symlinkdata3.
type SymlinkArgs struct {
	Where DirOpArgs
	Attr  SetAttr
	Data  string
}

// XDR lists the fields.
func (a *SymlinkArgs) XDR(x *xdr.Stream) {
	a.Where.XDR(x)
	a.Attr.XDR(x)
	x.String(&a.Data, decodeName)
}

func (s *Server) symlink(ctx context.Context, c *oncrpc.Call, a *SymlinkArgs) *CreateRes {
	attr := a.Attr
	attr.Mode = nil // a symbolic link has none
	return s.makeEntry(ctx, c, &a.Where, attr, false, func(dir int) error { return export.Symlink(dir, a.Where.Name, a.Data) })
}
