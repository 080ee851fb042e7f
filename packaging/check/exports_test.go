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

	"dittofs/gateway/xdr"
)

const (
	nfsROFS  = 30
	nlmStale = 7
	nlmNo    = 2 // DENIED_NOLOCKS
)

// called makes /etc/hosts say what 127.0.0.1 and 127.0.0.2 are called, in this test's own namespace.
func called(t *testing.T, one, two string) {
	t.Helper()
	f := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(f, fmt.Appendf(nil, "127.0.0.1 %s\n127.0.0.2 %s\n", one, two), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(f, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/etc/hosts", unix.MNT_DETACH) })
}

// configure changes the line of the configuration that sets a key, or without a value takes the export out, and has the gateway reload it.
func (g *gateway) configure(change func(text string) string) {
	g.t.Helper()
	file := filepath.Join(g.State, "gateway.toml")
	b, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(change(string(b))), 0o600); err != nil {
		g.t.Fatal(err)
	}
	before := strings.Count(g.Log(), "exports reloaded")
	syscall.Kill(g.pid("gateway"), syscall.SIGHUP)
	for deadline := time.Now().Add(10 * time.Second); strings.Count(g.Log(), "exports reloaded") == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatal("the gateway does not reload")
		}
	}
}

func clients(list string) func(string) string {
	return func(text string) string {
		var out []string
		for _, l := range strings.Split(text, "\n") {
			if strings.HasPrefix(l, "clients = ") {
				l = "clients = " + list
			}
			out = append(out, l)
		}
		return strings.Join(out, "\n")
	}
}

// The client list, its options and its reload, for a client that stays connected and a handle that it keeps.
func TestClientListReloads(t *testing.T) {
	called(t, "one.lab.example", "two.other.example")
	dir := tree(t)
	g := up(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("data"), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chown(filepath.Join(dir, "f"), owner, owner)
	n := g.nfs(t, owner)
	fh := n.must("f")
	two := &nfs{rpc: dialRPC(t, clientAddr, g.Ready["nfs"], owner)}
	locks := g.nlm(t, "two", 7) // comes from clientAddr
	locks.uid = owner
	held := g.nlm(t, "two", 8)
	held.uid = owner
	if st := held.lock(fh, 500, 10, false, false); st != nlmGranted {
		t.Fatalf("LOCK: %d", st)
	}
	whole := ""
	for _, c := range []struct {
		clients         string
		write, two, nlm uint32 // what 127.0.0.1 gets for WRITE, and 127.0.0.2 for WRITE and LOCK
	}{
		{`["127.0.0.1(ro)", "127.0.0.0/8(rw)"]`, nfsROFS, nfsOK, nlmGranted},
		{`["*.lab.example(rw)"]`, nfsOK, nfsAcces, nlmNo},
		{`["two.other.example(rw)"]`, nfsAcces, nfsOK, nlmGranted},
		{`["one.lab.example(all_squash,anonuid=77)", "127.0.0.2(ro)"]`, nfsAcces, nfsROFS, nlmGranted},
		{`["127.0.0.0/8(secure)"]`, nfsAcces, nfsAcces, nlmNo},
		{`["192.0.2.1", "::1"]`, nfsAcces, nfsAcces, nlmNo},
		{`[]`, nfsOK, nfsOK, nlmGranted},
	} {
		g.configure(func(text string) string { whole = clients(c.clients)(text); return whole })
		if st := n.write(fh, 0, "more"); st != c.write {
			t.Errorf("%s: WRITE from 127.0.0.1: %d, want %d", c.clients, st, c.write)
		}
		if st := two.write(fh, 0, "x"); st != c.two {
			t.Errorf("%s: WRITE from 127.0.0.2: %d, want %d", c.clients, st, c.two)
		}
		if st := locks.lock(fh, 0, 10, false, false); st != c.nlm {
			t.Errorf("%s: LOCK from 127.0.0.2: %d, want %d", c.clients, st, c.nlm)
		}
		locks.unlock(fh, 0, 10)
	}
	// Who may neither read nor write a file, nor owns it, does not lock it.
	os.Chmod(filepath.Join(dir, "f"), 0o600)
	locks.uid = owner + 1
	if st := locks.lock(fh, 0, 10, false, false); st != nlmNo {
		t.Errorf("LOCK by a stranger: %d, want %d", st, nlmNo)
	}
	if out := mustRun(t, "showmount", "-e", "127.0.0.1"); !strings.Contains(out, dir) {
		t.Errorf("showmount -e: %s", out)
	}
	if out := mustRun(t, "showmount", "-a", "127.0.0.1"); !strings.Contains(out, "127.0.0.1:"+dir) {
		t.Errorf("showmount -a: %s", out)
	}

	// An export that is taken out: its handles are stale at once; brought back, they are good again.
	locks.uid = owner
	g.configure(func(text string) string { before, _, _ := strings.Cut(text, "[[export]]"); return before })
	if st := n.getattr(fh); st != nfsStale {
		t.Errorf("GETATTR in a removed export: %d, want %d", st, nfsStale)
	}
	if st := locks.lock(fh, 0, 10, false, false); st != nlmStale {
		t.Errorf("LOCK in a removed export: %d, want %d", st, nlmStale)
	}
	g.configure(func(string) string { return strings.Replace(whole, "disabled = false", "disabled = true", 1) })
	if st := n.getattr(fh); st != nfsStale {
		t.Errorf("GETATTR in a disabled export: %d, want %d", st, nfsStale)
	}
	g.configure(func(string) string { return whole })
	g.nfs(t, owner) // MNT waits for the tree
	if st := n.getattr(fh); st != nfsOK {
		t.Errorf("GETATTR in an export that came back: %d", st)
	}

	// A new export is mounted, served, and judged by the same law; whoever was connected goes on.
	more := tree(t)
	g.configure(func(text string) string {
		_, block, _ := strings.Cut(text, "[[export]]")
		block = strings.Replace(strings.Replace(block, dir, more, 1), "name = 'share'", "name = 'more'", 1)
		return text + "\n[[export]]" + block
	})
	syscall.Kill(g.pid("fusefs"), syscall.SIGHUP)
	m := &nfs{rpc: n.rpc}
	x := dialRPC(t, "", g.Ready["mount"], owner).call(progMount, 3, 1, func(x *xdr.Stream) { x.String(&more, 1024) })
	if st := uint32Of(x); st != 0 {
		t.Fatalf("MNT of a new export: %d", st)
	}
	x.Opaque(&m.root, 64)
	if err := os.WriteFile(filepath.Join(more, "new"), []byte("through the mount"), 0o644); err != nil {
		t.Fatal(err)
	}
	if data, st := m.read(m.must("new"), 0, 100); st != nfsOK || data != "through the mount" {
		t.Errorf("READ in a new export: %q %d", data, st)
	}
	if st := n.getattr(fh); st != nfsOK {
		t.Errorf("GETATTR in the old export, after the new one came: %d", st)
	}
	if len(g.locks()) != 1 {
		t.Errorf("locks after all that: %+v, want the one that was held", g.locks())
	}
}
