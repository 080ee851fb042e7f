package nfs3

import (
	"context"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// READLINK, RFC 1813 §3.3.5.

// ReadLinkArgs is READLINK3args.
type ReadLinkArgs struct{ Symlink FileHandle }

// XDR lists the fields.
func (a *ReadLinkArgs) XDR(x *xdr.Stream) { a.Symlink.XDR(x) }

// ReadLinkRes is READLINK3res.
type ReadLinkRes struct {
	Status Status
	Attr   PostOpAttr
	Data   string
}

// XDR lists the fields.
func (r *ReadLinkRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status == OK {
		x.String(&r.Data, decodeName)
	}
}

func (r *ReadLinkRes) status() Status { return r.Status }

func (s *Server) readlink(ctx context.Context, c *oncrpc.Call, a *ReadLinkArgs) *ReadLinkRes {
	p, err := s.resolve(ctx, c, a.Symlink)
	if err != nil {
		return &ReadLinkRes{Status: statusOf(err)}
	}
	defer p.Release()
	st, err := p.Stat()
	if err != nil {
		return &ReadLinkRes{Status: statusOf(err)}
	}
	if !st.IsSymlink() {
		return &ReadLinkRes{Status: ErrInval, Attr: postOp(&st, p.Key)}
	}
	target, err := export.Readlink(p.Fd())
	return &ReadLinkRes{Status: statusOf(err), Attr: postOp(&st, p.Key), Data: target}
}
