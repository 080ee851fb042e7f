package server

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/appledouble"
	"dittofs/smbd/ntstatus"
)

// What becomes of a file's AppleDouble file: a listing hides it, it goes where its file goes, and it is removed with it. The counter is asked as for any
// other file, because other doors may have it open; who does not let go keeps it.

// spot is where a file is: its directory, its name there, and its path beneath the root.
type spot struct {
	dir       *os.File
	name, rel string
}

// spot is where the open's file is now, to be closed; ENOENT on a share that serves no Macs, where nothing lies beside it.
func (o *open) spot() (at spot, err error) {
	if !o.tree.apple() {
		return at, unix.ENOENT
	}
	at.dir, at.name, at.rel, err = o.now()
	return at, err
}

// streamed is the open's file with its streams, of which the AppleDouble file counts as far as the open's own stream lies there.
func (o *open) streamed() streamed { return o.tree.streamed(o.file, o.double) }

// withStreams calls f with the open's file and all its streams.
func (o *open) withStreams(f func(streamed) error) error {
	in := o.tree.streamed(o.file, nil)
	if at, err := o.spot(); err == nil {
		defer at.dir.Close()
		in.double = o.beside(at)
		defer in.double.close()
	}
	return f(in)
}

// beside is the AppleDouble file beside a file, as far as the user may read it.
func (o *open) beside(at spot) (d *double) {
	if !o.tree.apple() {
		return nil
	}
	o.session.as(o.vol, func() error { d, _ = openDouble(at.dir, at.name, unix.O_RDONLY); return nil })
	return d
}

// ownDouble is the AppleDouble file made ready for a change of the file's streams: all that was in it are attributes by now, but the resource fork. fork:
// it is the resource fork that is to change, which was an attribute perhaps; else nothing is returned. The root of a share has no AppleDouble file.
func (o *open) ownDouble(ctx context.Context, fork bool) (*double, error) {
	if !o.tree.apple() || o.parent == nil {
		return nil, nil
	}
	at, err := o.spot()
	if err != nil {
		return nil, err
	}
	defer at.dir.Close()
	var d *double
	err = o.session.as(o.vol, func() (err error) {
		d, err = openDouble(at.dir, at.name, unix.O_RDWR)
		return err
	})
	if err == nil && d == nil && fork {
		d, err = o.makeDouble(ctx, at)
	}
	if err != nil || d == nil {
		return nil, err
	}
	// Two at a time would each take their own.
	s := &o.session.s.streams
	s.taking.Lock()
	defer s.taking.Unlock()
	err = o.session.as(o.vol, func() error {
		err := d.take(o.file)
		if err == nil && fork {
			err = d.takeFork(o.file)
		}
		return err
	})
	if err != nil || !fork {
		d.close()
		return nil, err
	}
	return d, nil
}

func (o *open) makeDouble(ctx context.Context, at spot) (d *double, err error) {
	if !mayMake(o.session.judge(at.dir, nil), false) {
		return nil, ntstatus.AccessDenied
	}
	err = o.session.as(o.vol, func() (err error) {
		d, err = makeDouble(at.dir, at.name, o.file)
		return err
	})
	if err == nil {
		o.doubleChanged(ctx, d, at, lock.Added)
	}
	return d, err
}

// doubleChanged tells that the AppleDouble file beside a file came, went or moved.
func (o *open) doubleChanged(ctx context.Context, d *double, at spot, a lock.Action) {
	dir, _ := export.KeyOf(int(at.dir.Fd()))
	c := o.session.named(dir, appledouble.Prefix+at.name, a, false, o.parentKey)
	c.Key, _ = export.KeyOf(int(d.file.Fd()))
	in, _ := splitPath(at.rel)
	o.tree.changed(ctx, c, join(in, c.Name))
}

