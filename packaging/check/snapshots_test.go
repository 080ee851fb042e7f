package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smbclient lists a file's previous versions and reads one, and cannot change it.
func TestPreviousVersions(t *testing.T) {
	dir := tree(t)
	old := filepath.Join(dir, ".snapshots", "@GMT-2024.03.01-12.00.00")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(old, "f"), "old")
	write(t, filepath.Join(dir, "f"), "new")
	g := up(t, dir, "--snapshots", ".snapshots/@GMT-%Y.%m.%d-%H.%M.%S")
	if out, err := g.smbclient(`allinfo f`); err != nil || !strings.Contains(out, "@GMT-2024.03.01-12.00.00") {
		t.Errorf("smbclient allinfo: %v\n%s", err, out)
	}
	to := filepath.Join(t.TempDir(), "back")
	out, err := g.smbclient(`get @GMT-2024.03.01-12.00.00\f "` + to + `"`)
	if b, e := os.ReadFile(to); err != nil || e != nil || string(b) != "old" {
		t.Errorf("smbclient get: %v, %v %q\n%s", err, e, b, out)
	}
	if out, err := g.smbclient(`put "` + to + `" @GMT-2024.03.01-12.00.00\f`); err == nil {
		t.Errorf("smbclient put into the past:\n%s", out)
	}
	if b, err := os.ReadFile(filepath.Join(old, "f")); err != nil || string(b) != "old" {
		t.Errorf("the past: %q, %v", b, err)
	}
}
