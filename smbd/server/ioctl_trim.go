package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// FSCTL_FILE_LEVEL_TRIM, [MS-FSA] 2.1.5.10.5: the client no longer needs the bytes. They become holes, which give their blocks back.
func fileLevelTrim(ctx context.Context, r *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	var f fscc.FileLevelTrim
	switch {
	case f.Parse(q.Input) != nil, f.Key != 0, len(f.Ranges) == 0, len(f.Ranges) > maxTrim, o.directory:
		return nil, ntstatus.InvalidParameter
	case o.access&smb2.FileWriteData == 0:
		return nil, ntstatus.AccessDenied
	case o.stream != nil:
		return nil, ntstatus.NotSupported
	}
	for i, t := range f.Ranges {
		if t.FileOffset > 1<<63-1 || t.Length > 1<<63-1-t.FileOffset {
			return nil, ntstatus.InvalidParameter
		}
		if err := o.trim(ctx, r, t); err != nil {
			return trimmed(q, i), err
		}
	}
	return trimmed(q, len(f.Ranges)), nil
}

// maxTrim bounds the ranges of one request. Implementation specific.
const maxTrim = 1024

// trimmed is FILE_LEVEL_TRIM_OUTPUT, [MS-FSCC] 2.3.80, where the client has room for it.
func trimmed(q *smb2.IOCTLRequest, n int) []byte {
	if q.MaxOutputResponse < 4 {
		return nil
	}
	return wire.Append32(nil, uint32(n))
}

func (o *open) trim(ctx context.Context, r *request, t fscc.FileAllocatedRange) error {
	done, err := o.admit(ctx, r, lock.OpWrite, t.FileOffset, t.Length)
	if err != nil {
		return err
	}
	changed := false
	defer func() { done(changed) }()
	i, err := o.stat()
	if err != nil {
		return err
	}
	end := min(t.FileOffset+t.Length, i.size)
	if t.FileOffset >= end {
		return nil
	}
	if err := o.zero(int64(t.FileOffset), int64(end), true); err != nil {
		return err
	}
	changed = true
	o.wrote(ctx)
	return nil
}
