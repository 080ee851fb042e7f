package nfs3

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

func TestMain(m *testing.M) {
	syscall.Umask(0)
	os.Exit(m.Run())
}

// counter is a counter that grants all but what it was told, and remembers what it was asked.
type counter struct {
	lock.Manager
	mu       sync.Mutex // guards the fields below
	refuse   map[lock.Op]lock.Outcome
	asked    []string
	open     int
	changes  []lock.Change
	onAccess func(lock.AccessRequest)
	quiet    bool
}

func (c *counter) Access(_ context.Context, r lock.AccessRequest) (lock.Result, error) {
	if c.quiet {
		return lock.Result{Outcome: lock.Granted}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, fmt.Sprintf("%v %d+%d", r.Op, r.Offset, r.Length))
	if out, ok := c.refuse[r.Op]; ok {
		return lock.Result{Outcome: out}, nil
	}
	c.open++
	if c.onAccess != nil {
		c.onAccess(r)
	}
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Done(context.Context, uint64, bool) error {
	if c.quiet {
		return nil
	}
	c.mu.Lock()
	c.open--
	c.mu.Unlock()
	return nil
}

func (c *counter) Changed(_ context.Context, ch lock.Change) error {
	c.mu.Lock()
	c.changes = append(c.changes, ch)
	c.mu.Unlock()
	return nil
}

func (c *counter) Cancel(context.Context, uint64) (lock.Outcome, error) { return lock.Cancelled, nil }

// take returns what was asked since the last time.
func (c *counter) take() (asked []string, changes []lock.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked, changes = c.asked, c.changes
	c.asked, c.changes = nil, nil
	return
}

// rig is a server on a temporary directory, and a user who calls it over a socket.
type rig struct {
	t       testing.TB
	dir     string
	set     *export.Set
	server  *Server
	counter *counter
	client  *oncrpc.Client
	cred    oncrpc.Cred
	root    FileHandle
}

func start(t testing.TB, change ...func(*config.Export)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), counter: &counter{refuse: map[lock.Op]lock.Outcome{}}}
	r.ok(os.Chmod(r.dir, 0o777))
	c := config.Export{Path: r.dir, Name: "t", Squash: "root", AnonUID: 65534, AnonGID: 65534, Insecure: true}
	for _, f := range change {
		f(&c)
	}
	var err error
	r.set, err = export.New([]config.Export{c}, [32]byte{1})
	r.ok(err)
	t.Cleanup(r.set.Close)
	d, err := os.Open(r.dir)
	r.ok(err)
	r.ok(r.set.Set("t", d))
	root, err := r.set.ByName("t").Root()
	r.ok(err)
	r.root = root.FH()
	root.Release()

	r.server = New(Config{Exports: r.set, Locks: seat.New(r.counter), Hold: time.Second})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.ok(err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { oncrpc.NewServer(oncrpc.Config{}, Program(r.server)).ServeTCP(ctx, l) })
	r.client, err = oncrpc.Dial(ctx, "tcp", l.Addr().String())
	r.ok(err)
	t.Cleanup(func() { r.client.Close(); stop(); wg.Wait() })
	r.as(1000, 1000)
	return r
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) as(uid, gid uint32, groups ...uint32) {
	r.cred = oncrpc.Cred{Sys: &oncrpc.AuthSys{MachineName: "test", UID: uid, GID: gid, GIDs: groups}}
}

// call does one procedure and checks its status.
func (r *rig) call(proc uint32, args xdr.Value, res result, want Status) {
	r.t.Helper()
	if err := r.client.Call(context.Background(), 100003, 3, proc, r.cred, args, res); err != nil {
		r.t.Fatalf("procedure %d: %v", proc, err)
	}
	if res.status() != want {
		r.t.Errorf("procedure %d %+v: %v, want %v", proc, args, res.status(), want)
	}
	r.counter.mu.Lock()
	if r.counter.open != 0 {
		r.t.Errorf("procedure %d: %d accesses are not done", proc, r.counter.open)
	}
	r.counter.mu.Unlock()
}

func (r *rig) lookup(dir FileHandle, name string, want Status) *LookupRes {
	r.t.Helper()
	res := &LookupRes{}
	r.call(3, &LookupArgs{DirOpArgs{dir, name}}, res, want)
	return res
}

func (r *rig) create(name string, mode uint32) FileHandle {
	r.t.Helper()
	m, res := Uint32(mode), &CreateRes{}
	r.call(8, &CreateArgs{Where: DirOpArgs{r.root, name}, Mode: Guarded, Attr: SetAttr{Mode: &m}}, res, OK)
	return res.Object.FH
}

func (r *rig) getattr(fh FileHandle) Attr {
	r.t.Helper()
	res := &GetAttrRes{}
	r.call(1, &GetAttrArgs{fh}, res, OK)
	return res.Attr
}

func ptr32(v uint32) *Uint32 { u := Uint32(v); return &u }
func ptr64(v uint64) *Uint64 { u := Uint64(v); return &u }

