package export

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// File is one file of an export, open as a place. Whoever got it calls Release once; until then its descriptors stay.
type File struct {
	Key lock.Key

	export *Export
	tree   *File // the root directory of the tree that it was opened in, with a reference; itself for that root
	isRoot bool
	memory bool // the file system lies in memory
	handle kernelHandle
	fh     []byte // sealed
	fd     int    // O_PATH, but for a root directory, which is open for reading, and for what Create made

	serial sync.Mutex // Lock

	mu     sync.Mutex // guards the fields below
	data   [2]int     // opened for reading, for reading and writing; 0: not yet
	roster *roster    // nil: none is kept
	listed Time       // mtime of the directory when a listing began last

	verdicts    [4]verdict
	nextVerdict int
	path        string // what the kernel called it when its ctime was pathAt
	pathAt      Time

	// Guarded by cache.mu.
	refs       int
	cached     bool
	fds        int
	tick       uint64
	prev, next *File
}

// tick is longer than any kernel's clock tick.
const tick = 50 * time.Millisecond

// verdict remembers what the kernel allows a user. It holds as long as the file's ctime stands, as each change of owner, mode or ACL moves
// it; a busy directory's as long as owner and mode stand and there is no ACL, because its ctime moves with each name that comes or goes.
type verdict struct {
	cred  Cred
	ctime Time
	rule  rule   // the zero value: it holds by ctime only
	mask  uint32 // R_OK, W_OK, X_OK
}

// rule is what the kernel decides by where there is no ACL.
type rule struct {
	mode, uid, gid uint32
	flags          uint64
}

// newFile makes a File of fd, which becomes its own, with one reference and outside the cache.
func (s *Set) newFile(e *Export, fd int, k *kernelHandle) (*File, error) {
	a, err := Stat(fd)
	if err == nil && a.Nlink == 0 {
		err = ErrStale
	}
	if err == nil {
		var key lock.Key
		var memory bool
		if key, memory, err = keyOf(fd, k, a.Ino); err == nil {
			f := &File{Key: key, memory: memory, export: e, handle: *k, fd: fd, fh: s.seal(make([]byte, 0, handleHead+int(k.n)+macLen), e.id, k), refs: 1, fds: 1}
			f.tree = f
			return f, nil
		}
	}
	unix.Close(fd)
	return nil, err
}

// adopt makes a File of fd, an O_PATH descriptor in root's tree, or returns the one that the cache has; fd is the Set's.
func (s *Set) adopt(root *File, fd int, k *kernelHandle) (*File, error) {
	f, err := s.newFile(root.export, fd, k)
	if err != nil {
		return nil, err
	}
	f.tree = root
	root.hold()
	return s.cache.put(f), nil
}

