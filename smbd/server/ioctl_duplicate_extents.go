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

// FSCTL_DUPLICATE_EXTENTS_TO_FILE, [MS-FSA] 2.1.5.10.4: the target's range becomes the source's blocks, shared, where the file system can
// (FICLONERANGE). The target's size stays.
func duplicateExtents(ctx context.Context, r *request, dst *open, q *smb2.IOCTLRequest) ([]byte, error) {
	var d fscc.DuplicateExtentsData
	if d.Parse(q.Input) != nil {
		return nil, ntstatus.BufferTooSmall
	}
	src, done, err := r.source(d.Source)
	if err != nil {
		return nil, ntstatus.InvalidHandle
	}
	defer done()
	const limit = 1<<63 - 1
	switch {
	case dst.access&writesData == 0, src.access&readsData == 0:
		return nil, ntstatus.AccessDenied
	case src.pipe != nil || src.directory || dst.directory || src.stream != nil || dst.stream != nil:
		return nil, ntstatus.NotSupported
	case d.ByteCount > limit || d.SourceOffset > limit-d.ByteCount || d.TargetOffset > limit-d.ByteCount:
		return nil, ntstatus.InvalidParameter
	}
	if d.ByteCount == 0 {
		return nil, nil
	}
	read, err := src.admit(ctx, r, lock.OpRead, d.SourceOffset, d.ByteCount)
	if err != nil {
		return nil, err
	}
	defer read(false)
	from, err := src.stat()
	if err != nil {
		return nil, err
	}
	to, err := dst.stat()
	if err != nil {
		return nil, err
	}
	if d.SourceOffset+d.ByteCount > from.size || d.TargetOffset+d.ByteCount > to.size {
		return nil, ntstatus.NotSupported
	}
	if from.attributes&^to.attributes&smb2.FileAttributeSparseFile != 0 {
		return nil, ntstatus.NotSupported // holes would come into a file that has none
	}
	write, err := dst.admit(ctx, r, lock.OpWrite, d.TargetOffset, d.ByteCount)
	if err != nil {
		return nil, err
	}
	err = unix.IoctlFileCloneRange(int(dst.file.Fd()), &unix.FileCloneRange{Src_fd: int64(src.file.Fd()), Src_offset: d.SourceOffset,
		Src_length: d.ByteCount, Dest_offset: d.TargetOffset})
	write(err == nil)
	switch {
	case errors.Is(err, unix.EINVAL):
		return nil, ntstatus.NotSupported // not on block boundaries, or overlapping
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EBADF):
		return nil, ntstatus.NotSupported
	case err == nil:
		dst.wrote(ctx)
	}
	return nil, err
}
