package export

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// roster is what a directory that is listed again and again keeps of its entries: their handles, and their places, open with O_PATH, as
// far as there is room. Asking a place costs a quarter of asking a name twice. Attributes are never kept: each listing asks the kernel.
//
// An inode that is open cannot become another file, so that an entry of its number is it. Where no place is open, the time of birth
// tells; if that could lie, the handle would be stale and not another file's.
//
// A roster ends when the directory changed, when nobody listed it for a while, and with the directory's File. What was removed is let go at once,
// so that its space is free.
type roster struct {
	fsid  uint64
	mtime Time // of the directory when it began

	mu sync.Mutex // guards at
	at map[uint64]berth

	// Guarded by cache.mu.
	refs   int // listings under way
	berths int
	fds    int
	tick   uint64
	over   bool
	gone   []int // to be closed when no listing is under way
}

type berth struct {
	fd   int32 // -1: none
	fh   []byte
	born Time // where there is no fd
}

// maxBerths is how many entries all rosters keep together, of some 150 bytes each.
const maxBerths = 1 << 17

// Listing is one pass, or a part of one, over a directory's entries. End it.
type Listing struct {
	dir     *File
	roster  *roster
	scratch [HandleMax]byte
}

// List begins a listing; a are the directory's attributes, read just now, and first tells that it begins at the beginning. From the second
// pass over the same directory on a roster is kept.
func (f *File) List(a *Attr, first bool) *Listing {
	l := listings.Get().(*Listing)
	c := &f.export.set.cache
	f.mu.Lock()
	defer f.mu.Unlock()
	c.mu.Lock()
	r := f.roster
	var closed []int
	if r != nil && r.mtime != a.Mtime {
		closed = c.end(r)
	}
	if r == nil || r.over {
		r, f.roster = nil, nil
	}
	if first && r == nil && f.listed == a.Mtime {
		r = &roster{fsid: f.Key.FSID, mtime: a.Mtime, at: map[uint64]berth{}}
		f.roster = r
		c.rosters = append(c.rosters, r)
		c.wind()
	}
	if first {
		f.listed = a.Mtime
	}
	if r != nil {
		r.refs++
		r.tick = c.tick
	}
	c.mu.Unlock()
	closeFds(closed)
	l.dir, l.roster = f, r
	return l
}

var listings = sync.Pool{New: func() any { return new(Listing) }}

// End ends the listing, and with it the last handle that Peek returned.
func (l *Listing) End() {
	if r, c := l.roster, &l.dir.export.set.cache; r != nil {
		c.mu.Lock()
		r.refs--
		closed := c.idle(r)
		c.mu.Unlock()
		closeFds(closed)
	}
	l.dir, l.roster = nil, nil
	listings.Put(l)
}