// adoptFd is adopt for a descriptor whose handle is not yet known.
func (f *File) adoptFd(fd int) (*File, error) {
	k, err := kernelHandleOf(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if k == f.tree.handle {
		unix.Close(fd)
		f.tree.hold()
		return f.tree, nil
	}
	s := f.export.set
	var b [HandleMax]byte
	if g := s.cache.find(f.tree, &k, b[:0]); g != nil {
		unix.Close(fd)
		return g, nil
	}
	fresh := k // only this one costs memory
	return s.adopt(f.tree, fd, &fresh)
}

func (f *File) hold() {
	c := &f.export.set.cache
	c.mu.Lock()
	f.refs++
	c.mu.Unlock()
}

// Release gives the file back.
func (f *File) Release() { f.export.set.cache.release(f) }

// Export is where the file was reached.
func (f *File) Export() *Export { return f.export }

// FH is the sealed file handle. It is not to be changed.
func (f *File) FH() []byte { return f.fh }

// Fd is the place, as a rule an O_PATH descriptor: for Stat, KeyOf, OpenAt and their like. It is the File's.
func (f *File) Fd() int { return f.fd }

// InMemory reports whether its data lies in memory, so that no disk is ever asked.
func (f *File) InMemory() bool { return f.memory }

// IsRoot reports whether it is the export's root directory.
func (f *File) IsRoot() bool { return f.isRoot }

// Lock begins a critical section of this file among the callers in this process: attributes before and after an operation.
func (f *File) Lock() { f.serial.Lock() }

// Unlock ends it.
func (f *File) Unlock() { f.serial.Unlock() }

// Lock2 begins the critical section of two directories, in the order of their keys, and returns its end.
func Lock2(a, b *File) (unlock func()) {
	if a.Key == b.Key {
		a.Lock()
		return a.Unlock
	}
	x, y := a.Key, b.Key
	if x.FSID > y.FSID || x.FSID == y.FSID && (x.Ino > y.Ino || x.Ino == y.Ino && x.Gen > y.Gen) {
		a, b = b, a
	}
	a.Lock()
	b.Lock()
	return func() { b.Unlock(); a.Unlock() }
}

// Stat is statx(2). A file whose last name is gone is ErrStale, even while somebody has it open.
func (f *File) Stat() (Attr, error) {
	a, err := Stat(f.fd)
	if err == nil && a.Nlink == 0 {
		f.export.set.cache.remove(f)
		err = ErrStale
	}
	return a, err
}

// Path is for people: relative to the export, "." for its root, "" where the kernel knows no path. a is what the file is now: a rename moves its
// ctime, and only one of a directory above may go unseen.
func (f *File) Path(a *Attr) string {
	if f.isRoot {
		return "."
	}
	f.mu.Lock()
	p, known := f.path, f.pathAt == a.Ctime
	f.mu.Unlock()
	if known {
		return p
	}
	p, err := os.Readlink(procPath(f.fd))
	p = strings.TrimPrefix(p, "/")
	if err != nil || strings.HasSuffix(p, " (deleted)") {
		p = ""
	}
	f.mu.Lock()
	f.path, f.pathAt = p, a.Ctime
	f.mu.Unlock()
	return p
}

// Lookup opens name in the directory as c; "." is the directory, ".." its parent, and the root's parent is the root.
func (f *File) Lookup(c Cred, name string) (*File, error) { return f.lookup(c, name, 0) }

// resolveCached is RESOLVE_CACHED, openat2(2), Linux 5.12.
const resolveCached = 0x20

// LookupCached is Lookup that is EAGAIN where a disk would have to be asked.
func (f *File) LookupCached(c Cred, name string) (*File, error) {
	return f.lookup(c, name, resolveCached)
}

func (f *File) lookup(c Cred, name string, resolve uint64) (*File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if name == "." || name == ".." && f.isRoot {
		a, err := f.Stat()
		if err == nil && !a.IsDir() {
			err = unix.ENOTDIR
		}
		if err != nil {
			return nil, err
		}
		f.hold()
		return f, nil
	}
	// Searching needs X_OK on the directory and nothing of the entry: once the kernel agreed, the superuser may open the place.
	a, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !a.IsDir() {
		return nil, unix.ENOTDIR
	}
	if err := f.May(c, unix.X_OK, &a); err != nil {
		return nil, err
	}
	fd, err := f.place(name, resolve)
	if err != nil {
		return nil, err
	}
	return f.adoptFd(fd)
}

// place opens an entry, or the parent of a directory that is not the root, as the superuser.
func (f *File) place(name string, resolve uint64) (int, error) {
	if name == ".." {
		// The tree's mount begins at its root, so ".." ends there; a directory that was moved out of it has no parent. path_resolution(7).
		return unix.Openat(f.fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: beneath | resolve}
	var b [NameMax + 1]byte // costs no memory, as a copy of unix.Openat2's would
	if len(name) >= len(b) {
		return -1, unix.ENAMETOOLONG
	}
	copy(b[:], name)
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT2, uintptr(f.fd), uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&how)), unix.SizeofOpenHow, 0, 0)
		switch {
		case e == unix.EINTR, e == unix.EAGAIN && resolve == 0: // as in openat2
			continue
		case e != 0:
			return -1, e
		}
		return int(fd), nil
	}
}

