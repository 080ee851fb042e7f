package server

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// CLOSE, [MS-SMB2] 3.3.5.10, and deleting on close, [MS-FSA] 2.1.5.5.

func closeFile(ctx context.Context, r *request) (reply, error) {
	var q smb2.CloseRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	a := &smb2.CloseResponse{}
	if q.Flags&smb2.CloseFlagPostQueryAttrib != 0 && o.pipe == nil {
		if i, err := o.stat(); err == nil {
			a.Flags = smb2.CloseFlagPostQueryAttrib
			a.CreationTime, a.LastAccessTime = wire.FiletimeOf(i.birth), wire.FiletimeOf(i.access)
			a.LastWriteTime, a.ChangeTime = wire.FiletimeOf(i.write), wire.FiletimeOf(i.change)
			a.AllocationSize, a.EndOfFile, a.FileAttributes = i.alloc, i.size, i.attributes
		}
	}
	// The request itself lets go, so that closing does not wait for it.
	r.pinned.unuse(r)
	r.pinned = nil
	o.close(context.WithoutCancel(ctx))
	o.owed.Wait() // who waited on it hears of its end first
	return a, nil
}

// called is the name that o was opened or last renamed by.
func (o *open) called() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.name
}

// remove unlinks the file of an open that was the last one of a file that is delete pending, whatever it is called by now.
func (o *open) remove(ctx context.Context) error {
	s := o.session
	parent, name, rel, err := o.now()
	if err == unix.ENOENT {
		return nil // gone already
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	key, err := export.KeyOf(int(parent.Fd()))
	if err != nil {
		return err
	}
	a, err := export.Stat(int(o.file.Fd()))
	if err != nil {
		return err
	}
	err = s.as(o.vol, func() error {
		if a.IsDir() {
			return export.Rmdir(int(parent.Fd()), name)
		}
		return export.Unlink(int(parent.Fd()), name)
	})
	if err != nil {
		return err
	}
	removed := s.named(key, name, lock.Removed, a.IsDir(), o.parentKey)
	removed.Key = o.key
	o.tree.changed(ctx, removed, rel)
	o.removeDoubleAt(ctx, spot{parent, name, rel})
	return nil
}

// now is what the open's file is called at the moment: the name that it was opened by, which may be a symbolic link's, while it is still
// the file's, else where the file has been moved to. ENOENT: it has no name any more, or is the share's root.
func (o *open) now() (parent *os.File, name, rel string, err error) {
	o.mu.Lock()
	if o.parent != nil && o.isAt(o.parent, o.name) {
		name, rel = o.name, o.path
		var fd int
		if fd, err = unix.FcntlInt(o.parent.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			parent = os.NewFile(uintptr(fd), "directory")
		}
	}
	o.mu.Unlock()
	if name != "" {
		return parent, name, rel, err
	}
	rel, ok := where(o.vol.root, o.file)
	if !ok || rel == "." {
		return nil, "", "", unix.ENOENT
	}
	dir, name := splitPath(rel)
	if parent, err = openBeneath(o.vol.root, dir, unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return nil, "", "", err
	}
	if !o.isAt(parent, name) {
		parent.Close()
		return nil, "", "", unix.ENOENT
	}
	return parent, name, rel, nil
}

// isAt reports whether a name in a directory is the open file's, or a symbolic link's that leads to it.
func (o *open) isAt(dir *os.File, name string) bool {
	a, err := export.StatAt(int(dir.Fd()), name)
	if err != nil {
		return false
	}
	if a.IsSymlink() {
		var st unix.Stat_t
		return unix.Fstatat(int(dir.Fd()), name, &st, 0) == nil && st.Ino == o.key.Ino
	}
	return a.Ino == o.key.Ino
}

func splitPath(rel string) (dir, name string) {
	for i := len(rel) - 1; i >= 0; i-- {
		if rel[i] == '/' {
			return rel[:i], rel[i+1:]
		}
	}
	return ".", rel
}
