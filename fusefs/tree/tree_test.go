package tree

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
)

// mounted is a tree over a directory of its own. Beneath reaches the directory under the mount.
type mounted struct {
	*Tree
	dir     string
	beneath string
	counter *counter
}

func (m *mounted) at(name string) string    { return filepath.Join(m.dir, name) }
func (m *mounted) under(name string) string { return filepath.Join(m.beneath, name) }

// mountTree mounts over a new directory. plain: without passthrough.
func mountTree(t testing.TB, plain bool) *mounted {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "fusefs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	return mountAt(t, dir, plain)
}

func mountAt(t testing.TB, dir string, plain bool) *mounted {
	t.Helper()
	g, err := prepare(t.Context(), dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	c := newCounter()
	tr, err := newTree(treeConfig{name: "test", root: g.root, through: !plain, seat: c.seat, unheard: func() bool { return false }, log: slog.New(slog.NewTextHandler(&testLog{t}, nil)),
		metrics: newMetrics(prometheus.NewRegistry())})
	if err != nil {
		t.Fatal(err)
	}
	c.describe = tr.describe
	unmount, err := tr.mount(context.WithoutCancel(t.Context()), g, func() { t.Error("unmounted by somebody else") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unmount)
	// The test's own process polls files of the mount, which a daemon never does.
	if err := tr.server.WaitMount(); err != nil {
		t.Fatal(err)
	}
	return &mounted{Tree: tr, dir: dir, beneath: proc(int(g.root.Fd())), counter: c}
}

type testLog struct{ t testing.TB }

func (l *testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor polls until ok: for what the kernel tells us after it has answered the program, as RELEASE.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 5 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A file written through the mount is there beneath it, and the other way round, with the same inode number.
func TestSameFile(t *testing.T) {
	for _, plain := range []bool{false, true} {
		m := mountTree(t, plain)
		must(t, os.WriteFile(m.at("up"), []byte("through the mount"), 0o640))
		must(t, os.WriteFile(m.under("down"), []byte("beneath"), 0o600))
		for _, name := range []string{"up", "down"} {
			a, err := os.ReadFile(m.at(name))
			must(t, err)
			b, err := os.ReadFile(m.under(name))
			must(t, err)
			if string(a) != string(b) {
				t.Errorf("%s: %q through the mount, %q beneath", name, a, b)
			}
			var sa, sb unix.Stat_t
			must(t, unix.Stat(m.at(name), &sa))
			must(t, unix.Stat(m.under(name), &sb))
			sa.Dev = sb.Dev
			if sa != sb {
				t.Errorf("%s: stat %+v through the mount, %+v beneath", name, sa, sb)
			}
		}
	}
}

func TestPosix(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for name, f := range posixtest.All {
			switch name {
			case "XAttrLarge": // ext4 has no room for it
				continue
			case "FcntlFlockLocksFile": // takes two open files of one process for two owners, which they are not: fcntl(2)
				continue
			}
			t.Run(name+map[bool]string{true: "/plain", false: "/passthrough"}[plain], func(t *testing.T) {
				m := mountTree(t, plain)
				f(t, m.dir)
			})
		}
	}
}

// The key of a node is the one by which the network doors know the file.
func TestKeyAgreesWithExport(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), nil, 0o644))
	must(t, os.Symlink("nowhere", m.under("l")))
	must(t, os.Mkdir(m.under("d"), 0o755))
	for _, name := range []string{"f", "l", "d"} {
		fd, err := child(m.rootFD, name)
		must(t, err)
		want, err := export.KeyOf(fd)
		must(t, err)
		e, err := m.identify(fd)
		must(t, err)
		unix.Close(fd)
		if e.key != want {
			t.Errorf("%s: key %v, export says %v", name, e.key, want)
		}
		if byName, err := m.entry(m.rootFD, name); err != nil || byName.key != want || byName.st != e.st || !bytes.Equal(byName.handle.Bytes(), e.handle.Bytes()) {
			t.Errorf("%s: by its name %+v, %v; open %+v", name, byName, err, e)
		}
	}
}

