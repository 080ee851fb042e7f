package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/fuzz"
	"dittofs/gateway/lock"
)

func TestMain(m *testing.M) {
	syscall.Umask(0)
	os.Exit(m.Run())
}

// tree makes a directory, exported as "t", with a file f (0640, user 1000, group 2000), a directory d, and links that lead out.
func tree(t testing.TB, change ...func(*config.Export)) (*Set, string) {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o777)
	os.Chmod(filepath.Dir(dir), 0o755)
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("hello"), 0o640))
	must(t, os.Chown(filepath.Join(dir, "f"), 1000, 2000))
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "out")))
	must(t, os.Symlink("../..", filepath.Join(dir, "d", "up")))
	c := config.Export{Path: dir, Name: "t", Squash: "root", AnonUID: 65534, AnonGID: 65534, Insecure: true}
	for _, f := range change {
		f(&c)
	}
	s, err := New([]config.Export{c}, [32]byte{1})
	must(t, err)
	bring(t, s, dir)
	t.Cleanup(s.Close)
	return s, dir
}

func bring(t testing.TB, s *Set, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	must(t, err)
	must(t, s.Set("t", d))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func root(t testing.TB, s *Set) *File {
	t.Helper()
	r, err := s.ByName("T").Root()
	must(t, err)
	t.Cleanup(r.Release)
	return r
}

func TestHandleSurvivesAndIsSealed(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	f, err := r.Lookup(Root, "f")
	must(t, err)
	fh := bytes.Clone(f.FH())
	key := f.Key
	f.Release()

	// Another life of the gateway with the same key, and the same one after the tree was away.
	again, err := New([]config.Export{s.Exports()[0].Config()}, s.key)
	must(t, err)
	t.Cleanup(again.Close)
	if _, err := again.Open(fh); err != ErrAway {
		t.Errorf("without a tree: %v, want ErrAway", err)
	}
	bring(t, again, dir)
	must(t, os.Rename(filepath.Join(dir, "f"), filepath.Join(dir, "d", "g")))
	for _, set := range []*Set{s, again} {
		g, err := set.Open(fh)
		must(t, err)
		if g.Key != key {
			t.Errorf("key %v, want %v", g.Key, key)
		}
		g.Release()
	}
	k, path, err := s.Resolve(context.Background(), fh, nil, true)
	if err != nil || k != key || path != "d/g" {
		t.Errorf("Resolve: %v %q %v", k, path, err)
	}

	for i := range fh {
		bad := bytes.Clone(fh)
		bad[i] ^= 1
		if _, err := s.Open(bad); err != ErrBadHandle {
			t.Errorf("byte %d changed: %v, want ErrBadHandle", i, err)
		}
	}
	for n := range fh {
		if _, err := s.Open(fh[:n]); err != ErrBadHandle {
			t.Errorf("%d bytes: %v, want ErrBadHandle", n, err)
		}
	}

	must(t, os.Remove(filepath.Join(dir, "d", "g")))
	if _, _, err := s.Resolve(context.Background(), fh, nil, true); err != ErrStale {
		t.Errorf("removed, in the cache: %v, want ErrStale", err)
	}
	if _, err := s.Open(fh); err != ErrStale {
		t.Errorf("removed, out of the cache: %v, want ErrStale", err)
	}

	s.Remove("t")
	if _, err := s.Open(r.FH()); err != ErrAway {
		t.Errorf("tree removed: %v, want ErrAway", err)
	}
}

func TestNothingLeavesTheTree(t *testing.T) {
	s, _ := tree(t)
	r := root(t, s)
	up, err := r.Lookup(Root, "..")
	must(t, err)
	if up != r {
		t.Errorf(".. of the root is %v", up)
	}
	up.Release()
	d, err := r.Lookup(Root, "d")
	must(t, err)
	defer d.Release()
	up, err = d.Lookup(Root, "..")
	must(t, err)
	if up != r {
		t.Errorf("d/.. is %v", up)
	}
	up.Release()
	if fd, err := unix.Openat(r.Fd(), "..", unix.O_PATH, 0); err == nil {
		k, _ := KeyOf(fd)
		if k != r.Key {
			t.Errorf("the kernel's .. of the root is %v", k)
		}
		unix.Close(fd)
	}
	for _, c := range []struct {
		path  string
		flags int
		want  error
	}{
		{"out", unix.O_RDONLY, unix.ELOOP},
		{"out/x", unix.O_PATH, unix.ELOOP},
		{"d/up/etc", unix.O_PATH, unix.ELOOP},
		{"..", unix.O_PATH, unix.EXDEV},
		{"d/../../x", unix.O_PATH, unix.EXDEV},
		{"/etc", unix.O_PATH, unix.EXDEV},
		{"d/../f", unix.O_PATH, nil},
		{"", unix.O_PATH, nil},
		{"a\x00b", unix.O_PATH, unix.EINVAL},
	} {
		fd, err := OpenBeneath(r.Fd(), c.path, c.flags, 0)
		if err != c.want {
			t.Errorf("%q: %v, want %v", c.path, err, c.want)
		}
		if err == nil {
			unix.Close(fd)
		}
	}
	for name, want := range map[string]error{"": unix.EINVAL, "a/b": unix.EINVAL, "a\x00": unix.EINVAL, "..": unix.EINVAL,
		string(bytes.Repeat([]byte("x"), 256)): unix.ENAMETOOLONG} {
		if _, err := OpenAt(r.Fd(), name, unix.O_PATH, 0); err != want {
			t.Errorf("OpenAt %q: %v, want %v", name, err, want)
		}
		if err := Mkdir(r.Fd(), name, 0o755); err != want {
			t.Errorf("Mkdir %q: %v, want %v", name, err, want)
		}
	}
	if l, err := r.Lookup(Root, "out"); err != nil {
		t.Error(err)
	} else if target, err := Readlink(l.Fd()); target != "/etc/passwd" || err != nil {
		t.Errorf("Readlink: %q %v", target, err)
	} else {
		l.Release()
	}
}

func TestAsTheUser(t *testing.T) {
	s, _ := tree(t)
	r := root(t, s)
	f, err := r.Lookup(Root, "f")
	must(t, err)
	defer f.Release()
	for _, c := range []struct {
		who  Cred
		mode uint32
		want error
	}{
		{Cred{UID: 1000, GID: 1}, unix.R_OK | unix.W_OK, nil},
		{Cred{UID: 1001, GID: 2000}, unix.R_OK, nil},
		{Cred{UID: 1001, GID: 2000}, unix.W_OK, unix.EACCES},
		{Cred{UID: 1001, GID: 1, Groups: []uint32{5, 2000}}, unix.R_OK, nil},
		{Cred{UID: 1001, GID: 1, Groups: []uint32{5}}, unix.R_OK, unix.EACCES},
		{Root, unix.R_OK | unix.W_OK, nil},
		{Root, unix.X_OK, unix.EACCES},
		{Cred{UID: 1<<32 - 1}, unix.R_OK, unix.EPERM},
	} {
		a, err := f.Stat()
		must(t, err)
		for range 2 { // asked, and remembered
			if err := f.May(c.who, c.mode, &a); err != c.want {
				t.Errorf("%v %o: %v, want %v", c.who, c.mode, err, c.want)
			}
		}
	}
	must(t, As(Cred{UID: 1234, GID: 5678}, func() error { return Mkdir(r.Fd(), "mine", 0o700) }))
	a, err := StatAt(r.Fd(), "mine")
	must(t, err)
	if a.UID != 1234 || a.GID != 5678 || a.Mode != unix.S_IFDIR|0o700 {
		t.Errorf("made as 1234: %d:%d %o", a.UID, a.GID, a.Mode)
	}
	// What a panic leaves behind is a thread that is itself again.
	func() {
		defer func() { recover() }()
		As(Cred{UID: 1234}, func() error { panic("x") })
	}()
	must(t, Mkdir(r.Fd(), "roots", 0o700))
	if a, _ := StatAt(r.Fd(), "roots"); a.UID != 0 {
		t.Errorf("made afterwards: %d", a.UID)
	}
}

func TestSquash(t *testing.T) {
	for _, c := range []struct {
		squash string
		in     Cred
		known  bool
		want   Cred
	}{
		{"root", Cred{0, 0, []uint32{0, 5}}, true, Cred{UID: 9, GID: 8}},
		{"root", Cred{1, 0, []uint32{0, 5, 0}}, true, Cred{1, 8, []uint32{8, 5, 8}}},
		{"root", Cred{1, 2, []uint32{3}}, true, Cred{1, 2, []uint32{3}}},
		{"root", Cred{}, false, Cred{UID: 9, GID: 8}},
		{"none", Cred{}, true, Cred{}},
		{"none", Cred{}, false, Cred{UID: 9, GID: 8}},
		{"all", Cred{1, 2, []uint32{3}}, true, Cred{UID: 9, GID: 8}},
	} {
		e := Terms{Squash: c.squash, Anon: Cred{UID: 9, GID: 8}}
		if got := e.As(c.in, c.known); !got.Equal(c.want) {
			t.Errorf("%s %v %v: %v, want %v", c.squash, c.in, c.known, got, c.want)
		}
	}
}

func TestAdmit(t *testing.T) {
	s, _ := tree(t, func(c *config.Export) {
		c.Clients = []string{"10.1.0.0/16", "192.0.2.7", "2001:db8::/32"}
		c.Insecure = false
	})
	for text, want := range map[string]error{
		"10.1.2.3:700": nil, "[::ffff:10.1.2.3]:700": nil, "192.0.2.7:1": nil, "[2001:db8::1]:1023": nil,
		"10.2.0.1:700": ErrRefused, "10.1.2.3:1024": ErrRefused, "192.0.2.8:1": ErrRefused, "[2001:db9::1]:1": ErrRefused,
	} {
		if _, err := s.Exports()[0].Admit(t.Context(), netip.MustParseAddrPort(text)); err != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	if _, err := New([]config.Export{{Path: "/x", Clients: []string{"non sense"}}}, [32]byte{}); err == nil {
		t.Error("a client that is none was taken")
	}
}

func TestByPath(t *testing.T) {
	s, err := New([]config.Export{{Path: "/srv", Name: "a"}, {Path: "/srv/b", Name: "b"}}, [32]byte{})
	must(t, err)
	for in, want := range map[string]string{"/srv": "a ", "/srv/": "a ", "/srv/x/y": "a x/y", "/srv/b": "b ", "/srv/b/c": "b c", "/srv/bc": "a bc",
		"/srvx": "-", "/": "-", "srv": "-", "/srv/b/../../etc": "-", "": "-"} {
		got := "-"
		if e, rest := s.ByPath(in); e != nil {
			got = e.Name() + " " + rest
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestReadDirResumesAtCookies(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	for i := range 100 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("n", i)), nil, 0o600))
	}
	seen := map[string]int{}
	for cookie, more := uint64(0), true; more; {
		fd, err := OpenAt(r.Fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		d, err := ReadDir(fd, cookie, make([]byte, 4096))
		must(t, err)
		var e Entry
		for range 7 {
			if more, err = d.Next(&e); !more {
				must(t, err)
				break
			}
			seen[string(e.Name)]++
			cookie = e.Cookie
		}
		unix.Close(fd)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%q came %d times", name, n)
		}
	}
	if len(seen) != 105 {
		t.Errorf("%d names, want 105", len(seen))
	}
}

func TestChange(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	f, err := r.Lookup(Root, "f")
	must(t, err)
	defer f.Release()
	mode, uid, at := uint32(0o4711), uint32(7), Time{1 << 33, 5}
	must(t, Change(f.Fd(), &Changes{Mode: &mode, UID: &uid, Mtime: SetTime{Set: true, To: at}}))
	a, err := f.Stat()
	must(t, err)
	if a.Mode != unix.S_IFREG|mode || a.UID != 7 || a.GID != 2000 || a.Mtime != at {
		t.Errorf("%+v", a)
	}
	if err := As(Cred{UID: 8, GID: 8}, func() error { return Change(f.Fd(), &Changes{Mode: &mode}) }); err != unix.EPERM {
		t.Errorf("chmod by somebody else: %v", err)
	}
	must(t, As(Cred{UID: 7, GID: 8}, func() error { return Link(f.Fd(), r.Fd(), "hard") }))
	must(t, SetXattr(f.Fd(), "user.x", []byte("y"), 0))
	b := make([]byte, 9)
	if n, err := GetXattr(f.Fd(), "user.x", b); err != nil || string(b[:n]) != "y" {
		t.Errorf("xattr %q %v", b[:n], err)
	}
	must(t, Rename(r.Fd(), "hard", r.Fd(), "soft", unix.RENAME_NOREPLACE))
	must(t, Unlink(r.Fd(), "f"))
	if _, err := os.Stat(filepath.Join(dir, "soft")); err != nil {
		t.Error(err)
	}
}

func TestCacheIsBoundedAndClosesWhatItEvicts(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	s.cache.max = 8
	before := openFiles(t)
	for i := range 50 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte{byte(i)}, 0o600))
		f, err := r.Lookup(Root, fmt.Sprint(i))
		must(t, err)
		fd, err := f.Data(true)
		must(t, err)
		var b [1]byte
		if n, err := unix.Pread(fd, b[:], 0); n != 1 || err != nil || b[0] != byte(i) {
			t.Fatal(n, err, b)
		}
		f.Release()
	}
	if n := openFiles(t) - before; n > 9 {
		t.Errorf("%d more descriptors, want at most 9", n)
	}
	s.cache.sweep()
	s.cache.sweep()
	s.cache.sweep()
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors after idle time, want %d", n, before)
	}
	if r.refs != 2 { // the tree's and this test's
		t.Errorf("%d references of the root", r.refs)
	}
}

