package check

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const objectNameNotFound = "c0000034"

// kill9 kills a daemon and waits until it is back and every door answers.
func (g *gateway) kill9(t *testing.T, name string) {
	t.Helper()
	old := g.pid(name)
	if old == 0 {
		t.Fatalf("dittofs-%s does not run", name)
	}
	syscall.Kill(old, syscall.SIGKILL)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if g.pid(name) != old && g.pid(name) != 0 && g.serving() {
			return
		}
	}
	t.Fatalf("dittofs-%s did not come back", name)
}

// A durable handle with its lease and its byte-range lock outlives kill -9 of smbd and of the gateway: the lock is in force meanwhile, and the
// client finds all of it again. An NFS WRITE in between ends it. [MS-SMB2] 3.3.5.9.6, 3.3.5.9.7.
func TestDurableHandle(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789abcdef")
	g := up(t, dir)
	const client, key, rwh = "client-guid-0001", "000102030405060708090a0b0c0d0e0f", 7
	n := g.nfs(t, 0)
	fh := n.must("f")
	locked := func(when string, want uint32) {
		t.Helper()
		c := g.nlm(t, "client-d", 1)
		if st := c.lock(fh, 5, 1, false, false); st != want {
			t.Errorf("%s: NLM LOCK in the range: %d, want %d", when, st, want)
		}
	}

	s := g.smbAs(t, client)
	o := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1, "key": key, "state": rwh, "durable": true})
	if o.Status != statusOK || o.Lease != rwh || !o.Durable {
		t.Fatalf("the durable handle: %+v", o)
	}
	if st := s.do("lock", args{"fid": o.FID, "offset": 0, "length": 10, "flags": smbLockExclusive | smbLockNow}).Status; st != statusOK {
		t.Fatalf("SMB LOCK: %s", st)
	}
	locked("connected", nlmDenied)
	again := func(when, want string) answer {
		t.Helper()
		s = g.smbAs(t, client)
		a := s.do("open", args{"name": "f", "access": 0, "share": 0, "disposition": 0, "key": key, "state": 0, "reconnect": o.FID})
		if a.Status != want || want == statusOK && (a.Lease != rwh || a.FID[:16] != o.FID[:16]) {
			t.Fatalf("%s: the client comes back: %+v, want %s", when, a, want)
		}
		return a
	}

	for _, kill := range [][]string{{"smbd"}, {"gateway"}, {"smbd", "gateway"}} {
		if kill[0] != "smbd" {
			s.in.Close() // the client goes, too: smbd lives on
		}
		for _, name := range kill {
			g.kill9(t, name)
			locked("after kill -9 of "+name, nlmDenied)
		}
		a := again("after kill -9 of "+kill[0], statusOK)
		locked("found again", nlmDenied)
		if st := s.do("write", args{"fid": a.FID, "offset": 0, "data": kill[0]}).Status; st != statusOK {
			t.Errorf("WRITE through the handle: %s", st)
		}
		o.FID = a.FID
	}
	if st := s.do("lock", args{"fid": o.FID, "offset": 0, "length": 10, "flags": smbLockUnlock}).Status; st != statusOK {
		t.Errorf("unlock of what was locked before the kills: %s", st)
	}
	if st := s.do("close", args{"fid": o.FID}).Status; st != statusOK {
		t.Errorf("CLOSE: %s", st)
	}
	n = g.nfs(t, 0)
	if d, st := n.read(fh, 0, 10); d != "smbdway789" || st != nfsOK {
		t.Errorf("what the handle wrote: %q, %d", d, st)
	}

	s = g.smbAs(t, client)
	o = s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1, "key": key, "state": rwh, "durable": true})
	if o.Status != statusOK || !o.Durable {
		t.Fatalf("a second durable handle: %+v", o)
	}
	s.in.Close()
	if st := n.write(fh, 0, "nfs"); st != nfsOK {
		t.Fatalf("NFS WRITE: %d", st)
	}
	again("after an NFS WRITE", objectNameNotFound)
}
