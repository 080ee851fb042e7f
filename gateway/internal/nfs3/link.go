package nfs3

import (
	"context"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// LINK, RFC 1813 §3.3.15.

// LinkArgs is LINK3args.
type LinkArgs struct {
	File FileHandle
	Link DirOpArgs
}

// XDR lists the fields.
func (a *LinkArgs) XDR(x *xdr.Stream) {
	a.File.XDR(x)
	a.Link.XDR(x)
}

// LinkRes is LINK3res.
type LinkRes struct {
	Status Status
	Attr   PostOpAttr
	Wcc    WccData // the directory's
}

// XDR lists the fields.
func (r *LinkRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	r.Attr.XDR(x)
	r.Wcc.XDR(x)
}

func (r *LinkRes) status() Status { return r.Status }

func (s *Server) link(ctx context.Context, c *oncrpc.Call, a *LinkArgs) *LinkRes {
	f, err := s.forChange(ctx, c, a.File)
	if err != nil {
		return &LinkRes{Status: statusOf(err)}
	}
	defer f.Release()
	p, err := s.forChange(ctx, c, a.Link.Dir)
	if err != nil {
		return &LinkRes{Status: statusOf(err), Attr: postOpOf(f.File)}
	}
	defer p.Release()
	res := &LinkRes{}
	if err = newName(a.Link.Name); err == nil {
		err = s.linkIn(ctx, c, f, p, a.Link.Name, &res.Wcc)
	}
	res.Status, res.Attr = statusOf(err), postOpOf(f.File)
	if !res.Wcc.After.Follow {
		res.Wcc.After = postOpOf(p.File)
	}
	return res
}

func (s *Server) linkIn(ctx context.Context, c *oncrpc.Call, f, p place, name string, wcc *WccData) error {
	if f.Export() != p.Export() {
		return ErrXDev
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		return ErrInval
	}
	done, err := s.admit(ctx, c, f, f.File, lock.OpLink, 0, 0)
	if err != nil {
		return err
	}
	linked := false
	defer func() { done(linked) }()
	err = s.inDir(ctx, c, p, wcc, func() error {
		return export.As(p.cred, func() error { return export.Link(f.Fd(), p.Fd(), name) })
	})
	linked = err == nil
	if err = finish(p, wcc, err); err == nil {
		err = f.durable(&st)
	}
	if err == nil {
		s.tell(ctx, lock.Change{Key: f.Key, Dir: p.Key, Name: name, Action: lock.Added, Filter: notifyFileName})
	}
	return err
}
