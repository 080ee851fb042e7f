package fscc

import (
	"time"

	"dittofs/smbd/wire"
)

// What a time means in FileBasicInformation when it is set, [MS-FSCC] 2.4.7. Times below are refused.
const (
	TimeKeep   wire.Filetime = 0  // leave it
	TimeFreeze wire.Filetime = -1 // leave it, and let no later operation through this open change it
	TimeThaw   wire.Filetime = -2 // let operations change it again
)

// SetTime is the time to set, where f is one; set is false for TimeKeep, TimeFreeze and TimeThaw. A negative f below them is not
// valid: STATUS_INVALID_PARAMETER.
func SetTime(f wire.Filetime) (t time.Time, set, valid bool) {
	switch {
	case f > 0:
		return f.Time(), true, true
	default:
		return time.Time{}, false, f >= TimeThaw
	}
}
