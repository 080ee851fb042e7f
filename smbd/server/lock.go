package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// LOCK, [MS-SMB2] 3.3.5.14 and [MS-FSA] 2.1.5.8, 2.1.5.9.

func lockRanges(ctx context.Context, r *request) (reply, error) {
	var q smb2.LockRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case len(q.Locks) == 0:
		return nil, ntstatus.InvalidParameter
	case o.pipe != nil || o.directory:
		return nil, ntstatus.InvalidDeviceRequest
	case o.access&(smb2.FileReadData|writesData|smb2.FileExecute) == 0:
		return nil, ntstatus.AccessDenied
	}
	if o.repeated(r, &q) {
		return &smb2.LockResponse{}, nil
	}
	switch {
	case q.Locks[0].Flags&smb2.LockFlagUnlock != 0:
		err = unlockAll(ctx, o, q.Locks)
	case r.session.expired():
		// LOCK is processed on an expired session so that ranges can be freed, [MS-SMB2] 3.3.5.2.9. Implementation specific, as Windows
		// does: a new range has to wait until the client has proved again who it is, 3.2.5.1.6.
		err = ntstatus.NetworkSessionExpired
	default:
		err = lockAll(ctx, r, o, q.Locks)
	}
	if err != nil {
		return nil, err
	}
	o.locked(&q)
	return &smb2.LockResponse{}, nil
}

// unlockAll frees one range after the other; what was freed before a failure stays free. [MS-SMB2] 3.3.5.14.1.
func unlockAll(ctx context.Context, o *open, locks []smb2.LockElement) error {
	for _, l := range locks {
		if l.Flags != smb2.LockFlagUnlock {
			return ntstatus.InvalidParameter
		}
		res, err := o.session.s.locks.Unlock(ctx, o.lockRequest(l))
		if err != nil {
			return err
		}
		if res.Outcome != lock.Granted {
			return lockRefused(res.Outcome)
		}
	}
	return nil
}

// lockAll takes all ranges or none. Only a single range may be waited for. [MS-SMB2] 3.3.5.14.2.
func lockAll(ctx context.Context, r *request, o *open, locks []smb2.LockElement) error {
	for _, l := range locks {
		switch l.Flags {
		case smb2.LockFlagSharedLock, smb2.LockFlagExclusiveLock:
			if len(locks) > 1 {
				return ntstatus.InvalidParameter
			}
		case smb2.LockFlagSharedLock | smb2.LockFlagFailImmediately, smb2.LockFlagExclusiveLock | smb2.LockFlagFailImmediately:
		default:
			return ntstatus.InvalidParameter
		}
	}
	if err := o.known(ctx); err != nil {
		return err
	}
	for i, l := range locks {
		q := o.lockRequest(l)
		q.Try = q.Try || !r.last // what follows in a compound may be what ends the wait
		res, err := o.session.s.locks.Lock(ctx, q, r.pend)
		if err == nil && res.Outcome != lock.Granted {
			err = lockRefused(res.Outcome)
			if why := context.Cause(ctx); res.Outcome == lock.Cancelled && why != nil {
				err = why
			}
		}
		if err != nil {
			for _, taken := range locks[:i] {
				o.session.s.locks.Unlock(context.WithoutCancel(ctx), o.lockRequest(taken))
			}
			return err
		}
	}
	return nil
}

func (o *open) lockRequest(l smb2.LockElement) lock.LockRequest {
	o.mu.Lock()
	path := o.path
	o.mu.Unlock()
	return lock.LockRequest{Key: o.key, Owner: o.owner, Open: o.number, Offset: l.Offset, Length: l.Length, Path: path, User: o.session.who(),
		Exclusive: l.Flags&smb2.LockFlagExclusiveLock != 0, Try: l.Flags&smb2.LockFlagFailImmediately != 0}
}
