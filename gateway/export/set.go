package export

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/lock"
)

// Set is the exports of the configuration and the cache of their files.
type Set struct {
	// Groups, where it is set before anybody is served, knows users' groups better than their calls.
	Groups *Groups

	key   [32]byte
	names names
	macs  sync.Pool // *keyed
	cache cache
	now   atomic.Pointer[listing]

	loading sync.Mutex // held by Load
}

// listing is what the configuration lists. It does not change.
type listing struct {
	exports []*Export
	byID    map[uint32]*Export
}

// Export is one directory that is served. It stays the same over changes of its configuration, as long as its path is there.
type Export struct {
	Path string

	set    *Set
	id     uint32
	conf   atomic.Pointer[config.Export]
	guests atomic.Pointer[guests]

	mu   sync.Mutex    // guards root and news
	root *File         // nil while the tree is away
	news chan struct{} // closed when the tree comes or goes; nil: nobody waits
	now  atomic.Pointer[File]
}

// New returns the exports, all of them away until Set brings their trees. key seals the file handles; see LoadKey.
func New(exports []config.Export, key [32]byte) (*Set, error) {
	s := &Set{key: key, names: system{}}
	s.macs.New = func() any { return &keyed{Hash: hmac.New(sha256.New, s.key[:])} }
	s.cache.init()
	s.now.Store(&listing{})
	_, _, err := s.Load(exports)
	return s, err
}

// Load makes the exports those of a new configuration, or changes nothing and is an error. Those that stay keep their trees, and nobody
// on them is disturbed; handles of those that go are ErrStale from now on; those that come are away until Set brings their trees.
func (s *Set) Load(exports []config.Export) (came, went []*Export, err error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	old, l := s.now.Load(), &listing{byID: map[uint32]*Export{}}
	var change []func()
	for _, c := range exports {
		g, err := newGuests(&c, s.names)
		if err != nil {
			return nil, nil, err
		}
		id := exportID(c.Path)
		if other := l.byID[id]; other != nil {
			return nil, nil, fmt.Errorf("export %s: its file handles would look like those of %s", c.Path, other.Path)
		}
		e := old.byID[id]
		if e == nil || e.Path != c.Path {
			e = &Export{Path: c.Path, set: s, id: id}
			came = append(came, e)
		}
		change = append(change, func() { e.conf.Store(&c); e.guests.Store(g) })
		l.byID[id] = e
		l.exports = append(l.exports, e)
	}
	for _, f := range change {
		f()
	}
	s.now.Store(l)
	for _, e := range old.exports {
		if l.byID[e.id] != e {
			e.replace(nil)
			went = append(went, e)
		}
	}
	return came, went, nil
}

// Name is the share's.
func (e *Export) Name() string { return e.conf.Load().Name }

// Config is how the export is configured now.
func (e *Export) Config() config.Export { return *e.conf.Load() }

// Set brings the tree of the export called name: root is a descriptor of its root directory, best the detached clone of its mount, and
// becomes the Set's. Where root is not the root of a mount, its mount is cloned, so that ".." ends there. A tree that was there before goes.
func (s *Set) Set(name string, root *os.File) error {
	defer root.Close()
	e := s.ByName(name)
	if e == nil {
		return fmt.Errorf("export: no export is called %q", name)
	}
	fd, err := openRoot(int(root.Fd()))
	if err != nil {
		return fmt.Errorf("export %s: %w", e.Path, err)
	}
	k, err := kernelHandleOf(fd)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("export %s: the file system gives no file handles: %w", e.Path, err)
	}
	f, err := s.newFile(e, fd, &k)
	if err != nil {
		return fmt.Errorf("export %s: %w", e.Path, err)
	}
	f.isRoot = true
	e.replace(f)
	return nil
}

// Remove takes the tree away. Files that are in use stay open until they are released.
func (s *Set) Remove(name string) {
	if e := s.ByName(name); e != nil {
		e.replace(nil)
	}
}

// Close takes all trees away.
func (s *Set) Close() {
	for _, e := range s.Exports() {
		e.replace(nil)
	}
	s.cache.close()
}

// openRoot opens the root directory behind fd for reading, as open_by_handle_at(2) takes no O_PATH descriptor.
func openRoot(fd int) (int, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return -1, unix.ENOTDIR
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		clone, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return -1, fmt.Errorf("open_tree: %w", err)
		}
		defer unix.Close(clone)
		fd = clone
	}
	return unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Exports returns all exports in the configuration's order.
func (s *Set) Exports() []*Export { return s.now.Load().exports }

// ByName finds an export by its share name; letters match in either case. Nil: there is none.
func (s *Set) ByName(name string) *Export {
	for _, e := range s.Exports() {
		if strings.EqualFold(e.Name(), name) {
			return e
		}
	}
	return nil
}

