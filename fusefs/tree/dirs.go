package tree

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dirs keeps the directories open that are being worked in: to open one by its handle, and to close it, costs more than most of what is
// done in it. They are few, and none stays for longer than a pin.
type dirs struct {
	mu    sync.Mutex // guards the fields below, and those of each workDir
	open  map[*node]*workDir
	armed bool
}

const dirsMax = 64

// workDir is a directory that is open for its names.
type workDir struct {
	fd    int
	users int
	last  time.Time // when the last user left
	kept  bool      // by dirs; else the last user closes it
	line  *dirs     // nil: the root, which stays
}

// done ends one use.
func (w *workDir) done() {
	if w.line == nil {
		return
	}
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	w.users--
	switch {
	case w.kept:
		w.last = time.Now()
	case w.users == 0:
		unix.Close(w.fd)
	}
}

// get is n, if it is open and still has a name.
func (d *dirs) get(n *node) *workDir {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.open[n]
	if w == nil {
		return nil
	}
	if removed(w.fd) {
		d.let(n, w)
		return nil
	}
	w.users++
	return w
}

// add keeps n, which is open as fd, and begins its first use.
func (d *dirs) add(n *node, fd int) *workDir {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &workDir{fd: fd, users: 1, line: d}
	if len(d.open) >= dirsMax {
		d.makeRoom()
	}
	if d.open[n] != nil || len(d.open) >= dirsMax {
		return w
	}
	if d.open == nil {
		d.open = map[*node]*workDir{}
	}
	w.kept = true
	d.open[n] = w
	if !d.armed {
		d.armed = true
		time.AfterFunc(pinTime, d.expire)
	}
	return w
}

// makeRoom lets the one go that was longest without use.
func (d *dirs) makeRoom() {
	var oldest *node
	for n, w := range d.open {
		if w.users == 0 && (oldest == nil || w.last.Before(d.open[oldest].last)) {
			oldest = n
		}
	}
	if oldest != nil {
		d.let(oldest, d.open[oldest])
	}
}

func (d *dirs) let(n *node, w *workDir) {
	delete(d.open, n)
	if w.kept = false; w.users == 0 {
		unix.Close(w.fd)
	}
}

// expire closes what nobody used for pinTime, and comes back for the rest.
func (d *dirs) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for n, w := range d.open {
		if w.users == 0 && now.Sub(w.last) >= pinTime {
			d.let(n, w)
		}
	}
	if d.armed = len(d.open) > 0; d.armed {
		time.AfterFunc(pinTime, d.expire)
	}
}

// drop closes all.
func (d *dirs) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, w := range d.open {
		d.let(n, w)
	}
}

func removed(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) != nil || st.Nlink == 0
}

// atHand is n if it is a directory that is open already.
func (t *Tree) atHand(n *node) *workDir {
	switch {
	case n.id == rootID:
		return &t.rootDir
	case n.kind == unix.S_IFDIR:
		return t.dirs.get(n)
	}
	return nil
}

// workIn opens the directory that the kernel calls id, for its names. At ESTALE the kernel looks for the path anew: another door may
// have put another directory there.
func (t *Tree) workIn(id uint64) (*node, *workDir, fuse.Status) {
	n, st := t.node(id)
	if !st.Ok() {
		return nil, nil, st
	}
	if w := t.atHand(n); w != nil {
		return n, w, fuse.OK
	}
	fd, err := t.open(n, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, nil, status(err)
	}
	if removed(fd) {
		unix.Close(fd)
		return nil, nil, fuse.Status(unix.ESTALE)
	}
	return n, t.dirs.add(n, fd), fuse.OK
}