func TestCreateWriteReadRemove(t *testing.T) {
	r := start(t)
	name := strings.Repeat("ü\xff ", 63) + "xyz" // 255 bytes, not UTF-8
	fh := r.create(name, 0o640)
	asked, changes := r.counter.take()
	key, _, err := r.set.Resolve(context.Background(), fh, nil, true)
	r.ok(err)
	dir, _, err := r.set.Resolve(context.Background(), r.root, nil, true)
	r.ok(err)
	if want := []string{"changedir 0+0"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if want := []lock.Change{{Key: key, Dir: dir, Name: name, Action: lock.Added, Filter: 1, By: lock.NFS}}; !reflect.DeepEqual(changes, want) {
		t.Errorf("told %+v, want %+v", changes, want)
	}

	data := bytes.Repeat([]byte("0123456789"), 1000)
	w := &WriteRes{}
	r.call(7, &WriteArgs{File: fh, Offset: 5, Count: uint32(len(data)), Stable: Unstable, Data: data}, w, OK)
	if w.Count != 10000 || w.Committed != Unstable || !w.Wcc.Before.Follow || w.Wcc.Before.Size != 0 || w.Wcc.After.Attr.Size != 10005 {
		t.Errorf("%+v", w)
	}
	co := &CommitRes{}
	r.call(21, &CommitArgs{File: fh}, co, OK)
	if co.Verifier != w.Verifier {
		t.Errorf("verifiers %x and %x", w.Verifier, co.Verifier)
	}
	r.call(7, &WriteArgs{File: fh, Offset: 0, Count: 5, Stable: FileSync, Data: []byte("abcde")}, w, OK)
	if w.Committed != FileSync {
		t.Errorf("committed %v", w.Committed)
	}
	r.call(7, &WriteArgs{File: fh, Stable: FileSync}, w, OK)
	r.call(6, &ReadArgs{fh, 3, 0}, &ReadRes{}, OK)
	if w.Count != 0 || w.Wcc.After.Attr.Size != 10005 {
		t.Errorf("a write of nothing: %+v", w)
	}
	asked, _ = r.counter.take()
	if want := []string{"write 5+10000", "write 0+5"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}

	rd := &ReadRes{}
	r.call(6, &ReadArgs{fh, 3, 1 << 20}, rd, OK)
	if want := "de" + string(data); string(rd.Data) != want || !rd.EOF || int(rd.Count) != len(want) {
		t.Errorf("read %d bytes, eof %v", len(rd.Data), rd.EOF)
	}
	r.call(6, &ReadArgs{fh, 0, 4}, rd, OK)
	if string(rd.Data) != "abcd" || rd.EOF {
		t.Errorf("read %q, eof %v", rd.Data, rd.EOF)
	}
	r.call(6, &ReadArgs{fh, 99999, 4}, rd, OK)
	if len(rd.Data) != 0 || !rd.EOF {
		t.Errorf("read %q, eof %v", rd.Data, rd.EOF)
	}
	r.counter.take()

	on, err := os.ReadFile(filepath.Join(r.dir, name))
	r.ok(err)
	if string(on) != "abcde"+string(data) {
		t.Error("the file holds something else")
	}
	a := r.getattr(fh)
	if a.UID != 1000 || a.Mode != 0o640 || a.Type != Reg || a.FSID != key.FSID || a.FileID != key.Ino {
		t.Errorf("%+v", a)
	}

	rm := &RemoveRes{}
	r.call(12, &RemoveArgs{DirOpArgs{r.root, name}}, rm, OK)
	asked, changes = r.counter.take()
	if want := []string{"remove 0+0", "changedir 0+0"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if len(changes) != 1 || changes[0].Action != lock.Removed || changes[0].Key != key {
		t.Errorf("told %+v", changes)
	}
	r.call(1, &GetAttrArgs{fh}, &GetAttrRes{}, ErrStale)
	r.call(7, &WriteArgs{File: fh, Count: 1, Data: []byte("x")}, w, ErrStale)
	r.call(12, &RemoveArgs{DirOpArgs{r.root, name}}, rm, ErrNoEnt)
}

// What is claimed about durability, and that another life of the server, or a disk that failed, has another verifier.
func TestCommitment(t *testing.T) {
	r := start(t)
	a := start(t, func(c *config.Export) { c.Async = true })
	for _, how := range []StableHow{Unstable, DataSync, FileSync} {
		for _, x := range []*rig{r, a} {
			w := &WriteRes{}
			x.call(7, &WriteArgs{File: x.create(fmt.Sprint(how), 0o600), Count: 1, Stable: how, Data: []byte("x")}, w, OK)
			if w.Committed != how || w.Verifier != *x.server.verifier.Load() {
				t.Errorf("asked %d, committed %d, verifier %x", how, w.Committed, w.Verifier)
			}
		}
	}
	before := *r.server.verifier.Load()
	if before == *New(Config{Exports: r.set, Locks: seat.New(r.counter)}).verifier.Load() {
		t.Error("two lives have one verifier")
	}
	if r.server.newVerifier(); before == *r.server.verifier.Load() {
		t.Error("the verifier stays after a failed sync")
	}
}

func TestNames(t *testing.T) {
	r := start(t)
	r.create("f", 0o600)
	r.ok(os.Symlink("/etc", filepath.Join(r.dir, "out")))
	long := strings.Repeat("x", 256)
	for name, want := range map[string]Status{"": ErrInval, "a/b": ErrInval, "../etc": ErrInval, "x\x00": ErrInval, long: ErrNameTooLong} {
		r.lookup(r.root, name, want)
		r.call(8, &CreateArgs{Where: DirOpArgs{r.root, name}}, &CreateRes{}, want)
		r.call(9, &MkdirArgs{Where: DirOpArgs{r.root, name}}, &CreateRes{}, want)
		r.call(12, &RemoveArgs{DirOpArgs{r.root, name}}, &RemoveRes{}, want)
		r.call(14, &RenameArgs{DirOpArgs{r.root, "f"}, DirOpArgs{r.root, name}}, &RenameRes{}, want)
	}
	for _, name := range []string{".", ".."} {
		if res := r.lookup(r.root, name, OK); !bytes.Equal(res.Object, r.root) {
			t.Errorf("%s of the root is %x", name, res.Object)
		}
		r.call(8, &CreateArgs{Where: DirOpArgs{r.root, name}}, &CreateRes{}, ErrExist)
		r.call(14, &RenameArgs{DirOpArgs{r.root, "f"}, DirOpArgs{r.root, name}}, &RenameRes{}, ErrInval)
	}
	r.call(13, &RemoveArgs{DirOpArgs{r.root, "."}}, &RemoveRes{}, ErrInval)
	r.call(13, &RemoveArgs{DirOpArgs{r.root, ".."}}, &RemoveRes{}, ErrExist)
	// A symbolic link is a file like any other here; the client follows it.
	out := r.lookup(r.root, "out", OK)
	r.lookup(out.Object, "passwd", ErrNotDir)
	rl := &ReadLinkRes{}
	r.call(5, &ReadLinkArgs{out.Object}, rl, OK)
	if rl.Data != "/etc" {
		t.Errorf("readlink %q", rl.Data)
	}
	r.call(5, &ReadLinkArgs{r.root}, rl, ErrInval)
	r.call(6, &ReadArgs{out.Object, 0, 1}, &ReadRes{}, ErrInval)
	r.call(6, &ReadArgs{r.root, 0, 1}, &ReadRes{}, ErrInval)
	bad := bytes.Clone(r.root)
	bad[len(bad)-1] ^= 1
	r.call(1, &GetAttrArgs{bad}, &GetAttrRes{}, ErrBadHandle)
}

func TestCreateModes(t *testing.T) {
	r := start(t)
	res := &CreateRes{}
	where := DirOpArgs{r.root, "f"}
	ex := &CreateArgs{Where: where, Mode: Exclusive, Verifier: [8]byte{0xff, 1, 2, 3, 0xfe, 5, 6, 7}}
	r.call(8, ex, res, OK)
	fh := bytes.Clone(res.Object.FH)
	r.call(8, ex, res, OK)
	if !bytes.Equal(fh, res.Object.FH) {
		t.Error("the same exclusive CREATE made another file")
	}
	r.call(8, &CreateArgs{Where: where, Mode: Exclusive, Verifier: [8]byte{9}}, res, ErrExist)
	r.call(8, &CreateArgs{Where: where, Mode: Guarded}, res, ErrExist)
	r.call(7, &WriteArgs{File: fh, Count: 3, Stable: FileSync, Data: []byte("abc")}, &WriteRes{}, OK) // the owner, though the mode is 0
	r.counter.take()
	r.call(8, &CreateArgs{Where: where, Mode: Unchecked}, res, OK)
	if asked, changes := r.counter.take(); len(asked)+len(changes) != 0 || res.Attr.Attr.Size != 3 {
		t.Errorf("asked %q, told %v, size %d", asked, changes, res.Attr.Attr.Size)
	}
	r.call(8, &CreateArgs{Where: where, Mode: Unchecked, Attr: SetAttr{Size: ptr64(0), Mode: ptr32(0o777)}}, res, OK)
	asked, _ := r.counter.take()
	if want := []string{"setsize 0+3"}; !reflect.DeepEqual(asked, want) || res.Attr.Attr.Size != 0 || res.Attr.Attr.Mode != 0 {
		t.Errorf("asked %q, want %q; %+v", asked, want, res.Attr.Attr)
	}
	r.as(1001, 1001)
	r.call(8, &CreateArgs{Where: where, Mode: Unchecked, Attr: SetAttr{Size: ptr64(0)}}, res, ErrAcces)
	r.call(9, &MkdirArgs{Where: DirOpArgs{r.root, "d"}, Attr: SetAttr{Mode: ptr32(0o750)}}, res, OK)
	if a := res.Attr.Attr; a.Type != Dir || a.Mode != 0o750 || a.UID != 1001 {
		t.Errorf("%+v", a)
	}
	r.call(8, &CreateArgs{Where: DirOpArgs{r.root, "d"}, Mode: Unchecked}, res, ErrExist)
	r.call(9, &MkdirArgs{Where: DirOpArgs{r.root, "d"}}, res, ErrExist)
	// A first attribute that may not be set leaves nothing behind.
	r.call(8, &CreateArgs{Where: DirOpArgs{r.root, "g"}, Mode: Guarded, Attr: SetAttr{UID: ptr32(5)}}, res, ErrPerm)
	r.call(9, &MkdirArgs{Where: DirOpArgs{r.root, "h"}, Attr: SetAttr{UID: ptr32(5)}}, res, ErrPerm)
	r.lookup(r.root, "g", ErrNoEnt)
	r.lookup(r.root, "h", ErrNoEnt)
	r.call(8, &CreateArgs{Where: DirOpArgs{r.root, "i"}, Mode: Guarded,
		Attr: SetAttr{UID: ptr32(1001), GID: ptr32(1001), Size: ptr64(77), Mtime: SetTime{SetToClientTime, Time{5, 6}}}}, res, OK)
	if a := res.Attr.Attr; a.Size != 77 || a.Mtime != (Time{5, 6}) {
		t.Errorf("%+v", a)
	}
}

func TestOtherKinds(t *testing.T) {
	r := start(t)
	res := &CreateRes{}
	r.call(10, &SymlinkArgs{Where: DirOpArgs{r.root, "l"}, Data: "some/where"}, res, OK)
	rl := &ReadLinkRes{}
	r.call(5, &ReadLinkArgs{res.Object.FH}, rl, OK)
	if rl.Data != "some/where" || rl.Attr.Attr.Type != Lnk {
		t.Errorf("%+v", rl)
	}
	r.call(10, &SymlinkArgs{Where: DirOpArgs{r.root, "m"}}, res, ErrInval)
	r.call(10, &SymlinkArgs{Where: DirOpArgs{r.root, "m"}, Data: strings.Repeat("x", 5000)}, res, ErrNameTooLong)
	r.call(11, &MknodArgs{Where: DirOpArgs{r.root, "p"}, Type: FIFO, Attr: SetAttr{Mode: ptr32(0o620)}}, res, OK)
	if a := res.Attr.Attr; a.Type != FIFO || a.Mode != 0o620 {
		t.Errorf("%+v", a)
	}
	r.call(2, &SetAttrArgs{Object: res.Object.FH, New: SetAttr{Mode: ptr32(0o600)}}, &SetAttrRes{}, OK)
	r.call(6, &ReadArgs{res.Object.FH, 0, 1}, &ReadRes{}, ErrInval)
	r.call(11, &MknodArgs{Where: DirOpArgs{r.root, "c"}, Type: Chr, Spec: SpecData{1, 3}}, res, ErrPerm)
	r.call(11, &MknodArgs{Where: DirOpArgs{r.root, "c"}, Type: Reg}, res, ErrBadType)
}

func TestSetAttr(t *testing.T) {
	r := start(t)
	fh := r.create("f", 0o644)
	res := &SetAttrRes{}
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Size: ptr64(100)}}, res, OK)
	r.counter.take()
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Size: ptr64(10), Mode: ptr32(0o4755), Mtime: SetTime{SetToClientTime, Time{1, 2}}}}, res, OK)
	asked, _ := r.counter.take()
	if want := []string{"setsize 10+90"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	a := r.getattr(fh)
	if a.Size != 10 || a.Mode != 0o4755 || a.Mtime != (Time{1, 2}) || res.Wcc.Before.Size != 100 || res.Wcc.After.Attr != a {
		t.Errorf("%+v after %+v", a, res.Wcc)
	}
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Mode: ptr32(0o600)}, Guard: &Time{1, 1}}, res, ErrNotSync)
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Mode: ptr32(0o6755)}, Guard: &a.Ctime}, res, OK)
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{UID: ptr32(1<<32 - 1)}}, res, ErrInval)
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{UID: ptr32(0)}}, res, ErrPerm)
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Size: ptr64(1 << 63)}}, res, ErrFBig)
	r.call(2, &SetAttrArgs{Object: r.root, New: SetAttr{Size: ptr64(1)}}, res, ErrInval)

	// A write by another takes the set-id bits away, as it does locally.
	r.ok(os.Chmod(filepath.Join(r.dir, "f"), 0o6777))
	r.as(1001, 1001)
	r.call(7, &WriteArgs{File: fh, Count: 1, Data: []byte("x")}, &WriteRes{}, OK)
	if m := r.getattr(fh).Mode; m != 0o777 {
		t.Errorf("mode %o after a write by another", m)
	}
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Mode: ptr32(0)}}, res, ErrPerm)
	r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Atime: SetTime{How: SetToServerTime}, Mtime: SetTime{How: SetToServerTime}}}, res, OK)
}

