package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// copyFile is FSCTL_SRV_COPYCHUNK without chunks from a Mac: the file's bytes, its named streams and its extended attributes.
func copyFile(ctx context.Context, r *request, src, dst *open) ([]byte, error) {
	i, err := src.stat()
	if err != nil {
		return nil, err
	}
	var a smb2.SrvCopyChunkResponse
	for at := uint64(0); at < i.size; {
		n, err := copyOne(ctx, r, src, dst, smb2.CopyChunk{SourceOffset: at, TargetOffset: at, Length: uint32(min(i.size-at, maxChunkSize))})
		if err != nil {
			return nil, err
		}
		at += uint64(n)
		a.TotalBytesWritten = uint32(min(at, 1<<32-1))
	}
	if src.stream != nil || dst.stream != nil {
		return a.Append(nil), nil
	}
	if err := copyStreams(src, dst); err != nil {
		return nil, err
	}
	names, err := eaNames(src.file)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		e, err := readEA(src.file, n)
		if err == nil {
			err = export.SetXattr(int(dst.file.Fd()), eaPrefix+n, e.Value, 0)
		}
		if err != nil {
			return nil, err
		}
	}
	return a.Append(nil), nil
}

// copyStreams copies the streams that nobody has open at the destination.
func copyStreams(src, dst *open) error {
	names, err := streamNames(src.file)
	if err != nil {
		return err
	}
	for _, n := range names {
		if dst.session.s.streams.open(dst.key, n) {
			return ntstatus.SharingViolation
		}
		b, err := readStream(src.file, n)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err == nil {
			err = writeStream(dst.file, n, b, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
