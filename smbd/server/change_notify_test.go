package server

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// A watched directory tells of what this door and the others do in it. [MS-SMB2] 3.3.5.19.
func TestChangeNotify(t *testing.T) {
	s := serve(t, nil)
	os.Mkdir(s.dir+"/d", 0o755)
	p := s.dial(t, smb2.Dialect210).logon()
	var d smb2.CreateResponse
	q := opening("d", smb2.FileOpen)
	q.CreateOptions = smb2.FileDirectoryFile
	p.do(smb2.Create, q, &d)
	watch := &smb2.ChangeNotifyRequest{OutputBufferLength: 1000, FileID: d.FileID, CompletionFilter: smb2.NotifyChangeFileName}
	told := func(h smb2.Header, msg []byte, action fscc.NotifyAction, name string) {
		t.Helper()
		var a smb2.ChangeNotifyResponse
		n := fscc.NewNotify(1000)
		n.Add(action, name)
		if err := a.Parse(msg); err != nil || h.Status != 0 || !bytes.Equal(a.Buffer, n.Bytes()) {
			t.Errorf("told %v % x, want % x, %v", &h, a.Buffer, n.Bytes(), err)
		}
	}
	wait := func() {
		t.Helper()
		if h, _ := p.ask(smb2.ChangeNotify, watch); h.Status != ntstatus.Pending {
			t.Fatalf("watch: %v", &h)
		}
	}
	wait()
	p.send(p.message(smb2.Create, opening(`d\new`, smb2.FileCreate), 0))
	// Which of the two answers comes first is open.
	h, msg := p.receive()
	h2, msg2 := p.receive()
	if h.Command != smb2.ChangeNotify {
		h, msg, h2, msg2 = h2, msg2, h, msg
	}
	told(h, msg, fscc.FileActionAdded, "new")
	var a smb2.CreateResponse
	if err := a.Parse(msg2); err != nil {
		t.Fatal(h2.Status, err)
	}
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})

	wait()
	var key lock.Key
	s.counter.mu.Lock()
	for _, o := range s.counter.opens {
		key = o.Key
	}
	s.counter.mu.Unlock()
	s.Event(lock.Event{Change: &lock.Change{Dir: key, Name: "gone", Action: lock.Removed, Filter: uint32(smb2.NotifyChangeFileName), By: lock.NFS}})
	h, msg = p.receive()
	told(h, msg, fscc.FileActionRemoved, "gone")

	wait()
	p.send(p.message(smb2.Close, &smb2.CloseRequest{FileID: d.FileID}, 0))
	if h, _ := p.receive(); h.Status != ntstatus.NotifyCleanup {
		t.Errorf("closed: %v", &h)
	}
	if h, _ := p.receive(); h.Command != smb2.Close || h.Status != 0 {
		t.Errorf("close: %v", &h)
	}
}

// Who watches a directory that is deleted is told so. [MS-FSA] 2.1.5.15.3.
func TestWatchedDirectoryIsDeleted(t *testing.T) {
	s := serve(t, nil)
	os.Mkdir(s.dir+"/d", 0o755)
	p := s.dial(t, smb2.Dialect210).logon()
	var a, b smb2.CreateResponse
	q := opening("d", smb2.FileOpen)
	q.CreateOptions = smb2.FileDirectoryFile
	p.do(smb2.Create, q, &a)
	if h, _ := p.ask(smb2.ChangeNotify, &smb2.ChangeNotifyRequest{OutputBufferLength: 1000, FileID: a.FileID, CompletionFilter: smb2.NotifyChangeFileName}); h.Status != ntstatus.Pending {
		t.Fatalf("watch: %v", &h)
	}
	q.CreateOptions |= smb2.FileDeleteOnClose
	p.do(smb2.Create, q, &b)
	p.send(p.message(smb2.Close, &smb2.CloseRequest{FileID: b.FileID}, 0))
	got := map[smb2.Command]ntstatus.Status{}
	for range 2 {
		h, _ := p.receive()
		got[h.Command] = h.Status
	}
	if got[smb2.Close] != 0 || got[smb2.ChangeNotify] != ntstatus.DeletePending {
		t.Errorf("got %v", got)
	}
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
	if _, err := os.Stat(s.dir + "/d"); err == nil {
		t.Error("the directory is still there")
	}
}