// A name is identified in its own mount only: what somebody mounts over it is another tree's.
func TestEntryCrossesNoMount(t *testing.T) {
	m := mountTree(t, false)
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "over"), 0o755))
	must(t, unix.Mount("none", filepath.Join(dir, "over"), "tmpfs", 0, ""))
	defer unix.Unmount(filepath.Join(dir, "over"), unix.MNT_DETACH)
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(at)
	for name, want := range map[string]error{"over": unix.EXDEV, "../x": unix.EINVAL, "": unix.EINVAL} {
		if e, err := m.entry(at, name); err != want {
			t.Errorf("%q: %v, %v", name, e.key, err)
		}
	}
}

// An open is one message; a new file is made before it is opened; a truncating open overwrites.
func TestOpenAsks(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("old"), 0o644))
	must(t, os.Mkdir(m.under("d"), 0o755))
	for _, c := range []struct {
		name  string
		flags int
		want  []string
	}{
		{"f", os.O_RDONLY, []string{"open f access=1 overwrite=false ticket=true: granted", "close f"}},
		{"f", os.O_WRONLY, []string{"open f access=2 overwrite=false ticket=true: granted", "close f"}},
		{"f", os.O_RDWR | unix.O_NONBLOCK, []string{"open f access=3 overwrite=false ticket=false: granted", "close f"}},
		{"f", os.O_RDWR | os.O_TRUNC, []string{"open f access=3 overwrite=true ticket=true: granted", "close f"}},
		{"d/n", os.O_RDWR | os.O_CREATE, []string{"changedir 0+0: granted", "open d/n access=3 overwrite=false ticket=true: granted", "close d/n"}},
	} {
		m.counter.heard()
		fd, err := unix.Open(m.at(c.name), c.flags, 0o644)
		must(t, err)
		unix.Close(fd)
		var got []string
		waitFor(t, "close", func() bool {
			got = append(got, m.counter.heard()...)
			return len(got) > 0 && strings.HasPrefix(got[len(got)-1], "close")
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("open %s %#x: asked\n%q, want\n%q", c.name, c.flags, got, c.want)
		}
	}
}

