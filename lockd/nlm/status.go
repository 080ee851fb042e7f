package nlm

import (
	"fmt"

	"dittofs/gateway/xdr"
)

// Status is nlm4_stats, RFC 1813 §6.1.4, of which versions 1 and 3 know the first six.
type Status uint32

// States.
const (
	Granted           Status = 0
	Denied            Status = 1
	DeniedNoLocks     Status = 2
	Blocked           Status = 3
	DeniedGracePeriod Status = 4
	Deadlock          Status = 5
	ReadOnlyFS        Status = 6
	StaleFH           Status = 7
	TooBig            Status = 8
	Failed            Status = 9
)

func (s Status) String() string {
	names := [...]string{"GRANTED", "DENIED", "DENIED_NOLOCKS", "BLOCKED", "DENIED_GRACE_PERIOD", "DEADLCK", "ROFS", "STALE_FH", "FBIG", "FAILED"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("nlm4_stats(%d)", uint32(s))
}

// status moves s. What versions 1 and 3 have no word for is told as DENIED_NOLOCKS.
func (v Version) status(x *xdr.Stream, s *Status) {
	w := *s
	if !x.Decoding() && v.narrow() && w > Deadlock {
		w = DeniedNoLocks
	}
	xdr.Enum(x, &w)
	*s = w
}
