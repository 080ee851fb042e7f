package tree

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/ipc"
)

// The test binary is also the other processes: FUSEFS_CHILD says which.
func TestMain(m *testing.M) {
	switch os.Getenv("FUSEFS_CHILD") {
	case "":
		os.Exit(m.Run())
	case "mount":
		childMount(os.Args[1])
	case "setlk":
		childLock(os.Args[1], unix.F_SETLK)
	case "setlkw":
		childLock(os.Args[1], unix.F_SETLKW)
	case "getlk":
		fd, err := unix.Open(os.Args[1], unix.O_RDWR, 0)
		l := unix.Flock_t{Type: unix.F_WRLCK}
		if err == nil {
			err = unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &l)
		}
		if err != nil {
			panic(err)
		}
		fmt.Print(sprintLock(l.Type, l.Start, l.Len, int(l.Pid)))
	case "stat":
		childStat(os.Args[1])
	}
}

func sprintLock(typ int16, start, length int64, pid int) string {
	return fmt.Sprintf("%d %d+%d %d", typ, start, length, pid)
}

// childMount mounts and serves until it is killed.
func childMount(dir string) {
	ctx := context.Background()
	g, err := prepare(ctx, dir, time.Second)
	if err == nil {
		var t *Tree
		c := newCounter()
		t, err = newTree(treeConfig{name: "test", root: g.root, seat: c.seat, unheard: func() bool { return false }, log: slog.New(slog.DiscardHandler),
			metrics: newMetrics(prometheus.NewRegistry())})
		if err == nil {
			c.describe = t.describe
			_, err = t.mount(ctx, g, func() {})
		}
	}
	fmt.Println("mounted:", err)
	os.Stdin.Read(make([]byte, 1))
}

// childStat proves a descriptor that came from another process: opened beneath, named by handle, opened by handle.
func childStat(sock string) {
	trees, err := ipc.TakeTrees(context.Background(), sock)
	if err != nil {
		panic(err)
	}
	root := int(trees[0].Root.Fd())
	fd, err := openBeneath(root, "f", unix.O_PATH, 0)
	if err != nil {
		panic(err)
	}
	h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		panic(err)
	}
	fd, err = unix.OpenByHandleAt(root, h, unix.O_RDONLY)
	if err != nil {
		panic(err)
	}
	b := make([]byte, 100)
	n, err := unix.Read(fd, b)
	fmt.Print(string(b[:n]), err)
}

func startMount(t *testing.T, dir string) (cmd *exec.Cmd, said string) {
	t.Helper()
	cmd = other(t, "mount", dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	_, err = cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	said, err = bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return cmd, strings.TrimSpace(said)
}

// A mount that a killed daemon left is removed, though it happened more than once; a living one is left alone.
func TestKilled(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "fusefs")
	must(t, err)
	t.Cleanup(func() {
		for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		}
		os.RemoveAll(dir)
	})
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("data"), 0o644))
	for range 3 {
		cmd, said := startMount(t, dir)
		if said != "mounted: <nil>" {
			t.Fatalf("child: %s", said)
		}
		b, err := exec.Command("cat", filepath.Join(dir, "f")).Output()
		if string(b) != "data" || err != nil {
			t.Fatalf("through the mount: %q, %v", b, err)
		}
		must(t, cmd.Process.Kill())
		cmd.Wait()
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != unix.ENOTCONN {
			t.Fatalf("after the kill: %v", err)
		}
	}
	cmd, _ := startMount(t, dir)
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if _, err := prepare(t.Context(), dir, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "another dittofs-fusefs has mounted it") {
		t.Errorf("a second daemon: %v", err)
	}
	m, err := readMounts()
	must(t, err)
	if n := len(m) - len(slices.DeleteFunc(slices.Clone(m), func(o mount) bool { return o.point == dir })); n != 1 {
		t.Errorf("%d mounts at the path, want 1", n)
	}
}

// What is not a directory is refused with one clear line, and nothing stays behind.
func TestPrepareRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): filepath.Join(dir, "missing") + ": no such file or directory",
		file:                          file + ": not a directory",
	} {
		if _, err := prepare(t.Context(), path, 0); err == nil || err.Error() != want {
			t.Errorf("prepare(%s): %v, want %s", path, err, want)
		}
	}
}

// After unmounting, the directory is as any directory, and its files have what was written.
func TestUnmount(t *testing.T) {
	dir := t.TempDir()
	t.Run("mounted", func(t *testing.T) {
		m := mountAt(t, dir, false)
		must(t, os.WriteFile(m.at("f"), []byte("kept"), 0o644))
	})
	if b, err := os.ReadFile(filepath.Join(dir, "f")); string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
	m, err := readMounts()
	must(t, err)
	for _, one := range m {
		if one.source == source("test") {
			t.Errorf("still mounted: %+v", one)
		}
	}
}

// The clone's descriptor works in another process, beneath the mount.
func TestCloneTravels(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("beneath "), 0o644))
	sock := filepath.Join(t.TempDir(), "trees.sock")
	l, err := ipc.ListenTrees(sock)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ipc.ServeTrees(ctx, l, ipc.NewTrees(nil), nil) }()
	must(t, ipc.OfferTrees(ctx, sock, []ipc.Tree{{Name: "test", Path: m.dir, Root: m.root}}))
	m.counter.heard()
	out, err := other(t, "stat", sock).Output()
	must(t, err)
	if string(out) != "beneath <nil>" {
		t.Errorf("the other process says %q", out)
	}
	if s := m.counter.heard(); len(s) != 0 {
		t.Errorf("it went through the mount: %q", s)
	}
	cancel()
	<-done
}

func TestParseMount(t *testing.T) {
	for line, want := range map[string]mount{
		`36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`:                {"36", "98:0", "/mnt2", "ext3", "/dev/root"},
		`36 35 0:40 / /srv/a\040b\134c rw - fuse.dittofs dittofs:a\040b rw`:                             {"36", "0:40", `/srv/a b\c`, fsType, "dittofs:a b"},
		`36 35 0:40 / /x rw shared:1 master:2 propagate_from:3 - fuse.dittofs dittofs:x rw,user_id=0,y`: {"36", "0:40", "/x", fsType, "dittofs:x"},
	} {
		if got, ok := parseMount(line); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
	for _, line := range []string{"", "36", "36 35 98:0 / /x rw", "36 35 - ext3 x"} {
		if got, ok := parseMount(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func FuzzParseMount(g *testing.F) {
	f := fuzz.On(g)
	f.Add(`36 35 0:40 / /srv/a\040b rw - fuse.dittofs dittofs:a rw`)
	f.Add(`\04 \ \999 - - -`)
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := parseMount(line); ok && len(m.point) > len(line) {
			t.Errorf("%q grew to %q", line, m.point)
		}
	})
}

func TestInside(t *testing.T) {
	for _, c := range []struct {
		dir, p string
		want   bool
	}{{"/a", "/a/b", true}, {"/a", "/a", false}, {"/a", "/ab", false}, {"/", "/a", true}, {"/a/b", "/a", false}} {
		if inside(c.dir, c.p) != c.want {
			t.Errorf("inside(%s, %s) = %v", c.dir, c.p, !c.want)
		}
	}
}
