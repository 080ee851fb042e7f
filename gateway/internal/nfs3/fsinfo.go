package nfs3

import (
	"context"
	"math"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// FSINFO, RFC 1813 §3.3.19.

// Properties.
const (
	FSFLink        = 0x01
	FSFSymlink     = 0x02
	FSFHomogeneous = 0x08
	FSFCanSetTime  = 0x10
)

// FSInfoArgs is FSINFO3args.
type FSInfoArgs struct{ Root FileHandle }

// XDR lists the fields.
func (a *FSInfoArgs) XDR(x *xdr.Stream) { a.Root.XDR(x) }

// FSInfoRes is FSINFO3res.
type FSInfoRes struct {
	Status                Status
	Attr                  PostOpAttr
	RtMax, RtPref, RtMult uint32
	WtMax, WtPref, WtMult uint32
	DtPref                uint32
	MaxFileSize           uint64
	TimeDelta             Time
	Properties            uint32
}

// XDR lists the fields.
func (r *FSInfoRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	for _, v := range []*uint32{&r.RtMax, &r.RtPref, &r.RtMult, &r.WtMax, &r.WtPref, &r.WtMult, &r.DtPref} {
		x.Uint32(v)
	}
	x.Uint64(&r.MaxFileSize)
	r.TimeDelta.XDR(x)
	x.Uint32(&r.Properties)
}

func (r *FSInfoRes) status() Status { return r.Status }

func (s *Server) fsinfo(ctx context.Context, c *oncrpc.Call, a *FSInfoArgs) *FSInfoRes {
	p, err := s.resolve(ctx, c, a.Root)
	if err != nil {
		return &FSInfoRes{Status: statusOf(err)}
	}
	defer p.Release()
	n := maxIO(c)
	return &FSInfoRes{Attr: postOpOf(p.File), RtMax: n, RtPref: n, RtMult: 4096, WtMax: n, WtPref: n, WtMult: 4096, DtPref: min(n, 64<<10),
		MaxFileSize: math.MaxInt64, TimeDelta: Time{0, 1}, Properties: FSFLink | FSFSymlink | FSFHomogeneous | FSFCanSetTime}
}
