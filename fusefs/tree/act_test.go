package tree

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// by is a shell command of user 1234 in group 5678, who is also in group 999.
func by(t *testing.T, script string, args ...string) error {
	t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 5678, Groups: []uint32{999}}}
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		t.Logf("%s", out)
	}
	return err
}

type owned struct {
	uid, gid uint32
	mode     uint32
}

func ownerOf(t *testing.T, path string) owned {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return owned{st.Uid, st.Gid, st.Mode}
}

// What a caller makes is the caller's, with the caller's umask; a set-group-ID directory gives its group, to files and, with the bit
// itself, to directories; a default ACL stands instead of the umask. It is the same beneath and through the mount.
func TestFilesBelongToTheirMakers(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.Mkdir(m.under("open"), 0o755))
	must(t, os.Chmod(m.under("open"), 0o777))
	must(t, os.Mkdir(m.under("shared"), 0o755))
	must(t, os.Chown(m.under("shared"), 0, 999)) // reached by a group of which FUSE does not tell
	must(t, unix.Chmod(m.under("shared"), 0o2770))
	must(t, os.Mkdir(m.under("acl"), 0o755))
	must(t, os.Chmod(m.under("acl"), 0o777))
	must(t, unix.Setxattr(m.under("acl"), "system.posix_acl_default", defaultACL, 0))
	for _, c := range []struct {
		script, name string
		want         owned
	}{
		{`umask 027; : >"$1"`, "open/f", owned{1234, 5678, unix.S_IFREG | 0o640}},
		{`umask 027; mkdir "$1"`, "open/d", owned{1234, 5678, unix.S_IFDIR | 0o750}},
		{`ln -s x "$1"`, "open/l", owned{1234, 5678, unix.S_IFLNK | 0o777}},
		{`umask 022; mkfifo "$1"`, "open/p", owned{1234, 5678, unix.S_IFIFO | 0o644}},
		{`umask 022; : >"$1"`, "shared/f", owned{1234, 999, unix.S_IFREG | 0o644}},
		{`umask 022; mkdir "$1"`, "shared/d", owned{1234, 999, unix.S_IFDIR | 0o2755}},
		{`umask 077; : >"$1"`, "acl/f", owned{1234, 5678, unix.S_IFREG | 0o664}},
	} {
		if err := by(t, c.script, m.at(c.name)); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, at := range []string{m.at(c.name), m.under(c.name)} {
			if got := ownerOf(t, at); got != c.want {
				t.Errorf("%s: %d:%d %o, want %d:%d %o", at, got.uid, got.gid, got.mode, c.want.uid, c.want.gid, c.want.mode)
			}
		}
	}
}

// user::rw- group::rw- mask::rw- other::r--, as setfacl -d writes it: struct posix_acl_xattr_header and entries, little-endian.
var defaultACL = []byte{
	2, 0, 0, 0, // a_version
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // ACL_USER_OBJ rw-
	4, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // ACL_GROUP_OBJ rw-
	0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // ACL_OTHER r--
}

// The kernel checks permissions, and keeps to it when names change hands.
func TestPermissions(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("secret"), []byte("x"), 0o600))
	must(t, os.Mkdir(m.under("sticky"), 0o755))
	must(t, unix.Chmod(m.under("sticky"), 0o1777))
	must(t, os.WriteFile(m.under("sticky/root"), nil, 0o644))
	for _, script := range []string{
		`cat "$1/secret"`, `: >"$1/new"`, `mkdir "$1/new"`, `rm -f "$1/sticky/root"`, `mv "$1/sticky/root" "$1/sticky/mine"`,
		`chmod 777 "$1/secret"`, `: >"$1/secret"`, `ln "$1/secret" "$1/sticky/l"; cat "$1/sticky/l"`,
	} {
		if err := by(t, script+" 2>/dev/null", m.dir); err == nil {
			t.Errorf("allowed: %s", script)
		}
	}
}

// A write, a truncate or a chown takes the set-user-ID bit away, where the kernel passes the write through and where it does not. Root's
// write need not, and does all the same where it is passed through.
func TestSetUserIDGoes(t *testing.T) {
	for _, plain := range []bool{false, true} {
		m := mountTree(t, plain)
		byRoot := uint32(0o777) // the kernel passes all writes to a file through in one name
		if plain {
			byRoot = 0o4777
		}
		for _, c := range []struct {
			name string
			do   func(path string) error
			mode uint32
		}{
			{"write", func(p string) error { return by(t, `echo more >>"$1"`, p) }, 0o777},
			{"truncate", func(p string) error { return by(t, `truncate -s 1 "$1"`, p) }, 0o777},
			{"truncating open", func(p string) error { return by(t, `: >"$1"`, p) }, 0o777},
			{"fallocate", func(p string) error { return by(t, `fallocate -l 100 "$1"`, p) }, 0o777},
			{"chown", func(p string) error { return os.Chown(p, 1, 1) }, 0o777},
			{"write by root", func(p string) error { return exec.Command("sh", "-c", `echo more >>"$1"`, "sh", p).Run() }, byRoot},
		} {
			must(t, os.WriteFile(m.under(c.name), []byte("data"), 0o644))
			must(t, unix.Chmod(m.under(c.name), 0o4777))
			if err := c.do(m.at(c.name)); err != nil {
				t.Errorf("plain=%v %s: %v", plain, c.name, err)
				continue
			}
			if got := ownerOf(t, m.under(c.name)).mode & 0o7777; got != c.mode {
				t.Errorf("plain=%v %s: mode %o, want %o", plain, c.name, got, c.mode)
			}
		}
	}
}

// The thread that acted for a caller is root's again.
func TestAsRestores(t *testing.T) {
	must(t, as(1234, 5678, noReserve, func() error { return nil }))
	p, err := os.MkdirTemp(t.TempDir(), "")
	must(t, err)
	if got := ownerOf(t, p); got.uid != 0 || got.gid != uint32(os.Getgid()) {
		t.Errorf("made by %d:%d", got.uid, got.gid)
	}
	for range 100 {
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var d [2]unix.CapUserData
		must(t, unix.Capget(&h, &d[0]))
		if d[0].Effective != d[0].Permitted {
			t.Fatalf("effective %x of permitted %x", d[0].Effective, d[0].Permitted)
		}
	}
}