// admitDouble admits an operation on the AppleDouble file, for which the open has no open at the counter. done ends it.
func (o *open) admitDouble(ctx context.Context, r *request, d *double, op lock.Op) (done func(changed bool), err error) {
	key, err := export.KeyOf(int(d.file.Fd()))
	if err != nil {
		return nil, err
	}
	owner := lock.Owner{Client: o.owner.Client, Session: o.session.id}
	res, done, err := o.session.s.locks.Access(ctx, lock.AccessRequest{Key: key, Owner: owner, Op: op}, o.session.s.hold, r.pend)
	if err == nil && res.Outcome != lock.Granted {
		err = accessRefused(res.Outcome)
	}
	if err != nil {
		return nil, err
	}
	return done, nil
}

// admitFork admits an operation on the resource fork, which was admitted as a stream's, on the file that it lies in, too.
func (o *open) admitFork(ctx context.Context, r *request, op lock.Op, stream func(changed bool)) (done func(changed bool), err error) {
	file, err := o.admitDouble(ctx, r, o.double, op)
	if err != nil {
		stream(false)
		return nil, err
	}
	return func(changed bool) { file(changed); stream(changed) }, nil
}

// unlinkDouble removes the AppleDouble file that the open has, if it is still beside its file, and says where it was.
func (o *open) unlinkDouble() *spot {
	at, err := o.spot()
	if err != nil {
		return nil
	}
	there, err := export.StatAt(int(at.dir.Fd()), appledouble.Prefix+at.name)
	have, herr := export.Stat(int(o.double.file.Fd()))
	if err != nil || herr != nil || there.Ino != have.Ino || o.unlinkDoubleAt(at) != nil {
		at.dir.Close()
		return nil
	}
	return &at
}

func (o *open) unlinkDoubleAt(at spot) error {
	return o.session.as(o.vol, func() error { return export.Unlink(int(at.dir.Fd()), appledouble.Prefix+at.name) })
}

// removeDouble removes the AppleDouble file of the open's file.
func (o *open) removeDouble(ctx context.Context) {
	if at, err := o.spot(); err == nil {
		o.removeDoubleAt(ctx, at)
		at.dir.Close()
	}
}

func (o *open) removeDoubleAt(ctx context.Context, at spot) {
	o.withDouble(ctx, at, lock.OpRemove, func(d *double) error {
		err := o.unlinkDoubleAt(at)
		if err == nil {
			o.doubleChanged(ctx, d, at, lock.Removed)
		}
		return err
	})
}

// moveDouble lets the AppleDouble file follow its file, which has been renamed; what the target's was is the target's no more.
func (o *open) moveDouble(ctx context.Context, from, to spot, replaced bool) {
	if from.rel == to.rel {
		return
	}
	d := o.beside(from)
	d.close()
	if d != nil || replaced {
		o.removeDoubleAt(ctx, to)
	}
	o.withDouble(ctx, from, lock.OpRename, func(d *double) error {
		err := o.session.as(o.vol, func() error {
			return export.Rename(int(from.dir.Fd()), appledouble.Prefix+from.name, int(to.dir.Fd()), appledouble.Prefix+to.name, unix.RENAME_NOREPLACE)
		})
		if err == nil {
			o.doubleChanged(ctx, d, from, lock.Removed)
			o.doubleChanged(ctx, d, to, lock.Added)
		}
		return err
	})
}

// withDouble calls f with the AppleDouble file beside a file, if there is one and the counter admits op. What keeps it where it is is no reason to refuse
// what is done to its file.
func (o *open) withDouble(ctx context.Context, at spot, op lock.Op, f func(*double) error) {
	d := o.beside(at)
	if d == nil {
		return
	}
	defer d.close()
	done, err := o.admitDouble(ctx, new(request), d, op)
	if err == nil {
		err = f(d)
		done(err == nil)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		o.session.log.Warn("the AppleDouble file stays", "file", o.called(), "err", err)
	}
}

// followDouble gives the AppleDouble file the mode that its file has got.
func (o *open) followDouble() {
	at, err := o.spot()
	if err != nil {
		return
	}
	defer at.dir.Close()
	o.session.as(o.vol, func() error {
		d, err := openDouble(at.dir, at.name, unix.O_RDONLY)
		if d != nil {
			err = d.follow(o.file)
			d.close()
		}
		return err
	})
}
