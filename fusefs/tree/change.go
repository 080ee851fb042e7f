package tree

import (
	"context"
	"sync"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// What a change counts as, [MS-SMB2] 2.2.35.
const (
	notifyFileName   = 0x001
	notifyDirName    = 0x002
	notifyAttributes = 0x004
	notifySize       = 0x008
	notifyLastWrite  = 0x010
	notifyEA         = 0x080
	notifySecurity   = 0x100
)

// post carries to the counter, in order, what no local program waits for.
type post struct {
	jobs chan func(context.Context)
	done <-chan struct{}
	wg   sync.WaitGroup
	// spawn starts a job of its own that ends with the mount.
	spawn func(func(context.Context))
}

// start delivers until ctx ends.
func (p *post) start(ctx context.Context) {
	p.jobs, p.done = make(chan func(context.Context), 4096), ctx.Done()
	p.spawn = func(do func(context.Context)) { p.wg.Go(func() { do(ctx) }) }
	p.wg.Go(func() {
		for {
			select {
			case do := <-p.jobs:
				do(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
}

// send puts do behind what was sent before.
func (p *post) send(do func(context.Context)) {
	select {
	case p.jobs <- do:
	case <-p.done:
	}
}

// flush returns when all that was sent before has been delivered.
func (p *post) flush() {
	c := make(chan struct{})
	p.send(func(context.Context) { close(c) })
	select {
	case <-c:
	case <-p.done:
	}
}

// tell lets the other doors know of changes.
func (t *Tree) tell(changes ...lock.Change) {
	if t.unheard() {
		return
	}
	t.post.send(func(ctx context.Context) {
		for _, c := range changes {
			c.By = lock.Local
			if err := t.seat.Changed(ctx, c); err != nil {
				t.log.Debug("change not told", "export", t.name, "key", c.Key, "err", err)
			}
		}
	})
}

// tellName tells that name in dir came, went or moved.
func (t *Tree) tellName(a lock.Action, key, dir lock.Key, name string, kind uint32) {
	t.tell(lock.Change{Key: key, Dir: dir, Name: name, Action: a, Filter: nameFilter(kind)})
}

func nameFilter(kind uint32) uint32 {
	if kind == unix.S_IFDIR {
		return notifyDirName
	}
	return notifyFileName
}

// tellNode tells that n's attributes, or its data, changed.
func (t *Tree) tellNode(n *node, filter uint32, data bool) {
	dir, name := n.where()
	t.tell(lock.Change{Key: n.key, Dir: dir, Name: name, Action: lock.Modified, Filter: filter, Data: data})
}

// ears hear what other doors changed. The kernel takes the directory's lock to drop a name, and whoever holds that lock may be waiting
// for the counter: so the counter's own voice never waits here, and one directory does not hold up all others. What does not fit is
// let go: cacheTime bounds how long the kernel may be wrong.
type ears struct {
	changes chan lock.Change
	wg      sync.WaitGroup
}

const listeners = 4

// start invalidates until ctx ends.
func (e *ears) start(ctx context.Context, hear func(lock.Change)) {
	e.changes = make(chan lock.Change, 4096)
	for range listeners {
		e.wg.Go(func() {
			for {
				select {
				case c := <-e.changes:
					hear(c)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// Heard takes a change from the counter.
func (t *Tree) Heard(c lock.Change) {
	select {
	case t.ears.changes <- c:
	default:
		t.metrics.deaf.Inc()
	}
}

// invalidate drops what the kernel remembers of a changed file or name.
func (t *Tree) invalidate(c lock.Change) {
	if n := t.nodes.find(c.Key); n != nil {
		off := int64(-1) // attributes only
		if c.Data {
			off = 0
		}
		t.server.InodeNotify(n.id, off, 0)
	}
	d := t.nodes.find(c.Dir)
	if d == nil || c.Action == lock.Modified || c.Action >= lock.AddedStream { // streams have no names in a directory
		return
	}
	t.server.InodeNotify(d.id, 0, 0) // its data is the list of names
	if c.Name != "" {
		t.server.EntryNotify(d.id, c.Name)
	}
}
