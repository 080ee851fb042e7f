package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// FSCTL_SRV_COPYCHUNK and FSCTL_SRV_COPYCHUNK_WRITE, [MS-SMB2] 3.3.5.15.6.

// What one request may copy. [MS-SMB2] 3.3.3: ServerSideCopyMax….
const (
	maxChunks     = 256
	maxChunkSize  = 1 << 20
	maxChunkTotal = 16 << 20
)

func copyChunk(ctx context.Context, r *request, dst *open, q *smb2.IOCTLRequest) ([]byte, error) {
	var c smb2.SrvCopyChunkCopy
	if c.Parse(q.Input) != nil || q.MaxOutputResponse < 12 {
		return nil, ntstatus.InvalidParameter
	}
	total := uint64(0)
	for _, k := range c.Chunks {
		if total += uint64(k.Length); k.Length == 0 || k.Length > maxChunkSize || total > maxChunkTotal {
			return copyChunkLimits, ntstatus.InvalidParameter
		}
	}
	if len(c.Chunks) > maxChunks {
		return copyChunkLimits, ntstatus.InvalidParameter
	}
	k := wire.Reader(c.SourceKey[:])
	id := smb2.FileID{Persistent: k.Uint64(), Volatile: k.Uint64()}
	if k.Uint64() != 0 {
		return nil, ntstatus.ObjectNameNotFound
	}
	src, done, err := r.source(id)
	if err != nil {
		return nil, err
	}
	defer done()
	switch {
	case src.pipe != nil || src.directory || dst.directory:
		return nil, ntstatus.InvalidDeviceRequest
	case src.access&readsData == 0, dst.access&writesData == 0:
		return nil, ntstatus.AccessDenied
	case q.CtlCode == fscc.FsctlSrvCopyChunk && dst.access&smb2.FileReadData == 0:
		return nil, ntstatus.AccessDenied
	}
	r.proceed()
	if len(c.Chunks) == 0 && dst.tree.aapl.Load() {
		return copyFile(ctx, r, src, dst)
	}
	var a smb2.SrvCopyChunkResponse
	for _, k := range c.Chunks {
		n, err := copyOne(ctx, r, src, dst, k)
		a.TotalBytesWritten += uint32(n)
		if err != nil {
			a.ChunkBytesWritten = uint32(n)
			return a.Append(nil), err
		}
		a.ChunksWritten++
	}
	return a.Append(nil), nil
}

// copyChunkLimits tells what would have been possible.
var copyChunkLimits = (&smb2.SrvCopyChunkResponse{ChunksWritten: maxChunks, ChunkBytesWritten: maxChunkSize, TotalBytesWritten: maxChunkTotal}).Append(nil)

// copyOne copies one chunk, as a READ of the source and a WRITE of the destination: byte ranges and leases stand against both.
func copyOne(ctx context.Context, r *request, src, dst *open, k smb2.CopyChunk) (n int, err error) {
	length := uint64(k.Length)
	if k.SourceOffset > 1<<63-1-length || k.TargetOffset > 1<<63-1-length {
		return 0, ntstatus.InvalidParameter
	}
	read, err := src.admit(ctx, r, lock.OpRead, k.SourceOffset, length)
	if err != nil {
		return 0, err
	}
	defer read(false)
	i, err := src.stat()
	if err != nil {
		return 0, err
	}
	if k.SourceOffset+length > i.size {
		return 0, ntstatus.InvalidViewSize
	}
	write, err := dst.admit(ctx, r, lock.OpWrite, k.TargetOffset, length)
	if err != nil {
		return 0, err
	}
	n, err = copyBytes(src, dst, int64(k.SourceOffset), int64(k.TargetOffset), int(length))
	write(n > 0)
	if n > 0 {
		dst.wrote(ctx)
	}
	return n, err
}

// copyBytes lets the kernel copy, which shares blocks where the file system can; where it will not (other file systems, overlapping
// ranges, streams) the bytes go through memory.
func copyBytes(src, dst *open, from, to int64, length int) (n int, err error) {
	for src.stream == nil && dst.stream == nil && n < length {
		a, b := from+int64(n), to+int64(n)
		m, err := unix.CopyFileRange(int(src.file.Fd()), &a, int(dst.file.Fd()), &b, length-n, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || m == 0 {
			break
		}
		n += m
	}
	if n == length {
		return n, nil
	}
	buf := make([]byte, length-n)
	m, err := src.readAt(buf, from+int64(n))
	if err != nil || m == 0 {
		return n, err
	}
	w, err := dst.writeAt(buf[:m], to+int64(n))
	return n + w, err
}
