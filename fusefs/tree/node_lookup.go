package tree

import (
	"encoding/binary"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Lookup finds a name. What is not there is not remembered, since another door may make it. FUSE_LOOKUP.
func (t *Tree) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if name == "." || name == ".." { // asked only for handles of the mount itself, which it does not offer
		return fuse.Status(unix.ESTALE)
	}
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	return t.lookup(d, at.fd, name, out)
}

// found answers a look-up of name in d, and counts it.
func (t *Tree) found(d *node, name string, e entry, out *fuse.EntryOut) {
	n := t.nodes.learn(e)
	n.place(d.key, name)
	fill(out, n, &e.st)
}

// lookup finds name in the directory d, which is open as at.
func (t *Tree) lookup(d *node, at int, name string, out *fuse.EntryOut) fuse.Status {
	find := t.entry
	if t.pins.wanted() {
		find = t.pin
	}
	e, err := find(at, name)
	if err != nil {
		return status(err)
	}
	t.found(d, name, e, out)
	return fuse.OK
}

// pin identifies name in at by opening it, and keeps a file open for a while.
func (t *Tree) pin(at int, name string) (entry, error) {
	fd, err := child(at, name)
	if err != nil {
		return entry{}, err
	}
	e, err := t.identify(fd)
	if err != nil || e.kind() == unix.S_IFDIR {
		unix.Close(fd)
	} else {
		t.pins.add(fd)
	}
	return e, err
}

// entry identifies name in at, without opening it where the handle tells by itself that it and the attributes are one file's. The mount
// that the handle comes from is this one: no mount was crossed.
func (t *Tree) entry(at int, name string) (e entry, err error) {
	if name == "" || strings.Contains(name, "/") {
		return e, unix.EINVAL
	}
	h, mount, err := unix.NameToHandleAt(at, name, 0)
	if err == nil && mount == t.mountID {
		err = unix.Statx(at, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statxMask, &e.st)
		if err == nil && handleNames(h, e.st.Ino) && e.st.Dev_major == t.devMajor && e.st.Dev_minor == t.devMinor {
			e.handle, e.key = h, keyOf(t.fsid, e.st.Ino, h)
			return e, nil
		}
	}
	fd, err := child(at, name)
	if err != nil {
		return entry{}, err
	}
	defer unix.Close(fd)
	return t.identify(fd)
}

// handleNames reports whether h is known to be of the inode ino: the kernel's FILEID_INO32_GEN, which ext4 makes, and XFS's longer form.
func handleNames(h unix.FileHandle, ino uint64) bool {
	const ino32Gen, xfsIno64Gen = 1, 0x81
	b := h.Bytes()
	switch {
	case h.Type() == ino32Gen && len(b) == 8:
		return uint64(binary.NativeEndian.Uint32(b)) == ino
	case h.Type() == xfsIno64Gen && len(b) == 12:
		return binary.NativeEndian.Uint64(b) == ino
	}
	return false
}

// Forget gives look-ups back. FUSE_FORGET.
func (t *Tree) Forget(id, count uint64) {
	if n := t.nodes.forget(id, count); n != nil {
		t.backings.forgotten(n)
	}
}
