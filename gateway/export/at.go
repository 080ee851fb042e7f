package export

import (
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NameMax is the longest name in bytes.
const NameMax = 255

// CheckName refuses what cannot be the name of an entry. "." and ".." pass: whoever creates or removes refuses them first.
func CheckName(name string) error {
	switch {
	case len(name) > NameMax:
		return unix.ENAMETOOLONG
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return unix.EINVAL
	}
	return nil
}

func entryName(name string) error {
	if name == "." || name == ".." {
		return unix.EINVAL
	}
	return CheckName(name)
}

const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// OpenAt opens, or with O_CREAT creates, the entry name of the directory dir. ".." and names of more than one component are refused.
// A symbolic link is ELOOP unless flags has O_PATH, which opens the link itself. O_CLOEXEC, O_NOFOLLOW, O_NOCTTY and O_NONBLOCK are implied.
func OpenAt(dir int, name string, flags int, mode uint32) (int, error) {
	if name == ".." {
		return -1, unix.EINVAL
	}
	if err := CheckName(name); err != nil {
		return -1, err
	}
	return openat2(dir, name, flags, mode)
}

// OpenBeneath opens path, of any number of components, beneath the directory dir; "" is dir itself. A symbolic link on the way is ELOOP,
// a way out EXDEV.
func OpenBeneath(dir int, path string, flags int, mode uint32) (int, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return -1, unix.EINVAL
	}
	if path == "" {
		path = "."
	}
	return openat2(dir, path, flags, mode)
}

func openat2(dir int, path string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Resolve: beneath}
	if flags&unix.O_PATH != 0 {
		how.Flags &= unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_DIRECTORY
	} else {
		how.Flags |= unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_LARGEFILE
	}
	if flags&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0 {
		how.Mode = uint64(mode & 0o7777)
	}
	for {
		fd, err := unix.Openat2(dir, path, &how)
		// EAGAIN: something was renamed while the kernel walked. openat2(2).
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		return fd, err
	}
}

// Reopen opens the file behind fd, which may be O_PATH, once more with flags. Only for regular files and directories: opening anything
// else may have effects.
func Reopen(fd int, flags int) (int, error) {
	for {
		n, err := unix.Open(procPath(fd), flags|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_LARGEFILE, 0)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// procPath names the file behind fd for the system calls that take no O_PATH descriptor.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Mkdir makes a directory.
func Mkdir(dir int, name string, mode uint32) error {
	if err := entryName(name); err != nil {
		return err
	}
	return unix.Mkdirat(dir, name, mode&0o7777)
}

// Symlink makes a symbolic link to target.
func Symlink(dir int, name, target string) error {
	if err := entryName(name); err != nil {
		return err
	}
	if target == "" || strings.IndexByte(target, 0) >= 0 {
		return unix.EINVAL
	}
	return unix.Symlinkat(target, dir, name)
}

// Mknod makes a special file; mode carries S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK.
func Mknod(dir int, name string, mode, major, minor uint32) error {
	if err := entryName(name); err != nil {
		return err
	}
	return unix.Mknodat(dir, name, mode, int(unix.Mkdev(major, minor)))
}

// Link gives the file behind fd, which may be O_PATH, another name.
func Link(fd, dir int, name string) error {
	if err := entryName(name); err != nil {
		return err
	}
	// AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH, which no ordinary user has. linkat(2).
	return unix.Linkat(unix.AT_FDCWD, procPath(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}

// Unlink removes a name that is not a directory's, Rmdir an empty directory.
func Unlink(dir int, name string) error { return unlinkat(dir, name, 0) }

// Rmdir removes an empty directory.
func Rmdir(dir int, name string) error { return unlinkat(dir, name, unix.AT_REMOVEDIR) }

func unlinkat(dir int, name string, flags int) error {
	if err := entryName(name); err != nil {
		return err
	}
	return unix.Unlinkat(dir, name, flags)
}

// Rename moves a name; flags are RENAME_NOREPLACE and RENAME_EXCHANGE.
func Rename(from int, name string, to int, newName string, flags uint) error {
	if err := entryName(name); err != nil {
		return err
	}
	if err := entryName(newName); err != nil {
		return err
	}
	return unix.Renameat2(from, name, to, newName, flags)
}

// Readlink reads the symbolic link behind an O_PATH descriptor.
func Readlink(fd int) (string, error) {
	var b [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", b[:])
	if err == unix.ENOENT {
		err = unix.EINVAL // not a symbolic link
	}
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// MayAccess asks the kernel whether the thread's user may R_OK, W_OK and X_OK the file behind fd, which may be O_PATH.
// AT_EACCESS makes it ask for the file system identity. faccessat2(2), Linux 5.8.
func MayAccess(fd int, mode uint32) error {
	var empty [1]byte
	_, _, e := unix.Syscall6(unix.SYS_FACCESSAT2, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])), uintptr(mode), unix.AT_EMPTY_PATH|unix.AT_EACCESS, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
