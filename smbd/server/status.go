package server

import (
	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
)

// What a refusal by the counter is in each place, SEMANTICS of the law's part B: STATUS_SHARING_VIOLATION on an open,
// STATUS_FILE_LOCK_CONFLICT on data, STATUS_LOCK_NOT_GRANTED on LOCK.

// refused is what the outcomes mean that mean the same everywhere.
func refused(o lock.Outcome) error {
	switch o {
	case lock.Granted:
		return nil
	case lock.SharingDenied:
		return ntstatus.SharingViolation
	case lock.DeletePending:
		return ntstatus.DeletePending
	case lock.Deadlock:
		return ntstatus.PossibleDeadlock
	case lock.Limit, lock.Failed:
		return ntstatus.InsufficientResources
	case lock.Stale:
		return ntstatus.FileClosed
	case lock.NotLocked:
		return ntstatus.RangeNotLocked
	case lock.Cancelled:
		return ntstatus.Cancelled
	case lock.TimedOut:
		return ntstatus.IoTimeout
	case lock.Invalid:
		return ntstatus.InvalidParameter
	}
	return ntstatus.InternalError
}

func openRefused(o lock.Outcome) error {
	switch o {
	case lock.Denied, lock.TimedOut:
		return ntstatus.SharingViolation
	}
	return refused(o)
}

func accessRefused(o lock.Outcome) error {
	switch o {
	case lock.Denied:
		return ntstatus.FileLockConflict
	}
	return refused(o)
}

func lockRefused(o lock.Outcome) error {
	switch o {
	case lock.Denied, lock.Grace:
		return ntstatus.LockNotGranted
	case lock.Invalid:
		return ntstatus.InvalidLockRange
	}
	return refused(o)
}

func reconnectRefused(o lock.Outcome) error {
	switch o {
	case lock.Denied:
		return ntstatus.AccessDenied
	case lock.Invalid: // the lease is another file's
		return ntstatus.InvalidParameter
	case lock.Limit, lock.Failed:
		return refused(o)
	}
	return ntstatus.ObjectNameNotFound
}

func ackRefused(o lock.Outcome) error {
	switch o {
	case lock.Late:
		return ntstatus.Unsuccessful // [MS-SMB2] 3.3.5.22.2: no break is in progress
	case lock.Invalid:
		return ntstatus.RequestNotAccepted
	case lock.Stale:
		return ntstatus.ObjectNameNotFound
	}
	return refused(o)
}