// What the counter refuses, the program is refused with the law's errno, and nothing has happened.
func TestRefusals(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("data"), 0o644))
	must(t, os.Mkdir(m.under("d"), 0o755))
	op := func(want lock.Op, o lock.Outcome) func(any) lock.Outcome {
		return func(what any) lock.Outcome {
			if a, ok := what.(lock.AccessRequest); ok && a.Op == want {
				return o
			}
			return 0
		}
	}
	open := func(o lock.Outcome) func(any) lock.Outcome {
		return func(what any) lock.Outcome {
			if _, ok := what.(lock.OpenRequest); ok {
				return o
			}
			return 0
		}
	}
	openFlags := func(flags int) func() error {
		return func() error {
			fd, err := unix.Open(m.at("f"), flags, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	for _, c := range []struct {
		name   string
		refuse func(any) lock.Outcome
		do     func() error
		want   error
	}{
		{"open against a deny mode", open(lock.SharingDenied), openFlags(unix.O_RDWR), unix.EACCES},
		{"truncating open against a deny mode", open(lock.SharingDenied), openFlags(unix.O_WRONLY | unix.O_TRUNC), unix.EACCES},
		{"open of a file that is going", open(lock.DeletePending), openFlags(unix.O_RDONLY), unix.ENOENT},
		{"open that will not wait", open(lock.Blocked), openFlags(unix.O_RDWR | unix.O_NONBLOCK), unix.EAGAIN},
		{"too many opens", open(lock.Limit), openFlags(unix.O_RDONLY), unix.ENFILE},
		{"truncate against a deny mode", op(lock.OpSetSize, lock.SharingDenied), func() error { return unix.Truncate(m.at("f"), 1) }, unix.EACCES},
		{"truncate of a locked range", op(lock.OpSetSize, lock.Denied), func() error { return unix.Truncate(m.at("f"), 1) }, unix.EAGAIN},
		{"chmod", op(lock.OpSetAttr, lock.TimedOut), func() error { return unix.Chmod(m.at("f"), 0o600) }, unix.EAGAIN},
		{"unlink against a deny mode", op(lock.OpRemove, lock.SharingDenied), func() error { return unix.Unlink(m.at("f")) }, unix.EACCES},
		{"unlink that waited too long", op(lock.OpRemove, lock.TimedOut), func() error { return unix.Unlink(m.at("f")) }, unix.EBUSY},
		{"rmdir", op(lock.OpRemove, lock.SharingDenied), func() error { return unix.Rmdir(m.at("d")) }, unix.EACCES},
		{"rename", op(lock.OpRename, lock.SharingDenied), func() error { return unix.Rename(m.at("f"), m.at("g")) }, unix.EACCES},
		{"link", op(lock.OpLink, lock.TimedOut), func() error { return unix.Link(m.at("f"), m.at("g")) }, unix.EBUSY},
		{"mkdir in a leased directory", op(lock.OpChangeDir, lock.TimedOut), func() error { return unix.Mkdir(m.at("e"), 0o755) }, unix.EBUSY},
	} {
		m.counter.refusing(c.refuse)
		if err := c.do(); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	m.counter.refusing(nil)
	b, err := os.ReadFile(m.under("f"))
	if string(b) != "data" || err != nil {
		t.Errorf("the file is now %q, %v", b, err)
	}
	names, err := os.ReadDir(m.beneath)
	must(t, err)
	if len(names) != 2 {
		t.Errorf("names are now %v", names)
	}
	m.post.flush()
	m.counter.mu.Lock()
	defer m.counter.mu.Unlock()
	if len(m.counter.busy) != 0 {
		t.Errorf("%d operations without an end", len(m.counter.busy))
	}
}

// An open that waits for a lease is interrupted by a signal, and its ticket is cancelled.
func TestOpenInterrupted(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("data"), 0o644))
	m.counter.refusing(func(what any) lock.Outcome {
		if _, ok := what.(lock.OpenRequest); ok {
			return lock.Blocked
		}
		return 0
	})
	cmd := exec.Command("cat", m.at("f"))
	must(t, cmd.Start())
	<-m.counter.blocked
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	cmd.Wait()
	if got := m.counter.heard(); got[len(got)-1] != "cancel" {
		t.Errorf("asked %q, want a cancel at the end", got)
	}
}

// An open that waits goes on when the counter answers.
func TestOpenWaits(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("data"), 0o644))
	m.counter.refusing(func(what any) lock.Outcome {
		if _, ok := what.(lock.OpenRequest); ok {
			return lock.Blocked
		}
		return 0
	})
	cmd := exec.Command("cat", m.at("f"))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	m.counter.seat.Deliver(lock.Answer{Ticket: <-m.counter.blocked, Outcome: lock.Granted})
	b, err := io.ReadAll(out)
	must(t, err)
	must(t, cmd.Wait())
	if string(b) != "data" {
		t.Errorf("read %q", b)
	}
}

// The other doors hear of names and of data, by key.
func TestTells(t *testing.T) {
	m := mountTree(t, false)
	type said struct {
		name   string
		action lock.Action
		data   bool
	}
	for _, c := range []struct {
		what string
		do   func() error
		want []said
	}{
		{"create and write", func() error { return os.WriteFile(m.at("f"), []byte("x"), 0o644) },
			[]said{{"f", lock.Added, false}, {"f", lock.Modified, true}}},
		{"mkdir", func() error { return os.Mkdir(m.at("d"), 0o755) }, []said{{"d", lock.Added, false}}},
		{"rename", func() error { return os.Rename(m.at("f"), m.at("d/g")) },
			[]said{{"f", lock.MovedAway, false}, {"g", lock.MovedHere, false}}},
		{"truncate", func() error { return os.Truncate(m.at("d/g"), 0) }, []said{{"g", lock.Modified, true}}},
		{"chmod", func() error { return os.Chmod(m.at("d/g"), 0o600) }, []said{{"g", lock.Modified, false}}},
		{"read", func() error { _, err := os.ReadFile(m.at("d/g")); return err }, nil},
		{"unlink", func() error { return os.Remove(m.at("d/g")) }, []said{{"g", lock.Removed, false}}},
	} {
		must(t, c.do())
		m.post.flush()
		m.counter.mu.Lock()
		var got []said
		for _, ch := range m.counter.changes {
			got = append(got, said{ch.Name, ch.Action, ch.Data})
			if ch.Key.IsZero() || ch.Dir.IsZero() || ch.By != lock.Local || ch.Filter == 0 {
				t.Errorf("%s: incomplete change %+v", c.what, ch)
			}
		}
		m.counter.changes = nil
		m.counter.mu.Unlock()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: told %v, want %v", c.what, got, c.want)
		}
	}
}

