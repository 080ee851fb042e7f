package server

import (
	"dittofs/gateway/lock"
	"dittofs/lockd/nlm"
)

// status is the counter's answer in NLM's words, RFC 1813 §6.1.4. A counter that could not be asked is DENIED_NOLOCKS: the client may try
// again, and holds nothing.
func status(out lock.Outcome, err error) nlm.Status {
	if err != nil {
		return nlm.DeniedNoLocks
	}
	switch out {
	case lock.Granted:
		return nlm.Granted
	case lock.Blocked:
		return nlm.Blocked
	case lock.Denied, lock.SharingDenied, lock.DeletePending, lock.TimedOut, lock.Cancelled:
		return nlm.Denied
	case lock.Grace:
		return nlm.DeniedGracePeriod
	case lock.Deadlock:
		return nlm.Deadlock
	case lock.Stale:
		return nlm.StaleFH
	case lock.Invalid:
		return nlm.TooBig
	}
	return nlm.DeniedNoLocks // Limit, Failed
}
