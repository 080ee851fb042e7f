package export

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// idle is how long, once or twice over, a file stays open that nobody uses: it keeps its space on disk if it is removed meanwhile.
const idle = 5 * time.Second

// cache keeps files open between requests: by handle, at most max descriptors, the longest unused going first.
type cache struct {
	max int

	mu    sync.Mutex // guards the fields below, and the File fields that say so
	files map[string]*File
	head  File // ring: head.next was used last
	fds   int  // of the files in the ring and the rosters
	tick  uint64
	timer *time.Timer // nil: not running
	ended bool

	rosters []*roster
	berths  int // of all rosters
	places  int // of fds, those in rosters
}

func (c *cache) init() {
	c.files = map[string]*File{}
	c.head.next, c.head.prev = &c.head, &c.head
	c.max = 4096
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil && r.Cur != math.MaxUint64 {
		c.max = int(min(65536, max(64, r.Cur/4, r.Cur/2-min(r.Cur/2, 1024)))) // half is for connections, oncrpc.Config.MaxConns
	}
}

// get returns the file of a handle, with a reference, where the cache has it. The map is searched by the handle without its MAC, and the
// MAC compared in constant time.
func (c *cache) get(fh []byte) (*File, error) {
	n := len(fh) - macLen
	if n <= handleHead || len(fh) > HandleMax {
		return nil, ErrBadHandle
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[string(fh[:n])]
	if f == nil {
		return nil, nil
	}
	if subtle.ConstantTimeCompare(f.fh[n:], fh[n:]) != 1 {
		return nil, ErrBadHandle
	}
	c.use(f)
	return f, nil
}

// find returns the file of a kernel's handle in a tree, with a reference, where the cache has it.
func (c *cache) find(tree *File, k *kernelHandle, b []byte) *File {
	b = append(b, handleVersion, k.typ)
	b = binary.BigEndian.AppendUint32(b, tree.export.id)
	b = append(b, k.b[:k.n]...)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[string(b)]
	if f == nil || f.tree != tree {
		return nil
	}
	c.use(f)
	return f
}

// put adds f, or drops it for the one that was there first; the caller's reference moves along.
func (c *cache) put(f *File) *File {
	key := string(f.fh[:len(f.fh)-macLen])
	c.mu.Lock()
	old := c.files[key]
	if old != nil && old.tree == f.tree {
		c.use(old)
		c.mu.Unlock()
		f.closeAll()
		return old
	}
	if c.ended || !f.export.has(f.tree) {
		c.mu.Unlock() // its tree has gone meanwhile: it lives as long as this request
		return f
	}
	var gone []*File
	if old != nil {
		gone = c.evict(old, gone)
	}
	c.files[key] = f
	f.cached, f.tick = true, c.tick
	c.link(f)
	c.fds += f.fds
	gone = c.shrink(gone)
	c.wind()
	c.mu.Unlock()
	closeFiles(gone)
	return f
}

// wind makes sure that sweep comes. It runs under mu.
func (c *cache) wind() {
	if c.timer == nil && !c.ended {
		c.timer = time.AfterFunc(idle, c.sweep)
	}
}

// has reports whether root is still the export's tree. It runs under cache.mu and so takes no lock: replace swaps first and drops after.
func (e *Export) has(root *File) bool { return e.now.Load() == root }

// use moves f to the front and takes a reference.
func (c *cache) use(f *File) {
	f.refs++
	f.tick = c.tick
	if f.cached && c.head.next != f {
		c.unlink(f)
		c.link(f)
	}
}

func (c *cache) link(f *File) {
	f.next, f.prev = c.head.next, &c.head
	f.next.prev, c.head.next = f, f
}

func (c *cache) unlink(f *File) {
	f.prev.next, f.next.prev = f.next, f.prev
	f.prev, f.next = nil, nil
}

func (c *cache) release(f *File) {
	c.mu.Lock()
	f.refs--
	f.tick = c.tick
	last := f.refs == 0 && !f.cached
	c.mu.Unlock()
	if last {
		f.closeAll()
	}
}

// opened counts one more descriptor of f, which the caller holds.
func (c *cache) opened(f *File) {
	c.mu.Lock()
	f.fds++
	var gone []*File
	if f.cached {
		c.fds++
		gone = c.shrink(gone)
	}
	c.mu.Unlock()
	closeFiles(gone)
}

// evict takes f out; it is appended to gone unless somebody has it, who then closes it.
func (c *cache) evict(f *File, gone []*File) []*File {
	delete(c.files, string(f.fh[:len(f.fh)-macLen]))
	c.unlink(f)
	c.fds -= f.fds
	f.cached = false
	if f.refs == 0 {
		gone = append(gone, f)
	}
	return gone
}

// shrink evicts the longest unused until the descriptors fit.
func (c *cache) shrink(gone []*File) []*File {
	for f := c.head.prev; c.fds > c.max && f != &c.head; {
		p := f.prev
		if f.refs == 0 {
			gone = c.evict(f, gone)
		}
		f = p
	}
	return gone
}

// remove evicts f, which the caller holds and which has no name any more.
func (c *cache) remove(f *File) {
	c.mu.Lock()
	if f.cached {
		c.evict(f, nil)
	}
	c.mu.Unlock()
	c.forgetKey(f.Key.FSID, f.Key.Ino)
}

// drop evicts the files that which names.
func (c *cache) drop(which func(*File) bool) {
	var gone []*File
	c.mu.Lock()
	for f := c.head.next; f != &c.head; {
		n := f.next
		if which(f) {
			gone = c.evict(f, gone)
		}
		f = n
	}
	c.mu.Unlock()
	closeFiles(gone)
}

// sweep is the clock's event: it evicts what was not used since the one before.
func (c *cache) sweep() {
	var gone []*File
	c.mu.Lock()
	c.tick++
	for f := c.head.prev; f != &c.head; {
		p := f.prev
		if f.refs == 0 && f.tick+1 < c.tick {
			gone = c.evict(f, gone)
		}
		f = p
	}
	var closed []int
	for _, r := range slices.Clone(c.rosters) {
		if r.tick+1 < c.tick {
			closed = append(closed, c.end(r)...)
		}
	}
	if c.head.next == &c.head && len(c.rosters) == 0 || c.ended {
		c.timer = nil
	} else {
		c.timer.Reset(idle)
	}
	c.mu.Unlock()
	closeFiles(gone)
	closeFds(closed)
}

func (c *cache) close() {
	c.mu.Lock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.mu.Unlock()
	c.drop(func(*File) bool { return true })
	c.endRosters(func(*roster) bool { return true })
}

func closeFiles(files []*File) {
	for _, f := range files {
		f.closeAll()
	}
}
