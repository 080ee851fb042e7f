package nfs3

import (
	"context"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// GETATTR, RFC 1813 §3.3.1.

// GetAttrArgs is GETATTR3args.
type GetAttrArgs struct{ Object FileHandle }

// XDR lists the fields.
func (a *GetAttrArgs) XDR(x *xdr.Stream) { a.Object.XDR(x) }

// GetAttrRes is GETATTR3res.
type GetAttrRes struct {
	Status Status
	Attr   Attr
}

// XDR lists the fields.
func (r *GetAttrRes) XDR(x *xdr.Stream) {
	if xdr.Enum(x, &r.Status); r.Status == OK {
		r.Attr.XDR(x)
	}
}

func (r *GetAttrRes) status() Status { return r.Status }

func (s *Server) getattr(ctx context.Context, c *oncrpc.Call, a *GetAttrArgs) GetAttrRes {
	p, err := s.resolve(ctx, c, a.Object)
	if err != nil {
		return GetAttrRes{Status: statusOf(err)}
	}
	defer p.Release()
	st, err := p.Stat()
	if err != nil {
		return GetAttrRes{Status: statusOf(err)}
	}
	return GetAttrRes{Attr: attrOf(&st, p.Key.FSID)}
}