func openFiles(t *testing.T) int {
	d, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(d)
}

func TestReplacedTreeDropsItsFiles(t *testing.T) {
	s, dir := tree(t)
	r, err := s.ByName("t").Root()
	must(t, err)
	f, err := r.Lookup(Root, "f")
	must(t, err)
	before := openFiles(t)
	bring(t, s, dir)
	g, err := s.Open(f.FH())
	must(t, err)
	if g == f || g.Key != f.Key {
		t.Errorf("%v after %v", g, f)
	}
	if _, err := f.Stat(); err != nil {
		t.Errorf("a file in use: %v", err)
	}
	f.Release()
	r.Release()
	g.Release()
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors, want %d", n, before)
	}
}

func TestLoadKey(t *testing.T) {
	dir := t.TempDir()
	a, err := LoadKey(dir)
	must(t, err)
	b, err := LoadKey(dir)
	must(t, err)
	st, err := os.Stat(filepath.Join(dir, "handle.key"))
	must(t, err)
	if a != b || a == [32]byte{} || st.Mode() != 0o600 {
		t.Errorf("%x %x %v", a, b, st.Mode())
	}
	must(t, os.WriteFile(filepath.Join(dir, "handle.key"), []byte("short"), 0o600))
	if _, err := LoadKey(dir); err == nil {
		t.Error("a short key was taken")
	}
	if _, err := LoadKey(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzHandle(g *testing.F) {
	f := fuzz.On(g)
	s, _ := tree(f)
	r := root(f, s)
	f.Add(r.FH())
	f.Add(bytes.Repeat([]byte{1}, 64))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := s.Open(b)
		if err == nil {
			if !bytes.Equal(b, r.FH()) {
				t.Fatalf("%x was taken", b)
			}
			g.Release()
		}
	})
}