func TestWriteLimits(t *testing.T) {
	r := start(t)
	fh := r.create("f", 0o600)
	w := &WriteRes{}
	r.call(7, &WriteArgs{File: fh, Offset: 1<<63 - 1, Count: 1, Data: []byte("x")}, w, ErrFBig)
	r.call(7, &WriteArgs{File: fh, Offset: 1 << 63, Count: 1, Data: []byte("x")}, w, ErrFBig)
	r.call(7, &WriteArgs{File: fh, Offset: 1 << 60, Count: 1, Data: []byte("x")}, w, ErrFBig) // the file system's own limit
	r.call(7, &WriteArgs{File: fh, Count: 2, Data: []byte("x")}, w, ErrInval)
	r.call(7, &WriteArgs{File: fh, Count: 1, Stable: 3, Data: []byte("x")}, w, ErrInval)
	r.call(7, &WriteArgs{File: fh, Count: 1, Data: []byte("xyz")}, w, OK)
	if w.Count != 1 {
		t.Errorf("count %d", w.Count)
	}
	r.call(6, &ReadArgs{fh, 1 << 63, 1}, &ReadRes{}, ErrInval)
	big := make([]byte, MaxIO+1000)
	r.call(7, &WriteArgs{File: fh, Count: uint32(len(big)), Data: big}, w, OK)
	if w.Count != MaxIO {
		t.Errorf("wrote %d", w.Count)
	}
	rd := &ReadRes{}
	r.call(6, &ReadArgs{fh, 0, 1<<32 - 1}, rd, OK)
	if len(rd.Data) != MaxIO || !rd.EOF {
		t.Errorf("read %d", len(rd.Data))
	}
}

