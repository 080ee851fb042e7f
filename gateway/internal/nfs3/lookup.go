package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// LOOKUP, RFC 1813 §3.3.3.

// LookupArgs is LOOKUP3args.
type LookupArgs struct{ What DirOpArgs }

// XDR lists the fields.
func (a *LookupArgs) XDR(x *xdr.Stream) { a.What.XDR(x) }

// LookupRes is LOOKUP3res.
type LookupRes struct {
	Status Status
	Object FileHandle
	Attr   PostOpAttr
	Dir    PostOpAttr
}

// XDR lists the fields.
func (r *LookupRes) XDR(x *xdr.Stream) {
	if xdr.Enum(x, &r.Status); r.Status == OK {
		r.Object.XDR(x)
		r.Attr.XDR(x)
	}
	r.Dir.XDR(x)
}

func (r *LookupRes) status() Status { return r.Status }

func (s *Server) lookup(ctx context.Context, c *oncrpc.Call, a *LookupArgs) LookupRes {
	p, err := s.resolve(ctx, c, a.What.Dir)
	if err != nil {
		return LookupRes{Status: statusOf(err)}
	}
	defer p.Release()
	look := p.Lookup
	if c.Quick {
		look = p.LookupCached
	}
	f, err := look(p.cred, a.What.Name)
	if c.Quick && err == unix.EAGAIN {
		return LookupRes{Status: errLater}
	}
	if err != nil {
		return LookupRes{Status: statusOf(err), Dir: postOpOf(p.File)}
	}
	defer f.Release()
	if s.going(f.Key) {
		return LookupRes{Status: ErrNoEnt, Dir: postOpOf(p.File)}
	}
	return LookupRes{Object: f.FH(), Attr: postOpOf(f), Dir: postOpOf(p.File)}
}
