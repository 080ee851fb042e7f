package tree

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// attr is st in FUSE's form. st_ino is the backing file's, as it is fileid over NFS and IndexNumber over SMB.
func attr(out *fuse.Attr, st *unix.Statx_t) {
	*out = fuse.Attr{
		Ino: st.Ino, Size: st.Size, Blocks: st.Blocks,
		Atime: uint64(st.Atime.Sec), Atimensec: st.Atime.Nsec,
		Mtime: uint64(st.Mtime.Sec), Mtimensec: st.Mtime.Nsec,
		Ctime: uint64(st.Ctime.Sec), Ctimensec: st.Ctime.Nsec,
		Mode: uint32(st.Mode), Nlink: st.Nlink, Owner: fuse.Owner{Uid: st.Uid, Gid: st.Gid},
		Rdev:    uint32(unix.Mkdev(st.Rdev_major, st.Rdev_minor)),
		Blksize: st.Blksize,
	}
}

// fill answers a look-up.
func fill(out *fuse.EntryOut, n *node, st *unix.Statx_t) {
	out.NodeId, out.Generation = n.id, 1
	out.SetEntryTimeout(cacheTime)
	out.SetAttrTimeout(cacheTime)
	attr(&out.Attr, st)
}

// with calls do with a descriptor of n: that of the open fh if there is one, or of any other, else one of its own that serves for attributes.
func (t *Tree) with(id, fh uint64, do func(n *node, fd int) error) fuse.Status {
	if fh != 0 {
		if f := t.opens.file(fh); f != nil {
			return status(do(f.node, f.fd))
		}
	}
	n, st := t.node(id)
	if !st.Ok() {
		return st
	}
	if f := n.borrow(); f != nil {
		defer t.letGo(f)
		return status(do(n, f.fd))
	}
	if w := t.atHand(n); w != nil {
		defer w.done()
		return status(do(n, w.fd))
	}
	fd, err := t.path(n)
	if err != nil {
		return status(err)
	}
	defer unix.Close(fd)
	return status(do(n, fd))
}

// GetAttr is FUSE_GETATTR.
func (t *Tree) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	var fh uint64
	if in.Flags()&fuse.FUSE_GETATTR_FH != 0 {
		fh = in.Fh()
	}
	return t.with(in.NodeId, fh, func(_ *node, fd int) error { return attrOut(fd, out) })
}

func attrOut(fd int, out *fuse.AttrOut) error {
	st, err := stat(fd)
	if err != nil {
		return err
	}
	attr(&out.Attr, &st)
	out.SetTimeout(cacheTime)
	return nil
}

// Statx is GETATTR with the time of birth. FUSE_STATX.
func (t *Tree) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	var fh uint64
	if in.GetattrFlags&fuse.FUSE_GETATTR_FH != 0 {
		fh = in.Fh
	}
	return t.with(in.NodeId, fh, func(_ *node, fd int) error {
		st, err := stat(fd)
		if err != nil {
			return err
		}
		out.FromStatx(&st)
		out.SetTimeout(cacheTime)
		return nil
	})
}

// SetAttr is truncate, chmod, chown and utimensat. FUSE_SETATTR.
func (t *Tree) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	fh, _ := in.GetFh()
	var refused fuse.Status
	st := t.with(in.NodeId, fh, func(n *node, fd int) error {
		done, st := t.admitSetAttr(cancel, in, n, fd, fh)
		if refused = st; !st.Ok() {
			return nil
		}
		filter, err := t.setAttr(in, n, fd, fh)
		done(err == nil)
		if filter != 0 {
			t.tellNode(n, filter, filter&notifySize != 0)
		}
		if err != nil {
			return err
		}
		return attrOut(fd, out)
	})
	if !refused.Ok() {
		return refused
	}
	return st
}

// admitSetAttr asks for what in changes: the cut range, or the attributes.
func (t *Tree) admitSetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, n *node, fd int, fh uint64) (func(bool), fuse.Status) {
	a := ask{key: n.key, op: lock.OpSetAttr, open: fh}
	if size, ok := in.GetSize(); ok {
		st, err := stat(fd)
		if err != nil {
			return nil, status(err)
		}
		a.op, a.off = lock.OpSetSize, min(size, st.Size)
		a.length = max(size, st.Size) - a.off
	}
	return t.admit(cancel, &in.Caller, unix.EAGAIN, a)
}

// setAttr does it, and returns what it counts as. The owner comes before the mode, because chown(2) takes bits of the mode away, and
// the times come after the size, which changes them.
func (t *Tree) setAttr(in *fuse.SetAttrIn, n *node, fd int, fh uint64) (filter uint32, err error) {
	uid, setUID := in.GetUID()
	gid, setGID := in.GetGID()
	if setUID || setGID {
		u, g := -1, -1
		if setUID {
			u = int(uid)
		}
		if setGID {
			g = int(gid)
		}
		if err := unix.Fchownat(fd, "", u, g, unix.AT_EMPTY_PATH); err != nil {
			return filter, err
		}
		filter |= notifySecurity
	}
	if mode, ok := in.GetMode(); ok {
		if err := unix.Fchmodat(unix.AT_FDCWD, proc(fd), mode, 0); err != nil {
			return filter, err
		}
		filter |= notifySecurity | notifyAttributes
	}
	if size, ok := in.GetSize(); ok {
		f := t.opens.file(fh)
		writable := f != nil && f.writes && f.fd == fd
		if err := t.cut(&in.Caller, fd, writable, int64(size), in.Valid&fuse.FATTR_KILL_SUIDGID != 0); err != nil {
			return filter, err
		}
		filter |= notifySize | notifyLastWrite
	}
	if in.Valid&(fuse.FATTR_ATIME|fuse.FATTR_MTIME) != 0 {
		ts := []unix.Timespec{
			moment(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec),
			moment(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec),
		}
		if err := unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH); err != nil {
			return filter, err
		}
		filter |= notifyLastWrite
	}
	return filter, nil
}

func moment(valid, set, now uint32, sec uint64, nsec uint32) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
}

// cut sets a file's size. kill: the caller may not keep the set-user-ID bit.
func (t *Tree) cut(c *fuse.Caller, fd int, writable bool, size int64, kill bool) error {
	do := func() error {
		if writable {
			return unix.Ftruncate(fd, size)
		}
		return unix.Truncate(proc(fd), size)
	}
	if kill {
		return as(0, c.Gid, killPriv, do)
	}
	return do()
}

// StatFs is the backing file system's answer. FUSE_STATFS.
func (t *Tree) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	var st unix.Statfs_t
	if err := unix.Fstatfs(t.rootFD, &st); err != nil {
		return status(err)
	}
	*out = fuse.StatfsOut{Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), NameLen: uint32(st.Namelen), Frsize: uint32(st.Frsize)}
	return fuse.OK
}
