package nfs3

import (
	"context"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// REMOVE, RFC 1813 §3.3.12.

// RemoveArgs is REMOVE3args and RMDIR3args, which are alike.
type RemoveArgs struct{ Object DirOpArgs }

// XDR lists the fields.
func (a *RemoveArgs) XDR(x *xdr.Stream) { a.Object.XDR(x) }

// RemoveRes is REMOVE3res and RMDIR3res.
type RemoveRes struct {
	Status Status
	Wcc    WccData // the directory's
}

// XDR lists the fields.
func (r *RemoveRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	r.Wcc.XDR(x)
}

func (r *RemoveRes) status() Status { return r.Status }

func (s *Server) remove(ctx context.Context, c *oncrpc.Call, a *RemoveArgs) *RemoveRes {
	return s.removeName(ctx, c, a, false)
}

// removeName is REMOVE and RMDIR.
func (s *Server) removeName(ctx context.Context, c *oncrpc.Call, a *RemoveArgs, dir bool) *RemoveRes {
	p, err := s.forChange(ctx, c, a.Object.Dir)
	if err != nil {
		return &RemoveRes{Status: statusOf(err)}
	}
	defer p.Release()
	res := &RemoveRes{}
	err = removable(a.Object.Name)
	if err == nil {
		for range tries {
			if err = s.removeOnce(ctx, c, p, a.Object.Name, dir, &res.Wcc); err != errMoved {
				break
			}
			err = ErrJukebox
		}
	}
	if err == errGoing {
		err = nil
	}
	if res.Status = statusOf(err); !res.Wcc.After.Follow {
		res.Wcc.After = postOpOf(p.File)
	}
	return res
}

// removable refuses "." (INVAL) and ".." (EXIST). RFC 1813 §3.3.13.
func removable(name string) error {
	switch name {
	case ".":
		return ErrInval
	case "..":
		return ErrExist
	}
	return export.CheckName(name)
}

// removeOnce removes the file that the name stands for now, or is errMoved where it stood for another one later.
func (s *Server) removeOnce(ctx context.Context, c *oncrpc.Call, p place, name string, dir bool, wcc *WccData) error {
	f, err := p.Lookup(p.cred, name)
	if err != nil {
		return err
	}
	defer f.Release()
	st, err := f.Stat()
	switch {
	case err != nil:
		return err
	case dir && !st.IsDir():
		return ErrNotDir
	case !dir && st.IsDir():
		return ErrIsDir
	}
	done, err := s.admit(ctx, c, p, f, lock.OpRemove, 0, 0)
	if err != nil {
		return err
	}
	removed := false
	defer func() { done(removed) }()
	err = s.inDir(ctx, c, p, wcc, func() error {
		if !p.is(name, f) {
			return errMoved
		}
		return export.As(p.cred, func() error {
			if dir {
				return export.Rmdir(p.Fd(), name)
			}
			return export.Unlink(p.Fd(), name)
		})
	})
	removed = err == nil
	if err == errMoved {
		return err
	}
	if err = finish(p, wcc, err); err == nil {
		s.tell(ctx, lock.Change{Key: f.Key, Dir: p.Key, Name: name, Action: lock.Removed, Filter: notifyName(dir)})
		f.Stat() // if that was its last name, the cache lets go of it
	}
	return err
}
