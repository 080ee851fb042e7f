package export

import (
	"crypto/hmac"
	"crypto/sha256"
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

// Set is the exports of one configuration and the cache of their files.
type Set struct {
	key     [32]byte
	exports []*Export
	byID    map[uint32]*Export
	macs    sync.Pool // *keyed
	cache   cache
}

// Export is one directory that is served.
type Export struct {
	config.Export

	set     *Set
	id      uint32
	clients []netip.Prefix

	mu   sync.Mutex // guards root
	root *File      // nil while the tree is away
	now  atomic.Pointer[File]
}

// New returns the exports, all of them away until Set brings their trees. key seals the file handles; see LoadKey.
func New(exports []config.Export, key [32]byte) (*Set, error) {
	s := &Set{key: key, byID: map[uint32]*Export{}}
	s.macs.New = func() any { return &keyed{Hash: hmac.New(sha256.New, s.key[:])} }
	s.cache.init()
	for _, c := range exports {
		e := &Export{Export: c, set: s, id: exportID(c.Path)}
		for _, text := range c.Clients {
			p, err := prefix(text)
			if err != nil {
				return nil, fmt.Errorf("export %s: client %q: %w", c.Path, text, err)
			}
			e.clients = append(e.clients, p)
		}
		if other := s.byID[e.id]; other != nil {
			return nil, fmt.Errorf("export %s: its file handles would look like those of %s", c.Path, other.Path)
		}
		s.byID[e.id] = e
		s.exports = append(s.exports, e)
	}
	return s, nil
}

// prefix reads an address or a network; an IPv4 address in IPv6 form is the IPv4 address.
func prefix(text string) (netip.Prefix, error) {
	if strings.ContainsRune(text, '/') {
		p, err := netip.ParsePrefix(text)
		if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

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
	for _, e := range s.exports {
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
func (s *Set) Exports() []*Export { return s.exports }

// ByName finds an export by its share name; letters match in either case. Nil: there is none.
func (s *Set) ByName(name string) *Export {
	for _, e := range s.exports {
		if strings.EqualFold(e.Name, name) {
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
	for _, x := range s.exports {
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
	id, k, err := s.unseal(fh)
	if err != nil {
		return nil, err
	}
	e := s.byID[id]
	if e == nil {
		return nil, ErrStale // an export that was there once
	}
	root, err := e.Root()
	if err != nil {
		return nil, err
	}
	defer root.Release()
	if k == root.handle {
		root.hold()
		return root, nil
	}
	fd, err := k.open(root.fd, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	return s.adopt(root, fd, &k)
}

// Resolve names the file of a sealed handle, and for people its path relative to the export where that is known.
func (s *Set) Resolve(fh []byte) (lock.Key, string, error) {
	f, err := s.Open(fh)
	if err != nil {
		return lock.Key{}, "", err
	}
	defer f.Release()
	if _, err := f.Stat(); err != nil {
		return lock.Key{}, "", err
	}
	return f.Key, f.Path(), nil
}

// Forget closes what the cache keeps of a file that another door removed, so that its space is free.
func (s *Set) Forget(key lock.Key) { s.cache.drop(func(f *File) bool { return f.Key == key }) }

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

// replace swaps the tree; what the cache keeps of the old one is dropped.
func (e *Export) replace(root *File) {
	e.mu.Lock()
	old := e.root
	e.root = root
	e.now.Store(root)
	e.mu.Unlock()
	if old != nil {
		e.set.cache.drop(func(f *File) bool { return f.tree == old })
		old.Release()
	}
}

// Admit reports with ErrRefused that an NFS client may not come in from this address and port.
func (e *Export) Admit(from netip.AddrPort) error {
	if e.Secure && from.Port() >= 1024 {
		return ErrRefused
	}
	if len(e.clients) == 0 {
		return nil
	}
	a := from.Addr().Unmap().WithZone("")
	for _, p := range e.clients {
		if p.Contains(a) {
			return nil
		}
	}
	return ErrRefused
}

// As returns whom a caller is taken for here: squash, RFC 1813 §4.4 "Permission issues". Nobody (AUTH_NONE) is anonymous.
func (e *Export) As(c Cred, known bool) Cred {
	anon := Cred{UID: e.AnonUID, GID: e.AnonGID}
	if !known || e.Squash == "all" {
		return anon
	}
	if e.Squash == "none" {
		return c
	}
	if c.UID == 0 {
		return anon
	}
	// A group 0 is root's as well.
	if c.GID == 0 {
		c.GID = e.AnonGID
	}
	for i, g := range c.Groups {
		if g == 0 {
			groups := append([]uint32(nil), c.Groups...)
			for j := i; j < len(groups); j++ {
				if groups[j] == 0 {
					groups[j] = e.AnonGID
				}
			}
			c.Groups = groups
			break
		}
	}
	return c
}
