package wire

import (
	"math"
	"time"
)

// Filetime counts 100 ns from 1601-01-01 UTC, [MS-DTYP] 2.3.3. It is signed, because [MS-FSCC] gives -1 and -2 a meaning.
type Filetime int64

// The Unix epoch as a FILETIME, in seconds.
const epoch = 11644473600

// FiletimeOf converts t, losing what is below 100 ns. The zero time is 0; a time outside the range becomes the nearest within.
func FiletimeOf(t time.Time) Filetime {
	if t.IsZero() {
		return 0
	}
	s := t.Unix() + epoch
	switch {
	case s < 0:
		return 0
	case s > math.MaxInt64/10_000_000-1:
		return math.MaxInt64
	}
	return Filetime(s*10_000_000 + int64(t.Nanosecond())/100)
}

// Time converts f exactly. 0 and negative values are the zero time.
func (f Filetime) Time() time.Time {
	if f <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(f)/10_000_000-epoch, int64(f)%10_000_000*100).UTC()
}
