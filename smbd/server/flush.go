package server

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FLUSH, [MS-SMB2] 3.3.5.11.

func flush(ctx context.Context, r *request) (reply, error) {
	var q smb2.FlushRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	if o.pipe != nil {
		return &smb2.FlushResponse{}, nil
	}
	// [MS-FSA] 2.1.5.7: flushing is a writer's.
	if o.access&(writesData) == 0 {
		return nil, ntstatus.AccessDenied
	}
	r.proceed()
	if err := o.sync(unix.Fsync); err != nil {
		return nil, err
	}
	return &smb2.FlushResponse{}, nil
}
