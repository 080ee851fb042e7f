package tree

import (
	"context"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// errno is the counter's answer for a local program, the law's table C; late is what a wait that took too long is called here.
func errno(o lock.Outcome, late unix.Errno) fuse.Status {
	switch o {
	case lock.Granted:
		return fuse.OK
	case lock.SharingDenied:
		return fuse.EACCES
	case lock.DeletePending:
		return fuse.ENOENT
	case lock.Denied, lock.Blocked, lock.Grace, lock.NotLocked:
		return fuse.EAGAIN
	case lock.Deadlock:
		return fuse.Status(unix.EDEADLK)
	case lock.Limit:
		return fuse.Status(unix.ENOLCK)
	case lock.Stale:
		return fuse.Status(unix.ESTALE)
	case lock.Cancelled:
		return fuse.EINTR
	case lock.TimedOut:
		return fuse.Status(late)
	case lock.Invalid:
		return fuse.EINVAL
	}
	return fuse.EIO
}

// local is every local program's client.
var local = lock.Client{Door: lock.Local}

// patience is the context of one question at the counter. A signal to the caller (FUSE_INTERRUPT) ends the waiting, which begins with
// begin, but never the question itself: its answer would be lost, and what it granted with it.
type patience struct {
	fuse.Context // the caller's
	waits        prometheus.Counter
	waiting      bool
}

func (t *Tree) patience(cancel <-chan struct{}) *patience {
	return &patience{Context: fuse.Context{Cancel: cancel}, waits: t.metrics.waits}
}

func (p *patience) begin() {
	p.waits.Inc()
	p.waiting = true
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} {
	if !p.waiting {
		return nil
	}
	return p.Context.Done()
}

// Err implements context.Context.
func (p *patience) Err() error {
	if !p.waiting {
		return nil
	}
	return p.Context.Err()
}

// endless is the context of a question that nobody may give up.
var endless context.Context = new(fuse.Context)

// ask is one operation for the counter to admit.
type ask struct {
	key         lock.Key
	op          lock.Op
	open        uint64
	off, length uint64
}

// admit asks the counter for each of asks in turn. done ends them all and is to be called, when the status is OK, once the operation
// has been done.
func (t *Tree) admit(cancel <-chan struct{}, c *fuse.Caller, late unix.Errno, asks ...ask) (done func(changed bool), st fuse.Status) {
	var dones []func(bool)
	quiet := true
	done = func(changed bool) {
		all := func(context.Context) {
			for _, d := range dones {
				d(changed)
			}
		}
		if quiet {
			all(nil)
		} else {
			t.post.send(all)
		}
	}
	for _, a := range asks {
		res, d, err := t.access(cancel, c, a)
		if err != nil {
			t.unreachable(a.op.String(), err)
			st = fuse.EIO
		} else {
			st = errno(res.Outcome, late)
		}
		if !st.Ok() {
			if dones != nil {
				done(false)
			}
			return nil, st
		}
		quiet = quiet && res.Quiet
		dones = append(dones, d)
	}
	return done, fuse.OK
}

func (t *Tree) access(cancel <-chan struct{}, c *fuse.Caller, a ask) (lock.Result, func(bool), error) {
	ctx := t.patience(cancel)
	r := lock.AccessRequest{Key: a.key, Owner: lock.Owner{Client: local, PID: int32(c.Pid)}, Open: a.open, Op: a.op, Offset: a.off, Length: a.length}
	return t.seat.Access(ctx, r, hold, ctx.begin)
}

// admitOpen asks for f's open; with O_NONBLOCK it does not wait for a lease to be given back, as fcntl(2) F_SETLEASE has it.
func (t *Tree) admitOpen(cancel <-chan struct{}, c *fuse.Caller, f *file, flags uint32) fuse.Status {
	ctx := t.patience(cancel)
	r := lock.OpenRequest{Open: f.number, Key: f.node.key, Owner: f.owner, Access: access(flags), Share: lock.ShareAll,
		Overwrite: flags&unix.O_TRUNC != 0}
	var res lock.OpenResult
	var err error
	if flags&unix.O_NONBLOCK != 0 {
		res, err = t.seat.Manager.Open(ctx, r)
	} else {
		res, err = t.seat.Open(ctx, r, ctx.begin)
	}
	if err != nil {
		t.unreachable("open", err)
		t.insist(func(ctx context.Context) error { // the answer is not known: whatever it was, it is void
			_, err := t.seat.Close(ctx, lock.CloseRequest{Open: f.number})
			return err
		})
		return fuse.EIO
	}
	if res.Outcome == lock.Limit {
		return fuse.Status(unix.ENFILE)
	}
	return errno(res.Outcome, unix.EAGAIN)
}

// describe says for people what an open is, and reports whether it is here. That is not worth the words while nobody has to know.
func (t *Tree) describe(r *lock.OpenRequest) bool {
	f := t.opens.file(r.Open)
	if f == nil {
		return false
	}
	r.Path, r.User = pathOf(f.fd), userOf(f.uid)
	return true
}

// access is what an open may do with the data.
func access(flags uint32) lock.Access {
	var a lock.Access
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		a = lock.Read
	case unix.O_WRONLY:
		a = lock.Write
	default:
		a = lock.Read | lock.Write
	}
	if flags&fuse.FMODE_EXEC != 0 {
		a |= lock.Execute
	}
	return a
}

func (t *Tree) unreachable(what string, err error) {
	t.log.Warn("counter not reached", "export", t.name, "for", what, "err", err)
}

// insist repeats what must not be lost, in the background, until the counter has heard it or the mount has ended.
func (t *Tree) insist(do func(context.Context) error) {
	t.post.spawn(func(ctx context.Context) {
		for pause := 100 * time.Millisecond; do(ctx) != nil; pause = min(2*pause, 5*time.Second) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	})
}
