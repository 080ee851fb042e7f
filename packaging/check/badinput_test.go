package check

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/xdr"
)

// A truncated or random record closes its connection with one log line, and the door goes on.
func TestBadRecords(t *testing.T) {
	g := up(t, tree(t))
	noise := make([]byte, 4096)
	rand.Read(noise)
	noise[0] = 0x77 // no SMB frame and no record that fits
	for _, door := range []string{"nfs", "mount", "nlm", "nsm", "smb"} {
		for what, b := range map[string][]byte{
			"random":    noise,
			"truncated": {0x80, 0, 0, 40, 1, 2, 3, 4, 0, 0, 0, 0},
		} {
			before := len(g.Log())
			c, err := net.Dial("tcp", g.Ready[door])
			if err != nil {
				t.Fatal(err)
			}
			if door == "smb" && what == "truncated" {
				b = []byte{0, 0, 0, 90, 0xfe, 'S', 'M', 'B', 64, 0}
			}
			c.Write(b)
			if what == "truncated" {
				c.(*net.TCPConn).CloseWrite()
			}
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%s: %s record: the connection stays open: %v", door, what, err)
			}
			local := c.LocalAddr().String()
			c.Close()
			lines := 0
			for deadline := time.Now().Add(5 * time.Second); lines == 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				lines = strings.Count(g.Log()[before:], local)
			}
			if lines != 1 {
				t.Errorf("%s: %s record: %d log lines name %s, want 1:\n%s", door, what, lines, local, g.Log()[before:])
			}
		}
	}
	if st := g.nfs(t, 0).getattr(g.nfs(t, 0).root); st != nfsOK {
		t.Errorf("GETATTR afterwards: %d", st)
	}
	g.smb(t)
}

func TestWrongPassword(t *testing.T) {
	g := up(t, tree(t))
	host, port, _ := strings.Cut(g.Ready["smb"], ":")
	for _, who := range []string{smbUser + "%wrong", "nobody-here%" + smbPassword} {
		out, err := run(t, "smbclient", "//"+host+"/share", "-p", port, "-U", who, "-c", "ls")
		if err == nil || !strings.Contains(out, "NT_STATUS_LOGON_FAILURE") {
			t.Errorf("%s: %v\n%s", who, err, out)
		}
		name, _, _ := strings.Cut(who, "%")
		if !strings.Contains(g.Log(), "127.0.0.1") || !strings.Contains(g.Log(), name) {
			t.Errorf("no log line names %s and the address:\n%s", name, g.Log())
		}
	}
}

// A handle with any bit changed is NFS3ERR_BADHANDLE.
func TestTamperedHandle(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "x")
	g := up(t, dir)
	n := g.nfs(t, 0)
	fh := n.must("f")
	for i := range fh {
		bad := bytes.Clone(fh)
		bad[i] ^= 0x10
		if st := n.getattr(bad); st != nfsBadFH {
			t.Errorf("byte %d changed: %d, want NFS3ERR_BADHANDLE", i, st)
		}
	}
	if st := n.getattr(fh); st != nfsOK {
		t.Errorf("the handle itself: %d", st)
	}
	os.Remove(filepath.Join(dir, "f"))
	if st := n.getattr(fh); st != nfsStale {
		t.Errorf("the handle of a file that is gone: %d, want NFS3ERR_STALE", st)
	}
}

// No path leaves the tree by .. or by a symbolic link.
func TestNoWayOut(t *testing.T) {
	dir := tree(t)
	secret := filepath.Join(filepath.Dir(dir), "secret")
	write(t, secret, "secret")
	os.Symlink("/etc", filepath.Join(dir, "etc"))
	os.Symlink("../secret", filepath.Join(dir, "up"))
	g := up(t, dir)
	for _, name := range []string{`..\secret`, `etc\passwd`, `up`, `sub\..\..\secret`} {
		out, err := g.smbclient(fmt.Sprintf(`get "%s" /dev/stdout`, name))
		if err == nil && (strings.Contains(out, "secret\n") || strings.Contains(out, "root:")) {
			t.Errorf("smbclient get %s left the tree:\n%s", name, out)
		}
	}
	s := g.smb(t)
	for _, name := range []string{"../secret", "etc/passwd", "up", "etc", "a/../../secret"} {
		if a := s.do("open", args{"name": name, "access": 0x120089, "share": 7, "disposition": 1}); a.Status == statusOK {
			t.Errorf("SMB CREATE of %s: %+v", name, a)
		}
	}
	n := g.nfs(t, 0)
	for _, name := range []string{"..", "../secret", "etc/passwd", "up/x"} {
		fh, st := n.lookup(name)
		if name == ".." && st == nfsOK && n.sameFile(fh, n.root) {
			continue // .. of the root is the root, RFC 1813 §3.3.3
		}
		if st == nfsOK {
			t.Errorf("NFS LOOKUP of %s went through", name)
		}
	}
	link := n.must("etc")
	if _, st := n.lookupIn(link, "passwd"); st == nfsOK {
		t.Error("NFS LOOKUP beneath a symbolic link went through")
	}
	m := dialRPC(t, "", g.Ready["mount"], 0)
	for _, path := range []string{filepath.Dir(dir), dir + "/..", dir + "/etc", dir + "/../secret"} {
		if st := uint32Of(m.call(progMount, 3, 1, func(x *xdr.Stream) { x.String(&path, 1024) })); st == 0 {
			t.Errorf("MNT %s went through", path)
		}
	}
}

func (n *nfs) lookupIn(dir []byte, name string) ([]byte, uint32) {
	n.t.Helper()
	root := n.root
	n.root = dir
	defer func() { n.root = root }()
	return n.lookup(name)
}

// sameFile compares fileid, at byte 52 of fattr3.
func (n *nfs) sameFile(a, b []byte) bool {
	n.t.Helper()
	id := func(fh []byte) [84]byte {
		x := n.call(progNFS, 3, procGetAttr, func(x *xdr.Stream) { x.Opaque(&fh, 64) })
		uint32Of(x)
		var attr [84]byte
		x.Fixed(attr[:])
		return attr
	}
	x, y := id(a), id(b)
	return bytes.Equal(x[52:60], y[52:60])
}
