package server

import (
	"context"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// FSCTL_SRV_REQUEST_RESUME_KEY, [MS-SMB2] 3.3.5.15.5: the name by which FSCTL_SRV_COPYCHUNK takes an open for its source. It is the
// open's id, which means something in its own session only.
func requestResumeKey(_ context.Context, _ *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	b := smb2.AppendResumeKey(nil, resumeKey(o.id))
	if uint64(len(b)) > uint64(q.MaxOutputResponse) {
		return nil, ntstatus.InvalidParameter
	}
	return b, nil
}

func resumeKey(id smb2.FileID) (key [24]byte) {
	wire.Put64(key[:], id.Persistent)
	wire.Put64(key[8:], id.Volatile)
	return key
}

// source finds the open of this session that a copy reads from, and pins it until done. It may belong to another tree.
func (r *request) source(id smb2.FileID) (o *open, done func(), err error) {
	s := r.session
	s.mu.Lock()
	o = s.opens[id.Volatile]
	s.mu.Unlock()
	if o == nil || o.id != id {
		return nil, nil, ntstatus.ObjectNameNotFound
	}
	if o == r.pinned {
		return o, func() {}, nil
	}
	if err := o.use(r); err != nil {
		return nil, nil, err
	}
	return o, func() { o.unuse(r) }, nil
}
