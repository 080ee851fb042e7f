package tree

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
)

const (
	// cacheTime is how long the kernel may trust an entry or attributes that nobody has called back.
	cacheTime = time.Second
	// hold is how long an operation waits for others to give leases back: the break timeout of 35 s and a little.
	hold = 40 * time.Second

	// maxIO is the most that one request reads or writes.
	maxIO = 1 << 20

	overlayMagic = 0x794c7630
)

// capabilities are what we ask of the kernel beside go-fuse's own choice: O_TRUNC comes with OPEN, umask comes as a value (a default
// ACL replaces it), set-user-ID bits are ours to take away, READDIRPLUS only where it pays.
const capabilities = fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_DONT_MASK | fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_SETXATTR_EXT |
	fuse.CAP_READDIRPLUS_AUTO | fuse.CAP_DIRECT_IO_ALLOW_MMAP

// Tree is one mount: a directory, served over its own path.
type Tree struct {
	fuse.RawFileSystem // answers ENOSYS to what is not here
	treeConfig

	rootFD             int
	rootDir            workDir
	fsid               uint64
	devMajor, devMinor uint32
	mountID            int // the clone's
	depth              int // stacking depth that passthrough needs

	server *fuse.Server
	nodes  nodes
	opens  opens
	dirs   dirs
	owners owners
	pins   pins

	backings backings
	post     post
	ears     ears

	plain atomic.Bool // the kernel cannot pass through
}

// treeConfig is what a Tree is made of.
type treeConfig struct {
	name    string   // the export's
	root    *os.File // the directory beneath the mount
	through bool     // the kernel may pass through
	seat    *seat.Seat
	unheard func() bool // nobody would hear of a change
	log     *slog.Logger
	metrics *metrics
}

// newTree makes the tree of c.root; it does not mount it.
func newTree(c treeConfig) (*Tree, error) {
	t := &Tree{RawFileSystem: fuse.NewDefaultRawFileSystem(), treeConfig: c, rootFD: int(c.root.Fd()), depth: 1}
	t.rootDir.fd = t.rootFD
	if err := t.adopt(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return t, nil
}

// adopt learns the root and refuses a file system that cannot be served.
func (t *Tree) adopt() error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(t.rootFD, &fs); err != nil {
		return err
	}
	if fs.Type == overlayMagic {
		t.depth = 2
	}
	st, err := stat(t.rootFD)
	if err != nil {
		return err
	}
	t.devMajor, t.devMinor = st.Dev_major, st.Dev_minor
	if t.fsid, err = fsidOf(t.rootFD); err != nil {
		return err
	}
	e, err := t.identify(t.rootFD)
	if err == nil {
		_, t.mountID, err = unix.NameToHandleAt(t.rootFD, "", unix.AT_EMPTY_PATH)
	}
	if err == nil {
		var fd int
		if fd, err = unix.OpenByHandleAt(t.rootFD, e.handle, unix.O_PATH|unix.O_CLOEXEC); err == nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return fmt.Errorf("the file system has no file handles: %w", err)
	}
	root := &node{id: rootID, key: e.key, kind: unix.S_IFDIR, handle: e.handle, lookups: 1}
	t.nodes.byID, t.nodes.byKey = map[uint64]*node{rootID: root}, map[lock.Key]*node{e.key: root}
	t.nodes.next = rootID
	t.opens.files, t.opens.dirs = map[uint64]*file{}, map[uint64]*dir{}
	t.owners.held = map[ownerID]*held{}
	return nil
}

// options are how the tree is mounted. under are the flags of the mount that it covers, which go on to hold.
func (t *Tree) options(under int64) *fuse.MountOptions {
	var without uint64
	if !t.through {
		without = fuse.CAP_PASSTHROUGH
	}
	keep := uintptr(under) & (unix.MS_RDONLY | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	return &fuse.MountOptions{
		AllowOther:           true,
		Options:              []string{"default_permissions"},
		FsName:               source(t.name),
		Name:                 subtype,
		DirectMountStrict:    true,
		DirectMountFlags:     unix.MS_NOSUID | unix.MS_NODEV | keep,
		MaxWrite:             maxIO,
		MaxBackground:        64,
		DisableSplice:        true, // two system calls instead of five
		EnableLocks:          true,
		EnableAcl:            true,
		ExtraCapabilities:    capabilities,
		DisabledCapabilities: without,
		MaxStackDepth:        t.depth,
		Logger:               slog.NewLogLogger(t.log.Handler(), slog.LevelDebug),
		PanicHandler: func(r any) fuse.Status {
			t.log.Error("panic in a request", "panic", r, "stack", string(debug.Stack()))
			return fuse.EIO
		},
	}
}

// String is the file system's name in go-fuse's log.
func (t *Tree) String() string { return subtype }

// Init learns what the kernel can do. FUSE_INIT.
func (t *Tree) Init(s *fuse.Server) {
	t.server = s
	t.backings.unregister = func(id int32) { s.UnregisterBackingFd(id) }
	if !t.through {
		t.plain.Store(true)
	} else if s.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0 {
		t.plain.Store(true)
		t.log.Info("no passthrough in this kernel: data goes through the daemon", "export", t.name)
	}
}

// node is the node of a request. The kernel names only nodes that it has not forgotten.
func (t *Tree) node(id uint64) (*node, fuse.Status) {
	if n := t.nodes.byNumber(id); n != nil {
		return n, fuse.OK
	}
	return nil, fuse.Status(unix.ESTALE)
}

// pathOf is fd's path from the root of the tree, for people.
func pathOf(fd int) string {
	p, err := os.Readlink(proc(fd))
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSuffix(p, " (deleted)"), "/")
}

// proc is the name under which the kernel lets an O_PATH descriptor be opened or changed. It leads to the file itself, never along
// a path.
func proc(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// userOf is the caller for people.
func userOf(uid uint32) string { return "uid " + strconv.FormatUint(uint64(uid), 10) }

// status is err for the kernel.
func status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	if e, ok := err.(syscall.Errno); ok {
		return fuse.Status(e)
	}
	return fuse.ToStatus(err)
}

// opens are the open files and directories of one mount.
type opens struct {
	mu    sync.RWMutex // guards the fields below
	files map[uint64]*file
	dirs  map[uint64]*dir
}

func (o *opens) file(fh uint64) *file {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.files[fh]
}

func (o *opens) dir(fh uint64) *dir {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.dirs[fh]
}

func (o *opens) add(f *file) {
	o.mu.Lock()
	o.files[f.number] = f
	o.mu.Unlock()
}

func (o *opens) addDir(fh uint64, d *dir) {
	o.mu.Lock()
	o.dirs[fh] = d
	o.mu.Unlock()
}

func (o *opens) take(fh uint64) *file {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[fh]
	delete(o.files, fh)
	return f
}

func (o *opens) takeDir(fh uint64) *dir {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.dirs[fh]
	delete(o.dirs, fh)
	return d
}