func TestPermissions(t *testing.T) {
	r := start(t)
	fh := r.create("f", 0o000)
	r.ok(os.WriteFile(filepath.Join(r.dir, "x"), []byte("x"), 0o711))
	x := r.lookup(r.root, "x", OK).Object
	ac := &AccessRes{}
	for _, c := range []struct {
		uid, gid    uint32
		read, write Status
		x           uint32
	}{
		{1000, 1000, OK, OK, AccessExecute}, // the owner, in spite of the mode
		{1001, 1000, ErrAcces, ErrAcces, AccessExecute},
		{0, 0, ErrAcces, ErrAcces, AccessExecute}, // root is nobody
	} {
		r.as(c.uid, c.gid)
		r.call(7, &WriteArgs{File: fh, Count: 1, Data: []byte("x")}, &WriteRes{}, c.write)
		r.call(6, &ReadArgs{fh, 0, 1}, &ReadRes{}, c.read)
		r.call(6, &ReadArgs{x, 0, 1}, &ReadRes{}, OK) // who may execute may read
		r.call(7, &WriteArgs{File: x, Count: 1, Data: []byte("x")}, &WriteRes{}, ErrAcces)
		r.call(4, &AccessArgs{x, 0x3f}, ac, OK)
		if ac.Access != c.x {
			t.Errorf("uid %d: access %#x, want %#x", c.uid, ac.Access, c.x)
		}
	}
	r.call(4, &AccessArgs{r.root, 0x3f}, ac, OK)
	if want := uint32(AccessRead | AccessLookup | AccessModify | AccessExtend | AccessDelete); ac.Access != want {
		t.Errorf("root directory: access %#x, want %#x", ac.Access, want)
	}
	r.ok(os.Mkdir(filepath.Join(r.dir, "closed"), 0o600))
	r.ok(os.WriteFile(filepath.Join(r.dir, "closed", "in"), nil, 0o666))
	d := r.lookup(r.root, "closed", OK).Object
	r.as(1000, 1000)
	r.lookup(d, "in", ErrAcces)
	r.call(16, &ReadDirArgs{Dir: d, Count: 4096}, &ReadDirRes{}, ErrAcces)
	r.call(8, &CreateArgs{Where: DirOpArgs{d, "new"}}, &CreateRes{}, ErrAcces)
	r.call(12, &RemoveArgs{DirOpArgs{d, "in"}}, &RemoveRes{}, ErrAcces)
	// Names without the right to search come without attributes and handles.
	r.ok(os.Chmod(filepath.Join(r.dir, "closed"), 0o604))
	plus := &ReadDirPlusRes{}
	r.call(17, &ReadDirPlusArgs{Dir: d, DirCount: 4096, MaxCount: 4096}, plus, OK)
	for _, e := range plus.Entries {
		if e.Attr.Follow || e.Object.Follow {
			t.Errorf("%+v", e)
		}
	}
	// The answer that the kernel gave is not kept over a change of the mode.
	r.ok(os.Chmod(filepath.Join(r.dir, "closed"), 0o605))
	r.lookup(d, "in", OK)
	r.cred = oncrpc.Cred{}
	r.call(8, &CreateArgs{Where: DirOpArgs{r.root, "anon"}}, &CreateRes{}, OK)
	if st, err := os.Stat(filepath.Join(r.dir, "anon")); err != nil || st.Sys().(*syscall.Stat_t).Uid != 65534 {
		t.Errorf("AUTH_NONE made %v %v", st, err)
	}
}

