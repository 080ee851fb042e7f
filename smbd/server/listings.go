package server

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
)

// listings remembers the names in large directories by what they are without regard to case, so that a name that is not there costs no
// scan. The changes that every door tells keep a listing true; one that is older than listingAge is made anew where the directory's time
// says that something changed. It matters for names in another case only: the exact name is always asked of the kernel first.
type listings struct {
	mu    sync.Mutex // guards the fields below and every listing's
	by    map[lock.Key]*listing
	names int    // in all of them
	clock uint64 // counts uses
}

// listing is one directory's.
type listing struct {
	names   map[string]string // folded to as on disk
	more    map[string][]string
	size    int
	mtime   export.Time
	made    time.Time
	used    uint64
	loading bool
	missed  []lock.Change // while loading
}

// Implementation specific.
const (
	listingMin = 256       // a smaller directory is scanned faster than kept
	namesMax   = 1_000_000 // in all listings
	listingAge = time.Minute
)

// search finds a name in a directory that differs from name only in case; "" if there is none. It runs as the user: who may not list a
// directory sees exact names only.
func (t *listings) search(dir *os.File, name string) (string, error) {
	if err := export.MayAccess(int(dir.Fd()), unix.R_OK); err == unix.EACCES {
		return "", nil
	} else if err != nil {
		return "", err
	}
	a, err := export.Stat(int(dir.Fd()))
	if err != nil {
		return "", err
	}
	key, err := export.KeyOf(int(dir.Fd()))
	if err != nil {
		return "", err
	}
	folded := fold(name)
	if found, ok := t.look(key, a.Mtime, folded, name); ok {
		return found, nil
	}
	l := t.begin(key, a.Mtime)
	found, err := l.scan(dir, folded, name)
	t.end(key, l, err == nil)
	return found, err
}

// look answers from a listing; ok is false where there is none that counts.
func (t *listings) look(key lock.Key, mtime export.Time, folded, name string) (found string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.by[key]
	if l == nil || l.loading || l.mtime != mtime && time.Since(l.made) > listingAge {
		return "", false
	}
	t.clock++
	l.used = t.clock
	if n, there := l.names[folded]; there && n != name {
		return n, true
	}
	for _, n := range l.more[folded] {
		if n != name {
			return n, true
		}
	}
	return "", true
}

// begin makes a listing that takes note of changes while it is loaded, unless another is being loaded.
func (t *listings) begin(key lock.Key, mtime export.Time) *listing {
	l := &listing{names: map[string]string{}, mtime: mtime, made: time.Now(), loading: true}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.by[key]; old == nil || !old.loading {
		t.drop(key)
		t.by[key] = l
	}
	return l
}

// scan reads the directory to its end.
func (l *listing) scan(dir *os.File, folded, name string) (found string, err error) {
	fd, err := export.Reopen(int(dir.Fd()), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	for {
		names, err := f.Readdirnames(4096)
		for _, n := range names {
			x := fold(n)
			if x == folded && n != name {
				found = n
			}
			l.add(x, n)
		}
		if err == io.EOF || err == nil && len(names) == 0 {
			return found, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// end keeps a listing that is worth it, with what happened meanwhile.
func (t *listings) end(key lock.Key, l *listing, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[key] != l {
		return
	}
	if !ok || l.size < listingMin || l.size > namesMax {
		delete(t.by, key)
		return
	}
	for _, c := range l.missed {
		l.apply(c)
	}
	l.missed, l.loading = nil, false
	t.clock++
	l.used = t.clock
	t.names += l.size
	for t.names > namesMax {
		var oldest lock.Key
		for k, x := range t.by {
			if !x.loading && x != l && (oldest.IsZero() || x.used < t.by[oldest].used) {
				oldest = k
			}
		}
		if oldest.IsZero() {
			return
		}
		t.drop(oldest)
	}
}

// drop forgets a directory. t.mu is held.
func (t *listings) drop(key lock.Key) {
	if l := t.by[key]; l != nil {
		if !l.loading {
			t.names -= l.size
		}
		delete(t.by, key)
	}
}

// changed takes what a door did to a name.
func (t *listings) changed(c lock.Change) {
	if c.Action == lock.Modified || c.Name == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.by[c.Dir]
	switch {
	case l == nil:
	case l.loading && len(l.missed) < listingMin:
		l.missed = append(l.missed, c)
	case l.loading:
		delete(t.by, c.Dir) // the directory changes faster than it is read
	default:
		before := l.size
		l.apply(c)
		t.names += l.size - before
	}
}

func (l *listing) apply(c lock.Change) {
	switch c.Action {
	case lock.Added, lock.RenamedNew:
		l.add(fold(c.Name), c.Name)
	case lock.Removed, lock.RenamedOld:
		l.remove(fold(c.Name), c.Name)
	}
}

func (l *listing) add(folded, name string) {
	switch old, ok := l.names[folded]; {
	case !ok:
		l.names[folded] = name
	case old == name:
		return
	default:
		for _, n := range l.more[folded] {
			if n == name {
				return
			}
		}
		if l.more == nil {
			l.more = map[string][]string{}
		}
		l.more[folded] = append(l.more[folded], name)
	}
	l.size++
}

func (l *listing) remove(folded, name string) {
	more := l.more[folded]
	for i, n := range more {
		if n == name {
			l.more[folded] = append(more[:i:i], more[i+1:]...)
			l.size--
			return
		}
	}
	if l.names[folded] != name {
		return
	}
	l.size--
	if len(more) == 0 {
		delete(l.names, folded)
		return
	}
	l.names[folded], l.more[folded] = more[0], more[1:]
}
