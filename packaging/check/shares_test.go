package check

import (
	"path/filepath"
	"testing"

	"dittofs/gateway/xdr"
)

// NLM's SHARE, UNSHARE and FREE_ALL, X/Open XNFS chapter 10.
const (
	nlmShare   = 20
	nlmUnshare = 21
	nlmFreeAll = 23
)

// share denies writing to others and reads itself.
func (n *nlm) share(proc uint32, fh []byte) uint32 {
	n.t.Helper()
	return n.status(n.call(progNLM, 4, proc, func(x *xdr.Stream) {
		cookie, oh, reclaim, denyWrite, read := []byte("c3"), []byte("oh"), false, int32(2), int32(1)
		x.Opaque(&cookie, 1024)
		x.String(&n.host, 1024)
		x.Opaque(&fh, 1024)
		x.Opaque(&oh, 1024)
		x.Int32(&denyWrite)
		x.Int32(&read)
		x.Bool(&reclaim)
	}))
}

// What an NLM client denies others by SHARE it denies them when lockd was killed too, until it says otherwise itself, also to the lockd that was started
// anew and never heard of the share.
func TestShareOutlivesLockd(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "x")
	g := up(t, dir)
	fh := g.nfs(t, 0).must("f")
	s := g.smb(t)
	writing := func(what string, want string) {
		t.Helper()
		a := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1})
		if a.Status != want {
			t.Errorf("SMB opens for writing, %s: %s, want %s", what, a.Status, want)
		}
		if a.Status == statusOK {
			s.do("close", args{"fid": a.FID})
		}
	}
	word := func(what string, got uint32) {
		t.Helper()
		if got != nlmGranted {
			t.Errorf("%s: %d", what, got)
		}
	}
	client := func() *nlm { return g.nlm(t, "client-s", 1) }
	writing("before", statusOK)
	word("SHARE", client().share(nlmShare, fh))
	writing("shared", sharingViolation)
	g.kill9(t, "lockd")
	writing("lockd was killed", sharingViolation)
	word("UNSHARE", client().share(nlmUnshare, fh))
	writing("unshared", statusOK)
	word("SHARE", client().share(nlmShare, fh))
	g.kill9(t, "lockd")
	writing("lockd was killed again", sharingViolation)
	client().call(progNLM, 4, nlmFreeAll, func(x *xdr.Stream) {
		name, state := "client-s", int32(3)
		x.String(&name, 1024)
		x.Int32(&state)
	})
	writing("after FREE_ALL", statusOK)
}
