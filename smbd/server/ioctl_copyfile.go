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
	if err := copyStreams(ctx, r, src, dst); err != nil {
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
func copyStreams(ctx context.Context, r *request, src, dst *open) error {
	return src.withStreams(func(in streamed) error {
		names, err := in.names()
		if err != nil {
			return err
		}
		for _, n := range names {
			if dst.session.s.streams.open(dst.key, n) {
				return ntstatus.SharingViolation
			}
			if in.forked(n) {
				err = copyFork(ctx, r, in.double, dst)
			} else {
				var b []byte
				if b, err = in.read(n); errors.Is(err, unix.ENODATA) {
					continue
				}
				if err == nil {
					err = writeStream(dst.file, n, b, 0)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func copyFork(ctx context.Context, r *request, from *double, dst *open) error {
	to, err := dst.ownDouble(ctx, true)
	if err != nil || to == nil {
		return err
	}
	defer to.close()
	done, err := dst.admitDouble(ctx, r, to, lock.OpWrite)
	if err != nil {
		return err
	}
	defer done(true)
	if err := to.truncate(0); err != nil {
		return err
	}
	b := make([]byte, min(from.size(), maxChunkSize))
	for at := int64(0); ; {
		n, err := from.readAt(b, at)
		if err != nil || n == 0 {
			return err
		}
		if _, err := to.writeAt(b[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
}