// Peek returns attributes and sealed handle of an entry without opening it for longer; the caller has asked whether it may search here.
// ino is what the directory says of the name, 0 where it says nothing. The handle is appended to b.
func (f *File) Peek(name string, ino uint64, b []byte) (fh []byte, a Attr, err error) {
	if name == ".." && f.isRoot {
		name = "."
	}
	if err := CheckName(name); err != nil {
		return nil, a, err
	}
	var k kernelHandle
	if ino != 0 && name != ".." && name != "." {
		// Two questions about the name instead of one about the file: it had the inode before the first and has it after the second.
		if k, err = kernelHandleAt(f.fd, name); err == nil {
			a, err = statx(f.fd, name, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err == nil && a.Ino == ino && a.Flags&unix.STATX_ATTR_MOUNT_ROOT == 0 {
			return f.export.set.seal(b, f.export.id, &k), a, nil
		}
	}
	fd, err := f.place(name, 0)
	if err != nil {
		return nil, a, err
	}
	defer unix.Close(fd)
	if a, err = Stat(fd); err != nil {
		return nil, a, err
	}
	if k, err = kernelHandleOf(fd); err != nil {
		return nil, a, err
	}
	return f.export.set.seal(b, f.export.id, &k), a, nil
}

// Walk is Lookup of a path of several names beneath the directory.
func (f *File) Walk(c Cred, path string) (*File, error) {
	fd := -1
	err := As(c, func() (err error) {
		fd, err = OpenBeneath(f.fd, path, unix.O_PATH, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f.adoptFd(fd)
}

// Create makes a regular file that was not there, as c, and returns it open for reading and writing.
func (f *File) Create(c Cred, name string, mode uint32) (g *File, err error) {
	if err := entryName(name); err != nil {
		return nil, err
	}
	fd := -1
	err = As(c, func() (err error) {
		fd, err = openat2(f.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	if g, err = f.adoptFd(fd); err != nil || g.fd != fd {
		return g, err // somebody looked the name up already
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.data[1] == 0 {
		g.data[1] = fd
	}
	return g, nil
}

// Data returns a descriptor, the File's own, for reading or for reading and writing a regular file or reading a directory. It is opened
// as the superuser: ask May first.
func (f *File) Data(write bool) (int, error) {
	i, flags := 0, unix.O_RDONLY
	if write {
		i, flags = 1, unix.O_RDWR
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fd := f.data[i]; fd > 0 {
		return fd, nil
	}
	if f.data[1] > 0 {
		return f.data[1], nil
	}
	fd, err := Reopen(f.fd, flags)
	if err != nil {
		return -1, err
	}
	f.data[i] = fd
	f.export.set.cache.opened(f)
	return fd, nil
}

// Allowed returns which of R_OK, W_OK and X_OK the kernel allows c on the file, whose attributes a were just read. The answer is remembered.
func (f *File) Allowed(c Cred, a *Attr) (uint32, error) {
	now := rule{a.Mode, a.UID, a.GID, a.Flags}
	f.mu.Lock()
	ruled, mask := false, uint32(0)
	for i := range f.verdicts {
		switch v := &f.verdicts[i]; {
		case v.ctime == a.Ctime && v.ctime != Time{} && v.cred.Equal(c):
			f.mu.Unlock()
			return v.mask, nil
		case v.rule == now && v.cred.Equal(c):
			ruled, mask = true, v.mask
		}
	}
	f.mu.Unlock()
	if ruled && f.withoutACL() {
		return mask, nil
	}
	mask, err := f.ask(c)
	if err != nil {
		return mask, err
	}
	v := verdict{ctime: a.Ctime, mask: mask}
	// Before Linux 6.13 two changes within a clock tick have one ctime.
	if time.Since(a.Ctime.Time()) < tick {
		if !a.IsDir() || !f.withoutACL() {
			return mask, nil
		}
		if after, err := f.Stat(); err != nil || after.Ctime != a.Ctime {
			return mask, err
		}
		v.ctime, v.rule = Time{}, now
	}
	v.cred = c
	v.cred.Groups = append([]uint32(nil), c.Groups...)
	f.mu.Lock()
	f.verdicts[f.nextVerdict%len(f.verdicts)] = v
	f.nextVerdict++
	f.mu.Unlock()
	return mask, nil
}

// ask asks the kernel what it allows.
func (f *File) ask(c Cred) (mask uint32, err error) {
	err = As(c, func() error {
		for bit := uint32(unix.X_OK); bit <= unix.R_OK; bit <<= 1 {
			if MayAccess(f.fd, bit) == nil {
				mask |= bit
			}
		}
		return nil
	})
	return mask, err
}

// withoutACL reports whether a directory has no ACL, where its file system could keep one.
func (f *File) withoutACL() bool {
	fd, err := f.fd, error(nil)
	if !f.isRoot {
		fd, err = f.Data(false)
	}
	if err != nil {
		return false
	}
	_, err = unix.Fgetxattr(fd, AccessACL, nil)
	return err == unix.ENODATA
}

// May is nil where c is allowed all of mode, else why not.
func (f *File) May(c Cred, mode uint32, a *Attr) error {
	if mask, err := f.Allowed(c, a); err != nil || mask&mode == mode {
		return err
	}
	return As(c, func() error { return MayAccess(f.fd, mode) })
}

// Sync makes the file, or a directory's names, durable with all attributes.
func (f *File) Sync(a *Attr) error {
	if !a.IsRegular() && !a.IsDir() {
		// Opening a device or a FIFO may have effects; the file system as a whole can be asked.
		return unix.Syncfs(f.tree.fd)
	}
	fd, err := f.Data(false)
	if err != nil {
		return err
	}
	return unix.Fsync(fd)
}

func (f *File) String() string { return f.Key.String() + " fd " + strconv.Itoa(f.fd) }

// closeAll closes the descriptors; nobody has the file any more.
func (f *File) closeAll() {
	unix.Close(f.fd)
	for _, fd := range f.data {
		if fd > 0 && fd != f.fd {
			unix.Close(fd)
		}
	}
	if r := f.roster; r != nil {
		f.export.set.cache.endRosters(func(x *roster) bool { return x == r })
	}
	if f.tree != f {
		f.tree.Release()
	}
}
