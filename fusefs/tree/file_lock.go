package tree

import (
	"context"
	"math"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// The kernel keeps no locks of a FUSE file: every one is asked of the counter, which knows them from NLM's and SMB's.
//
// A lock belongs to a number that the kernel makes of the process's file table (fcntl) or of the open file (flock, OFD). The first
// request of a number also names a process, which stays with it for people; later ones may come from any of the process's threads.

// ownerID is FUSE's lock_owner. flock(2) locks are a space of their own.
type ownerID struct {
	id    uint64
	flock bool
}

// held is what an owner may hold on this mount.
type held struct {
	pid   int32
	files map[lock.Key]bool
}

// owners are the lock owners of one mount.
type owners struct {
	mu   sync.Mutex // guards held
	held map[ownerID]*held
}

// owner is id for the counter.
func (o *owners) owner(id ownerID, pid uint32) lock.Owner {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.held[id]; h != nil {
		pid = uint32(h.pid)
	}
	return lock.Owner{Client: local, Handle: id.id, PID: int32(pid)}
}

// add notes that id may hold a lock on key.
func (o *owners) add(id ownerID, pid uint32, key lock.Key) lock.Owner {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.held[id]
	if h == nil {
		h = &held{pid: int32(pid), files: map[lock.Key]bool{}}
		o.held[id] = h
	}
	h.files[key] = true
	return lock.Owner{Client: local, Handle: id.id, PID: h.pid}
}

// drop notes that id holds nothing on key, and reports whether it may have.
func (o *owners) drop(id ownerID, key lock.Key) (lock.Owner, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.held[id]
	if h == nil || !h.files[key] {
		return lock.Owner{}, false
	}
	if delete(h.files, key); len(h.files) == 0 {
		delete(o.held, id)
	}
	return lock.Owner{Client: local, Handle: id.id, PID: h.pid}, true
}

// offsetMax is OFFSET_MAX: FUSE's last byte of a lock that reaches to the end of the file.
const offsetMax = math.MaxInt64

// span is a FUSE lock's range, whose end is inclusive, as the counter counts it: length 0 is to the end of the file.
func span(l fuse.FileLock) (off, length uint64, ok bool) {
	if l.Start > l.End || l.Start > offsetMax {
		return 0, 0, false
	}
	if l.End >= offsetMax {
		return l.Start, 0, true
	}
	return l.Start, l.End - l.Start + 1, true
}

// last is the inclusive end of a holder's range, as far as FUSE can say it.
func last(off, length uint64) uint64 {
	if length == 0 || length > offsetMax || off > offsetMax-length {
		return offsetMax
	}
	return off + length - 1
}

// lockRequest is in as a request of the counter; pid is added by the caller.
func lockRequest(f *file, in *fuse.LkIn) (lock.LockRequest, ownerID, fuse.Status) {
	id := ownerID{in.Owner, in.LkFlags&fuse.LK_FLOCK != 0}
	off, length, ok := span(in.Lk)
	if !ok {
		return lock.LockRequest{}, id, fuse.EINVAL
	}
	if id.flock {
		off, length = 0, 0
	}
	return lock.LockRequest{Key: f.node.key, Offset: off, Length: length, Exclusive: in.Lk.Typ == unix.F_WRLCK, Flock: id.flock,
		Path: pathOf(f.fd), User: userOf(in.Uid)}, id, fuse.OK
}

// GetLk finds a lock that stands in the way. FUSE_GETLK.
func (t *Tree) GetLk(cancel <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	f := t.opens.file(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	r, id, st := lockRequest(f, in)
	if !st.Ok() {
		return st
	}
	r.Owner = t.owners.owner(id, in.Pid)
	res, err := t.seat.Test(endless, r)
	if err != nil {
		t.unreachable("test", err)
		return fuse.EIO
	}
	out.Lk = fuse.FileLock{Typ: unix.F_UNLCK}
	if res.Outcome != lock.Denied {
		return lockErrno(res.Outcome)
	}
	out.Lk = fuse.FileLock{Typ: unix.F_WRLCK, Start: in.Lk.Start, End: in.Lk.End}
	if h := res.Holder; h != nil {
		out.Lk = fuse.FileLock{Typ: unix.F_RDLCK, Start: min(h.Offset, offsetMax), End: last(h.Offset, h.Length)}
		if h.Exclusive {
			out.Lk.Typ = unix.F_WRLCK
		}
		if h.Owner.Client.Door == lock.Local { // others have no process here
			out.Lk.Pid = uint32(h.Owner.PID)
		}
	}
	return fuse.OK
}

// SetLk locks or unlocks without waiting in the file's line; it does wait for leases to be given back. FUSE_SETLK.
func (t *Tree) SetLk(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	return t.setLock(cancel, in, false)
}

// SetLkw waits in the file's line. A signal ends the wait. FUSE_SETLKW.
func (t *Tree) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	return t.setLock(cancel, in, true)
}

func (t *Tree) setLock(cancel <-chan struct{}, in *fuse.LkIn, wait bool) fuse.Status {
	f := t.opens.file(in.Fh)
	if f == nil {
		return fuse.EBADF
	}
	r, id, st := lockRequest(f, in)
	if !st.Ok() {
		return st
	}
	if in.Lk.Typ == unix.F_UNLCK {
		return t.unlock(f, id, r)
	}
	r.Owner, r.Try = t.owners.add(id, in.Lk.Pid, r.Key), !wait
	f.mu.Lock()
	if f.owners == nil {
		f.owners = map[ownerID]bool{}
	}
	f.owners[id] = true
	f.mu.Unlock()

	ctx := t.patience(cancel)
	res, err := t.seat.Lock(ctx, r, ctx.begin)
	if err != nil {
		t.unreachable("lock", err)
		return fuse.EIO
	}
	return lockErrno(res.Outcome)
}

// unlock frees a range. Who never locked the file has nothing to free.
func (t *Tree) unlock(f *file, id ownerID, r lock.LockRequest) fuse.Status {
	t.owners.mu.Lock()
	h := t.owners.held[id]
	mine := h != nil && h.files[r.Key]
	t.owners.mu.Unlock()
	if !mine {
		return fuse.OK
	}
	if r.Offset == 0 && r.Length == 0 {
		t.unlockOwner(f, id)
		return fuse.OK
	}
	r.Owner = t.owners.owner(id, 0)
	res, err := t.seat.Unlock(endless, r)
	if err != nil {
		t.unreachable("unlock", err)
		t.insist(func(ctx context.Context) error {
			_, err := t.seat.Unlock(ctx, r)
			return err
		})
		return fuse.OK
	}
	if res.Outcome == lock.NotLocked {
		return fuse.OK
	}
	return lockErrno(res.Outcome)
}

// unlockOwner frees all that id holds on f's file.
func (t *Tree) unlockOwner(f *file, id ownerID) {
	f.mu.Lock()
	delete(f.owners, id)
	f.mu.Unlock()
	o, mine := t.owners.drop(id, f.node.key)
	if !mine {
		return
	}
	r := lock.LockRequest{Key: f.node.key, Owner: o, Flock: id.flock}
	if _, err := t.seat.Unlock(endless, r); err != nil {
		t.unreachable("unlock", err)
		t.insist(func(ctx context.Context) error {
			_, err := t.seat.Unlock(ctx, r)
			return err
		})
	}
}

// unlockAll frees what is still held by those who locked through f when f ends: flock(2) and OFD locks, which end with the open file.
func (t *Tree) unlockAll(f *file) {
	f.mu.Lock()
	ids := f.owners
	f.owners = nil
	f.mu.Unlock()
	for id := range ids {
		t.unlockOwner(f, id)
	}
}

// lockErrno is errno for a lock; a file or store that cannot hold it has no lock to give, fcntl(2).
func lockErrno(o lock.Outcome) fuse.Status {
	switch o {
	case lock.Failed, lock.Stale:
		return fuse.Status(unix.ENOLCK)
	}
	return errno(o, unix.EAGAIN)
}
