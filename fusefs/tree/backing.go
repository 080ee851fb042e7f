package tree

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// backing is a file that the kernel was given to pass through to. All opens of an inode share it, and so do those that follow within
// pinTime: an open then costs nothing beneath the mount.
type backing struct {
	id int32 // the kernel's number

	// guarded by node.mu
	fd    int // open for reading, and shared by all who only read; -1: none
	users int // opens that pass through
	last  time.Time
	idle  bool // in the line of backings
}

// join is n's backing file, with one more user, if whoever opens with flags can share its descriptor.
func (n *node) join(flags uint32) *backing {
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.backing == nil || n.backing.fd < 0 {
		return nil
	}
	n.backing.users++
	return n.backing
}

// start makes f known and says how its data goes. All opens of one inode go the same way: an inode that passes through may not use the
// page cache of the mount at the same time.
func (t *Tree) start(f *file, out *fuse.OpenOut) {
	n := f.node
	n.mu.Lock()
	if n.files == nil {
		n.files = map[*file]bool{}
	}
	n.files[f] = true
	if n.backing == nil && n.caching == 0 && !t.plain.Load() {
		if id := t.register(f); id != 0 {
			n.backing = &backing{id: id, fd: -1}
		}
	}
	switch b := n.backing; {
	case b == nil:
		n.caching++
		if n.keeps(f.seen) {
			out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
		}
	case f.backing == nil:
		b.users++
		if f.backing = b; b.fd < 0 && !f.writes {
			b.fd, f.shares = f.fd, true
		}
	}
	n.mu.Unlock()

	out.Fh = f.number
	t.metrics.opens.Inc()
	if f.backing != nil {
		out.OpenFlags |= fuse.FOPEN_PASSTHROUGH
		out.BackingID = f.backing.id
		t.metrics.passing.Inc()
	}
}

// part ends f's use of its backing file, after f was closed.
func (t *Tree) part(f *file) {
	n, b := f.node, f.backing
	if b == nil {
		return
	}
	n.mu.Lock()
	if b.users--; b.users == 0 {
		b.last = time.Now()
		t.backings.add(n, b)
	}
	n.mu.Unlock()
	t.backings.makeRoom()
}

// register gives f's file to the kernel to pass through to; 0 if it will not. The kernel writes with the capabilities of the thread
// that registers, whoever the caller is: so with none that a caller may lack. Even root's write takes a set-user-ID bit away then.
func (t *Tree) register(f *file) int32 {
	var id int32
	var e unix.Errno
	as(0, 0, killPriv, func() error {
		id, e = t.server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(f.fd)})
		return nil
	})
	if e == 0 {
		return id
	}
	if e != unix.ENFILE && e != unix.ENOMEM && !t.plain.Swap(true) {
		t.log.Warn("no passthrough to this file system: data goes through the daemon", "export", t.name, "err", e)
	}
	return 0
}

// backings are the backing files that are kept though nobody uses them.
type backings struct {
	unregister func(id int32)

	mu    sync.Mutex // guards the fields below
	line  []idle     // oldest first
	armed bool
}

type idle struct {
	node    *node
	backing *backing
}

// add keeps b, whose node is locked.
func (k *backings) add(n *node, b *backing) {
	if b.idle {
		return
	}
	b.idle = true
	k.mu.Lock()
	defer k.mu.Unlock()
	k.line = append(k.line, idle{n, b})
	if !k.armed {
		k.armed = true
		time.AfterFunc(pinTime, k.expire)
	}
}

// makeRoom lets the oldest go if they are too many.
func (k *backings) makeRoom() {
	k.mu.Lock()
	if len(k.line) <= pinsMax {
		k.mu.Unlock()
		return
	}
	first := k.line[0]
	k.line = k.line[1:]
	k.mu.Unlock()
	k.judge(first, func(*backing) bool { return true })
}

// expire lets go what was not used for pinTime, and comes back for the rest.
func (k *backings) expire() {
	k.mu.Lock()
	line := k.line
	k.line = nil
	k.mu.Unlock()
	now := time.Now()
	for _, i := range line {
		k.judge(i, func(b *backing) bool { return now.Sub(b.last) >= pinTime })
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.armed = len(k.line) > 0; k.armed {
		time.AfterFunc(pinTime/4, k.expire)
	}
}

// judge, of one that was taken out of the line, lets it go if nobody uses it and over says so.
func (k *backings) judge(i idle, over func(*backing) bool) {
	n, b := i.node, i.backing
	n.mu.Lock()
	defer n.mu.Unlock()
	b.idle = false
	switch {
	case b.users > 0 || n.backing != b:
	case over(b):
		k.let(n)
	default:
		k.add(n, b)
	}
}

// let closes the backing file of n, which is locked.
func (k *backings) let(n *node) {
	b := n.backing
	n.backing = nil
	k.unregister(b.id)
	if b.fd >= 0 {
		unix.Close(b.fd)
	}
}

// forgotten lets go what was kept for a node that the kernel does not know any more: perhaps it was removed, and its space is wanted.
func (k *backings) forgotten(n *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.backing != nil && n.backing.users == 0 {
		k.let(n)
	}
}

// drop closes all.
func (k *backings) drop() {
	k.mu.Lock()
	line := k.line
	k.line = nil
	k.mu.Unlock()
	for _, i := range line {
		k.judge(i, func(*backing) bool { return true })
	}
}
