package tree

import (
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/lock"
)

// FUSE's inclusive ends and the counter's lengths.
func TestSpan(t *testing.T) {
	for _, c := range []struct {
		l           fuse.FileLock
		off, length uint64
		ok          bool
	}{
		{fuse.FileLock{Start: 0, End: 0}, 0, 1, true},
		{fuse.FileLock{Start: 10, End: 19}, 10, 10, true},
		{fuse.FileLock{Start: 0, End: math.MaxInt64}, 0, 0, true},
		{fuse.FileLock{Start: 7, End: math.MaxInt64}, 7, 0, true},
		{fuse.FileLock{Start: 7, End: math.MaxUint64}, 7, 0, true},
		{fuse.FileLock{Start: math.MaxInt64, End: math.MaxInt64}, math.MaxInt64, 0, true},
		{fuse.FileLock{Start: 2, End: 1}, 0, 0, false},
		{fuse.FileLock{Start: 1 << 63, End: math.MaxUint64}, 0, 0, false},
	} {
		if off, length, ok := span(c.l); off != c.off || length != c.length || ok != c.ok {
			t.Errorf("span(%v) = %d+%d %v, want %d+%d %v", c.l, off, length, ok, c.off, c.length, c.ok)
		}
	}
	for _, c := range []struct{ off, length, last uint64 }{
		{0, 0, math.MaxInt64}, {0, 1, 0}, {10, 10, 19}, {5, math.MaxUint64, math.MaxInt64}, {math.MaxUint64, 1, math.MaxInt64},
	} {
		if got := last(c.off, c.length); got != c.last {
			t.Errorf("last(%d, %d) = %d, want %d", c.off, c.length, got, c.last)
		}
	}
}

// Whatever a FUSE lock says, its span is inside what the counter may be asked.
func FuzzSpan(g *testing.F) {
	f := fuzz.On(g)
	f.Add(uint64(0), uint64(math.MaxInt64))
	f.Add(uint64(1), uint64(0))
	f.Add(uint64(math.MaxInt64), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, start, end uint64) {
		off, length, ok := span(fuse.FileLock{Start: start, End: end})
		if ok && (off != start || length > math.MaxInt64 || length == 0 && end < offsetMax || length != 0 && last(off, length) != end) {
			t.Errorf("span(%d, %d) = %d+%d", start, end, off, length)
		}
	})
}

// other is a second process that locks FILE by fcntl and holds what it got until its standard input ends.
func other(t *testing.T, op string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "FUSEFS_CHILD="+op)
	cmd.Stderr = os.Stderr
	return cmd
}