// The kernel keeps a directory's list of names, and forgets it when another door adds or removes one. What local programs do it sees at once.
func TestListIsKept(t *testing.T) {
	m := mountTree(t, false)
	list := func() string {
		d, err := os.ReadDir(m.dir)
		must(t, err)
		var names []string
		for _, e := range d {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	must(t, os.WriteFile(m.at("a"), nil, 0o644))
	list()
	must(t, os.WriteFile(m.under("b"), nil, 0o644))
	if got := list(); got != "a" {
		t.Errorf("the list was not kept: %q", got)
	}
	dir := m.nodes.byNumber(rootID).key
	m.invalidate(lock.Change{Dir: dir, Name: "b", Action: lock.Added, By: lock.SMB})
	if got := list(); got != "a b" {
		t.Errorf("after another door added b: %q", got)
	}
	must(t, os.WriteFile(m.at("c"), nil, 0o644))
	if got := list(); got != "a b c" {
		t.Errorf("after a local program added c: %q", got)
	}
	must(t, os.Remove(m.under("a")))
	m.invalidate(lock.Change{Dir: dir, Name: "a", Action: lock.Removed, By: lock.NFS})
	if got := list(); got != "b c" {
		t.Errorf("after another door removed a: %q", got)
	}
}

// A change by another door is seen at once, not after cacheTime.
func TestInvalidation(t *testing.T) {
	for _, plain := range []bool{false, true} {
		m := mountTree(t, plain)
		must(t, os.WriteFile(m.under("f"), []byte("1"), 0o644))
		must(t, os.WriteFile(m.under("gone"), nil, 0o644))
		for _, name := range []string{"f", "gone"} {
			_, err := os.Stat(m.at(name))
			must(t, err)
		}
		f, err := os.Open(m.at("f"))
		must(t, err)
		defer f.Close()
		io.ReadAll(f)

		key := func(name string) lock.Key {
			fd, err := child(m.rootFD, name)
			must(t, err)
			defer unix.Close(fd)
			k, err := export.KeyOf(fd)
			must(t, err)
			return k
		}
		dir := m.nodes.byNumber(rootID).key
		file, gone := key("f"), key("gone")
		must(t, os.WriteFile(m.under("f"), []byte("longer"), 0o644))
		must(t, os.Remove(m.under("gone")))
		m.invalidate(lock.Change{Key: file, Action: lock.Modified, Data: true, By: lock.NFS})
		m.invalidate(lock.Change{Key: gone, Dir: dir, Name: "gone", Action: lock.Removed, By: lock.SMB})
		st, err := os.Stat(m.at("f"))
		must(t, err)
		if st.Size() != 6 {
			t.Errorf("plain=%v: size %d after the change, want 6", plain, st.Size())
		}
		b := make([]byte, 10)
		n, _ := f.ReadAt(b, 0)
		if string(b[:n]) != "longer" {
			t.Errorf("plain=%v: read %q after the change", plain, b[:n])
		}
		if _, err := os.Stat(m.at("gone")); !os.IsNotExist(err) {
			t.Errorf("plain=%v: the removed name: %v", plain, err)
		}
		// A rename beneath the mount leaves an open file and its node valid.
		must(t, os.Rename(m.under("f"), m.under("g")))
		m.invalidate(lock.Change{Key: file, Dir: dir, Name: "f", Action: lock.RenamedOld})
		m.invalidate(lock.Change{Key: file, Dir: dir, Name: "g", Action: lock.RenamedNew})
		st, err = f.Stat()
		must(t, err)
		if _, err := os.Stat(m.at("g")); err != nil || st.Size() != 6 {
			t.Errorf("plain=%v: after a rename: %v, size %d", plain, err, st.Size())
		}
	}
}

// Delete pending: the last close, here a local one, removes the name.
func TestDeleteAtClose(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.Mkdir(m.under("d"), 0o755))
	must(t, os.WriteFile(m.under("d/f"), nil, 0o644))
	f, err := os.Open(m.at("d/f"))
	must(t, err)
	m.counter.mu.Lock()
	m.counter.deletes = true
	m.counter.mu.Unlock()
	f.Close()
	waitFor(t, "the name goes", func() bool {
		_, err := os.Lstat(m.under("d/f"))
		return os.IsNotExist(err)
	})
}
