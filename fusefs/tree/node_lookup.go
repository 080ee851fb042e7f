package tree

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Lookup finds a name. What is not there is not remembered, since another door may make it. FUSE_LOOKUP.
func (t *Tree) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if name == "." || name == ".." { // asked only for handles of the mount itself, which it does not offer
		return fuse.Status(unix.ESTALE)
	}
	d, at, st := t.workIn(in.NodeId)
	if !st.Ok() {
		return st
	}
	defer at.done()
	return t.lookup(d, at.fd, name, out)
}

// found answers a look-up of name in d, and counts it.
func (t *Tree) found(d *node, name string, e entry, out *fuse.EntryOut) {
	n := t.nodes.learn(e)
	n.place(d.key, name)
	fill(out, n, &e.st)
}

// lookup finds name in the directory d, which is open as at, and pins it.
func (t *Tree) lookup(d *node, at int, name string, out *fuse.EntryOut) fuse.Status {
	fd, err := child(at, name)
	if err != nil {
		return status(err)
	}
	e, err := t.identify(fd)
	if err != nil || e.kind() == unix.S_IFDIR {
		unix.Close(fd)
	} else {
		t.pins.add(fd)
	}
	if err != nil {
		return status(err)
	}
	t.found(d, name, e, out)
	return fuse.OK
}

// entry identifies name in at.
func (t *Tree) entry(at int, name string) (entry, error) {
	fd, err := child(at, name)
	if err != nil {
		return entry{}, err
	}
	defer unix.Close(fd)
	return t.identify(fd)
}

// Forget gives look-ups back. FUSE_FORGET.
func (t *Tree) Forget(id, count uint64) { t.nodes.forget(id, count) }
