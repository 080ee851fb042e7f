package check

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kill -9 of each program, one at a time: it comes back by itself, and NLM locks that were held stay on the list and in force.
func TestKilledDaemonsComeBack(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	fh := g.nfs(t, 0).must("f")
	if st := g.nlm(t, "client-c", 1).lock(fh, 0, 10, false, false); st != nlmGranted {
		t.Fatalf("NLM LOCK: %d", st)
	}
	want := []listed{{Path: "f", Kind: "range", Protocol: "nlm", Owner: g.locks()[0].Owner, Mode: "exclusive", Length: 10}}

	for _, name := range []string{"gateway", "fusefs", "lockd", "statd", "smbd"} {
		old := g.pid(name)
		if old == 0 {
			t.Fatalf("dittofs-%s does not run", name)
		}
		began := time.Now()
		syscall.Kill(old, syscall.SIGKILL)
		back := false
		for deadline := began.Add(20 * time.Second); !back && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			back = g.pid(name) != old && g.pid(name) != 0 && g.serving()
		}
		if !back {
			t.Fatalf("dittofs-%s did not come back", name)
		}
		t.Logf("dittofs-%s was killed; every door answered again after %v", name, time.Since(began).Round(10*time.Millisecond))

		if l := g.locks(); !slices.Equal(l, want) {
			t.Errorf("after kill -9 of dittofs-%s: dittofs lock list says %+v, want %+v", name, l, want)
		}
		s, l := g.smb(t), local(t)
		fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
		if st := s.do("lock", args{"fid": fid, "offset": 5, "length": 1, "flags": smbLockExclusive | smbLockNow}).Status; st != lockNotGranted {
			t.Errorf("after kill -9 of dittofs-%s: SMB LOCK in the range: %s", name, st)
		}
		fd := l.do("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDWR}).FD
		if e := l.do("lock", args{"fd": fd, "kind": "write", "start": 5, "length": 1}).Errno; e != "EAGAIN" {
			t.Errorf("after kill -9 of dittofs-%s: fcntl in the range: %q", name, e)
		}
		if st := g.nlm(t, "client-d", 1).lock(fh, 5, 1, false, false); st != nlmDenied && !(name == "gateway" && st == nlmGrace) {
			t.Errorf("after kill -9 of dittofs-%s: NLM LOCK in the range: %d", name, st)
		}
		s.do("close", args{"fid": fid})
		if name == "gateway" {
			// The client reclaims, as SM_NOTIFY asks of it; with that every client on record has, and grace ends early.
			if st := g.nlm(t, "client-c", 1).lock(fh, 0, 10, false, true); st != nlmGranted {
				t.Errorf("reclaim: %d", st)
			}
			if st := g.nlm(t, "client-d", 1).lock(fh, 50, 1, false, false); st != nlmGranted {
				t.Errorf("NLM LOCK beside the range, after grace: %d", st)
			}
			g.nlm(t, "client-d", 1).unlock(fh, 50, 1)
		}
	}
	if st := g.nlm(t, "client-c", 1).unlock(fh, 0, 10); st != nlmGranted {
		t.Errorf("UNLOCK: %d", st)
	}
	if l := g.locks(); len(l) != 0 {
		t.Errorf("unlocked; dittofs lock list says %+v", l)
	}
}

// An SMB client that stays connected keeps its locks while the gateway is killed and comes back.
func TestSMBLocksOutliveTheGateway(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	s := g.smb(t)
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
	if st := s.do("lock", args{"fid": fid, "offset": 0, "length": 10, "flags": smbLockExclusive | smbLockNow}).Status; st != statusOK {
		t.Fatalf("SMB LOCK: %s", st)
	}
	old := g.pid("gateway")
	syscall.Kill(old, syscall.SIGKILL)
	for deadline := time.Now().Add(20 * time.Second); g.pid("gateway") == old || !g.serving(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the gateway did not come back")
		}
	}
	l := local(t)
	fd := l.do("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDWR}).FD
	if e := l.do("lock", args{"fd": fd, "kind": "write", "start": 0, "length": 1}).Errno; e != "EAGAIN" {
		t.Errorf("fcntl in the SMB range: %q", e)
	}
	if st := s.do("write", args{"fid": fid, "offset": 0, "data": "x"}).Status; st != statusOK {
		t.Errorf("SMB WRITE by the holder: %s", st)
	}
}

