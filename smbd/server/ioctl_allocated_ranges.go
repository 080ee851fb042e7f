package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FSCTL_QUERY_ALLOCATED_RANGES, [MS-FSA] 2.1.5.10.22: a file that is not sparse is allocated from begin to end.
func queryAllocatedRanges(_ context.Context, _ *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	var a fscc.FileAllocatedRange
	switch {
	case o.access&smb2.FileReadData == 0:
		return nil, ntstatus.AccessDenied
	case a.Parse(q.Input) != nil, a.FileOffset > 1<<63-1, a.Length > 1<<63-1-a.FileOffset, o.directory:
		return nil, ntstatus.InvalidParameter
	}
	i, err := o.stat()
	if err != nil {
		return nil, err
	}
	begin, end := int64(a.FileOffset), int64(min(a.FileOffset+a.Length, i.size))
	next := func(at int64) (from, to int64, err error) { return at, end, nil }
	if o.stream == nil && i.attributes&smb2.FileAttributeSparseFile != 0 {
		next = func(at int64) (from, to int64, err error) { return nextData(int(o.file.Fd()), at) }
	}
	var out []byte
	for at := begin; at < end; {
		from, to, err := next(at)
		if errors.Is(err, unix.ENXIO) {
			break // no data behind at
		}
		if err != nil {
			return nil, err
		}
		if from >= end {
			break
		}
		to = min(to, end)
		if uint64(len(out))+16 > uint64(q.MaxOutputResponse) {
			if out == nil {
				return nil, ntstatus.BufferTooSmall
			}
			return out, ntstatus.BufferOverflow
		}
		out = (&fscc.FileAllocatedRange{FileOffset: uint64(from), Length: uint64(to - from)}).Append(out)
		at = to
	}
	return out, nil
}

// nextData finds the first data at or behind an offset, and where it ends. lseek(2), SEEK_DATA.
func nextData(fd int, at int64) (from, to int64, err error) {
	if from, err = unix.Seek(fd, at, unix.SEEK_DATA); err == nil {
		to, err = unix.Seek(fd, from, unix.SEEK_HOLE)
	}
	return from, to, err
}
