package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// instead has this test's namespace see text at path.
func instead(t *testing.T, path, text string) {
	t.Helper()
	f := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(f, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

// With manage_gids a user reads what his twentieth group may, though no call can carry so many groups.
func TestGroupsOfTheHost(t *testing.T) {
	const uid, first = 4711, 5000
	passwd, _ := os.ReadFile("/etc/passwd")
	group, _ := os.ReadFile("/etc/group")
	instead(t, "/etc/passwd", string(passwd)+fmt.Sprintf("many:x:%d:%d::/:/bin/sh\n", uid, first))
	more := string(group)
	for i := range 21 {
		more += fmt.Sprintf("many%d:x:%d:many\n", i, first+i)
	}
	instead(t, "/etc/group", more)
	dir := tree(t)
	g := up(t, dir)
	write(t, filepath.Join(dir, "f"), "for the twentieth")
	os.Chown(filepath.Join(dir, "f"), 0, first+20)
	os.Chmod(filepath.Join(dir, "f"), 0o640)
	n := g.nfs(t, uid)
	fh := n.must("f")
	if _, st := n.read(fh, 0, 100); st != nfsAcces {
		t.Errorf("READ with the groups of the call: %d, want %d", st, nfsAcces)
	}

	file := filepath.Join(g.State, "gateway.toml")
	b, _ := os.ReadFile(file)
	os.WriteFile(file, []byte(strings.Replace(string(b), "manage_gids = false", "manage_gids = true", 1)), 0o600)
	old := g.pid("gateway")
	syscall.Kill(old, syscall.SIGKILL) // it is started again
	for deadline := time.Now().Add(20 * time.Second); g.pid("gateway") == old || !g.serving(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gateway did not come back")
		}
	}
	n = g.nfs(t, uid)
	if data, st := n.read(fh, 0, 100); st != nfsOK || data != "for the twentieth" {
		t.Errorf("READ with the groups of the host: %q %d", data, st)
	}
	if _, st := g.nfs(t, uid+1).read(fh, 0, 100); st != nfsAcces {
		t.Errorf("READ by a user whom the host does not know: %d, want %d", st, nfsAcces)
	}
}
