package check

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An extended attribute is one thing over SMB and for local programs on the mount, in both directions.
func TestExtendedAttributes(t *testing.T) {
	dir := tree(t)
	path := filepath.Join(dir, "f")
	write(t, path, "x")
	g := up(t, dir)
	if out, err := g.smbclient(`setea f colour blue; setmode f +h`); err != nil {
		t.Fatalf("smbclient setea: %v\n%s", err, out)
	}
	if got := xattr(t, path, "user.colour"); got != "blue" {
		t.Errorf("on the mount: %q", got)
	}
	if err := unix.Setxattr(path, "user.shape", []byte("round"), 0); err != nil {
		t.Fatal(err)
	}
	out, err := g.smbclient(`geteas f`)
	if err != nil || !strings.Contains(out, "colour (0) =") || !strings.Contains(out, "shape (0) =") || !strings.Contains(out, "blue") || strings.Contains(out, "DOSATTRIB") {
		t.Errorf("smbclient geteas: %v\n%s", err, out)
	}
}