// Who watches the whole of one share hears no names of another, though both are on one file system.
func TestWatchersOfOtherShares(t *testing.T) {
	w := newWatches()
	a, b := &share{name: "a"}, &share{name: "b"}
	watcher := &watch{share: a, dir: lock.Key{FSID: 1, Ino: 1}, tree: true, filter: ^uint32(0), limit: 1000}
	w.add(watcher)
	c := lock.Change{Dir: lock.Key{FSID: 1, Ino: 2}, Name: "secret", Action: lock.Added, Filter: 1}
	w.changedAt(c, b, "sub/secret")
	if n, ok := watcher.take(1000); !ok || n.status != ntstatus.NotifyEnumDir || n.changes != nil {
		t.Errorf("another share's: %v %v", n, ok)
	}
	w.changedAt(c, a, "sub/secret")
	if n, ok := watcher.take(1000); !ok || n.status != ntstatus.Success || len(n.changes) == 0 {
		t.Errorf("its own: %v %v", n, ok)
	}
}

// Requests on one directory are answered in the order of their arrival, each with what is new; and a buffer that was too small for a change
// when the watch began stays so.
func TestWatchersInTurn(t *testing.T) {
	w := &watch{filter: 1, limit: 1000}
	first, second := w.wait(1000), w.wait(1000)
	told := func(q *waiter) any {
		select {
		case n := <-q.told:
			return n
		default:
			return nil
		}
	}
	one := func(action fscc.NotifyAction, name string) any {
		n := fscc.NewNotify(1000)
		n.Add(action, name)
		return news{changes: n.Bytes()}
	}
	w.tell(lock.Change{Action: lock.Added, Filter: 1}, "a")
	w.tell(lock.Change{Action: lock.Removed, Filter: 1}, "a")
	if got := []any{told(first), told(second)}; !reflect.DeepEqual(got, []any{one(fscc.FileActionAdded, "a"), one(fscc.FileActionRemoved, "a")}) {
		t.Errorf("told %v", got)
	}
	third, fourth := w.wait(1000), w.wait(1000)
	w.giveUp(third)
	w.tell(lock.Change{Action: lock.Added, Filter: 1}, "b")
	if got := []any{told(third), told(fourth)}; !reflect.DeepEqual(got, []any{nil, one(fscc.FileActionAdded, "b")}) {
		t.Errorf("after one gave up: %v", got)
	}

	w = &watch{filter: 1, limit: 1}
	w.tell(lock.Change{Action: lock.Added, Filter: 1}, "a")
	if got := told(w.wait(1000)); !reflect.DeepEqual(got, news{status: ntstatus.NotifyEnumDir}) {
		t.Errorf("a buffer of one byte: %v", got)
	}
}

// What a change is called depends on where the other name is, and on what is watched. [MS-FSA] 2.1.5.15.12.
func TestNameOfAChange(t *testing.T) {
	const file, dir, attributes = uint32(smb2.NotifyChangeFileName), uint32(smb2.NotifyChangeDirName), uint32(smb2.NotifyChangeAttributes)
	a, b := lock.Key{Ino: 1}, lock.Key{Ino: 2}
	old, renamed := lock.Renamed(a, a)
	away, here := lock.Renamed(a, b)
	for _, c := range []struct {
		action        lock.Action
		what, watched uint32
		want          fscc.NotifyAction // 0: it does not count
	}{
		{lock.Added, file, file, fscc.FileActionAdded},
		{lock.Added, file, dir, 0},
		{lock.Added, file, attributes, 0},
		{old, file, file, fscc.FileActionRenamedOldName},
		{renamed, file, file | attributes, fscc.FileActionRenamedNewName},
		{away, file, file, fscc.FileActionRemoved},
		{here, file, file, fscc.FileActionAdded},
		{here, file, attributes, fscc.FileActionModified},
		{renamed, file, attributes, fscc.FileActionModified},
		{renamed, dir, attributes, 0},
		{old, file, attributes, 0},
	} {
		w := watch{filter: c.watched}
		if got, ok := w.as(lock.Change{Action: c.action, Filter: c.what}); got != c.want || ok != (c.want != 0) {
			t.Errorf("%v of %#x, watched %#x: %v %v, want %v", c.action, c.what, c.watched, got, ok, c.want)
		}
	}
}