func TestReadOnlyAndAway(t *testing.T) {
	r := start(t, func(c *config.Export) { c.ReadOnly = true })
	r.ok(os.WriteFile(filepath.Join(r.dir, "f"), []byte("x"), 0o666))
	fh := r.lookup(r.root, "f", OK).Object
	at := DirOpArgs{r.root, "g"}
	for proc, c := range map[uint32]struct {
		args xdr.Value
		res  result
	}{
		2: {&SetAttrArgs{Object: fh}, &SetAttrRes{}}, 7: {&WriteArgs{File: fh}, &WriteRes{}}, 8: {&CreateArgs{Where: at}, &CreateRes{}},
		9: {&MkdirArgs{Where: at}, &CreateRes{}}, 10: {&SymlinkArgs{Where: at}, &CreateRes{}}, 11: {&MknodArgs{Where: at, Type: FIFO}, &CreateRes{}},
		12: {&RemoveArgs{at}, &RemoveRes{}}, 13: {&RemoveArgs{at}, &RemoveRes{}}, 14: {&RenameArgs{at, at}, &RenameRes{}},
		15: {&LinkArgs{fh, at}, &LinkRes{}}, 21: {&CommitArgs{File: fh}, &CommitRes{}},
	} {
		r.call(proc, c.args, c.res, ErrROFS)
	}
	ac := &AccessRes{}
	r.call(4, &AccessArgs{fh, 0x3f}, ac, OK)
	if ac.Access != AccessRead {
		t.Errorf("access %#x", ac.Access)
	}
	r.set.Remove("t")
	r.call(1, &GetAttrArgs{fh}, &GetAttrRes{}, ErrJukebox)
	r.call(6, &ReadArgs{fh, 0, 1}, &ReadRes{}, ErrJukebox)
	d, err := os.Open(r.dir)
	r.ok(err)
	r.ok(r.set.Set("t", d))
	r.call(6, &ReadArgs{fh, 0, 1}, &ReadRes{}, OK)
}

