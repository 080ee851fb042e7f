package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	smbLockExclusive = 0x02
	smbLockUnlock    = 0x04
	smbLockNow       = 0x10
	statusOK         = "00000000"
	lockNotGranted   = "c0000055"
	lockConflict     = "c0000054"
	sharingViolation = "c0000043"
	readWrite        = 0x12019f
)

// holder is one of three owners of an exclusive lock on bytes 0 to 9 of the same file.
type holder struct {
	name   string
	lock   func() bool          // at once, or not at all; reports whether it is held
	wait   func() func() string // begins to wait; the returned function returns "" once it is held
	unlock func()
}

// holders opens the file f through every door.
func holders(t *testing.T, g *gateway) []holder {
	t.Helper()
	up := granted(t)
	fh := g.nfs(t, 0).must("f")
	n := g.nlm(t, "client-a", 7)

	s := g.smb(t)
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID

	l := local(t)
	fd := l.do("open", args{"name": filepath.Join(g.Dir, "f"), "flags": os.O_RDWR}).FD

	return []holder{
		{"nlm", func() bool {
			st := n.lock(fh, 0, 10, false, false)
			if st != nlmGranted && st != nlmDenied {
				t.Fatalf("NLM LOCK: %d", st)
			}
			return st == nlmGranted
		}, func() func() string {
			if st := n.lock(fh, 0, 10, true, false); st != nlmBlocked {
				t.Fatalf("NLM LOCK that blocks: %d", st)
			}
			return func() string {
				select {
				case <-up:
					return ""
				case <-time.After(10 * time.Second):
					return "no GRANTED"
				}
			}
		}, func() {
			if st := n.unlock(fh, 0, 10); st != nlmGranted {
				t.Fatalf("NLM UNLOCK: %d", st)
			}
		}},
		{"smb", func() bool {
			st := s.do("lock", args{"fid": fid, "offset": 0, "length": 10, "flags": smbLockExclusive | smbLockNow}).Status
			if st != statusOK && st != lockNotGranted {
				t.Fatalf("SMB LOCK: %s", st)
			}
			return st == statusOK
		}, func() func() string {
			a := s.do("lock", args{"fid": fid, "offset": 0, "length": 10, "flags": smbLockExclusive, "wait": false})
			if !a.Pending {
				t.Fatalf("SMB LOCK that waits: %+v", a)
			}
			return func() string {
				if st := s.do("reply", args{"id": a.ID}).Status; st != statusOK {
					return st
				}
				return ""
			}
		}, func() {
			if st := s.do("lock", args{"fid": fid, "offset": 0, "length": 10, "flags": smbLockUnlock}).Status; st != statusOK {
				t.Fatalf("SMB unlock: %s", st)
			}
		}},
		{"local", func() bool {
			e := l.do("lock", args{"fd": fd, "kind": "write", "start": 0, "length": 10}).Errno
			if e != "" && e != "EAGAIN" {
				t.Fatalf("fcntl: %s", e)
			}
			return e == ""
		}, func() func() string {
			c := l.begin("lock", args{"fd": fd, "kind": "write", "start": 0, "length": 10, "wait": true})
			waits(t, "fcntl(F_SETLKW)", c)
			return func() string { return within(t, 10*time.Second, "fcntl(F_SETLKW)", c).Errno }
		}, func() { l.do("unlock", args{"fd": fd, "start": 0, "length": 10}) }},
	}
}

// A lock of any door excludes the others', and when its holder lets go, a waiter of another door gets it.
func TestOneLockTable(t *testing.T) { bothWays(t, oneLockTable) }

func oneLockTable(t *testing.T, way ...string) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir, way...)
	all := holders(t, g)
	for _, a := range all {
		for _, b := range all {
			if a.name == b.name {
				continue
			}
			if !a.lock() {
				t.Fatalf("%s cannot lock a free file", a.name)
			}
			if l := g.locks(); len(l) != 1 || l[0].Protocol != a.name || l[0].Start != 0 || l[0].Length != 10 || l[0].Mode != "exclusive" || l[0].Path != "f" {
				t.Errorf("%s holds bytes 0 to 9; dittofs lock list says %+v", a.name, l)
			}
			if b.lock() {
				t.Fatalf("%s holds the lock and %s got it too", a.name, b.name)
			}
			got := b.wait()
			a.unlock()
			if why := got(); why != "" {
				t.Fatalf("%s let go and %s, who waited, did not get the lock: %s", a.name, b.name, why)
			}
			if a.lock() {
				t.Fatalf("%s waited and holds the lock, and %s got it too", b.name, a.name)
			}
			b.unlock()
		}
	}
	if l := g.locks(); len(l) != 0 {
		t.Errorf("everything is unlocked; dittofs lock list says %+v", l)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o666)
}

// An RWH lease is broken by another door's writing, which waits for the acknowledgement.
func TestLeaseIsBroken(t *testing.T) { bothWays(t, leaseIsBroken) }

