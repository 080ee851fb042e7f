package check

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dittofs/gateway/xdr"
)

// A file that goes when its last SMB open closes is gone to whoever looks for its name over NFS, and the name is busy until then.
func TestDeletePendingHasNoName(t *testing.T) {
	dir := tree(t)
	g := up(t, dir)
	write(t, filepath.Join(dir, "going"), "x")
	os.Chown(filepath.Join(dir, "going"), owner, owner)
	n := g.nfs(t, owner)
	n.must("going")
	s := g.smb(t)
	const all, read, delete_, onClose, open = 7, 0x80000000, 0x10000, 0x1000, 1
	stays := s.do("open", args{"name": "going", "access": read, "share": all, "disposition": open})
	goes := s.do("open", args{"name": "going", "access": delete_, "share": all, "disposition": open, "options": onClose})
	if stays.FID == "" || goes.FID == "" {
		t.Fatalf("CREATE: %+v %+v", stays, goes)
	}
	n.must("going") // only its close makes it pending
	s.do("close", args{"fid": goes.FID})
	if _, st := n.lookup("going"); st != nfsNoEnt {
		t.Errorf("LOOKUP of a delete-pending file: %d, want %d", st, nfsNoEnt)
	}
	create := func() uint32 {
		return uint32Of(n.call(progNFS, 3, 8, func(x *xdr.Stream) {
			name, zero := "going", uint32(0)
			x.Opaque(&n.root, 64)
			x.String(&name, 255)
			for range 7 { // UNCHECKED, and nothing to be set
				x.Uint32(&zero)
			}
		}))
	}
	if st := create(); st != nfsJukebox {
		t.Errorf("CREATE of a name that is busy: %d, want %d", st, nfsJukebox)
	}
	s.do("close", args{"fid": stays.FID})
	if st := create(); st != nfsOK {
		t.Errorf("CREATE when the name is free: %d", st)
	}
	n.must("going")
}

// An SMB open that only looks at attributes costs the gateway no question, until another may delete the file: then it keeps the name of a
// delete-pending file, and another that only looks is refused.
func TestSMBLooks(t *testing.T) {
	dir := tree(t)
	g := up(t, dir)
	file := filepath.Join(dir, "seen")
	write(t, file, "x")
	s := g.smb(t)
	const look, delete_, all, disposition, pending = 0x80, 0x10000, 7, 13, "c0000056"
	opens := func() (n float64) {
		return value(g.scrape(), "dittofs_lock_grants_total", "protocol", "smb", "kind", "open", "daemon", "gateway")
	}
	looked := func(name string) answer {
		return s.do("open", args{"name": name, "access": look, "share": all, "disposition": 1})
	}
	before := opens()
	for range 20 {
		if a := s.do("close", args{"fid": looked("seen").FID}); a.Status != statusOK {
			t.Fatalf("CLOSE: %+v", a)
		}
	}
	looks := looked("seen")
	if n := opens() - before; n != 0 {
		t.Errorf("%v questions for 21 opens that only look", n)
	}
	goes := s.do("open", args{"name": "seen", "access": delete_, "share": all, "disposition": 1})
	if n := opens() - before; n != 2 {
		t.Errorf("the gateway knows %v opens, want the one that looks and the one that may delete", n)
	}
	for _, st := range []string{
		s.do("set", args{"fid": goes.FID, "infoclass": disposition, "input": "01"}).Status,
		s.do("close", args{"fid": goes.FID}).Status,
	} {
		if st != statusOK {
			t.Fatalf("delete: %s", st)
		}
	}
	if a := looked("seen"); a.Status != pending {
		t.Errorf("CREATE of a delete-pending file: %s, want STATUS_DELETE_PENDING", a.Status)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the name went before the last close: %v", err)
	}
	s.do("close", args{"fid": looks.FID})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) { // what the kernel keeps of the mount goes a moment later
		if _, err := os.Stat(file); os.IsNotExist(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the name is still there")
		}
	}
}