func TestClientsThatMayNotComeIn(t *testing.T) {
	r := start(t, func(c *config.Export) { c.Clients = []string{"192.0.2.0/24"} })
	r.call(1, &GetAttrArgs{r.root}, &GetAttrRes{}, ErrAcces)
}

func TestRename(t *testing.T) {
	r := start(t)
	fh, target := r.create("a", 0o600), r.create("b", 0o600)
	d := &CreateRes{}
	r.call(9, &MkdirArgs{Where: DirOpArgs{r.root, "d"}}, d, OK)
	r.call(9, &MkdirArgs{Where: DirOpArgs{d.Object.FH, "full"}}, &CreateRes{}, OK)
	key, _, _ := r.set.Resolve(context.Background(), fh, nil, true)
	targetKey, _, _ := r.set.Resolve(context.Background(), target, nil, true)
	rootKey, _, _ := r.set.Resolve(context.Background(), r.root, nil, true)
	dKey, _, _ := r.set.Resolve(context.Background(), d.Object.FH, nil, true)
	r.counter.take()
	res := &RenameRes{}
	r.call(14, &RenameArgs{DirOpArgs{r.root, "a"}, DirOpArgs{r.root, "b"}}, res, OK)
	asked, changes := r.counter.take()
	if want := []string{"rename 0+0", "remove 0+0", "changedir 0+0"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if want := []lock.Change{{Key: targetKey, Dir: rootKey, Name: "b", Action: lock.Removed, Filter: 1, By: lock.NFS},
		{Key: key, Dir: rootKey, Name: "a", Action: lock.RenamedOld, Filter: 1, By: lock.NFS},
		{Key: key, Dir: rootKey, Name: "b", Action: lock.RenamedNew, Filter: 1, By: lock.NFS}}; !reflect.DeepEqual(changes, want) {
		t.Errorf("told %+v\nwant %+v", changes, want)
	}
	if !res.From.Before.Follow || !res.To.After.Follow {
		t.Errorf("%+v", res)
	}
	r.call(14, &RenameArgs{DirOpArgs{r.root, "b"}, DirOpArgs{d.Object.FH, "c"}}, res, OK)
	asked, changes = r.counter.take()
	if want := []string{"rename 0+0", "changedir 0+0", "changedir 0+0"}; !reflect.DeepEqual(asked, want) || len(changes) != 2 || changes[1].Dir != dKey {
		t.Errorf("asked %q, told %+v", asked, changes)
	}
	if got := r.lookup(d.Object.FH, "c", OK).Object; !bytes.Equal(got, fh) {
		t.Errorf("c is %x", got)
	}
	r.call(1, &GetAttrArgs{target}, &GetAttrRes{}, ErrStale)
	r.create("e", 0o600)
	r.call(14, &RenameArgs{DirOpArgs{r.root, "e"}, DirOpArgs{r.root, "d"}}, res, ErrIsDir)
	r.call(14, &RenameArgs{DirOpArgs{r.root, "d"}, DirOpArgs{r.root, "e"}}, res, ErrNotDir)
	r.call(14, &RenameArgs{DirOpArgs{r.root, "d"}, DirOpArgs{d.Object.FH, "into"}}, res, ErrInval)
	r.call(14, &RenameArgs{DirOpArgs{r.root, "none"}, DirOpArgs{r.root, "e"}}, res, ErrNoEnt)
	r.call(13, &RemoveArgs{DirOpArgs{r.root, "d"}}, &RemoveRes{}, ErrNotEmpty)
	r.call(12, &RemoveArgs{DirOpArgs{r.root, "d"}}, &RemoveRes{}, ErrIsDir)
	r.call(13, &RemoveArgs{DirOpArgs{r.root, "e"}}, &RemoveRes{}, ErrNotDir)
	r.call(13, &RemoveArgs{DirOpArgs{d.Object.FH, "full"}}, &RemoveRes{}, OK)

	l := &LinkRes{}
	r.call(15, &LinkArgs{fh, DirOpArgs{r.root, "hard"}}, l, OK)
	if l.Attr.Attr.Nlink != 2 {
		t.Errorf("%+v", l)
	}
	r.call(15, &LinkArgs{fh, DirOpArgs{r.root, "hard"}}, l, ErrExist)
	r.call(15, &LinkArgs{d.Object.FH, DirOpArgs{r.root, "dir"}}, l, ErrInval)
	// Two names of one file: nothing happens.
	r.call(14, &RenameArgs{DirOpArgs{r.root, "hard"}, DirOpArgs{d.Object.FH, "c"}}, res, OK)
	r.lookup(r.root, "hard", OK)
}

// A name that is given to another file while the counter is asked about the first is followed.
func TestNameMovesWhileWaiting(t *testing.T) {
	r := start(t)
	r.create("a", 0o600)
	r.create("b", 0o600)
	once := true
	r.counter.onAccess = func(q lock.AccessRequest) {
		if q.Op == lock.OpRemove && once {
			once = false
			r.ok(os.Rename(filepath.Join(r.dir, "b"), filepath.Join(r.dir, "a")))
		}
	}
	r.counter.take()
	r.call(12, &RemoveArgs{DirOpArgs{r.root, "a"}}, &RemoveRes{}, OK)
	asked, _ := r.counter.take()
	if want := []string{"remove 0+0", "changedir 0+0", "remove 0+0", "changedir 0+0"}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	r.lookup(r.root, "a", ErrNoEnt)
}

func TestOutcomes(t *testing.T) {
	r := start(t)
	fh := r.create("f", 0o600)
	r.create("g", 0o600)
	at := DirOpArgs{r.root, "f"}
	ops := map[lock.Op]func(Status){
		lock.OpRead:    func(s Status) { r.call(6, &ReadArgs{fh, 0, 1}, &ReadRes{}, s) },
		lock.OpWrite:   func(s Status) { r.call(7, &WriteArgs{File: fh, Count: 1, Data: []byte("x")}, &WriteRes{}, s) },
		lock.OpSetSize: func(s Status) { r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Size: ptr64(1)}}, &SetAttrRes{}, s) },
		lock.OpSetAttr: func(s Status) {
			r.call(2, &SetAttrArgs{Object: fh, New: SetAttr{Mode: ptr32(0o600)}}, &SetAttrRes{}, s)
		},
		lock.OpRemove: func(s Status) { r.call(12, &RemoveArgs{at}, &RemoveRes{}, s) },
		lock.OpRename: func(s Status) { r.call(14, &RenameArgs{at, DirOpArgs{r.root, "h"}}, &RenameRes{}, s) },
		lock.OpLink:   func(s Status) { r.call(15, &LinkArgs{fh, DirOpArgs{r.root, "h"}}, &LinkRes{}, s) },
		lock.OpChangeDir: func(s Status) {
			r.call(8, &CreateArgs{Where: DirOpArgs{r.root, "h"}}, &CreateRes{}, s)
			r.call(12, &RemoveArgs{DirOpArgs{r.root, "g"}}, &RemoveRes{}, s)
		},
	}
	for op, do := range ops {
		for out, want := range map[lock.Outcome]Status{lock.SharingDenied: ErrAcces, lock.Denied: ErrJukebox, lock.TimedOut: ErrJukebox, lock.Failed: ErrJukebox, lock.Stale: ErrStale} {
			r.counter.refuse = map[lock.Op]lock.Outcome{op: out}
			do(want)
		}
		r.counter.refuse = map[lock.Op]lock.Outcome{op: lock.DeletePending}
		want := pending[op]
		if op == lock.OpRemove {
			want = OK
		}
		do(want)
	}
	r.counter.refuse = map[lock.Op]lock.Outcome{lock.OpRemove: lock.DeletePending}
	r.call(14, &RenameArgs{DirOpArgs{r.root, "g"}, at}, &RenameRes{}, ErrJukebox)
	r.counter.refuse = nil
	if b, err := os.ReadFile(filepath.Join(r.dir, "f")); err != nil || len(b) != 0 {
		t.Errorf("what was refused happened: %q %v", b, err)
	}
	r.lookup(r.root, "h", ErrNoEnt)
}

