package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FSCTL_SET_ZERO_DATA, [MS-FSA] 2.1.5.10.42: zeros up to the file's end, as a hole where the file is sparse.
func setZeroData(ctx context.Context, r *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	var z fscc.FileZeroDataInformation
	switch {
	case z.Parse(q.Input) != nil, z.FileOffset > z.BeyondFinalZero, z.BeyondFinalZero > 1<<63-1, o.directory:
		return nil, ntstatus.InvalidParameter
	case o.access&smb2.FileWriteData == 0:
		return nil, ntstatus.AccessDenied
	}
	if z.FileOffset == z.BeyondFinalZero {
		return nil, nil
	}
	done, err := o.admit(ctx, r, lock.OpWrite, z.FileOffset, z.BeyondFinalZero-z.FileOffset)
	if err != nil {
		return nil, err
	}
	changed := false
	defer func() { done(changed) }()
	i, err := o.stat()
	if err != nil {
		return nil, err
	}
	end := min(z.BeyondFinalZero, i.size)
	if z.FileOffset >= end {
		return nil, nil
	}
	r.proceed()
	if err := o.zero(int64(z.FileOffset), int64(end), i.attributes&smb2.FileAttributeSparseFile != 0); err != nil {
		return nil, err
	}
	changed = true
	o.wrote(ctx)
	return nil, nil
}

// zero makes bytes zero without changing the size; where the file system cannot, they are written.
func (o *open) zero(from, to int64, hole bool) error {
	if o.stream == nil {
		mode := uint32(unix.FALLOC_FL_ZERO_RANGE)
		if hole {
			mode = unix.FALLOC_FL_PUNCH_HOLE
		}
		err := unix.Fallocate(int(o.file.Fd()), mode|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
		if !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	zeros := make([]byte, min(to-from, 1<<20))
	for from < to {
		n, err := o.writeAt(zeros[:min(to-from, int64(len(zeros)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
