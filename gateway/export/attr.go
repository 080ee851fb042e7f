package export

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Time is a file's time: seconds and nanoseconds since 1970, UTC.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Time is t as the standard library's type.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// TimeOf is t as a file's time.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// Attr is what statx(2) tells.
type Attr struct {
	Mode                       uint32 // with S_IFMT
	Nlink                      uint32
	UID, GID                   uint32
	Size                       uint64
	Used                       uint64 // bytes on disk
	Ino                        uint64
	RdevMajor, RdevMinor       uint32
	DevMajor, DevMinor         uint32
	BlockSize                  uint32
	Atime, Mtime, Ctime, Btime Time   // Btime is zero where the file system keeps none
	Flags                      uint64 // STATX_ATTR_*
}

// Type is the S_IFMT part of the mode.
func (a *Attr) Type() uint32 { return a.Mode & unix.S_IFMT }

// IsDir reports whether it is a directory.
func (a *Attr) IsDir() bool { return a.Type() == unix.S_IFDIR }

// IsRegular reports whether it is a regular file.
func (a *Attr) IsRegular() bool { return a.Type() == unix.S_IFREG }

// IsSymlink reports whether it is a symbolic link.
func (a *Attr) IsSymlink() bool { return a.Type() == unix.S_IFLNK }

// Stat is statx(2) of the file behind fd, which may be O_PATH.
func Stat(fd int) (Attr, error) { return statx(fd, "", unix.AT_EMPTY_PATH) }

// StatAt is statx(2) of an entry of dir, not following it.
func StatAt(dir int, name string) (Attr, error) {
	if err := CheckName(name); err != nil {
		return Attr{}, err
	}
	if name == ".." {
		return Attr{}, unix.EINVAL
	}
	return statx(dir, name, unix.AT_SYMLINK_NOFOLLOW)
}

func statx(fd int, name string, flags int) (Attr, error) {
	var s unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	flags |= unix.AT_NO_AUTOMOUNT
	path := unsafe.Pointer(&emptyPath)
	if name != "" { // neither costs memory
		var b [NameMax + 1]byte
		if len(name) >= len(b) {
			return Attr{}, unix.ENAMETOOLONG
		}
		copy(b[:], name)
		path = unsafe.Pointer(&b)
	}
	if _, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(path), uintptr(flags), mask, uintptr(unsafe.Pointer(&s)), 0); e != 0 {
		return Attr{}, e
	}
	at := func(t unix.StatxTimestamp) Time { return Time{t.Sec, t.Nsec} }
	return Attr{Mode: uint32(s.Mode), Nlink: s.Nlink, UID: s.Uid, GID: s.Gid, Size: s.Size, Used: s.Blocks * 512, Ino: s.Ino,
		RdevMajor: s.Rdev_major, RdevMinor: s.Rdev_minor, DevMajor: s.Dev_major, DevMinor: s.Dev_minor, BlockSize: s.Blksize,
		Atime: at(s.Atime), Mtime: at(s.Mtime), Ctime: at(s.Ctime), Btime: at(s.Btime), Flags: s.Attributes & s.Attributes_mask}, nil
}

// SetTime is one of the two times that can be set: not at all, to now, or to a value.
type SetTime struct {
	Set bool
	Now bool
	To  Time
}

// Changes are the attributes to set; nil pointers stay as they are.
type Changes struct {
	Mode         *uint32 // permission bits
	UID, GID     *uint32
	Size         *uint64
	Atime, Mtime SetTime
}

// Change sets owner, mode and times, in this order, of the file behind fd, which may be O_PATH. The size needs an open for writing: Truncate.
func Change(fd int, c *Changes) error {
	if c.UID != nil || c.GID != nil {
		uid, gid := -1, -1
		if c.UID != nil {
			uid = int(*c.UID)
		}
		if c.GID != nil {
			gid = int(*c.GID)
		}
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if c.Mode != nil {
		// fchmod(2) takes no O_PATH descriptor, and fchmodat2(2) is Linux 6.6.
		if err := unix.Chmod(procPath(fd), *c.Mode&0o7777); err != nil {
			return err
		}
	}
	if c.Atime.Set || c.Mtime.Set {
		ts := []unix.Timespec{c.Atime.spec(), c.Mtime.spec()}
		return utimens(fd, ts)
	}
	return nil
}

func (t SetTime) spec() unix.Timespec {
	switch {
	case !t.Set:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case t.Now:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: t.To.Sec, Nsec: int64(t.To.Nsec)}
}

func utimens(fd int, ts []unix.Timespec) error {
	err := unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH)
	if err == unix.EINVAL || err == unix.ENOENT { // AT_EMPTY_PATH here is Linux 5.8
		err = unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), ts, 0)
	}
	return err
}

// Truncate sets the size of a file that is open for writing.
func Truncate(fd int, size uint64) error {
	if size > 1<<63-1 {
		return unix.EFBIG
	}
	for {
		if err := unix.Ftruncate(fd, int64(size)); err != unix.EINTR {
			return err
		}
	}
}
