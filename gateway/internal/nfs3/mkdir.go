package nfs3

import (
	"context"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// MKDIR, RFC 1813 §3.3.9.

// MkdirArgs is MKDIR3args.
type MkdirArgs struct {
	Where DirOpArgs
	Attr  SetAttr
}

// XDR lists the fields.
func (a *MkdirArgs) XDR(x *xdr.Stream) {
	a.Where.XDR(x)
	a.Attr.XDR(x)
}

func (s *Server) mkdir(ctx context.Context, c *oncrpc.Call, a *MkdirArgs) *CreateRes {
	attr, mode := a.Attr, uint32(0o777)
	if attr.Mode != nil {
		mode = uint32(*attr.Mode)
	}
	if mode&0o6000 == 0 {
		attr.Mode = nil // mkdir(2) sets all but the set-id bits
	}
	return s.makeEntry(ctx, c, &a.Where, attr, true, func(dir int) error { return export.Mkdir(dir, a.Where.Name, mode) })
}
