package tree

import (
	"context"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// file is one open of a regular file: FUSE's fh, and the open's number at the counter.
type file struct {
	number uint64
	node   *node
	owner  lock.Owner
	writes bool
	uid    uint32 // who opened it

	fd      int      // beneath the mount; valid until RELEASE
	backing *backing // what the kernel passes through to; nil: nothing
	shares  bool     // fd is backing's

	mu     sync.Mutex       // guards the fields below
	uses   int              // of fd: the open itself, and operations that borrow it; 0: closed
	owners map[ownerID]bool // who locked through this open
	seen   version
}

// version tells whether a file's data changed.
type version struct {
	size         uint64
	mtime, ctime unix.StatxTimestamp
}

func versionOf(st *unix.Statx_t) version { return version{st.Size, st.Mtime, st.Ctime} }

// hold keeps f's descriptor open until letGo, unless it is closed already.
func (f *file) hold() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.uses == 0 {
		return false
	}
	f.uses++
	return true
}

// letGo ends a use of f; the last one closes it.
func (t *Tree) letGo(f *file) {
	f.mu.Lock()
	f.uses--
	last := f.uses == 0
	f.mu.Unlock()
	if !last {
		return
	}
	if !f.shares {
		unix.Close(f.fd)
	}
	t.part(f)
}

// borrow is some open of n, held.
func (n *node) borrow() *file {
	if f := n.anyFile(); f != nil && f.hold() {
		return f
	}
	return nil
}

// reopen opens n again, though it may have no name left, if it is open.
func (t *Tree) reopen(n *node, flags int) (fd int, err error) {
	f := n.borrow()
	if f == nil {
		t.pins.vanished()
		return -1, unix.ESTALE
	}
	defer t.letGo(f)
	return unix.Open(proc(f.fd), flags&^unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// ours are the flags of an open that hold beneath the mount as well. O_APPEND is not among them: fcntl(2) may change it, so each
// WRITE says it. O_DIRECT is not: only the kernel keeps its alignment, by passing through.
func ours(flags uint32) int {
	return int(flags) & (unix.O_ACCMODE | unix.O_SYNC | unix.O_NOATIME)
}

// newFile is the open that a request begins. It takes fd.
func (t *Tree) newFile(c *fuse.Caller, n *node, fd int, flags uint32) *file {
	f := &file{uses: 1, number: t.seat.Number(), node: n, fd: fd, uid: c.Uid, writes: flags&unix.O_ACCMODE != unix.O_RDONLY}
	f.owner = lock.Owner{Client: local, PID: int32(c.Pid), Handle: f.number}
	t.opens.add(f)
	return f
}

// drop ends a file of which the kernel has not heard.
func (t *Tree) drop(f *file) {
	t.opens.take(f.number)
	t.letGo(f)
}

// Open asks the counter, cuts the file if it is asked to, and lets the kernel pass data through. FUSE_OPEN.
func (t *Tree) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, st := t.node(in.NodeId)
	if !st.Ok() {
		return st
	}
	if n.kind != unix.S_IFREG {
		return fuse.Status(unix.EOPNOTSUPP)
	}
	f, err := t.openFile(&in.Caller, n, in.Flags)
	if err != nil {
		return status(err)
	}
	if st := t.admitOpen(cancel, &in.Caller, f, in.Flags); !st.Ok() {
		t.drop(f)
		return st
	}
	if in.Flags&unix.O_TRUNC != 0 {
		if err := t.cut(&in.Caller, f.fd, f.writes, 0, in.Mode&fuse.OPEN_KILL_SUIDGID != 0); err != nil {
			t.leave(f)
			t.drop(f)
			return status(err)
		}
		t.changed(f)
	}
	t.start(f, out)
	return fuse.OK
}

// openFile begins an open of n.
func (t *Tree) openFile(c *fuse.Caller, n *node, flags uint32) (*file, error) {
	if b := n.join(flags); b != nil {
		f := t.newFile(c, n, b.fd, flags)
		f.backing, f.shares = b, true
		return f, nil
	}
	fd, err := t.open(n, ours(flags))
	if err != nil {
		return nil, err
	}
	f := t.newFile(c, n, fd, flags)
	if f.writes || t.plain.Load() {
		st, err := stat(fd)
		if err != nil {
			t.drop(f)
			return nil, err
		}
		f.seen = versionOf(&st)
	}
	return f, nil
}

// Create makes a file that must not be there and opens it. If it is there after all, another door was quicker: ESTALE makes the kernel
// look again, so that it checks the caller's permission on that file. FUSE_CREATE.
func (t *Tree) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	done, st := t.admit(cancel, &in.Caller, unix.EBUSY, ask{key: d.key, op: lock.OpChangeDir})
	if !st.Ok() {
		return st
	}
	fd, err := t.makeFile(&in.Caller, at.fd, name, ours(in.Flags)|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, in.Mode, in.Umask)
	done(err == nil)
	if err == unix.EEXIST && in.Flags&unix.O_EXCL == 0 {
		return fuse.Status(unix.ESTALE)
	}
	if err != nil {
		return status(err)
	}
	st, e := t.begin(cancel, &in.Caller, fd, in.Flags&^unix.O_TRUNC, func(n *node) { n.place(d.key, name) }, out)
	if e != nil {
		t.tellName(lock.Added, e.key, d.key, name, unix.S_IFREG)
	}
	return st
}

