package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smbcacls asks for or sets the descriptor of a file as SDDL.
func (g *gateway) smbcacls(name string, more ...string) (string, error) {
	g.t.Helper()
	host, _, _ := strings.Cut(g.Ready["smb"], ":")
	args := append([]string{"//" + host + "/" + filepath.Base(g.Dir), name, "-U", smbUser + "%" + smbPassword, "--numeric", "--sddl", "--domain-sid", "S-1-22-1"}, more...)
	return run(g.t, "smbcacls", args...)
}

// A descriptor is kept as a client sets it, decides for SMB, is a POSIX ACL for a local program, is inherited, and ends with a local chmod.
func TestSecurityDescriptor(t *testing.T) {
	g := up(t, tree(t))
	if out, err := g.smbclient("mkdir d; put /etc/hostname d/before"); err != nil {
		t.Fatal(err, out)
	}
	dir := filepath.Join(g.Dir, "d")
	// Full control of creators, read of a group; nothing of what others may.
	const dacl = "D:(A;OICIIO;0x001f01ff;;;CO)(A;OICI;0x001200a9;;;S-1-22-2-50)(A;;0x001f01ff;;;S-1-22-1-1000)"
	if out, err := g.smbcacls("d", "-S", dacl); err != nil {
		t.Fatal(err, out)
	}
	shown := func(name string) string {
		out, err := g.smbcacls(name)
		if err != nil {
			t.Fatal(err, out)
		}
		_, list, _ := strings.Cut(strings.TrimSpace(out), "D:")
		return "D:" + list
	}
	if got := shown("d"); got != dacl {
		t.Errorf("set\n%s, shown\n%s", dacl, got)
	}
	acl := mustRun(t, "getfacl", "-cnp", dir)
	for _, want := range []string{"user::rwx", "group::---", "group:50:r-x", "other::---", "default:user::rwx", "default:group:50:r-x"} {
		if !strings.Contains(acl, want+"\n") {
			t.Errorf("no %s in\n%s", want, acl)
		}
	}
	if out, err := g.smbclient("put /etc/hostname d/made"); err != nil {
		t.Fatal(err, out)
	}
	if got, want := shown("d/made"), "D:(A;;0x001f01ff;;;S-1-22-1-1000)(A;;0x001200a9;;;S-1-22-2-50)"; got != want {
		t.Errorf("inherited %s, want %s", got, want)
	}
	// Who may not read is told so, though the owner's mode bits would let him; a local chmod ends it.
	if out, err := g.smbcacls("d/made", "-S", "D:(D;;0x00000001;;;WD)(A;;0x001f01ff;;;S-1-22-1-1000)"); err != nil {
		t.Fatal(err, out)
	}
	if out, err := g.smbclient("get d/made /dev/null"); err == nil || !strings.Contains(out, "NT_STATUS_ACCESS_DENIED") {
		t.Errorf("read though denied: %v, %s", err, out)
	}
	if st, err := os.Stat(filepath.Join(dir, "made")); err != nil || st.Mode().Perm() != 0o300 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := os.Chmod(filepath.Join(dir, "made"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := g.smbclient("get d/made /dev/null"); err != nil {
		t.Errorf("%v, %s", err, out)
	}
	// READONLY gives back the mode that it took.
	if err := os.Chmod(filepath.Join(dir, "made"), 0o664); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		mode string
		want os.FileMode
	}{{"+r", 0o444}, {"-r", 0o664}} {
		if out, err := g.smbclient("setmode d/made " + step.mode); err != nil {
			t.Fatal(err, out)
		}
		if st, err := os.Stat(filepath.Join(dir, "made")); err != nil || st.Mode().Perm() != step.want {
			t.Errorf("setmode %s: %v, want %v, %v", step.mode, st.Mode(), step.want, err)
		}
	}
}

// A share that hides what its user may not read.
func TestHideUnreadable(t *testing.T) {
	g := up(t, tree(t), "--hide-unreadable")
	for name, mode := range map[string]os.FileMode{"shown": 0o644, "hidden": 0o600} {
		if err := os.WriteFile(filepath.Join(g.Dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	out, err := g.smbclient("ls")
	if err != nil || !strings.Contains(out, "shown") || strings.Contains(out, "hidden") {
		t.Errorf("%v\n%s", err, out)
	}
}

// smbcacls finds the names of users and groups through lsarpc.
func TestNamesInDescriptors(t *testing.T) {
	g := up(t, tree(t))
	if out, err := g.smbclient("put /etc/hostname f"); err != nil {
		t.Fatal(err, out)
	}
	host, _, _ := strings.Cut(g.Ready["smb"], ":")
	out := mustRun(t, "smbcacls", "//"+host+"/"+filepath.Base(g.Dir), "f", "-U", smbUser+"%"+smbPassword)
	for _, want := range []string{`\` + smbUser + "\n", "ACL:Everyone:ALLOWED/0x0/R"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, err := run(t, "smbcacls", "//"+host+"/"+filepath.Base(g.Dir), "f", "-U", smbUser+"%"+smbPassword, "-a", "ACL:BUILTIN\\Users:ALLOWED/0x0/FULL"); err != nil {
		t.Errorf("%v, %s", err, out)
	}
	if out := mustRun(t, "smbcacls", "//"+host+"/"+filepath.Base(g.Dir), "f", "-U", smbUser+"%"+smbPassword); !strings.Contains(out, `ACL:BUILTIN\Users:ALLOWED/0x0/FULL`) {
		t.Errorf("not added:\n%s", out)
	}
}
