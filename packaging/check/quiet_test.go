package check

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Local opens of files that no SMB client has open ask nobody, and are kept all the same: against deny modes and leases, and while the
// gateway restarts.
func TestQuietOpens(t *testing.T) {
	dir := tree(t)
	for i := range 40 {
		write(t, filepath.Join(dir, fmt.Sprint("f", i)), "0123456789")
	}
	g := up(t, dir)
	path := func(name string) string { return filepath.Join(dir, name) }
	asked := func() float64 {
		return value(g.scrape(), "dittofs_lock_grants_total", "protocol", "local", "kind", "open", "daemon", "gateway")
	}
	// Once nobody else is there, opens of any file cost no message.
	quiet := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; {
			before := asked()
			for i := range 40 {
				f, err := os.OpenFile(path(fmt.Sprint("f", i)), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			if n := asked() - before; n == 0 {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("40 local opens still cost %v messages", n)
			}
		}
	}
	quiet()

	const readAccess, shareRead, shareAll, rwh = 0x120089, 1, 7, 7
	s, l := g.smb(t), local(t)
	open := func(name string, share int) answer {
		return s.do("open", args{"name": name, "access": readAccess, "share": share, "disposition": 1})
	}
	fd := l.do("open", args{"name": path("f1"), "flags": os.O_RDWR}).FD
	if st := open("f1", shareRead).Status; st != sharingViolation {
		t.Errorf("an SMB open that denies writing, against a quiet local writer: %s", st)
	}
	l.do("open", args{"name": path("f2"), "flags": os.O_RDONLY})
	if o := s.do("open", args{"name": "f2", "access": readWrite, "share": shareAll, "disposition": 1, "key": "100102030405060708090a0b0c0d0e0f", "state": rwh}); o.Status != statusOK || o.Lease&4 != 0 {
		t.Errorf("a lease beside a quiet local reader: %+v, want none that caches writing", o)
	}
	l.do("open", args{"name": path("f3"), "flags": os.O_WRONLY})
	if o := s.do("open", args{"name": "f3", "access": readWrite, "share": shareAll, "disposition": 1, "key": "200102030405060708090a0b0c0d0e0f", "state": rwh}); o.Status != statusOK || o.Lease != 0 {
		t.Errorf("a lease beside a quiet local writer: %+v, want none", o)
	}
	if o := open("f4", shareRead); o.Status != statusOK {
		t.Errorf("open: %+v", o)
	}
	if a := l.do("open", args{"name": path("f4"), "flags": os.O_RDWR}); a.Errno != "EACCES" {
		t.Errorf("a local writer against an SMB open that denies writing: %+v", a)
	}

	fd5 := l.do("open", args{"name": path("f5"), "flags": os.O_RDWR}).FD
	old := g.pid("gateway")
	syscall.Kill(old, syscall.SIGKILL)
	for deadline := time.Now().Add(20 * time.Second); g.pid("gateway") == old || !g.serving(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gateway did not come back")
		}
	}
	for _, name := range []string{"f1", "f5"} {
		if st := open(name, shareRead).Status; st != sharingViolation {
			t.Errorf("after a restart of the gateway: an SMB open that denies writing, against the local writer of %s: %s", name, st)
		}
	}
	l.do("close", args{"fd": fd})
	l.do("close", args{"fd": fd5})
	// close(2) returns before the last word of it has come to fusefs (FUSE_RELEASE).
	for _, name := range []string{"f1", "f5"} {
		st := ""
		for deadline := time.Now().Add(5 * time.Second); st != statusOK && time.Now().Before(deadline); {
			st = open(name, shareRead).Status
		}
		if st != statusOK {
			t.Errorf("after the local close of %s: %s", name, st)
		}
	}
}