func TestReadDir(t *testing.T) {
	r := start(t)
	want := map[string]uint64{}
	for i := range 300 {
		name := fmt.Sprintf("%0*d", 1+i%200, i)
		r.ok(os.WriteFile(filepath.Join(r.dir, name), nil, 0o600))
		want[name] = r.getattr(r.lookup(r.root, name, OK).Object).FileID
	}
	root := r.getattr(r.root).FileID
	want["."], want[".."] = root, root

	got := map[string]uint64{}
	for cookie, eof := uint64(0), false; !eof; {
		res := &ReadDirRes{}
		r.call(16, &ReadDirArgs{Dir: r.root, Cookie: cookie, Count: 1000}, res, OK)
		if b, _ := xdr.Marshal(nil, res); len(b)-4 > 1000 {
			t.Fatalf("%d bytes, want at most 1000", len(b)-4)
		}
		for _, e := range res.Entries {
			if _, twice := got[e.Name]; twice {
				t.Errorf("%q came twice", e.Name)
			}
			got[e.Name], cookie = e.FileID, e.Cookie
		}
		eof = res.EOF
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("READDIR: %d names, want %d", len(got), len(want))
	}

	got = map[string]uint64{}
	for cookie, eof := uint64(0), false; !eof; {
		res := &ReadDirPlusRes{}
		r.call(17, &ReadDirPlusArgs{Dir: r.root, Cookie: cookie, DirCount: 512, MaxCount: 2000}, res, OK)
		if b, _ := xdr.Marshal(nil, res); len(b)-4 > 2000 {
			t.Fatalf("%d bytes, want at most 2000", len(b)-4)
		}
		for _, e := range res.Entries {
			got[e.Name], cookie = e.FileID, e.Cookie
			if a := r.getattr(e.Object.FH); a != e.Attr.Attr {
				t.Errorf("%q: %+v, its handle says %+v", e.Name, e.Attr.Attr, a)
			}
		}
		eof = res.EOF
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("READDIRPLUS: %d names, want %d", len(got), len(want))
	}
	r.call(16, &ReadDirArgs{Dir: r.root, Count: 100}, &ReadDirRes{}, ErrTooSmall)
	r.call(17, &ReadDirPlusArgs{Dir: r.root, DirCount: 100, MaxCount: 200}, &ReadDirPlusRes{}, ErrTooSmall)
	r.call(16, &ReadDirArgs{Dir: r.root, Cookie: 1 << 63, Count: 4096}, &ReadDirRes{}, ErrBadCookie)
	r.call(16, &ReadDirArgs{Dir: r.lookup(r.root, "0", OK).Object, Count: 4096}, &ReadDirRes{}, ErrNotDir)
}

