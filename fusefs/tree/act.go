package tree

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The kernel has checked the caller's permission before it asks us (default_permissions), with groups that it does not tell us. So a
// file is made as its owner, which is what quotas, set-group-ID directories and default ACLs go by, but with root's capabilities.
// capabilities(7), setfsuid(2).

// privileges are the capabilities of this process; guarded by nothing: set before the first mount.
var privileges = func() (p [2]unix.CapUserData) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&h, &p[0]); err != nil {
		panic(fmt.Sprintf("fusefs/tree: capget: %v", err))
	}
	return p
}()

// without is a set of capabilities that a call runs without.
type without uint64

const (
	// noReserve: root's reserved blocks and root's freedom from quotas are not lent to callers.
	noReserve without = 1 << unix.CAP_SYS_RESOURCE
	// killPriv: a write by a caller without CAP_FSETID takes the set-user-ID and set-group-ID bits away. The file system does so by
	// itself for a thread that has no CAP_FSETID. (FUSE_HANDLE_KILLPRIV_V2)
	killPriv without = noReserve | 1<<unix.CAP_FSETID
)

// as runs do with the file system identity of a caller, and without some capabilities, on a thread of its own.
func as(uid, gid uint32, w without, do func() error) error {
	if uid == 0 && gid == 0 && w == 0 {
		return do()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if uid == 0 && gid == 0 {
		capset(w)
		defer capset(0)
		return do()
	}
	unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0) // leaving 0 clears the file system capabilities: set them again
	capset(w)
	defer func() {
		unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
		unix.RawSyscall(unix.SYS_SETFSGID, 0, 0, 0)
		capset(0)
	}()
	return do()
}

// asCaller makes a file as its owner.
func asCaller(c *fuse.Caller, do func() error) error {
	w := noReserve
	if c.Uid == 0 {
		w = 0
	}
	return as(c.Uid, c.Gid, w, do)
}

// forWriter changes a file's data on behalf of a caller: only root keeps the set-user-ID bit.
func forWriter(c *fuse.Caller, do func() error) error {
	if c.Uid == 0 {
		return do()
	}
	return as(0, c.Gid, killPriv, do)
}

// capset sets this thread's effective capabilities to all that the process has but w.
func capset(w without) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := privileges
	for i := range d {
		d[i].Effective = d[i].Permitted &^ uint32(w>>(32*i))
	}
	if _, _, e := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d[0])), 0); e != 0 {
		panic(fmt.Sprintf("fusefs/tree: capset: %v", e)) // narrowing and restoring within the permitted set cannot fail
	}
}
