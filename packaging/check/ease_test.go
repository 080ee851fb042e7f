package check

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An SMB client alone on a file reads and writes without a question to the gateway; a lock over NFS ends that before it is granted; local
// programs see what was written.
func TestSMBIsAtEase(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	s, n := g.smb(t), g.nlm(t, "client-b", 3)
	fh := g.nfs(t, 0).must("f")
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
	asked := func() float64 {
		return value(g.scrape(), "dittofs_lock_grants_total", "protocol", "smb", "kind", "access", "daemon", "gateway")
	}
	rw := func(times int) {
		t.Helper()
		for range times {
			if a := s.do("write", args{"fid": fid, "offset": 8, "data": "ab"}); a.Status != statusOK {
				t.Fatalf("WRITE: %+v", a)
			}
			if a := s.do("read", args{"fid": fid, "offset": 0, "length": 10}); a.Status != statusOK {
				t.Fatalf("READ: %+v", a)
			}
		}
	}
	before := asked()
	rw(50)
	if n := asked() - before; n != 0 {
		t.Errorf("%v questions for 100 reads and writes", n)
	}
	if st := n.lock(fh, 0, 5, true, false); st != nlmGranted {
		t.Fatalf("NLM LOCK beside an SMB client at ease: %d", st)
	}
	for range 4 { // and no ease is lent beside the range
		if st := s.do("write", args{"fid": fid, "offset": 4, "data": "xy"}).Status; st != lockConflict {
			t.Errorf("SMB WRITE into the range: %s, want STATUS_FILE_LOCK_CONFLICT", st)
		}
		if st := s.do("write", args{"fid": fid, "offset": 8, "data": "xy"}).Status; st != statusOK {
			t.Errorf("SMB WRITE beside the range: %s", st)
		}
	}
	if n := asked() - before; n != 4 {
		t.Errorf("%v were granted by the counter beside the range, want 4", n)
	}
	n.unlock(fh, 0, 5)
	rw(5)

	// The attributes that the kernel keeps of the mount go when the file grows.
	if a := s.do("write", args{"fid": fid, "offset": 98, "data": "ab"}); a.Status != statusOK {
		t.Fatalf("WRITE: %+v", a)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if fi, err := os.Stat(filepath.Join(dir, "f")); err == nil && fi.Size() == 100 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a local program does not see the size that was written")
		}
	}
}