// Everything is killed at once, as by a power cut: started again on the same state, the gateway has the NLM locks, lets their clients
// reclaim them, and nobody else gets one until they have.
func TestAllKilledAtOnce(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	fh := g.nfs(t, 0).must("f")
	if st := g.nlm(t, "client-e", 1).lock(fh, 0, 10, false, false); st != nlmGranted {
		t.Fatalf("NLM LOCK: %d", st)
	}
	g.killAll()

	g = up(t, dir)
	if l := g.locks(); len(l) != 1 || l[0].Path != "f" || l[0].Protocol != "nlm" || l[0].Length != 10 {
		t.Errorf("dittofs lock list says %+v", l)
	}
	if st := g.nfs(t, 0).getattr(fh); st != nfsOK {
		t.Errorf("the file handle of before: %d", st)
	}
	other, holder := g.nlm(t, "client-f", 1), g.nlm(t, "client-e", 1)
	if st := other.lock(fh, 50, 1, false, false); st != nlmGrace {
		t.Errorf("a new NLM lock in grace: %d, want NLM4_DENIED_GRACE_PERIOD", st)
	}
	if st := other.lock(fh, 0, 10, false, true); st == nlmGranted {
		t.Error("a client reclaimed another client's lock")
	}
	if st := holder.lock(fh, 0, 10, false, true); st != nlmGranted {
		t.Errorf("reclaim: %d", st)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if st := other.lock(fh, 50, 1, false, false); st == nlmGranted {
			break
		} else if st != nlmGrace || time.Now().After(deadline) {
			t.Fatalf("a new NLM lock after everybody has reclaimed: %d", st)
		}
	}
}

// A file that an SMB client holds with FILE_DELETE_ON_CLOSE, and a stream of another file, outlive a kill -9 of the gateway, because smbd presents the opens again, and
// go when smbd is killed, because with it the last opens end. [MS-FSA] 2.1.5.5.
func TestDeletedOnCloseThoughKilled(t *testing.T) {
	dir := tree(t)
	const open, create, onClose = 1, 2, 0x1000
	write(t, filepath.Join(dir, "kept"), "0123456789")
	g := up(t, dir)
	s := g.smb(t)
	s.do("close", args{"fid": s.do("open", args{"name": "kept:stays", "access": readWrite, "share": 7, "disposition": create}).FID})
	for name, how := range map[string]int{"f": create, "kept:goes": create, "kept:Stays": open} {
		options := onClose
		if how == open {
			options = 0
		}
		if a := s.do("open", args{"name": name, "access": readWrite | 0x10000, "share": 7, "disposition": how, "options": options}); a.Status != statusOK {
			t.Fatalf("%s: %+v", name, a)
		}
	}
	names := func() (list []string) {
		es, err := os.ReadDir(dir)
		if err != nil {
			return []string{err.Error()} // the mount is away as well
		}
		for _, e := range es {
			list = append(list, e.Name())
		}
		for _, stream := range []string{"goes", "stays"} {
			if _, err := unix.Lgetxattr(filepath.Join(dir, "kept"), "user.DosStream."+stream+":$DATA", nil); err != unix.ENODATA {
				list = append(list, "kept:"+stream)
			}
		}
		return list
	}
	for _, c := range []struct {
		kill string
		want []string
	}{{"gateway", []string{"f", "kept", "kept:goes", "kept:stays"}}, {"smbd", []string{"kept", "kept:stays"}}} {
		old := g.pid(c.kill)
		syscall.Kill(old, syscall.SIGKILL)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if g.pid(c.kill) != old && g.serving() && slices.Equal(names(), c.want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after kill -9 of dittofs-%s: %q, want %q", c.kill, names(), c.want)
			}
		}
	}
	if l := g.locks(); len(l) != 0 {
		t.Errorf("dittofs lock list says %+v", l)
	}
}
