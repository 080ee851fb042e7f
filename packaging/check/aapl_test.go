package check

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dittofs/smbd/appledouble"
	"dittofs/smbd/smb2"
)

// A client that asks as a Mac does is told what the share can, with dittofs up --apple.
func TestAAPL(t *testing.T) {
	query := hex.EncodeToString((&smb2.AAPLQuery{Command: smb2.AAPLServerQuery, Bitmap: smb2.AAPLServerCaps | smb2.AAPLVolumeCaps}).Append(nil))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--apple"}, hex.EncodeToString((&smb2.AAPLAnswer{Bitmap: 3, ServerCaps: 15}).Append(nil))},
		{nil, ""},
	} {
		g := up(t, tree(t), c.args...)
		if a := g.smb(t).do("aapl", args{"query": query}); a.Status != statusOK || a.Data != c.want {
			t.Errorf("%v: %s, %q; want %q", c.args, a.Status, a.Data, c.want)
		}
		g.Stop()
	}
}

// A resource fork that no attribute has room for is an AppleDouble file to local programs and over NFS, and none to SMB clients; both see the same bytes
// while it changes, and it goes with its file.
func TestResourceFork(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "data")
	g := up(t, dir, "--apple")
	from := filepath.Join(t.TempDir(), "fork")
	fork := strings.Repeat("resource fork 16", 1<<16)
	write(t, from, fork)
	if out, err := g.smbclient(`put "` + from + `" f:AFP_Resource`); err != nil {
		t.Fatalf("smbclient put: %v\n%s", err, out)
	}
	local := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "-"
		}
		h, err := appledouble.Parse(b, uint64(len(b)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(b[h.Fork.Offset:h.Fork.End()])
	}
	if got := local("._f"); got != fork {
		t.Errorf("%d bytes to local programs, want %d", len(got), len(fork))
	}
	n := g.nfs(t, owner)
	if got, st := n.read(n.must("._f"), 82, 16); st != nfsOK || got != fork[:16] {
		t.Errorf("over NFS: %d, %q", st, got)
	}
	if out, err := g.smbclient(`ls; allinfo f`); err != nil || strings.Contains(out, "._f") || !strings.Contains(out, "stream: [:AFP_Resource:$DATA], 1048576 bytes") {
		t.Errorf("smbclient: %v\n%s", err, out)
	}

	other := g.smb(t) // reads the file by its name, and caches
	const key, read, open = "000102030405060708090a0b0c0d0e0f", 1, 1
	o := other.do("open", args{"name": "._f", "access": 0x120089, "share": 7, "disposition": open, "key": key, "state": read})
	if o.Lease != read {
		t.Fatalf("the lease: %+v", o)
	}
	s := g.smb(t)
	fid := s.do("open", args{"name": "f:AFP_Resource", "access": 0x12019f, "share": 7, "disposition": open}).FID
	if a := s.do("write", args{"fid": fid, "offset": 0, "data": "RESOURCE"}); a.Status != statusOK {
		t.Fatal(a.Status)
	}
	if got := local("._f"); !strings.HasPrefix(got, "RESOURCE fork") {
		t.Errorf("to local programs, after a write: %.16q", got)
	}
	if b := other.do("breaks", args{"timeout": 5}).Breaks; len(b) != 1 || b[0].From != read || b[0].To != 0 {
		t.Errorf("breaks: %+v", b)
	}
	other.do("close", args{"fid": o.FID})
	s.do("close", args{"fid": fid})

	gone := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if st := s.do("open", args{"name": name, "access": 0x120089, "share": 7, "disposition": open}).Status; st != objectNameNotFound {
				t.Errorf("%s is still there: %s", name, st)
			}
		}
	}
	if out, err := g.smbclient(`rename f g; mkdir d; rename g d/h`); err != nil || !strings.HasPrefix(local("d/._h"), "RESOURCE") {
		t.Errorf("after the renaming: %v\n%s", err, out)
	}
	gone("._f", "._g")
	if out, err := g.smbclient(`del d/h; rmdir d`); err != nil {
		t.Errorf("after the deletion: %v\n%s", err, out)
	}
	gone("d")
}
