package check

import (
	"os"
	"path/filepath"
	"testing"

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