// fcntl locks by SETLK or SETLKW and reports the errno on standard output.
func childLock(path string, cmd int) {
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err == nil {
		err = unix.FcntlFlock(uintptr(fd), cmd, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err != nil {
		os.Stdout.WriteString(unix.ErrnoName(err.(syscall.Errno)) + "\n")
		return
	}
	os.Stdout.WriteString("locked\n")
	os.Stdin.Read(make([]byte, 1))
}

func said(t *testing.T, m *mounted) []string {
	var s []string
	for _, line := range m.counter.heard() {
		if strings.HasPrefix(line, "lock") || strings.HasPrefix(line, "unlock") || line == "cancel" {
			s = append(s, line)
		}
	}
	return s
}

// A process's fcntl locks end when it closes any descriptor of the file; OFD and flock locks when the open file ends. A descriptor on
// which nobody locked costs no question.
func TestLocksEnd(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), nil, 0o644))
	open := func() int {
		fd, err := unix.Open(m.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
		must(t, err)
		return fd
	}
	fcntl := func(cmd int) func(int) error {
		return func(fd int) error {
			return unix.FcntlFlock(uintptr(fd), cmd, &unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10})
		}
	}
	for _, c := range []struct {
		name  string
		take  func(fd int) error
		other bool // close another descriptor of the file than the one that locked
		want  []string
	}{
		{"fcntl", fcntl(unix.F_SETLK), false, []string{"lock 10+10 excl=true flock=false try=true: true", "unlock 0+0 flock=false"}},
		{"fcntl, another descriptor", fcntl(unix.F_SETLKW), true, []string{"lock 10+10 excl=true flock=false try=false: true", "unlock 0+0 flock=false"}},
		{"open file description", fcntl(unix.F_OFD_SETLK), false, []string{"lock 10+10 excl=true flock=false try=true: true", "unlock 0+0 flock=false"}},
		{"flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX) }, false, []string{"lock 0+0 excl=true flock=true try=false: true", "unlock 0+0 flock=true"}},
		{"none", func(int) error { return nil }, false, nil},
	} {
		fd := open()
		must(t, c.take(fd))
		if c.other {
			unix.Close(open())
		} else {
			unix.Close(fd)
		}
		var got []string
		waitFor(t, c.name, func() bool { got = append(got, said(t, m)...); return len(got) >= len(c.want) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: asked\n%q, want\n%q", c.name, got, c.want)
		}
		if c.other {
			unix.Close(fd)
		}
		m.counter.mu.Lock()
		if len(m.counter.ranges) != 0 {
			t.Errorf("%s: still held: %v", c.name, m.counter.ranges)
		}
		m.counter.mu.Unlock()
	}
	waitFor(t, "owners", func() bool { m.owners.mu.Lock(); defer m.owners.mu.Unlock(); return len(m.owners.held) == 0 })
}

// Another process is refused, is told who holds, waits, gets its turn, and is interrupted.
func TestLocksConflict(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), nil, 0o644))
	fd, err := unix.Open(m.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	hold := func() {
		must(t, unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 5, Len: 3}))
	}
	hold()

	out, err := other(t, "setlk", m.at("f")).Output()
	must(t, err)
	if got := string(out); got != "EAGAIN\n" {
		t.Errorf("SETLK against a lock: %q", got)
	}
	out, err = other(t, "getlk", m.at("f")).Output()
	must(t, err)
	if got, want := string(out), sprintLock(unix.F_WRLCK, 5, 3, os.Getpid()); got != want {
		t.Errorf("GETLK: %q, want %q", got, want)
	}

	waiter := other(t, "setlkw", m.at("f"))
	in, err := waiter.StdinPipe()
	must(t, err)
	res, err := waiter.StdoutPipe()
	must(t, err)
	must(t, waiter.Start())
	<-m.counter.blocked
	must(t, unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: 5, Len: 3}))
	b := make([]byte, 100)
	n, _ := res.Read(b)
	if got := string(b[:n]); got != "locked\n" {
		t.Errorf("SETLKW after the unlock: %q", got)
	}
	in.Close()
	waiter.Wait()
	hold()

	waiter = other(t, "setlkw", m.at("f"))
	must(t, waiter.Start())
	<-m.counter.blocked
	must(t, waiter.Process.Signal(syscall.SIGTERM))
	waiter.Wait()
	if got := said(t, m); !slices.Contains(got, "cancel") {
		t.Errorf("after the signal: asked %q, want a cancel", got)
	}
}

// Each answer of the counter has its errno, fcntl(2).
func TestLockErrno(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), nil, 0o644))
	fd, err := unix.Open(m.at("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	for o, want := range map[lock.Outcome]error{
		lock.Denied: unix.EAGAIN, lock.Deadlock: unix.EDEADLK, lock.Limit: unix.ENOLCK, lock.Failed: unix.ENOLCK, lock.Stale: unix.ENOLCK,
		lock.Grace: unix.EAGAIN, lock.Invalid: unix.EINVAL,
	} {
		m.counter.refusing(func(what any) lock.Outcome {
			if _, ok := what.(lock.LockRequest); ok {
				return o
			}
			return 0
		})
		if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != want {
			t.Errorf("%v: %v, want %v", o, err, want)
		}
	}
}
