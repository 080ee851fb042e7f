package nfs3

import (
	"context"
	"encoding/binary"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// CREATE, RFC 1813 §3.3.8.

// CreateMode is createmode3.
type CreateMode uint32

// What CREATE does where the name is taken.
const (
	Unchecked CreateMode = iota // takes the file
	Guarded                     // refuses
	Exclusive                   // takes the file where the same CREATE made it
)

// CreateArgs is CREATE3args with its createhow3.
type CreateArgs struct {
	Where    DirOpArgs
	Mode     CreateMode
	Attr     SetAttr              // Unchecked, Guarded
	Verifier [CreateVerfSize]byte // Exclusive
}

// XDR lists the fields.
func (a *CreateArgs) XDR(x *xdr.Stream) {
	a.Where.XDR(x)
	xdr.Enum(x, &a.Mode)
	switch a.Mode {
	case Unchecked, Guarded:
		a.Attr.XDR(x)
	case Exclusive:
		x.Fixed(a.Verifier[:])
	default:
		x.Fail(xdr.ErrValue)
	}
}

// CreateRes is CREATE3res, MKDIR3res, SYMLINK3res and MKNOD3res, which are alike.
type CreateRes struct {
	Status Status
	Object PostOpFH
	Attr   PostOpAttr
	Wcc    WccData // the directory's
}

// XDR lists the fields.
func (r *CreateRes) XDR(x *xdr.Stream) {
	if xdr.Enum(x, &r.Status); r.Status == OK {
		r.Object.XDR(x)
		r.Attr.XDR(x)
	}
	r.Wcc.XDR(x)
}

func (r *CreateRes) status() Status { return r.Status }

// show tells a file's handle and attributes.
func (r *CreateRes) show(f *export.File) {
	r.Object = PostOpFH{Follow: true, FH: f.FH()}
	r.Attr = postOpOf(f)
}

func (s *Server) create(ctx context.Context, c *oncrpc.Call, a *CreateArgs) *CreateRes {
	p, err := s.forChange(ctx, c, a.Where.Dir)
	if err != nil {
		return &CreateRes{Status: statusOf(err)}
	}
	defer p.Release()
	res := &CreateRes{}
	var f *export.File
	if err = newName(a.Where.Name); err == nil {
		f, err = s.createOrTake(ctx, c, p, a, res)
	}
	if f != nil {
		defer f.Release()
	}
	if err == nil {
		res.show(f)
	}
	if res.Status = statusOf(err); !res.Wcc.After.Follow {
		res.Wcc.After = postOpOf(p.File)
	}
	return res
}

// createOrTake looks before it leaps, so that a name that is taken breaks nobody's directory lease.
func (s *Server) createOrTake(ctx context.Context, c *oncrpc.Call, p place, a *CreateArgs, res *CreateRes) (*export.File, error) {
	for range tries {
		f, err := p.Lookup(p.cred, a.Where.Name)
		if err == nil && s.going(f.Key) {
			f.Release()
			return nil, ErrJukebox // the name is busy until the file has gone
		}
		if err == nil {
			return f, s.take(ctx, c, p.at(f), a)
		}
		if statusOf(err) != ErrNoEnt {
			return nil, err
		}
		f, err = s.createNew(ctx, c, p, a, res)
		if statusOf(err) != ErrExist {
			return f, err
		}
	}
	return nil, ErrJukebox
}

// createNew makes the file with its first attributes.
func (s *Server) createNew(ctx context.Context, c *oncrpc.Call, p place, a *CreateArgs, res *CreateRes) (f *export.File, err error) {
	mode := uint32(0o600)
	attr := a.Attr
	if a.Mode == Exclusive {
		mode = 0
		// The verifier is kept in the times, which the client sets next. RFC 1813 §3.3.8.
		at, mt := verifierTimes(a.Verifier)
		attr = SetAttr{Atime: SetTime{SetToClientTime, at}, Mtime: SetTime{SetToClientTime, mt}}
	} else if attr.Mode != nil {
		mode = uint32(*attr.Mode)
	}
	attr.Mode = nil
	err = s.inDir(ctx, c, p, &res.Wcc, func() error {
		if f, err = p.Create(p.cred, a.Where.Name, mode); err != nil {
			return err
		}
		fd, err := f.Data(true)
		if err == nil {
			err = initial(p.at(f), fd, &attr)
		}
		if err != nil {
			export.Unlink(p.Fd(), a.Where.Name)
			f.Release()
			f = nil
		}
		return err
	})
	if err = finish(p, &res.Wcc, err); err == nil {
		s.tell(ctx, lock.Change{Key: f.Key, Dir: p.Key, Name: a.Where.Name, Action: lock.Added, Filter: notifyFileName})
	}
	return f, err
}

// initial sets the first attributes, but for the mode, of what was just made; fd is open for writing or -1.
func initial(p place, fd int, n *SetAttr) error {
	changes, err := n.changes()
	if err != nil {
		return err
	}
	a, err := p.Stat()
	if err != nil {
		return err
	}
	// An owner that it has already needs no right to be set.
	if changes.UID != nil && *changes.UID == a.UID {
		changes.UID = nil
	}
	if changes.GID != nil && *changes.GID == a.GID {
		changes.GID = nil
	}
	if fd < 0 || n.Size != nil && *n.Size == 0 {
		n.Size = nil
	}
	if n.Size == nil && *changes == (export.Changes{}) {
		return nil
	}
	err = export.As(p.cred, func() error {
		if n.Size != nil {
			if err := export.Truncate(fd, uint64(*n.Size)); err != nil {
				return err
			}
		}
		return export.Change(p.Fd(), changes)
	})
	if err == nil {
		err = p.durable(&a)
	}
	return err
}

// take answers where the name is taken by f.
func (s *Server) take(ctx context.Context, c *oncrpc.Call, f place, a *CreateArgs) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	switch {
	case a.Mode == Guarded || !st.IsRegular():
		return ErrExist
	case a.Mode == Exclusive:
		at, mt := verifierTimes(a.Verifier)
		if timeOf(st.Atime).Sec != at.Sec || timeOf(st.Mtime).Sec != mt.Sec {
			return ErrExist
		}
	case a.Attr.Size != nil:
		// Of the attributes only the size is set on a file that was there.
		_, err = s.set(ctx, c, f, &SetAttr{Size: a.Attr.Size}, nil)
	}
	return err
}

