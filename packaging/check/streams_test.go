package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func xattr(t *testing.T, path, name string) string {
	t.Helper()
	var b [1 << 16]byte
	n, err := unix.Lgetxattr(path, name, b[:])
	if err == unix.ENODATA {
		return "-"
	}
	if err != nil {
		t.Fatalf("%s: %s: %v", path, name, err)
	}
	return string(b[:n])
}

// A stream that smbclient writes stands beside the file as the extended attribute that Samba would write, local programs see it through
// the mount, smbclient lists and reads it, and it is deleted on close.
func TestNamedStream(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	from := filepath.Join(t.TempDir(), "zone")
	write(t, from, "[ZoneTransfer]")
	if out, err := g.smbclient(`put "` + from + `" f:Zone.Identifier`); err != nil {
		t.Fatalf("smbclient put: %v\n%s", err, out)
	}
	if got := xattr(t, filepath.Join(dir, "f"), "user.DosStream.Zone.Identifier:$DATA"); got != "[ZoneTransfer]\x00" {
		t.Errorf("the attribute: %q", got)
	}
	if out, err := g.smbclient(`allinfo f`); err != nil || !strings.Contains(out, "stream: [:Zone.Identifier:$DATA], 14 bytes") || !strings.Contains(out, "stream: [::$DATA], 10 bytes") {
		t.Errorf("smbclient allinfo: %v\n%s", err, out)
	}
	to := filepath.Join(t.TempDir(), "back")
	out, err := g.smbclient(`get f:zone.identifier "` + to + `"`)
	if b, e := os.ReadFile(to); err != nil || e != nil || string(b) != "[ZoneTransfer]" {
		t.Errorf("smbclient get: %v, %v %q\n%s", err, e, b, out)
	}
	s := g.smb(t)
	s.do("close", args{"fid": s.do("open", args{"name": "f:Zone.Identifier", "access": 0x10000, "share": 7, "disposition": 1, "options": 0x1000}).FID})
	if got := xattr(t, filepath.Join(dir, "f"), "user.DosStream.Zone.Identifier:$DATA"); got != "-" {
		t.Errorf("after the deletion: %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(b) != "0123456789" {
		t.Errorf("the file: %q, %v", b, err)
	}
}

// Whoever has a stream open without sharing deletion holds the file against every door; its own bytes stay free.
func TestStreamHoldsTheFile(t *testing.T) {
	const shareRead, shareAll, openIf, open = 1, 7, 3, 1
	dir := tree(t)
	path := filepath.Join(dir, "f")
	write(t, path, "0123456789")
	g := up(t, dir)
	s := g.smb(t)
	fid := s.do("open", args{"name": "f:a", "access": readWrite, "share": shareRead, "disposition": openIf}).FID
	if err := os.Remove(path); err != unix.EACCES && !os.IsPermission(err) {
		t.Errorf("a local program removes the file: %v", err)
	}
	if st := s.do("open", args{"name": "f", "access": 0x10000, "share": shareAll, "disposition": open}).Status; st != sharingViolation {
		t.Errorf("open for deletion: %s, want STATUS_SHARING_VIOLATION", st)
	}
	if st := s.do("open", args{"name": "f:a", "access": readWrite, "share": shareAll, "disposition": open}).Status; st != sharingViolation {
		t.Errorf("the stream a second time: %s, want STATUS_SHARING_VIOLATION", st)
	}
	write(t, path, "abc")
	s.do("close", args{"fid": fid})
	if err := os.Remove(path); err != nil {
		t.Errorf("a local program removes the file: %v", err)
	}
}