func BenchmarkAs(b *testing.B) {
	c := Cred{UID: 1000, GID: 1000, Groups: []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}
	for b.Loop() {
		As(c, func() error { return nil })
	}
}

func BenchmarkOpenStat(b *testing.B) {
	s, _ := tree(b)
	f, err := root(b, s).Lookup(Root, "f")
	must(b, err)
	defer f.Release()
	b.ReportAllocs()
	for b.Loop() {
		g, _ := s.Open(f.FH())
		g.Stat()
		g.Release()
	}
}

func BenchmarkOpenUncached(b *testing.B) {
	s, _ := tree(b)
	f, err := root(b, s).Lookup(Root, "f")
	must(b, err)
	fh := bytes.Clone(f.FH())
	f.Release()
	b.ReportAllocs()
	for b.Loop() {
		s.Forget(f.Key)
		g, err := s.Open(fh)
		must(b, err)
		g.Release()
	}
}

// A name goes by the file's key, only while it is that file's, and whoever caches the directory is told before.
func TestUnlinkKey(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	f, err := r.Lookup(Root, "f")
	must(t, err)
	d, err := r.Lookup(Root, "d")
	must(t, err)
	keyF, keyD := f.Key, d.Key
	f.Release()
	d.Release()
	must(t, os.Remove(filepath.Join(dir, "d", "up")))
	for _, c := range []struct {
		key  lock.Key
		rel  string
		want string
	}{
		{keyF, "d", "no such file or directory false [false]"},
		{keyF, "d/f", "no such file or directory false [false]"},
		{keyF, "../f", "invalid cross-device link false []"},
		{lock.Key{FSID: keyF.FSID + 1, Ino: keyF.Ino, Gen: keyF.Gen}, "f", ErrAway.Error() + " false []"},
		{keyF, "f", "<nil> false [true]"},
		{keyD, "d", "<nil> true [true]"},
		{keyD, "d", "no such file or directory false [false]"},
	} {
		var did []bool
		_, isDir, err := s.UnlinkKey(c.key, c.rel, func(lock.Key) func(bool) { return func(changed bool) { did = append(did, changed) } })
		if got := fmt.Sprint(err, isDir, did); got != c.want {
			t.Errorf("%v %s: %s, want %s", c.key, c.rel, got, c.want)
		}
	}
}
