package export

import (
	"fmt"
	"os"
	"path/filepath"
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

// What is remembered of a directory that changes all the time ends with its mode, its owner, and the coming of an ACL.
func TestBusyDirectoryIsJudgedByWhatItIs(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	d, err := r.Lookup(Root, "d")
	must(t, err)
	defer d.Release()
	path, who := dir+"/d", Cred{UID: 1001, GID: 5}
	deny := ACL{{ACLOwner, 7, 0}, {ACLUser, 0, 1001}, {ACLGroupObj, 5, 0}, {ACLMask, 5, 0}, {ACLOther, 5, 0}}
	for i, c := range []struct {
		change func() error
		want   uint32
	}{
		{func() error { return nil }, unix.R_OK | unix.X_OK},
		{func() error { return os.Chmod(path, 0o700) }, 0},
		{func() error { return os.Chmod(path, 0o755) }, unix.R_OK | unix.X_OK},
		{func() error { return unix.Setxattr(path, AccessACL, deny.Append(nil), 0) }, 0},
		{func() error { return unix.Removexattr(path, AccessACL) }, unix.R_OK | unix.X_OK},
		{func() error { return os.Chown(path, 1001, 0) }, unix.R_OK | unix.W_OK | unix.X_OK},
	} {
		must(t, c.change())
		for j := range 4 {
			must(t, os.WriteFile(filepath.Join(path, fmt.Sprint(i, j)), nil, 0o600))
			a, err := d.Stat()
			must(t, err)
			if got, err := d.Allowed(who, &a); got != c.want || err != nil {
				t.Errorf("change %d, %d names later: %o %v, want %o", i, j, got, err, c.want)
			}
		}
	}
	if n := d.nextVerdict; n < 3 {
		t.Errorf("remembered %d times", n)
	}
}
