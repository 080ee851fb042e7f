package tree

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Extended attributes are reached through /proc, because they cannot be asked of an O_PATH descriptor.

// GetXAttr is FUSE_GETXATTR. The first write to a file asks for security.capability: the writer has it open.
func (t *Tree) GetXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (size uint32, st fuse.Status) {
	if n, st := t.node(in.NodeId); st.Ok() {
		if f := n.borrow(); f != nil {
			defer t.letGo(f)
			size, err := unix.Fgetxattr(f.fd, name, dest)
			return uint32(max(size, 0)), status(err)
		}
	}
	st = t.with(in.NodeId, 0, func(_ *node, fd int) error {
		n, err := unix.Getxattr(proc(fd), name, dest)
		size = uint32(max(n, 0))
		return err
	})
	return size, st
}

// ListXAttr is FUSE_LISTXATTR.
func (t *Tree) ListXAttr(cancel <-chan struct{}, in *fuse.InHeader, dest []byte) (size uint32, st fuse.Status) {
	st = t.with(in.NodeId, 0, func(_ *node, fd int) error {
		n, err := unix.Listxattr(proc(fd), dest)
		size = uint32(max(n, 0))
		return err
	})
	return size, st
}

// SetXAttr is FUSE_SETXATTR. An access ACL that is set by somebody outside the file's group takes the set-group-ID bit away, as chmod(2)
// does.
func (t *Tree) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	return t.with(in.NodeId, 0, func(n *node, fd int) error {
		set := func() error { return unix.Setxattr(proc(fd), name, data, int(in.Flags)) }
		err := error(nil)
		if in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0 {
			err = as(0, in.Gid, killPriv, set)
		} else {
			err = set()
		}
		if err == nil {
			t.tellNode(n, xattrFilter(name), false)
		}
		return err
	})
}

// RemoveXAttr is FUSE_REMOVEXATTR.
func (t *Tree) RemoveXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return t.with(in.NodeId, 0, func(n *node, fd int) error {
		err := unix.Removexattr(proc(fd), name)
		if err == nil {
			t.tellNode(n, xattrFilter(name), false)
		}
		return err
	})
}

func xattrFilter(name string) uint32 {
	if name == "system.posix_acl_access" || name == "system.posix_acl_default" {
		return notifySecurity
	}
	return notifyEA
}
