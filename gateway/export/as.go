package export

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cred is as whom a system call is made.
type Cred struct {
	UID, GID uint32
	Groups   []uint32
}

// Root is the superuser.
var Root = Cred{}

// Equal reports whether c and d are the same user with the same groups in the same order.
func (c Cred) Equal(d Cred) bool {
	return c.UID == d.UID && c.GID == d.GID && slices.Equal(c.Groups, d.Groups)
}

// As calls f on a thread whose file system identity is c: setfsuid(2), setfsgid(2) and setgroups(2) by raw system calls, which change
// this thread only. Leaving user 0 takes the file system capabilities from the thread, so that the kernel checks modes and ACLs.
// f makes system calls and starts nothing. The process itself must be user 0.
func As(c Cred, f func() error) error {
	if c.UID == 0 && c.GID == 0 {
		return f()
	}
	runtime.LockOSThread()
	// The thread is unlocked only when it is itself again; else it dies with its goroutine.
	defer func() {
		become(Root)
		runtime.UnlockOSThread()
	}()
	if err := become(c); err != nil {
		return err
	}
	return f()
}

// become changes the thread. setfsuid and setfsgid never tell whether they did; asking with -1 does.
func become(c Cred) error {
	if c.UID == 0 { // back to the superuser first, whose capability setgroups needs
		setfs(unix.SYS_SETFSUID, 0)
	}
	var p unsafe.Pointer
	if len(c.Groups) > 0 {
		p = unsafe.Pointer(&c.Groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(p), 0); e != 0 {
		return sure(c, fmt.Errorf("export: setgroups: %w", e))
	}
	if !setfs(unix.SYS_SETFSGID, c.GID) || !setfs(unix.SYS_SETFSUID, c.UID) {
		return sure(c, unix.EPERM)
	}
	return nil
}

// sure lets nobody go on with a thread that could not become root again.
func sure(c Cred, err error) error {
	if c.UID == 0 && c.GID == 0 && len(c.Groups) == 0 {
		panic(err)
	}
	return err
}

func setfs(call uintptr, id uint32) bool {
	unix.RawSyscall(call, uintptr(id), 0, 0)
	now, _, _ := unix.RawSyscall(call, ^uintptr(0), 0, 0)
	return uint32(now) == id && id != ^uint32(0)
}
