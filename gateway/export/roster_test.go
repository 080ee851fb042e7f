package export

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pass lists the directory once, and compares each entry with what the kernel says of its name now.
func pass(t *testing.T, d *File, want int) {
	t.Helper()
	a, err := d.Stat()
	must(t, err)
	fd, err := OpenAt(d.Fd(), ".", os.O_RDONLY, 0)
	must(t, err)
	defer closeFds([]int{fd})
	names, err := ReadDir(fd, 0, nil)
	must(t, err)
	l := d.List(&a, true)
	defer l.End()
	var e Entry
	n := 0
	for {
		more, err := names.Next(&e)
		must(t, err)
		if !more {
			break
		}
		n++
		var got Attr
		gotFH, err := l.Peek(string(e.Name), e.Ino, &got)
		must(t, err)
		fh, attr, err := d.Peek(string(e.Name), 0, nil)
		must(t, err)
		if !bytes.Equal(gotFH, fh) || got != attr {
			t.Errorf("%s: %x %+v\nwant %x %+v", e.Name, gotFH, got, fh, attr)
		}
	}
	if n != want {
		t.Errorf("%d entries, want %d", n, want)
	}
}

// Whatever happens between two listings, by whatever door, each tells what is; with room for all places, for some, and for none.
func TestListingTellsTheTruth(t *testing.T) {
	for _, max := range []int{4096, 24, 4} {
		s, dir := tree(t)
		s.cache.max = max
		d := root(t, s)
		file := func(i int) string { return filepath.Join(dir, fmt.Sprint("name-", i)) }
		for i := range 40 {
			must(t, os.WriteFile(file(i), nil, 0o600))
		}
		n := 40 + 5
		for range 4 {
			pass(t, d, n)
		}
		for i, change := range []func(){
			func() { must(t, os.WriteFile(file(1), []byte("longer"), 0)) },
			func() { must(t, os.Chmod(file(2), 0o640)) },
			func() { must(t, os.Rename(file(3), file(4))); n-- },
			func() { must(t, os.Remove(file(5))); n-- },
			func() { must(t, os.Remove(file(6))); must(t, os.WriteFile(file(6), []byte("another"), 0o644)) },
			func() { must(t, os.Remove(file(7))); must(t, os.Mkdir(file(7), 0o755)) },
			func() { must(t, os.Link(file(8), filepath.Join(dir, "d", "link"))) },
			func() { must(t, os.Remove(file(8))); must(t, os.Symlink("x", file(8))) },
			func() { must(t, os.Rename(file(9), filepath.Join(dir, "d", "moved"))); n-- },
		} {
			a, err := d.Stat()
			must(t, err)
			change()
			if i%2 == 1 { // as if it had happened within a tick of the clock: the mtime tells nothing
				must(t, os.Chtimes(dir, time.Time{}, a.Mtime.Time()))
			}
			for range 3 {
				pass(t, d, n)
			}
		}
	}
}

// A roster keeps no more places than there is room for, none for long, and none of a file that was removed.
func TestRosterLetsGo(t *testing.T) {
	s, dir := tree(t)
	d := root(t, s)
	for i := range 40 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("name-", i)), nil, 0o600))
	}
	before := openFiles(t)
	s.cache.max = 24
	for range 3 {
		pass(t, d, 45)
	}
	if n := openFiles(t) - before; n != 21 {
		t.Errorf("%d descriptors of %d, want seven of eight", n, s.cache.max)
	}
	s.cache.max = 4096
	must(t, os.Remove(filepath.Join(dir, "d", "up")))
	must(t, os.Remove(filepath.Join(dir, "d")))
	for range 3 {
		pass(t, d, 44)
	}
	if n := openFiles(t) - before; n != 42 { // but for "." and ".."
		t.Errorf("%d descriptors, want 42", n)
	}
	for name, gone := range map[string]func(f *File){
		"name-1": func(f *File) { f.Stat() },
		"name-2": func(f *File) { s.Forget(f.Key) },
	} {
		f, err := d.Lookup(Root, name)
		must(t, err)
		must(t, os.Remove(filepath.Join(dir, name)))
		gone(f)
		f.Release()
	}
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasSuffix(to, "(deleted)") {
			t.Errorf("descriptor of %s", to)
		}
	}
	s.cache.sweep()
	s.cache.sweep()
	s.cache.sweep()
	if n := openFiles(t); n != before || s.cache.fds != 0 || s.cache.places != 0 || s.cache.berths != 0 {
		t.Errorf("%d descriptors after idle time, want %d; %d places and %d entries counted", n, before, s.cache.fds, s.cache.berths)
	}
}

// A handle without a place is believed only for a file of the same number and birth.
func TestRosterKnowsAnotherBirth(t *testing.T) {
	s, _ := tree(t)
	s.cache.max = 1
	d := root(t, s)
	a, err := d.Stat()
	must(t, err)
	d.List(&a, true).End()
	l := d.List(&a, true)
	defer l.End()
	f, err := StatAt(d.Fd(), "f")
	must(t, err)
	for _, c := range []struct {
		born Time
		want string
	}{{f.Btime, "kept"}, {Time{1, 1}, ""}} {
		s.cache.berth(l.roster)
		l.roster.at[f.Ino] = berth{fd: -1, fh: []byte("kept"), born: c.born}
		var got Attr
		fh, err := l.Peek("f", f.Ino, &got)
		must(t, err)
		want := []byte(c.want)
		if c.want == "" {
			want, _, err = d.Peek("f", 0, nil)
			must(t, err)
		}
		if !bytes.Equal(fh, want) || got != f {
			t.Errorf("born %v: %x %+v, want %x %+v", c.born, fh, got, want, f)
		}
	}
}

// Several list while names come and go: at the end nothing is open and nothing counted that is not there.
func TestRosterUnderManyHands(t *testing.T) {
	s, dir := tree(t)
	d := root(t, s)
	before := openFiles(t)
	s.cache.max = 40
	for i := range 60 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("name-", i)), nil, 0o600))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				a, err := d.Stat()
				if err != nil {
					t.Error(err)
					return
				}
				l := d.List(&a, true)
				for i := range 60 {
					var got Attr
					name := fmt.Sprint("name-", i)
					if now, err := StatAt(d.Fd(), name); err == nil {
						fh, err := l.Peek(name, now.Ino, &got)
						if err != nil {
							continue
						}
						// The name is another file's at most once: then it is the new one's for good.
						later, _ := StatAt(d.Fd(), name)
						if got.Ino != now.Ino && got.Ino != later.Ino || len(fh) == 0 {
							t.Errorf("%s: inode %d, handle %x, want inode %d or %d", name, got.Ino, fh, now.Ino, later.Ino)
						}
					}
				}
				l.End()
			}
		})
	}
	wg.Go(func() {
		for i := range 40 {
			name := fmt.Sprint("name-", i)
			if f, err := d.Lookup(Root, name); err == nil {
				os.Remove(filepath.Join(dir, name))
				f.Stat()
				s.Forget(f.Key)
				f.Release()
			}
			if i%2 == 0 {
				os.WriteFile(filepath.Join(dir, name), nil, 0o600)
			}
		}
	})
	wg.Wait()
	for range 3 {
		s.cache.sweep()
	}
	if n := openFiles(t); n != before || s.cache.fds != 0 || s.cache.places != 0 || s.cache.berths != 0 {
		t.Errorf("%d descriptors, want %d; %d counted, %d places, %d entries", n, before, s.cache.fds, s.cache.places, s.cache.berths)
	}
}
