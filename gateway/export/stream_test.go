package export

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// A stream goes by its key, only where the path leads to that.
func TestUnlinkStream(t *testing.T) {
	s, dir := tree(t)
	r := root(t, s)
	f, err := r.Lookup(Root, "f")
	must(t, err)
	key := f.Key
	f.Release()
	for _, name := range []string{"A", "b"} {
		must(t, unix.Setxattr(filepath.Join(dir, "f"), StreamAttribute(name), []byte{0}, 0))
	}
	must(t, unix.Setxattr(dir, StreamAttribute("r"), []byte{0}, 0))
	a, second := StreamKey(key, "a"), StreamKey(StreamKey(key, "B"), "B") // names match in any case; b met another's key
	if a == key || a.Ino != key.Ino || a == StreamKey(key, "b") {
		t.Fatalf("%v of %v", a, key)
	}
	for _, c := range []struct {
		key  lock.Key
		rel  string
		want error
	}{
		{a, "f", unix.ENOENT},
		{a, "f:b", unix.ENOENT},
		{a, "d:A", unix.ENOENT},
		{key, "f:A", unix.ENOENT},
		{a, "../f:A", unix.EXDEV},
		{lock.Key{FSID: a.FSID + 1, Ino: a.Ino, Gen: a.Gen}, "f:A", unix.ENOENT},
		{a, "f:A", nil},
		{a, "f:A", unix.ENODATA},
		{second, "f:b", nil},
		{StreamKey(r.Key, "r"), ":r", nil},
	} {
		file, in, err := s.UnlinkStream(c.key, c.rel)
		if err != c.want || err == nil && (in != r.Key || c.rel != ":r" && file != key) {
			t.Errorf("%v %s: %v, %v in %v; want %v", c.key, c.rel, err, file, in, c.want)
		}
	}
}
