package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// An open's bytes: the file's, or those of one of its named streams.

// stat asks about the open's file. A stream has its file's attributes and times, [MS-FSCC] 2.1.5.3, but a size of its own, and it is no directory.
func (o *open) stat() (*info, error) {
	i, err := statFile(o.file, o.called())
	if err != nil || o.stream == nil {
		return i, err
	}
	i.mode = i.mode&^unix.S_IFMT | unix.S_IFREG
	if i.attributes &^= smb2.FileAttributeDirectory; i.attributes == 0 {
		i.attributes = smb2.FileAttributeNormal
	}
	i.size, err = o.streamed().size(o.stream.called())
	if errors.Is(err, unix.ENODATA) {
		i.size, err = 0, nil // another door removed it
	}
	if o.finder() {
		i.size = afpInfoSize
	}
	i.alloc = streamAllocation(i.size)
	return i, err
}

// streamAllocation is the room of a stream's bytes as it is told. Implementation specific: the file system does not tell.
func streamAllocation(size uint64) uint64 { return (size + 511) &^ 511 }

func (o *open) readAt(b []byte, offset int64) (int, error) {
	if o.finder() {
		return o.stream.readFinder(o.streamed(), b, offset)
	}
	if o.stream != nil {
		return o.stream.readAt(o.streamed(), b, offset)
	}
	return pread(int(o.file.Fd()), b, offset)
}

func (o *open) writeAt(b []byte, offset int64) (int, error) {
	if o.finder() {
		return o.stream.writeFinder(o.file, b, offset)
	}
	if o.stream != nil {
		return o.stream.writeAt(o.streamed(), b, offset)
	}
	return pwrite(int(o.file.Fd()), b, offset)
}

func (o *open) truncate(size uint64) error {
	if o.finder() {
		if size > afpInfoSize {
			return ntstatus.AllottedSpaceExceeded
		}
		return nil // it has 60 bytes
	}
	if o.stream != nil {
		return o.stream.truncate(o.streamed(), size)
	}
	return export.Truncate(int(o.file.Fd()), size)
}

// sync makes what was written durable.
func (o *open) sync(how func(fd int) error) error {
	f := o.file
	if o.forks() {
		f = o.double.file
	}
	err := how(int(f.Fd()))
	if errors.Is(err, unix.EBADF) {
		err = unix.Syncfs(int(o.vol.root.Fd())) // its descriptor is O_PATH
	}
	return err
}

// leave gives the open back to the counter and removes what was to go with it: the stream, and then the file.
func (o *open) leave(ctx context.Context) {
	locks, log := o.session.s.locks, o.session.s.log
	give := func(number uint64, remove func(context.Context) error) {
		q := lock.CloseRequest{Open: number}
		if number == o.number {
			q.Dir, q.ParentKey = o.changedIn()
		}
		res, err := locks.Close(ctx, q)
		if err != nil {
			log.Warn("close not told to the gateway", "path", o.path, "err", err)
		} else if res.Delete {
			if err := remove(ctx); err != nil {
				log.Warn("delete on close", "path", o.path, "err", err)
			}
		}
	}
	lookers := &o.session.s.opens.lookers
	defer lookers.gone(o)
	switch {
	case lookers.leave(o):
	case o.stream == nil && o.asked:
		give(o.number, o.remove)
	case o.stream != nil:
		if o.asked {
			give(o.number, o.removeStream)
		}
		if o.hold != 0 {
			give(o.hold, o.remove)
		}
		o.forget(ctx)
	}
}

func (o *open) removeStream(ctx context.Context) error {
	if o.resourceFork() {
		return nil // it is emptied, not deleted
	}
	err := o.session.as(o.vol, func() error { return export.RemoveXattr(int(o.file.Fd()), export.StreamAttribute(o.stream.called())) })
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	if err == nil {
		o.streamChanged(ctx, lock.RemovedStream, o.stream.called(), smb2.NotifyChangeStreamName)
	}
	return err
}

// fileKey is the key of the open's file, also where it is a stream's open.
func (o *open) fileKey() lock.Key {
	if o.stream != nil {
		return o.stream.base
	}
	return o.key
}
