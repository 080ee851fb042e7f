package tree

import (
	"path/filepath"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// masked is mode less umask; in a directory with a default ACL the ACL stands instead of the umask, acl(5).
func masked(at int, mode, umask uint32) uint32 {
	if umask&0o777 == 0 {
		return mode
	}
	if n, err := unix.Fgetxattr(at, "system.posix_acl_default", nil); err == nil && n > 0 {
		return mode
	}
	return mode &^ (umask & 0o777)
}

// create makes name in a directory by do, and answers with the new node.
func (t *Tree) create(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut, do func(at int) error) fuse.Status {
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	done, st := t.admit(cancel, &in.Caller, unix.EBUSY, ask{key: d.key, op: lock.OpChangeDir})
	if !st.Ok() {
		return st
	}
	err := asCaller(&in.Caller, func() error { return do(at.fd) })
	done(err == nil)
	if err != nil {
		return status(err)
	}
	if st := t.lookup(d, at.fd, name, out); !st.Ok() {
		return st
	}
	if n := t.nodes.byNumber(out.NodeId); n != nil {
		t.tellName(lock.Added, n.key, d.key, name, n.kind)
	}
	return fuse.OK
}

// Mknod is FUSE_MKNOD.
func (t *Tree) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return t.create(cancel, &in.InHeader, name, out, func(at int) error {
		return unix.Mknodat(at, name, masked(at, in.Mode, in.Umask), int(in.Rdev))
	})
}

// Mkdir is FUSE_MKDIR.
func (t *Tree) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return t.create(cancel, &in.InHeader, name, out, func(at int) error {
		return unix.Mkdirat(at, name, masked(at, in.Mode, in.Umask))
	})
}

// Symlink is FUSE_SYMLINK.
func (t *Tree) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return t.create(cancel, in, name, out, func(at int) error { return unix.Symlinkat(target, at, name) })
}

// Readlink is FUSE_READLINK.
func (t *Tree) Readlink(cancel <-chan struct{}, in *fuse.InHeader) (out []byte, st fuse.Status) {
	st = t.with(in.NodeId, 0, func(_ *node, fd int) error {
		b := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", b)
		if err == nil {
			out = b[:n]
		}
		return err
	})
	return out, st
}

// Link is FUSE_LINK. It also gives a file of O_TMPFILE its first name.
func (t *Tree) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	return t.with(in.Oldnodeid, 0, func(n *node, fd int) error {
		done, st := t.admit(cancel, &in.Caller, unix.EBUSY, ask{key: n.key, op: lock.OpLink}, ask{key: d.key, op: lock.OpChangeDir})
		if !st.Ok() {
			return unix.Errno(st)
		}
		err := unix.Linkat(fd, "", at.fd, name, unix.AT_EMPTY_PATH)
		done(err == nil)
		if err != nil {
			return err
		}
		if st := t.lookup(d, at.fd, name, out); !st.Ok() {
			return unix.Errno(st)
		}
		t.tellName(lock.Added, n.key, d.key, name, n.kind)
		return nil
	})
}

// Unlink is FUSE_UNLINK.
func (t *Tree) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return t.remove(cancel, in, name, 0)
}

// Rmdir is FUSE_RMDIR.
func (t *Tree) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return t.remove(cancel, in, name, unix.AT_REMOVEDIR)
}

func (t *Tree) remove(cancel <-chan struct{}, in *fuse.InHeader, name string, flags int) fuse.Status {
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	e, err := t.entry(at.fd, name)
	if err != nil {
		return status(err)
	}
	done, st := t.admit(cancel, &in.Caller, unix.EBUSY, ask{key: e.key, op: lock.OpRemove}, ask{key: d.key, op: lock.OpChangeDir})
	if !st.Ok() {
		return st
	}
	err = unix.Unlinkat(at.fd, name, flags)
	done(err == nil)
	if err == nil {
		t.tellName(lock.Removed, e.key, d.key, name, e.kind())
	}
	return status(err)
}

// Rename moves, replaces or exchanges. FUSE_RENAME2.
func (t *Tree) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	d2, at2, st := t.workIn(in.Newdir)
	if !st.Ok() {
		return st
	}
	defer at2.done()

	e, err := t.entry(at.fd, from)
	if err != nil {
		return status(err)
	}
	e2, err := t.entry(at2.fd, to)
	there := err == nil
	if err != nil && err != unix.ENOENT {
		return status(err)
	}
	if there && e2.key == e.key && in.Flags&unix.RENAME_NOREPLACE == 0 { // two names of one file: nothing to do, rename(2)
		return status(unix.Renameat2(at.fd, from, at2.fd, to, uint(in.Flags)))
	}
	exchange := in.Flags&unix.RENAME_EXCHANGE != 0
	asks := []ask{{key: e.key, op: lock.OpRename}, {key: d.key, op: lock.OpChangeDir}}
	if d2 != d {
		asks = append(asks, ask{key: d2.key, op: lock.OpChangeDir})
	}
	switch {
	case there && exchange:
		asks = append(asks, ask{key: e2.key, op: lock.OpRename})
	case there && in.Flags&unix.RENAME_NOREPLACE == 0:
		asks = append(asks, ask{key: e2.key, op: lock.OpRemove})
	}
	done, st := t.admit(cancel, &in.Caller, unix.EBUSY, asks...)
	if !st.Ok() {
		return st
	}
	// RENAME_WHITEOUT makes a device, which belongs to the caller.
	err = asCaller(&in.Caller, func() error { return unix.Renameat2(at.fd, from, at2.fd, to, uint(in.Flags)) })
	done(err == nil)
	if err != nil {
		return status(err)
	}
	t.moved(e, d, from, d2, to)
	if there && exchange {
		t.moved(e2, d2, to, d, from)
	}
	return fuse.OK
}

// moved tells that e has another name.
func (t *Tree) moved(e entry, d *node, from string, d2 *node, to string) {
	if n := t.nodes.find(e.key); n != nil {
		n.place(d2.key, to)
	}
	filter := nameFilter(e.kind())
	away, here := lock.Renamed(d.key, d2.key)
	t.tell(lock.Change{Key: e.key, Dir: d.key, Name: from, Action: away, Filter: filter},
		lock.Change{Key: e.key, Dir: d2.key, Name: to, Action: here, Filter: filter})
}

// deleteNow removes the name under which f was opened, if it is still f's.
func (t *Tree) deleteNow(f *file) {
	at, name, err := t.parent(pathOf(f.fd))
	if err != nil {
		return
	}
	defer unix.Close(at)
	e, err := t.entry(at, name)
	if err != nil || e.key != f.node.key {
		return
	}
	d, err := t.identify(at)
	if err == nil {
		err = unix.Unlinkat(at, name, 0)
	}
	if err != nil {
		t.log.Warn("file that is delete pending not removed", "export", t.name, "key", e.key, "err", err)
		return
	}
	t.tellName(lock.Removed, e.key, d.key, name, e.kind())
	t.Heard(lock.Change{Key: e.key, Dir: d.key, Name: name, Action: lock.Removed})
}

// parent opens the directory of a path that pathOf gave.
func (t *Tree) parent(path string) (at int, name string, err error) {
	if path == "" {
		return -1, "", unix.ENOENT
	}
	at, err = openBeneath(t.rootFD, filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	return at, filepath.Base(path), err
}