// verifierTimes keeps 62 bits of a verifier in seconds that every file system can store.
func verifierTimes(v [CreateVerfSize]byte) (at, mt Time) {
	return Time{Sec: binary.BigEndian.Uint32(v[:4]) & (1<<31 - 1)}, Time{Sec: binary.BigEndian.Uint32(v[4:]) & (1<<31 - 1)}
}

// makeEntry makes an entry that has no data by do, and sets its first attributes.
func (s *Server) makeEntry(ctx context.Context, c *oncrpc.Call, where *DirOpArgs, attr SetAttr, dir bool, do func(dir int) error) *CreateRes {
	p, err := s.forChange(ctx, c, where.Dir)
	if err != nil {
		return &CreateRes{Status: statusOf(err)}
	}
	defer p.Release()
	res := &CreateRes{}
	if err = newName(where.Name); err == nil {
		err = s.makeIn(ctx, c, p, where.Name, attr, dir, do, res)
	}
	if res.Status = statusOf(err); !res.Wcc.After.Follow {
		res.Wcc.After = postOpOf(p.File)
	}
	return res
}

func (s *Server) makeIn(ctx context.Context, c *oncrpc.Call, p place, name string, attr SetAttr, dir bool, do func(dir int) error, res *CreateRes) error {
	if f, err := p.Lookup(p.cred, name); err == nil {
		f.Release()
		return ErrExist
	} else if statusOf(err) != ErrNoEnt {
		return err
	}
	attr.Size = nil
	var f *export.File
	err := s.inDir(ctx, c, p, &res.Wcc, func() error {
		if err := export.As(p.cred, func() error { return do(p.Fd()) }); err != nil {
			return err
		}
		var err error
		if f, err = p.Lookup(export.Root, name); err != nil {
			return nil // somebody took it away at once
		}
		if err = initial(p.at(f), -1, &attr); err != nil {
			if dir {
				export.Rmdir(p.Fd(), name)
			} else {
				export.Unlink(p.Fd(), name)
			}
		}
		return err
	})
	if f != nil {
		defer f.Release()
	}
	if err = finish(p, &res.Wcc, err); err == nil && f != nil {
		s.tell(ctx, lock.Change{Key: f.Key, Dir: p.Key, Name: name, Action: lock.Added, Filter: notifyName(dir)})
		res.show(f)
	}
	return err
}