func leaseIsBroken(t *testing.T, way ...string) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir, way...)
	const key, rwh, r = "000102030405060708090a0b0c0d0e0f", 7, 1
	for _, c := range []struct {
		name  string
		to    int
		begin func() <-chan answer
	}{
		{"NFS WRITE", 0, func() <-chan answer {
			n := g.nfs(t, 0)
			fh := n.must("f")
			c := make(chan answer, 1)
			go func() {
				st := n.write(fh, 0, "nfs")
				c <- answer{Wrote: int(st)}
			}()
			return c
		}},
		{"open(O_RDWR)", 3, func() <-chan answer {
			return local(t).begin("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDWR})
		}},
	} {
		s := g.smb(t)
		o := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1, "key": key, "state": rwh})
		if o.Status != statusOK || o.Lease != rwh {
			t.Fatalf("%s: the lease: %+v", c.name, o)
		}
		other := c.begin()
		b := s.do("breaks", args{"timeout": 5}).Breaks
		if len(b) != 1 || b[0].Key != key || b[0].From != rwh || b[0].To&4 != 0 || !b[0].Ack {
			t.Fatalf("%s: breaks: %+v", c.name, b)
		}
		waits(t, c.name, other)
		if st := s.do("ack", args{"key": key, "state": b[0].To}).Status; st != statusOK {
			t.Fatalf("%s: acknowledgement: %s", c.name, st)
		}
		if a := within(t, 5*time.Second, c.name, other); a.Errno != "" || a.Wrote != 0 {
			t.Errorf("%s after the acknowledgement: %+v", c.name, a)
		}
		s.do("close", args{"fid": o.FID})
	}
	if n, fh := g.nfs(t, 0), []byte(nil); true {
		fh = n.must("f")
		if d, st := n.read(fh, 0, 10); d != "nfs3456789" || st != nfsOK {
			t.Errorf("after the NFS WRITE: %q, %d", d, st)
		}
	}
}

// An SMB open that denies writing holds back the other doors' writing, and nothing else.
func TestDenyWrite(t *testing.T) { bothWays(t, denyWrite) }

func denyWrite(t *testing.T, way ...string) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir, way...)
	s, n, l := g.smb(t), g.nfs(t, 0), local(t)
	fh := n.must("f")
	path := filepath.Join(dir, "f")
	const readAccess, shareRead = 0x120089, 1
	o := s.do("open", args{"name": "f", "access": readAccess, "share": shareRead, "disposition": 1})
	if o.Status != statusOK {
		t.Fatalf("open: %+v", o)
	}
	if st := n.write(fh, 0, "x"); st != nfsAcces {
		t.Errorf("NFS WRITE: %d, want NFS3ERR_ACCES", st)
	}
	if _, st := n.read(fh, 0, 10); st != nfsOK {
		t.Errorf("NFS READ: %d", st)
	}
	for _, flags := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC} {
		if a := l.do("open", args{"name": path, "flags": flags}); a.Errno != "EACCES" {
			t.Errorf("open(%#x): %+v, want EACCES", flags, a)
		}
	}
	if a := l.do("open", args{"name": path, "flags": os.O_RDONLY}); a.Errno != "" {
		t.Errorf("open(O_RDONLY): %+v", a)
	}
	if err := os.Truncate(path, 0); err == nil {
		t.Error("truncate(2) went through")
	}
	if st := s.do("close", args{"fid": o.FID}).Status; st != statusOK {
		t.Fatalf("close: %s", st)
	}
	if st := n.write(fh, 0, "x"); st != nfsOK {
		t.Errorf("NFS WRITE after the close: %d", st)
	}
	if a := l.do("open", args{"name": path, "flags": os.O_RDWR}); a.Errno != "" {
		t.Errorf("open(O_RDWR) after the close: %+v", a)
	}
	// A local open for writing is what an SMB open that denies writing meets.
	if st := s.do("open", args{"name": "f", "access": readAccess, "share": shareRead, "disposition": 1}).Status; st != sharingViolation {
		t.Errorf("SMB open that denies writing against a local writer: %s, want STATUS_SHARING_VIOLATION", st)
	}
}

// An NLM lock holds back SMB I/O on its range.
func TestNLMLockHoldsBackSMBWrite(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	s, n := g.smb(t), g.nlm(t, "client-b", 3)
	fh := g.nfs(t, 0).must("f")
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
	if st := n.lock(fh, 0, 5, false, false); st != nlmGranted {
		t.Fatalf("NLM LOCK: %d", st)
	}
	if st := s.do("write", args{"fid": fid, "offset": 4, "data": "ab"}).Status; st != lockConflict {
		t.Errorf("SMB WRITE into the range: %s, want STATUS_FILE_LOCK_CONFLICT", st)
	}
	if st := s.do("write", args{"fid": fid, "offset": 5, "data": "ab"}).Status; st != statusOK {
		t.Errorf("SMB WRITE beside the range: %s", st)
	}
	n.unlock(fh, 0, 5)
	if st := s.do("write", args{"fid": fid, "offset": 4, "data": "ab"}).Status; st != statusOK {
		t.Errorf("SMB WRITE after the unlock: %s", st)
	}
}

// dittofs status and session list say who is there.
func TestStatusAndSessions(t *testing.T) {
	g := up(t, tree(t))
	s := g.smb(t)
	out := g.dittofs("status")
	for _, want := range []string{"gateway", "fusefs", "lockd", "statd", "smbd", g.Dir, "mounted"} {
		if !strings.Contains(out, want) {
			t.Errorf("dittofs status does not say %q:\n%s", want, out)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for out := ""; !strings.Contains(out, smbUser); out = g.dittofs("session", "list") {
		if out != "" && time.Now().After(deadline) {
			t.Fatalf("dittofs session list:\n%s", out)
		}
	}
	if out := g.dittofs("session", "list"); !strings.Contains(out, "127.0.0.1") || !strings.Contains(out, "2.1") {
		t.Errorf("dittofs session list:\n%s", out)
	}
	s.in.Close()
	for strings.Contains(g.dittofs("session", "list"), smbUser) {
		if time.Now().After(deadline) {
			t.Fatal("the session is listed after its connection has ended")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
