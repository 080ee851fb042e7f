package check

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	badNetworkName     = "c00000cc"
	networkNameDeleted = "c00000c9"
	fileNotAvailable   = "c0000467"
	accessDenied       = "c0000022"
)

// connect logs on and asks for a share.
func (g *gateway) connect(share string) (*peer, string) {
	g.t.Helper()
	p := newPeer(g.t, "smbpeer.py")
	host, port, _ := net.SplitHostPort(g.Ready["smb"])
	n, _ := strconv.Atoi(port)
	return p, p.do("login", args{"host": host, "port": n, "user": smbUser, "password": smbPassword, "share": share}).Status
}

// reload has every daemon that knows the exports read them anew.
func (g *gateway) reload(change func(text string) string) {
	g.t.Helper()
	g.configure(change)
	before := strings.Count(g.Log(), "shares reloaded")
	syscall.Kill(g.pid("fusefs"), syscall.SIGHUP)
	syscall.Kill(g.pid("smbd"), syscall.SIGHUP)
	for deadline := time.Now().Add(10 * time.Second); strings.Count(g.Log(), "shares reloaded") == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatal("smbd does not reload")
		}
	}
}

// A reload brings new shares, ends the tree connects of one that went with all that is open there, and disturbs nobody else.
// [MS-SMB2] 3.3.4.13.
func TestSharesReload(t *testing.T) {
	one, two := tree(t), tree(t)
	write(t, filepath.Join(one, "f"), "one")
	write(t, filepath.Join(two, "f"), "two")
	g := up(t, one)
	open := args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}
	stays := g.smb(t)
	kept := stays.do("open", open)
	if kept.Status != statusOK {
		t.Fatalf("CREATE: %+v", kept)
	}
	if _, st := g.connect("two"); st != badNetworkName {
		t.Fatalf("TREE_CONNECT before the share is there: %s", st)
	}
	text := ""
	with := func(terms string) {
		t.Helper()
		g.reload(func(now string) string {
			if text == "" {
				text = now
			}
			if terms == "" {
				return text
			}
			_, block, _ := strings.Cut(text, "[[export]]")
			block = strings.Replace(strings.Replace(block, one, two, 1), "name = 'share'", "name = 'two'", 1)
			return text + "\n[[export]]" + strings.Replace(block, "read_only = false", terms, 1)
		})
	}
	var goes *peer
	soon := func(what string) (a answer) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // until it is mounted
			if p, st := g.connect("two"); st == "" {
				if a = p.do("open", open); a.Status != fileNotAvailable {
					goes = p
					return a
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the share is not served", what)
			}
		}
	}

	with("read_only = false")
	o := soon("it came")
	if o.Status != statusOK {
		t.Fatalf("CREATE on the share that came: %+v", o)
	}
	if st := goes.do("lock", args{"fid": o.FID, "offset": 0, "length": 10, "flags": smbLockExclusive | smbLockNow}).Status; st != statusOK {
		t.Fatalf("LOCK on the share that came: %s", st)
	}
	with("read_only = true") // what it was given is too much now
	if st := goes.do("read", args{"fid": o.FID, "offset": 0, "length": 3}).Status; st != networkNameDeleted {
		t.Errorf("READ by a tree connect of before it was read only: %s", st)
	}
	if a := soon("it is read only"); a.Status != accessDenied {
		t.Errorf("CREATE for writing on a share that is read only: %+v", a)
	}
	open["access"] = 1
	if o = goes.do("open", open); o.Status != statusOK {
		t.Fatalf("CREATE for reading: %+v", o)
	}
	with("")
	if st := goes.do("read", args{"fid": o.FID, "offset": 0, "length": 3}).Status; st != networkNameDeleted {
		t.Errorf("READ on a share that went: %s", st)
	}
	if _, st := g.connect("two"); st != badNetworkName {
		t.Errorf("TREE_CONNECT to a share that went: %s", st)
	}
	if l := g.locks(); len(l) != 0 {
		t.Errorf("left of it: %+v", l)
	}
	with("read_only = false")
	if o = soon("it came back"); o.Status != statusOK {
		t.Errorf("CREATE on the share that came back: %+v", o)
	}
	if a := stays.do("read", args{"fid": kept.FID, "offset": 0, "length": 3}); a.Status != statusOK {
		t.Errorf("READ on the share that stayed: %+v", a)
	}
}