func TestFileSystem(t *testing.T) {
	r := start(t)
	var fs unix.Statfs_t
	r.ok(unix.Statfs(r.dir, &fs))
	st := &FSStatRes{}
	r.call(18, &FSStatArgs{r.root}, st, OK)
	if st.TotalBytes != fs.Blocks*uint64(fs.Bsize) || st.TotalFiles != fs.Files || !st.Attr.Follow {
		t.Errorf("%+v", st)
	}
	in := &FSInfoRes{}
	r.call(19, &FSInfoArgs{r.root}, in, OK)
	if in.RtMax != 1<<20 || in.WtMax != 1<<20 || in.Properties != 0x1b || in.MaxFileSize != 1<<63-1 {
		t.Errorf("%+v", in)
	}
	pc := &PathConfRes{}
	r.call(20, &PathConfArgs{r.root}, pc, OK)
	if pc.NameMax != 255 || !pc.NoTrunc || !pc.CasePreserving || pc.CaseInsensitive {
		t.Errorf("%+v", pc)
	}
}

// Many at once: attributes before and after of each write fit together, and nothing is lost.
func TestConcurrentWritesKeepOrder(t *testing.T) {
	r := start(t)
	fh := r.create("f", 0o600)
	f, err := r.set.Open(fh)
	r.ok(err)
	defer f.Release()
	type pair struct{ before, after uint64 }
	var mu sync.Mutex
	var pairs []pair
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c := &oncrpc.Call{Flavor: oncrpc.FlavorSys, Sys: *r.cred.Sys, Remote: netip.MustParseAddrPort("127.0.0.1:1")}
			for j := range 50 {
				off := uint64(j*4+i) * 10
				res := r.server.write(context.Background(), c, &WriteArgs{File: fh, Offset: off, Count: 10, Data: []byte("0123456789")})
				if res.Status != OK {
					t.Error(res.Status)
				}
				mu.Lock()
				pairs = append(pairs, pair{res.Wcc.Before.Size, res.Wcc.After.Attr.Size})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	grown := uint64(0)
	for _, p := range pairs {
		grown += p.after - p.before
	}
	if grown != 2000 || r.getattr(fh).Size != 2000 {
		t.Errorf("grew by %d, want 2000", grown)
	}
}

func benchCall(b *testing.B) (*rig, *oncrpc.Call, FileHandle) {
	r := start(b)
	r.counter.quiet = true
	fh := FileHandle(bytes.Clone(r.create("f", 0o600)))
	data := make([]byte, MaxIO)
	r.call(7, &WriteArgs{File: fh, Count: MaxIO, Stable: FileSync, Data: data}, &WriteRes{}, OK)
	b.ReportAllocs()
	return r, &oncrpc.Call{Flavor: oncrpc.FlavorSys, Sys: *r.cred.Sys, Remote: netip.MustParseAddrPort("127.0.0.1:1")}, fh
}

func BenchmarkGetAttr(b *testing.B) {
	r, c, fh := benchCall(b)
	for b.Loop() {
		r.server.getattr(b.Context(), c, &GetAttrArgs{fh})
	}
}

func BenchmarkLookup(b *testing.B) {
	r, c, _ := benchCall(b)
	for b.Loop() {
		r.server.lookup(b.Context(), c, &LookupArgs{DirOpArgs{r.root, "f"}})
	}
}

func BenchmarkRead4K(b *testing.B)   { benchRead(b, 4096) }
func BenchmarkRead128K(b *testing.B) { benchRead(b, 128<<10) }
func BenchmarkRead1M(b *testing.B)   { benchRead(b, 1<<20) }

func benchRead(b *testing.B, n uint32) {
	r, c, fh := benchCall(b)
	b.SetBytes(int64(n))
	for b.Loop() {
		if res := r.server.read(b.Context(), c, &ReadArgs{fh, 0, n}); res.Count != n {
			b.Fatal(res)
		}
		c.Release()
		c.Tail, c.Release = nil, nil
	}
}

func BenchmarkWrite4K(b *testing.B)   { benchWrite(b, 4096, Unstable) }
func BenchmarkWrite128K(b *testing.B) { benchWrite(b, 128<<10, Unstable) }
func BenchmarkWriteSync(b *testing.B) { benchWrite(b, 4096, FileSync) }

func benchWrite(b *testing.B, n int, how StableHow) {
	r, c, fh := benchCall(b)
	data := make([]byte, n)
	b.SetBytes(int64(n))
	for b.Loop() {
		if res := r.server.write(b.Context(), c, &WriteArgs{File: fh, Count: uint32(n), Stable: how, Data: data}); res.Status != OK {
			b.Fatal(res.Status)
		}
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	r, c, _ := benchCall(b)
	for b.Loop() {
		if res := r.server.create(b.Context(), c, &CreateArgs{Where: DirOpArgs{r.root, "n"}, Mode: Guarded}); res.Status != OK {
			b.Fatal(res.Status)
		}
		r.server.remove(b.Context(), c, &RemoveArgs{DirOpArgs{r.root, "n"}})
	}
}

func BenchmarkReadDirPlus(b *testing.B) {
	r, c, _ := benchCall(b)
	for i := range 500 {
		r.ok(os.WriteFile(filepath.Join(r.dir, fmt.Sprint("file-", i)), nil, 0o600))
	}
	for b.Loop() {
		r.server.readdirplus(b.Context(), c, &ReadDirPlusArgs{Dir: r.root, DirCount: 1 << 16, MaxCount: 1 << 17})
		c.Release()
	}
}
