package server

import (
	"slices"
	"strings"
	"sync"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Who watches directories, [MS-FSA] 2.1.4.1. They are fed by what the doors tell the counter, not by inotify(7).

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
	limit  uint32 // of what waits for the client: it asked for that much at first

	mu       sync.Mutex // guards the fields below
	changes  []fscc.Change
	overflow bool
	gone     bool // the directory is to be deleted
	waiting  []*waiter
}

// waiter is a CHANGE_NOTIFY that waits for news. Who came first is told first.
type waiter struct {
	limit uint32
	told  chan news
}

// news is what a CHANGE_NOTIFY is answered.
type news struct {
	changes []byte
	status  ntstatus.Status
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

// as is what a change is called for this watch, if it counts at all. [MS-FSA] 2.1.5.15.12: moving a file to another directory removes it
// from one and adds it to the other; and who does not watch names hears of a file's new name as of a change of its attributes.
func (w *watch) as(c lock.Change) (fscc.NotifyAction, bool) {
	const names, attributes = uint32(smb2.NotifyChangeFileName | smb2.NotifyChangeDirName), uint32(smb2.NotifyChangeAttributes | smb2.NotifyChangeCreation)
	switch moved := c.Action == lock.MovedHere || c.Action == lock.RenamedNew; {
	case c.Filter&w.filter != 0:
	case moved && c.Filter&uint32(smb2.NotifyChangeFileName) != 0 && w.filter&names == 0 && w.filter&attributes != 0:
		return fscc.FileActionModified, true
	default:
		return 0, false
	}
	switch c.Action {
	case lock.MovedAway:
		return fscc.FileActionRemoved, true
	case lock.MovedHere:
		return fscc.FileActionAdded, true
	}
	return fscc.NotifyAction(c.Action), true
}

func (w *watch) tell(c lock.Change, name string) {
	action, counts := w.as(c)
	if !counts {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.changes)
	switch e := (fscc.Change{Action: action, FileName: name}); {
	case w.overflow:
	case n > 0 && action == fscc.FileActionModified && w.changes[n-1] == e:
	case n >= maxChanges:
		w.changes, w.overflow = nil, true
	default:
		w.changes = append(w.changes, e)
	}
	w.answer()
}

// lost tells a watch of something whose name it cannot be told.
func (w *watch) lost(c lock.Change) {
	if _, counts := w.as(c); !counts {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes, w.overflow = nil, true
	w.answer()
}

// deleted ends what waits on a directory that is to be deleted.
func (t *watches) deleted(dir lock.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.by[dir] {
		w.mu.Lock()
		w.gone = true
		w.answer()
		w.mu.Unlock()
	}
}

// answer tells whoever waits what there is to tell. w.mu is held.
func (w *watch) answer() {
	for len(w.waiting) > 0 {
		n, ok := w.take(w.waiting[0].limit)
		if !ok {
			return
		}
		w.waiting[0].told <- n
		w.waiting = w.waiting[1:]
	}
}

// take gives what has happened since the last answer. w.mu is held.
func (w *watch) take(limit uint32) (news, bool) {
	switch {
	case w.gone:
		return news{status: ntstatus.DeletePending}, true
	case w.overflow:
		w.overflow = false
		return news{status: ntstatus.NotifyEnumDir}, true
	case len(w.changes) == 0:
		return news{}, false
	}
	n := fscc.NewNotify(min(limit, w.limit))
	changes := w.changes
	w.changes = nil
	for _, c := range changes {
		if !n.Add(c.Action, c.FileName) {
			return news{status: ntstatus.NotifyEnumDir}, true
		}
	}
	return news{changes: n.Bytes()}, true
}

// wait takes what there is to tell, or queues up.
func (w *watch) wait(limit uint32) *waiter {
	q := &waiter{limit: limit, told: make(chan news, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, q)
	w.answer()
	return q
}

// giveUp takes a waiter out of the queue. It may have been told meanwhile.
func (w *watch) giveUp(q *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(o *waiter) bool { return o == q })
}
