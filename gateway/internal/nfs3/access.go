package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// ACCESS, RFC 1813 §3.3.4.

// Access permissions.
const (
	AccessRead    = 0x01
	AccessLookup  = 0x02
	AccessModify  = 0x04
	AccessExtend  = 0x08
	AccessDelete  = 0x10
	AccessExecute = 0x20
)

// AccessArgs is ACCESS3args.
type AccessArgs struct {
	Object FileHandle
	Access uint32
}

// XDR lists the fields.
func (a *AccessArgs) XDR(x *xdr.Stream) {
	a.Object.XDR(x)
	x.Uint32(&a.Access)
}

// AccessRes is ACCESS3res.
type AccessRes struct {
	Status Status
	Attr   PostOpAttr
	Access uint32
}

// XDR lists the fields.
func (r *AccessRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status == OK {
		x.Uint32(&r.Access)
	}
}

func (r *AccessRes) status() Status { return r.Status }

func (s *Server) access(ctx context.Context, c *oncrpc.Call, a *AccessArgs) AccessRes {
	p, err := s.resolve(ctx, c, a.Object)
	if err != nil {
		return AccessRes{Status: statusOf(err)}
	}
	defer p.Release()
	st, err := p.Stat()
	if err != nil {
		return AccessRes{Status: statusOf(err)}
	}
	mask, err := p.Allowed(p.cred, &st)
	if err != nil {
		return AccessRes{Status: statusOf(err), Attr: postOp(&st, p.Key)}
	}
	return AccessRes{Attr: postOp(&st, p.Key), Access: a.Access & accessOf(mask, st.IsDir(), p.terms.ReadOnly)}
}

// accessOf is what the kernel's bits are to NFS. DELETE is a directory's: whether a file goes is a question of the directory it is in.
func accessOf(mask uint32, dir, readOnly bool) (bits uint32) {
	if readOnly {
		mask &^= unix.W_OK
	}
	if mask&unix.R_OK != 0 {
		bits |= AccessRead
	}
	switch {
	case dir && mask&unix.X_OK != 0:
		bits |= AccessLookup
		if mask&unix.W_OK != 0 {
			bits |= AccessModify | AccessExtend | AccessDelete
		}
	case !dir:
		if mask&unix.W_OK != 0 {
			bits |= AccessModify | AccessExtend
		}
		if mask&unix.X_OK != 0 {
			bits |= AccessExecute
		}
	}
	return bits
}
