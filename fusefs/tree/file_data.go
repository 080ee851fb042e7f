package tree

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Read serves an open whose data does not pass through. FUSE_READ.
func (t *Tree) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f := t.opens.file(in.Fh)
	if f == nil {
		return nil, fuse.EBADF
	}
	return fuse.ReadResultFd(uintptr(f.fd), int64(in.Offset), int(in.Size)), fuse.OK
}

// Write serves an open whose data does not pass through. FUSE_WRITE.
func (t *Tree) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return t.Writev(cancel, in, [][]byte{data})
}

// Writev is Write with its data in pieces. With O_APPEND the end of the file is where the file system says it is, whoever made it
// grow.
func (t *Tree) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	f := t.opens.file(in.Fh)
	if f == nil {
		return 0, fuse.EBADF
	}
	write := func() (n int, err error) {
		if in.Flags&unix.O_APPEND != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0 {
			return unix.Pwritev2(f.fd, data, int64(in.Offset), unix.RWF_APPEND)
		}
		return unix.Pwritev(f.fd, data, int64(in.Offset))
	}
	var n int
	var err error
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		err = as(0, in.Gid, killPriv, func() (err error) { n, err = write(); return err })
	} else {
		n, err = write()
	}
	return uint32(max(n, 0)), status(err)
}

// Flush is one close(2) of a descriptor: the process's record locks on the file end, POSIX fcntl. FUSE_FLUSH.
func (t *Tree) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	f := t.opens.file(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	t.unlockOwner(f, ownerID{in.LockOwner, false})
	t.changed(f)
	return fuse.OK
}

// fsyncData is FUSE_FSYNC_FDATASYNC.
const fsyncData = 1

// Fsync puts a file on disk. FUSE_FSYNC.
func (t *Tree) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f := t.opens.file(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	return status(syncFD(f.fd, in.FsyncFlags))
}

func syncFD(fd int, flags uint32) error {
	if flags&fsyncData != 0 {
		return unix.Fdatasync(fd)
	}
	return unix.Fsync(fd)
}

// Fallocate reserves, punches or zeroes. FUSE_FALLOCATE.
func (t *Tree) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	f := t.opens.file(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	return status(forWriter(&in.Caller, func() error {
		return unix.Fallocate(f.fd, in.Mode, int64(in.Offset), int64(in.Length))
	}))
}

// Lseek finds data and holes. What was written by a map is only in the page cache of the mount, and the kernel asks without writing it
// back (fuse_lseek in fs/fuse/file.c): so it is made to. FUSE_LSEEK.
func (t *Tree) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	f := t.opens.file(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	if f.node.mayBeDirty() {
		t.server.InodeNotify(f.node.id, 0, 0)
	}
	off, err := unix.Seek(f.fd, int64(in.Offset), int(in.Whence))
	out.Offset = uint64(off)
	return status(err)
}

// copyMost is the most that one copy_file_range(2) moves: MAX_RW_COUNT.
const copyMost = 0x7ffff000

// CopyFileRange copies beneath the mount. FUSE_COPY_FILE_RANGE.
func (t *Tree) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	from, to := t.opens.file(in.FhIn), t.opens.file(in.FhOut)
	if from == nil || to == nil {
		return 0, fuse.EBADF
	}
	var n int
	err := forWriter(&in.Caller, func() (err error) {
		i, o := int64(in.OffIn), int64(in.OffOut)
		n, err = unix.CopyFileRange(from.fd, &i, to.fd, &o, int(min(in.Len, copyMost)), int(in.Flags))
		return err
	})
	return uint32(max(n, 0)), status(err)
}