// Tmpfile makes a file without a name. FUSE_TMPFILE.
func (t *Tree) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	_, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	fd, err := t.makeFile(&in.Caller, at.fd, ".", ours(in.Flags)|unix.O_TMPFILE|int(in.Flags)&unix.O_EXCL, in.Mode, in.Umask)
	if err != nil {
		return status(err)
	}
	st, _ = t.begin(cancel, &in.Caller, fd, in.Flags, func(*node) {}, out)
	return st
}

func (t *Tree) makeFile(c *fuse.Caller, at int, name string, flags int, mode, umask uint32) (fd int, err error) {
	mode = masked(at, mode, umask)
	err = asCaller(c, func() (err error) {
		fd, err = openBeneath(at, name, flags, mode&07777)
		return err
	})
	return fd, err
}

// begin learns the new file fd and opens it at the counter. e is not nil if the file came to be known.
func (t *Tree) begin(cancel <-chan struct{}, c *fuse.Caller, fd int, flags uint32, place func(*node), out *fuse.CreateOut) (fuse.Status, *entry) {
	e, err := t.identify(fd)
	if err != nil {
		unix.Close(fd)
		return status(err), nil
	}
	n := t.nodes.learn(e)
	place(n)
	f := t.newFile(c, n, fd, flags)
	f.seen = versionOf(&e.st)
	if st := t.admitOpen(cancel, c, f, flags); !st.Ok() {
		t.drop(f)
		t.Forget(n.id, 1)
		return st, &e
	}
	fill(&out.EntryOut, n, &e.st)
	t.start(f, &out.OpenOut)
	return fuse.OK, &e
}

// Release ends an open: its owners' locks, its passthrough, its place at the counter. FUSE_RELEASE.
func (t *Tree) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	f := t.opens.take(in.Fh)
	if f == nil {
		return
	}
	t.unlockAll(f)
	t.changed(f)
	n := f.node
	n.mu.Lock()
	delete(n.files, f)
	if f.backing == nil {
		n.caching--
	}
	n.mu.Unlock()
	t.metrics.opens.Dec()
	if f.backing != nil {
		t.metrics.passing.Dec()
	}
	t.leave(f)
	t.letGo(f)
}

// leave closes f at the counter, and removes its name if the counter says that f was the last open of a file that is delete pending.
func (t *Tree) leave(f *file) {
	res, err := t.seat.Close(endless, lock.CloseRequest{Open: f.number})
	if err != nil {
		t.unreachable("close", err)
		t.insist(func(ctx context.Context) error {
			_, err := t.seat.Close(ctx, lock.CloseRequest{Open: f.number})
			return err
		})
		return
	}
	if res.Delete {
		t.deleteNow(f)
	}
}

// changed tells the other doors if f's data changed since they were told last.
func (t *Tree) changed(f *file) {
	if !f.writes || t.unheard() {
		return
	}
	st, err := stat(f.fd)
	if err != nil {
		return
	}
	now := versionOf(&st)
	f.mu.Lock()
	same := f.seen == now
	f.seen = now
	f.mu.Unlock()
	if !same {
		t.tellNode(f.node, notifySize|notifyLastWrite, true)
	}
}
