package server

import (
	"context"
	"strings"
	"sync"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// CHANGE_NOTIFY, [MS-SMB2] 3.3.5.19 and [MS-FSA] 2.1.5.11. It is fed by what the doors tell the counter, not by inotify(7).

// maxChanges is how many changes wait for a client before it is told to list the directory anew.
const maxChanges = 1000

// watch is what an open has asked to be told of. It lasts as long as the open.
type watch struct {
	o      *open
	share  *share
	dir    lock.Key
	path   string // beneath the share's root, "" for the root
	tree   bool   // everything beneath, too
	filter uint32

	mu       sync.Mutex // guards the fields below
	changes  []fscc.Change
	overflow bool
	gone     bool // the directory is to be deleted
	news     chan struct{}
}

// watches are all of them, by directory; those of whole trees stand apart.
type watches struct {
	mu    *sync.Mutex // guards the maps
	by    map[lock.Key]map[*watch]struct{}
	trees map[*watch]struct{}
}

func newWatches() watches {
	return watches{mu: new(sync.Mutex), by: map[lock.Key]map[*watch]struct{}{}, trees: map[*watch]struct{}{}}
}

func (t *watches) add(w *watch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[w.dir] == nil {
		t.by[w.dir] = map[*watch]struct{}{}
	}
	t.by[w.dir][w] = struct{}{}
	if w.tree {
		t.trees[w] = struct{}{}
	}
}

func (t *watches) remove(o *open) {
	o.mu.Lock()
	w := o.watch
	o.mu.Unlock()
	if w == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.trees, w)
	if delete(t.by[w.dir], w); len(t.by[w.dir]) == 0 {
		delete(t.by, w.dir)
	}
}

// changed takes a change that came through another door: the directory is known, its path is not.
func (t *watches) changed(c lock.Change) { t.changedAt(c, nil, "") }

// changedAt takes a change of a name whose path beneath a share's root is known. Who watches a tree from above, perhaps through another
// share, and cannot be told the name is told to list anew.
func (t *watches) changedAt(c lock.Change, in *share, path string) {
	if c.Action == lock.Removed && !c.Key.IsZero() {
		t.deleted(c.Key)
	}
	if c.Dir.IsZero() {
		return
	}
	t.mu.Lock()
	var direct, above []*watch
	for w := range t.by[c.Dir] {
		direct = append(direct, w)
	}
	for w := range t.trees {
		if w.dir != c.Dir && w.dir.FSID == c.Dir.FSID {
			above = append(above, w)
		}
	}
	t.mu.Unlock()
	for _, w := range direct {
		w.tell(c, changedName(c.Action, c.Name))
	}
	for _, w := range above {
		switch rest, beneath := strings.CutPrefix(path, prefix(w.path)); {
		case path == "" || w.share != in:
			w.lost(c)
		case beneath:
			parts := strings.Split(rest, "/")
			for i := range parts[:len(parts)-1] {
				parts[i] = wireName(parts[i])
			}
			parts[len(parts)-1] = changedName(c.Action, parts[len(parts)-1])
			w.tell(c, strings.Join(parts, `\`))
		}
	}
}

func prefix(dir string) string {
	if dir == "" || dir == "." {
		return ""
	}
	return dir + "/"
}

func (w *watch) tell(c lock.Change, name string) {
	if c.Filter&w.filter == 0 {
		return
	}
	w.mu.Lock()
	n := len(w.changes)
	switch e := (fscc.Change{Action: fscc.NotifyAction(c.Action), FileName: name}); {
	case n > 0 && e.Action == fscc.FileActionModified && w.changes[n-1] == e:
	case n >= maxChanges:
		w.changes, w.overflow = nil, true
	default:
		w.changes = append(w.changes, e)
	}
	w.mu.Unlock()
	w.wake()
}

func (w *watch) lost(c lock.Change) {
	if c.Filter&w.filter == 0 {
		return
	}
	w.mu.Lock()
	w.changes, w.overflow = nil, true
	w.mu.Unlock()
	w.wake()
}

// deleted ends what waits on a directory that is to be deleted.
func (t *watches) deleted(dir lock.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.by[dir] {
		w.mu.Lock()
		w.gone = true
		w.mu.Unlock()
		w.wake()
	}
}

func (w *watch) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func changeNotify(ctx context.Context, r *request) (reply, error) {
	var q smb2.ChangeNotifyRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	if q.OutputBufferLength > r.chain.c.maxTransfer {
		return nil, ntstatus.InvalidParameter
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.pipe != nil || !o.directory:
		return nil, ntstatus.InvalidParameter
	case o.access&smb2.FileListDirectory == 0:
		return nil, ntstatus.AccessDenied
	}
	if !r.last {
		// Inside a compound nothing can be answered apart, and what follows may be what ends the wait. [MS-SMB2] 3.3.5.2.7, product note.
		return nil, ntstatus.InternalError
	}
	o.mu.Lock()
	w := o.watch
	if w == nil {
		w = &watch{o: o, share: o.tree.share, dir: o.key, path: o.path, tree: q.Flags&smb2.WatchTree != 0, filter: uint32(q.CompletionFilter), news: make(chan struct{}, 1)}
		if w.path == "." {
			w.path = ""
		}
		o.watch = w
		o.session.s.watches.add(w)
	}
	o.mu.Unlock()
	for pended := false; ; {
		if b, st, ok := w.take(q.OutputBufferLength); ok {
			if st != ntstatus.Success {
				return &smb2.ChangeNotifyResponse{}, st
			}
			return &smb2.ChangeNotifyResponse{Buffer: b}, nil
		}
		if !pended {
			r.pend()
			pended = true
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			if why := context.Cause(ctx); why == ntstatus.NotifyCleanup {
				return &smb2.ChangeNotifyResponse{}, ntstatus.NotifyCleanup
			} else {
				return nil, why
			}
		}
	}
}

// take gives what has happened since the last answer.
func (w *watch) take(limit uint32) (b []byte, st ntstatus.Status, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return nil, ntstatus.DeletePending, true
	}
	if w.overflow {
		w.overflow = false
		return nil, ntstatus.NotifyEnumDir, true
	}
	if len(w.changes) == 0 {
		return nil, 0, false
	}
	n := fscc.NewNotify(limit)
	changes := w.changes
	w.changes = nil
	for _, c := range changes {
		if !n.Add(c.Action, c.FileName) {
			return nil, ntstatus.NotifyEnumDir, true
		}
	}
	return n.Bytes(), ntstatus.Success, true
}
