package export

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A thread has the groups of whom it acts as, and nobody's when it is itself again.
func TestAsGroups(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, groups := range [][]uint32{nil, {7, 8}, nil} {
		must(t, As(Cred{UID: 1234, GID: 5678, Groups: groups}, func() error {
			have, err := unix.Getgroups()
			if len(have) != len(groups) || !slices.EqualFunc(have, groups, func(a int, b uint32) bool { return a == int(b) }) {
				t.Errorf("as a user in %v: %v", groups, have)
			}
			return err
		}))
		if have, _ := unix.Getgroups(); len(have) != 0 {
			t.Errorf("itself again: %v", have)
		}
	}
}
