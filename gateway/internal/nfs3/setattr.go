package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// SETATTR, RFC 1813 §3.3.2.

// SetAttrArgs is SETATTR3args. Guard is sattrguard3: the ctime that the object must still have.
type SetAttrArgs struct {
	Object FileHandle
	New    SetAttr
	Guard  *Time
}

// XDR lists the fields.
func (a *SetAttrArgs) XDR(x *xdr.Stream) {
	a.Object.XDR(x)
	a.New.XDR(x)
	xdr.Optional(x, &a.Guard)
}

// SetAttrRes is SETATTR3res.
type SetAttrRes struct {
	Status Status
	Wcc    WccData
}

// XDR lists the fields.
func (r *SetAttrRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	r.Wcc.XDR(x)
}

func (r *SetAttrRes) status() Status { return r.Status }

func (s *Server) setattr(ctx context.Context, c *oncrpc.Call, a *SetAttrArgs) *SetAttrRes {
	p, err := s.forChange(ctx, c, a.Object)
	if err != nil {
		return &SetAttrRes{Status: statusOf(err)}
	}
	defer p.Release()
	wcc, err := s.set(ctx, c, p, &a.New, a.Guard)
	if err != nil && !wcc.After.Follow {
		wcc.After = postOpOf(p.File)
	}
	return &SetAttrRes{Status: statusOf(err), Wcc: wcc}
}

// set sets attributes: the size first, because it can be refused for more reasons than the others.
func (s *Server) set(ctx context.Context, c *oncrpc.Call, p place, n *SetAttr, guard *Time) (wcc WccData, err error) {
	changes, err := n.changes()
	if err != nil {
		return wcc, err
	}
	op, from, length := lock.OpSetAttr, uint64(0), uint64(0)
	if n.Size != nil {
		was, err := p.Stat()
		if err != nil {
			return wcc, err
		}
		if err := p.mayIO(&was, unix.W_OK); err != nil {
			return wcc, err
		}
		// What is admitted is the range between the old end and the new one.
		size := uint64(*n.Size)
		op, from, length = lock.OpSetSize, min(size, was.Size), max(size, was.Size)-min(size, was.Size)
	}
	done, err := s.admit(ctx, c, p, p.File, op, from, length)
	if err != nil {
		return wcc, err
	}
	changed := false
	defer func() { done(changed) }()
	a, err := p.setLocked(n, changes, guard, &wcc)
	changed = wcc.After.Follow
	if err == nil {
		err = p.durable(&a)
	}
	return wcc, err
}

// setLocked sets what was admitted, and reads the attributes before and after.
func (p place) setLocked(n *SetAttr, changes *export.Changes, guard *Time, wcc *WccData) (a export.Attr, err error) {
	fd := -1
	if n.Size != nil {
		if fd, err = p.Data(true); err != nil {
			return a, err
		}
	}
	p.Lock()
	defer p.Unlock()
	if a, err = p.Stat(); err != nil {
		return a, err
	}
	wcc.Before = preOp(&a)
	if guard != nil && *guard != wcc.Before.Ctime {
		return a, ErrNotSync
	}
	if a.IsSymlink() {
		changes.Mode = nil // a symbolic link has no mode of its own
	}
	err = export.As(p.cred, func() error {
		if n.Size != nil {
			if err := export.Truncate(fd, uint64(*n.Size)); err != nil {
				return err
			}
		}
		return export.Change(p.Fd(), changes)
	})
	// Also after a failure: some of it may have happened.
	if after, e := p.Stat(); e == nil {
		a, wcc.After = after, postOp(&after, p.Key)
	} else if err == nil {
		err = e
	}
	return a, err
}
