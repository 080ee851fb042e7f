package tree

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dir is one open of a directory. Offsets are the file system's own (d_off), so that seekdir(3) needs no memory here.
type dir struct {
	node *node
	fd   int

	mu   sync.Mutex // guards the fields below
	buf  []byte
	todo []byte // of buf: entries that were not handed out yet
	off  uint64 // of the entry that todo begins with
}

// OpenDir lets the kernel keep the list of names for as long as it may trust the entries in it. FUSE_OPENDIR.
func (t *Tree) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, st := t.node(in.NodeId)
	if !st.Ok() {
		return st
	}
	fd, err := t.open(n, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return status(err)
	}
	out.OpenFlags |= fuse.FOPEN_CACHE_DIR
	if n.listed(time.Now()) {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	out.Fh = t.seat.Number()
	t.opens.addDir(out.Fh, &dir{node: n, fd: fd})
	return fuse.OK
}

// ReleaseDir is FUSE_RELEASEDIR.
func (t *Tree) ReleaseDir(in *fuse.ReleaseIn) {
	if d := t.opens.takeDir(in.Fh); d != nil {
		unix.Close(d.fd)
	}
}

// FsyncDir is FUSE_FSYNCDIR.
func (t *Tree) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	d := t.opens.dir(in.Fh)
	if d == nil {
		return fuse.EBADF
	}
	return status(syncFD(d.fd, in.FsyncFlags))
}

// ReadDir is FUSE_READDIR.
func (t *Tree) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return t.readDir(in, func(_ *dir, e fuse.DirEntry) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus is READDIR with a look-up of each name. A name that is gone meanwhile keeps its entry, with a node of 0.
// FUSE_READDIRPLUS.
func (t *Tree) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return t.readDir(in, func(d *dir, e fuse.DirEntry) bool {
		to := out.AddDirLookupEntry(e)
		if to == nil {
			return false
		}
		if e.Name != "." && e.Name != ".." {
			if found, err := t.entry(d.fd, e.Name); err == nil {
				t.found(d.node, e.Name, found, to)
				out.FixMode(to.Mode)
			}
		}
		return true
	})
}

// readDir hands entries to add until it takes no more.
func (t *Tree) readDir(in *fuse.ReadIn, add func(*dir, fuse.DirEntry) bool) fuse.Status {
	d := t.opens.dir(in.Fh)
	if d == nil {
		return fuse.EBADF
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset != d.off {
		if _, err := unix.Seek(d.fd, int64(in.Offset), unix.SEEK_SET); err != nil {
			return status(err)
		}
		d.todo, d.off = nil, in.Offset
	}
	for first := true; ; first = false {
		if len(d.todo) == 0 {
			if d.buf == nil {
				d.buf = make([]byte, 32<<10)
			}
			n, err := unix.Getdents(d.fd, d.buf)
			if err != nil && first {
				return status(err)
			}
			if err != nil || n == 0 {
				return fuse.OK
			}
			d.todo = d.buf[:n]
		}
		var e fuse.DirEntry
		n := e.Parse(d.todo)
		if !add(d, e) {
			return fuse.OK
		}
		d.todo, d.off = d.todo[n:], e.Off
	}
}