// ByPath finds the export that is, or holds, the absolute path, and what is left beneath it ("" for the export itself). The innermost counts.
func (s *Set) ByPath(p string) (e *Export, rest string) {
	if !path.IsAbs(p) {
		return nil, ""
	}
	p = path.Clean(p)
	for _, x := range s.Exports() {
		if e != nil && len(x.Path) <= len(e.Path) {
			continue
		}
		r, ok := strings.CutPrefix(p, strings.TrimSuffix(x.Path, "/"))
		if ok && (r == "" || r[0] == '/') {
			e, rest = x, strings.TrimPrefix(r, "/")
		}
	}
	return e, rest
}

// Open opens the file that a sealed handle names. Release it.
func (s *Set) Open(fh []byte) (*File, error) {
	if f, err := s.cache.get(fh); f != nil || err != nil {
		return f, err
	}
	// A root directory is always open: its handle is compared, not made again.
	e := s.now.Load().byID[binary.BigEndian.Uint32(fh[2:])]
	if e != nil {
		if root, err := e.Root(); err == nil {
			if subtle.ConstantTimeCompare(root.fh, fh) == 1 {
				return root, nil
			}
			defer root.Release()
			return s.openIn(root, fh)
		}
	}
	if _, _, err := s.unseal(fh); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, ErrStale // an export that was there once
	}
	return nil, ErrAway
}

// openIn opens what a sealed handle names in a tree.
func (s *Set) openIn(root *File, fh []byte) (*File, error) {
	_, k, err := s.unseal(fh)
	if err != nil {
		return nil, err
	}
	fd, err := k.open(root.fd, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	return s.adopt(root, fd, &k)
}

// Await waits, until ctx ends, for the tree that a sealed handle lies in.
func (s *Set) Await(ctx context.Context, fh []byte) error {
	id, _, err := s.unseal(fh)
	if err != nil {
		return err
	}
	e := s.now.Load().byID[id]
	if e == nil {
		return ErrStale
	}
	root, err := e.Await(ctx)
	if err == nil {
		root.Release()
	}
	return err
}

// Resolve names the file of a sealed handle, and where it is to be named for people its path relative to the export if that is known. Where by is not nil it
// is to lock the file: it must be let in, and own the file or be allowed to read or write it, unless its terms say no_auth_nlm.
func (s *Set) Resolve(ctx context.Context, fh []byte, by *lock.Caller, named bool) (lock.Key, string, error) {
	f, err := s.Open(fh)
	if err != nil {
		return lock.Key{}, "", err
	}
	defer f.Release()
	a, err := f.Stat()
	if err == nil && by != nil {
		err = f.mayLock(ctx, by, &a)
	}
	if err != nil {
		return lock.Key{}, "", err
	}
	if !named {
		return f.Key, "", nil
	}
	return f.Key, f.Path(&a), nil
}

func (f *File) mayLock(ctx context.Context, by *lock.Caller, a *Attr) error {
	from, err := netip.ParseAddrPort(by.Address)
	if err != nil {
		return ErrRefused
	}
	terms, err := f.export.Admit(ctx, from)
	if err != nil || terms.AnyLocks {
		return err
	}
	c := Cred{UID: by.UID, GID: by.GID, Groups: by.GIDs}
	if by.Known {
		if c, err = f.export.set.Groups.Whole(ctx, c, false); err != nil {
			return err
		}
	}
	c = terms.As(c, by.Known)
	if c.UID == a.UID {
		return nil
	}
	mask, err := f.Allowed(c, a)
	if err == nil && mask&(unix.R_OK|unix.W_OK) == 0 {
		err = unix.EACCES
	}
	return err
}

// Forget closes what the cache keeps of a file that another door removed, so that its space is free.
func (s *Set) Forget(key lock.Key) {
	s.cache.drop(func(f *File) bool { return f.Key == key })
	s.cache.forgetKey(key.FSID, key.Ino)
}

// Root returns the tree's root directory, open for reading. Release it.
func (e *Export) Root() (*File, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.root == nil {
		return nil, ErrAway
	}
	e.root.hold()
	return e.root, nil
}

// Await is Root that waits, until ctx ends, for a tree that is away.
func (e *Export) Await(ctx context.Context) (*File, error) {
	for {
		e.mu.Lock()
		if e.root != nil {
			e.root.hold()
			defer e.mu.Unlock()
			return e.root, nil
		}
		if e.news == nil {
			e.news = make(chan struct{})
		}
		news := e.news
		e.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ErrAway
		}
	}
}

// replace swaps the tree; what the cache keeps of the old one is dropped.
func (e *Export) replace(root *File) {
	e.mu.Lock()
	old := e.root
	e.root = root
	e.now.Store(root)
	if e.news != nil {
		close(e.news)
		e.news = nil
	}
	e.mu.Unlock()
	if old != nil {
		e.set.cache.drop(func(f *File) bool { return f.tree == old })
		old.Release()
	}
}