// Peek returns attributes and sealed handle of an entry, whose inode the directory says is ino; the caller has asked whether it may search
// here. The handle is good until the next Peek.
func (l *Listing) Peek(name string, ino uint64, a *Attr) (fh []byte, err error) {
	r := l.roster
	if r == nil || ino == 0 || name == "." || name == ".." {
		fh, *a, err = l.dir.Peek(name, ino, l.scratch[:0])
		return fh, err
	}
	r.mu.Lock()
	b, known := r.at[ino]
	r.mu.Unlock()
	switch {
	case !known:
		return l.meet(name, ino, a)
	case b.fd >= 0:
		if *a, err = Stat(int(b.fd)); err == nil && a.Nlink == 0 {
			err = ErrStale
		}
		return b.fh, err
	}
	c := &l.dir.export.set.cache
	c.mu.Lock()
	place := c.place()
	c.mu.Unlock()
	if !place {
		*a, err = statx(l.dir.fd, name, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && a.Ino == ino && a.Btime == b.born && a.Flags&unix.STATX_ATTR_MOUNT_ROOT == 0 {
			return b.fh, nil
		}
	}
	c.mu.Lock()
	c.forget(r, ino)
	c.mu.Unlock()
	return l.meet(name, ino, a)
}

// meet is Peek of an entry that the roster does not know yet, and takes it in where there is room.
func (l *Listing) meet(name string, ino uint64, a *Attr) (fh []byte, err error) {
	r, c := l.roster, &l.dir.export.set.cache
	open, room := c.berth(r)
	b := berth{fd: -1}
	if open {
		b.fd, b.fh, *a, err = l.dir.look(name)
	} else {
		b.fh, *a, err = l.dir.Peek(name, ino, l.scratch[:0])
		b.born = a.Btime
	}
	// A file that is born later, with the same number, has another time of birth if the clock has gone on since.
	keep := err == nil && room && a.Ino == ino && a.Nlink > 0 && (open || b.born != Time{} && time.Since(b.born.Time()) > tick)
	if keep {
		if !open {
			b.fh = slices.Clone(b.fh)
		}
		r.mu.Lock()
		if _, taken := r.at[ino]; taken {
			keep = false
		} else {
			r.at[ino] = b
		}
		r.mu.Unlock()
	}
	if !keep && room {
		c.unberth(r, open)
		if b.fd >= 0 {
			unix.Close(int(b.fd))
		}
	}
	return b.fh, err
}

// look is Peek that leaves the place open, unless it is an error.
func (f *File) look(name string) (fd int32, fh []byte, a Attr, err error) {
	if err := CheckName(name); err != nil {
		return -1, nil, a, err
	}
	place, err := f.place(name, 0)
	if err != nil {
		return -1, nil, a, err
	}
	a, err = Stat(place)
	var k kernelHandle
	if err == nil {
		k, err = kernelHandleOf(place)
	}
	if err != nil {
		unix.Close(place)
		return -1, nil, a, err
	}
	return int32(place), f.export.set.seal(make([]byte, 0, handleHead+int(k.n)+macLen), f.export.id, &k), a, nil
}

// berth makes room for one more entry of r, and for its place where there is room for that too.
func (c *cache) berth(r *roster) (open, room bool) {
	var gone []*File
	c.mu.Lock()
	if room = c.berths < maxBerths && !r.over; room {
		c.berths++
		r.berths++
		if open = c.place(); open {
			c.fds++
			c.places++
			r.fds++
			gone = c.shrink(gone)
		}
	}
	c.mu.Unlock()
	closeFiles(gone)
	return open, room
}

// place reports whether one more place may be kept. An eighth is always for files that are asked for by their handles.
func (c *cache) place() bool { return c.places < c.max/8*7 }

func (c *cache) unberth(r *roster, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.berths--
	r.berths--
	if open {
		c.fds--
		c.places--
		r.fds--
	}
}

// forget lets go of one entry. It runs under mu and returns the descriptors to be closed.
func (c *cache) forget(r *roster, ino uint64) []int {
	r.mu.Lock()
	b, known := r.at[ino]
	delete(r.at, ino)
	r.mu.Unlock()
	if !known {
		return nil
	}
	c.berths--
	r.berths--
	if b.fd < 0 {
		return nil
	}
	c.fds--
	c.places--
	r.fds--
	r.gone = append(r.gone, int(b.fd))
	return c.idle(r)
}

// forgetKey lets go of an entry of all rosters.
func (c *cache) forgetKey(fsid, ino uint64) {
	var closed []int
	c.mu.Lock()
	for _, r := range c.rosters {
		if r.fsid == fsid {
			closed = append(closed, c.forget(r, ino)...)
		}
	}
	c.mu.Unlock()
	closeFds(closed)
}

// end ends r; it runs under mu and returns the descriptors to be closed now.
func (c *cache) end(r *roster) []int {
	if !r.over {
		r.over = true
		c.rosters = slices.DeleteFunc(c.rosters, func(x *roster) bool { return x == r })
	}
	return c.idle(r)
}

// idle takes from r what is to be closed, once no listing is under way that might ask it.
func (c *cache) idle(r *roster) (closed []int) {
	if r.refs > 0 {
		return nil
	}
	closed, r.gone = r.gone, nil
	if !r.over {
		return closed
	}
	r.mu.Lock()
	for _, b := range r.at {
		if b.fd >= 0 {
			closed = append(closed, int(b.fd))
		}
	}
	clear(r.at)
	r.mu.Unlock()
	c.fds -= r.fds
	c.places -= r.fds
	c.berths -= r.berths
	r.fds, r.berths = 0, 0
	return closed
}

// endRosters ends those that which names.
func (c *cache) endRosters(which func(*roster) bool) {
	var closed []int
	c.mu.Lock()
	for _, r := range slices.Clone(c.rosters) {
		if which(r) {
			closed = append(closed, c.end(r)...)
		}
	}
	c.mu.Unlock()
	closeFds(closed)
}

func closeFds(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
