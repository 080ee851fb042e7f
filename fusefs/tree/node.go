package tree

import (
	"hash/crc32"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// rootID is FUSE's number for the root.
const rootID = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// node is a file or directory that the kernel knows by number. It keeps no descriptor and no path: file is opened by its handle when
// it is needed.
type node struct {
	id     uint64
	key    lock.Key
	kind   uint32 // S_IFMT
	handle unix.FileHandle

	lookups uint64 // guarded by nodes.mu

	mu      sync.Mutex // guards the fields below
	dir     lock.Key   // where the node was last seen, for CHANGE_NOTIFY
	name    string
	backing *backing       // what opens that pass through share
	caching int            // opens that use the page cache of the mount
	cached  version        // of the data in that cache, when an open began last
	files   map[*file]bool // all opens
	list    int64          // a directory's: when the kernel was told last to read its names anew, in Unix nanoseconds
}

// listed reports whether the kernel may still trust the list of names that it has.
func (n *node) listed(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if age := now.UnixNano() - n.list; 0 <= age && age < int64(cacheTime) {
		return true
	}
	n.list = now.UnixNano()
	return false
}

// place remembers where n was last seen.
func (n *node) place(dir lock.Key, name string) {
	n.mu.Lock()
	n.dir, n.name = dir, name
	n.mu.Unlock()
}

// where tells where n was last seen.
func (n *node) where() (dir lock.Key, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dir, n.name
}

// mayBeDirty reports whether the page cache of the mount may hold what was written by a map: its open lasts as long as it.
func (n *node) mayBeDirty() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.caching == 0 {
		return false
	}
	for f := range n.files {
		if f.writes {
			return true
		}
	}
	return false
}

// anyFile is some open of n, through which a file without a name is still reached.
func (n *node) anyFile() *file {
	n.mu.Lock()
	defer n.mu.Unlock()
	for f := range n.files {
		return f
	}
	return nil
}

// nodes are the nodes of one mount.
type nodes struct {
	mu    sync.Mutex // guards the fields below
	byID  map[uint64]*node
	byKey map[lock.Key]*node
	next  uint64
	peak  int // the most nodes since the maps were made
}

// byNumber is the node that the kernel calls id; nil if it was forgotten.
func (t *nodes) byNumber(id uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// find is the node of key, if the kernel knows it.
func (t *nodes) find(key lock.Key) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[key]
}

// learn returns the node of e, counting one look-up that the kernel gives back by FORGET.
func (t *nodes) learn(e entry) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byKey[e.key]
	if n == nil {
		t.next++
		n = &node{id: t.next, key: e.key, kind: e.kind(), handle: e.handle}
		t.byID[n.id], t.byKey[n.key] = n, n
		t.peak = max(t.peak, len(t.byID))
	}
	n.lookups++
	return n
}

// forget gives count look-ups back, and returns the node if that was all.
func (t *nodes) forget(id, count uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil || id == rootID {
		return nil
	}
	n.lookups -= min(count, n.lookups)
	if n.lookups > 0 {
		return nil
	}
	delete(t.byID, id)
	delete(t.byKey, n.key)
	t.shrink()
	return n
}

// shrinkFrom is how many nodes are worth it.
const shrinkFrom = 10_000

// shrink gives memory back when most nodes are gone: a map does not do so by itself.
func (t *nodes) shrink() {
	if t.peak < shrinkFrom || len(t.byID) > t.peak/4 {
		return
	}
	byID, byKey := make(map[uint64]*node, len(t.byID)), make(map[lock.Key]*node, len(t.byKey))
	maps.Copy(byID, t.byID)
	maps.Copy(byKey, t.byKey)
	t.byID, t.byKey, t.peak = byID, byKey, len(byID)
	go debug.FreeOSMemory()
}

// entry is what is known of a file from its descriptor: handle, key and attributes, of one moment.
type entry struct {
	handle unix.FileHandle
	key    lock.Key
	st     unix.Statx_t
}

func (e *entry) kind() uint32 { return uint32(e.st.Mode) & unix.S_IFMT }

// identify asks the kernel who fd is.
func (t *Tree) identify(fd int) (e entry, err error) {
	if e.handle, _, err = unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH); err != nil {
		return e, err
	}
	if e.st, err = stat(fd); err != nil {
		return e, err
	}
	fsid := t.fsid
	if e.st.Dev_major != t.devMajor || e.st.Dev_minor != t.devMinor { // a subvolume
		if fsid, err = fsidOf(fd); err != nil {
			return e, err
		}
	}
	e.key = keyOf(fsid, e.st.Ino, e.handle)
	return e, nil
}

func keyOf(fsid, ino uint64, h unix.FileHandle) lock.Key {
	return lock.Key{FSID: fsid, Ino: ino, Gen: crc32.Checksum(h.Bytes(), castagnoli)}
}

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

func stat(fd int) (st unix.Statx_t, err error) {
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, statxMask, &st)
	return st, err
}

func fsidOf(fd int) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0, err
	}
	return uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32, nil
}

// open opens n by its handle. A file that has lost its last name can be gone for the kernel's handles and yet be open: it is then
// reached through an open. The kernel says ENOMEM while the inode number is being given to a new file (iget_locked).
func (t *Tree) open(n *node, flags int) (int, error) {
	if n.id == rootID {
		return unix.Openat(t.rootFD, ".", flags|unix.O_CLOEXEC, 0)
	}
	fd, err := unix.OpenByHandleAt(t.rootFD, n.handle, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if err == unix.ESTALE || err == unix.ENOMEM {
		return t.reopen(n, flags)
	}
	return fd, err
}

// path opens n for its attributes and names only.
func (t *Tree) path(n *node) (int, error) { return t.open(n, unix.O_PATH) }

// childHow keeps one look-up inside its directory: no link is followed, no mount is crossed.
const childHow = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// child opens name in the directory dir for its attributes.
func child(dir int, name string) (int, error) {
	return openBeneath(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// openBeneath is openat2(2) for one name.
func openBeneath(dir int, name string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: childHow}
	for {
		fd, err := unix.Openat2(dir, name, &how)
		if err != unix.EINTR && err != unix.EAGAIN { // EAGAIN: a rename raced with RESOLVE_BENEATH
			return fd, err
		}
	}
}
