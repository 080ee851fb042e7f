package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/rpc"
	"dittofs/smbd/smb2"
)

// READ, [MS-SMB2] 3.3.5.12 and [MS-FSA] 2.1.5.3.

func read(ctx context.Context, r *request) (reply, error) {
	var q smb2.ReadRequest
	if q.Parse(r.msg) != nil {
		return nil, ntstatus.InvalidParameter
	}
	if q.Channel != smb2.ChannelNone || q.Length > r.chain.c.maxTransfer {
		return nil, ntstatus.InvalidParameter
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.pipe != nil:
		return readPipe(o, &q)
	case o.directory:
		return nil, ntstatus.InvalidDeviceRequest
	case o.access&readsData == 0:
		return nil, ntstatus.AccessDenied
	case q.Offset > 1<<63-1-uint64(q.Length):
		return nil, ntstatus.InvalidParameter
	}
	done, err := o.admit(ctx, r, lock.OpRead, q.Offset, uint64(q.Length))
	if err != nil {
		return nil, err
	}
	defer done(false)
	r.moving(int(q.Length))
	out := newResponse(smb2.ReadDataOffset + int(q.Length))
	n, err := o.readAt(out.msg[smb2.ReadDataOffset:], int64(q.Offset))
	if err == nil && (n == 0 && q.Length > 0 || uint32(n) < q.MinimumCount) {
		err = ntstatus.EndOfFile
	}
	if err != nil {
		out.free()
		return nil, err
	}
	r.session.s.metrics.read.Add(float64(n))
	o.pos.Store(q.Offset + uint64(n))
	(&smb2.ReadResponse{}).AppendFixed(out.msg[:smb2.HeaderSize], n)
	out.msg = out.msg[:smb2.ReadDataOffset+n]
	return out, nil
}

// pread reads until b is full or the file ends.
func pread(fd int, b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pread(fd, b[n:], offset+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

func readPipe(o *open, q *smb2.ReadRequest) (reply, error) {
	b, more, err := o.pipe.Read(int(q.Length))
	if err != nil {
		return nil, pipeError(err)
	}
	a := &smb2.ReadResponse{Data: b}
	if more {
		return a, ntstatus.BufferOverflow
	}
	return a, nil
}

func pipeError(err error) error {
	switch {
	case errors.Is(err, rpc.ErrEmpty):
		return ntstatus.PipeEmpty
	case errors.Is(err, rpc.ErrProtocol):
		return ntstatus.PipeDisconnected
	case errors.Is(err, rpc.ErrFull):
		return ntstatus.InsufficientResources
	}
	return err
}

// admit asks the counter before data or size of the open's file is touched.
func (o *open) admit(ctx context.Context, r *request, op lock.Op, offset, length uint64) (done func(changed bool), err error) {
	if err := o.known(ctx); err != nil {
		return nil, err
	}
	s := o.session.s
	res, done, err := s.locks.Access(ctx, lock.AccessRequest{Key: o.key, Owner: o.owner, Open: o.number, Op: op, Offset: offset, Length: length}, s.hold, r.pendFunc())
	if err == nil && res.Outcome != lock.Granted {
		err = accessRefused(res.Outcome)
		if why := context.Cause(ctx); res.Outcome == lock.Cancelled && why != nil {
			err = why
		}
	}
	if err != nil {
		return nil, err
	}
	if o.forks() && (op == lock.OpWrite || op == lock.OpSetSize) {
		return o.admitFork(ctx, r, op, done)
	}
	return done, nil
}
