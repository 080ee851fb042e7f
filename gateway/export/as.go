package export

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
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

// groupless takes the groups that the process began with from all its threads, so that a thread has none but those that become gave it.
var groupless = sync.OnceValue(func() error { return syscall.Setgroups(nil) })

// As calls f on a thread whose file system identity is c: setfsuid(2), setfsgid(2) and setgroups(2) by raw system calls, which change
// this thread only. Leaving user 0 takes the file system capabilities from the thread, so that the kernel checks modes and ACLs.
// f makes system calls and starts nothing. The process itself must be user 0.
func As(c Cred, f func() error) error {
	if c.UID == 0 && c.GID == 0 {
		return f()
	}
	if err := groupless(); err != nil {
		return fmt.Errorf("export: setgroups: %w", err)
	}
	runtime.LockOSThread()
	// The thread is unlocked only when it is itself again; else it dies with its goroutine.
	defer func() {
		leave(c)
		runtime.UnlockOSThread()
	}()
	if err := become(c); err != nil {
		return err
	}
	return f()
}

// become makes a thread of the superuser c's. Each change costs the kernel a new set of credentials, so that none is made in vain.
func become(c Cred) error {
	if len(c.Groups) > 0 {
		if err := setgroups(c.Groups); err != nil {
			return err
		}
	}
	if c.GID != 0 && !setfs(unix.SYS_SETFSGID, c.GID) || c.UID != 0 && !setfs(unix.SYS_SETFSUID, c.UID) {
		return unix.EPERM
	}
	return nil
}

// leave makes the thread the superuser's again, first the user, whose capability the rest needs. Nobody goes on with one that stays c's.
func leave(c Cred) {
	if c.UID != 0 && !setfs(unix.SYS_SETFSUID, 0) || c.GID != 0 && !setfs(unix.SYS_SETFSGID, 0) {
		panic(unix.EPERM)
	}
	if len(c.Groups) > 0 {
		if err := setgroups(nil); err != nil {
			panic(err)
		}
	}
}

func setgroups(groups []uint32) error {
	var p unsafe.Pointer
	if len(groups) > 0 {
		p = unsafe.Pointer(&groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(p), 0); e != 0 {
		return fmt.Errorf("export: setgroups: %w", e)
	}
	return nil
}

// setfs changes one id. setfsuid and setfsgid never tell whether they did; asking with -1, which changes nothing, does.
func setfs(call uintptr, id uint32) bool {
	unix.RawSyscall(call, uintptr(id), 0, 0)
	now, _, _ := unix.RawSyscall(call, ^uintptr(0), 0, 0)
	return uint32(now) == id && id != ^uint32(0)
}
