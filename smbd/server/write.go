package server

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// WRITE, [MS-SMB2] 3.3.5.13 and [MS-FSA] 2.1.5.4.

// maxFileSize is NTFS's MAXFILESIZE, [MS-FSA] 2.1.5.4.
const maxFileSize = 0xFFFFFFF0000

func write(ctx context.Context, r *request) (reply, error) {
	var q smb2.WriteRequest
	if q.Parse(r.msg) != nil {
		return nil, ntstatus.InvalidParameter
	}
	if q.Channel != smb2.ChannelNone || uint64(len(q.Data)) > uint64(r.chain.c.maxTransfer) {
		return nil, ntstatus.InvalidParameter
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.pipe != nil:
		if err := o.pipe.Write(q.Data); err != nil {
			return nil, pipeError(err)
		}
		return &smb2.WriteResponse{Count: uint32(len(q.Data))}, nil
	case o.directory:
		return nil, ntstatus.InvalidDeviceRequest
	case o.access&writesData == 0:
		return nil, ntstatus.AccessDenied
	case q.Offset > 1<<63-1-uint64(len(q.Data)), len(q.Data) > 0 && q.Offset > maxFileSize-uint64(len(q.Data)):
		return nil, ntstatus.InvalidParameter
	}
	done, err := o.admit(ctx, r, lock.OpWrite, q.Offset, uint64(len(q.Data)))
	if err != nil {
		return nil, err
	}
	n := 0
	defer func() { done(n > 0) }()
	r.moving(len(q.Data))
	if o.holdsWriteTime.Load() || o.holdsChangeTime.Load() {
		defer o.holdTimes()()
	}
	n, err = o.writeAt(q.Data, int64(q.Offset))
	if err == nil && (q.Flags&smb2.WriteFlagWriteThrough != 0 || smb2.CreateOptions(o.mode.Load())&smb2.FileWriteThrough != 0) {
		err = o.sync(unix.Fdatasync)
	}
	if err != nil {
		return nil, err
	}
	r.session.s.metrics.written.Add(float64(n))
	o.pos.Store(q.Offset + uint64(n))
	if n > 0 {
		o.wrote(ctx)
	}
	a := &r.chain.written
	*a = smb2.WriteResponse{Count: uint32(n)}
	return a, nil
}

// wrote tells who watches the directory of written data; the other doors hear it from the counter.
func (o *open) wrote(ctx context.Context) {
	if o.stream != nil {
		o.modified(ctx, smb2.NotifyChangeSize, true)
		return
	}
	o.mu.Lock()
	o.touched = true
	c := lock.Change{Key: o.key, Dir: o.inDirectory(), Name: o.name, Action: lock.Modified, Filter: uint32(smb2.NotifyChangeLastWrite | smb2.NotifyChangeSize)}
	path := o.path
	o.mu.Unlock()
	o.session.s.watches.changedAt(c, o.tree.share, path)
}

func pwrite(fd int, b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pwrite(fd, b[n:], offset+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}
