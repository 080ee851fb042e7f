package mount3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	peer "github.com/buildbarn/go-xdr/pkg/protocols/mount"

	"dittofs/gateway/config"
	"dittofs/gateway/export"
	"dittofs/gateway/fuzz"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

type rig struct {
	t      *testing.T
	dir    string
	set    *export.Set
	client *oncrpc.Client
}

// start exports one directory to everybody, and another one, /nowhere, to somebody else.
func start(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	r.ok(os.MkdirAll(filepath.Join(r.dir, "a", "b"), 0o700))
	r.ok(os.WriteFile(filepath.Join(r.dir, "file"), nil, 0o600))
	r.ok(os.Symlink("/etc", filepath.Join(r.dir, "out")))
	var err error
	r.set, err = export.New([]config.Export{{Path: r.dir, Name: "t", Squash: "root", Insecure: true},
		{Path: "/nowhere", Name: "n", Squash: "root", Clients: []string{"192.0.2.0/24(ro)", "192.0.2.9"}}}, [32]byte{})
	r.ok(err)
	t.Cleanup(r.set.Close)
	d, err := os.Open(r.dir)
	r.ok(err)
	r.ok(r.set.Set("t", d))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.ok(err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		oncrpc.NewServer(oncrpc.Config{}, Programs(New(Config{Exports: r.set, Wait: 100 * time.Millisecond}))...).ServeTCP(ctx, l)
	})
	r.client, err = oncrpc.Dial(ctx, "tcp", l.Addr().String())
	r.ok(err)
	t.Cleanup(func() { r.client.Close(); stop(); wg.Wait() })
	return r
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) call(vers, proc uint32, args, res xdr.Value) {
	r.t.Helper()
	r.ok(r.client.Call(context.Background(), 100005, vers, proc, oncrpc.Cred{}, args, res))
}

func path(p string) *DirPath { d := DirPath(p); return &d }

func TestMnt(t *testing.T) {
	r := start(t)
	for p, want := range map[string]Status{
		r.dir: OK, r.dir + "/": OK, r.dir + "/a/b": OK, r.dir + "/a/../a/b": OK,
		r.dir + "/none": ErrNoEnt, r.dir + "/file": ErrNotDir, r.dir + "/file/x": ErrNotDir,
		r.dir + "/out": ErrNotDir, r.dir + "/out/init.d": ErrNoEnt, r.dir + "/../..": ErrNoEnt, r.dir + "/a/../../..": ErrNoEnt,
		"/": ErrNoEnt, "": ErrNoEnt, "/nowhere": ErrAcces, r.dir + "/" + strings.Repeat("x", 300): ErrNameTooLong,
		"/" + strings.Repeat("x/", 600): ErrNameTooLong, r.dir + "/a\x00b": ErrInval,
	} {
		res := &MntRes{}
		r.call(3, 1, path(p), res)
		if res.Status != want {
			t.Errorf("%q: %v, want %v", p, res.Status, want)
		}
		if res.Status != OK {
			continue
		}
		f, err := r.set.Open(res.FH)
		r.ok(err)
		if st, err := os.Stat(p); err != nil || f.IsRoot() != os.SameFile(st, stat(t, r.dir)) {
			t.Errorf("%q: %v", p, f)
		}
		f.Release()
		if want := []Flavor{1, 0}; !reflect.DeepEqual(res.Flavors, want) {
			t.Errorf("flavors %v, want %v", res.Flavors, want)
		}
	}
	r.set.Remove("t")
	res := &MntRes{}
	if r.call(3, 1, path(r.dir), res); res.Status != ErrServerFault {
		t.Errorf("tree away: %v", res.Status)
	}
	d, err := os.Open(r.dir)
	r.ok(err)
	time.AfterFunc(20*time.Millisecond, func() { r.set.Set("t", d) })
	if r.call(3, 1, path(r.dir), res); res.Status != OK {
		t.Errorf("while the tree comes: %v", res.Status)
	}
	if err := r.client.Call(context.Background(), 100005, 1, 1, oncrpc.Cred{}, path(r.dir), res); err == nil {
		t.Error("version 1 gave a handle")
	}
}

func stat(t *testing.T, p string) os.FileInfo {
	st, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestDumpAndExport(t *testing.T) {
	r := start(t)
	for _, vers := range []uint32{3, 1} {
		r.call(3, 1, path(r.dir), &MntRes{})
		r.call(3, 1, path(r.dir), &MntRes{})
		r.call(3, 1, path(r.dir+"/a"), &MntRes{})
		l := &MountList{}
		r.call(vers, 2, &xdr.Void{}, l)
		if want := []MountEntry{{"127.0.0.1", r.dir}, {"127.0.0.1", r.dir + "/a"}}; !reflect.DeepEqual(l.Entries, want) {
			t.Errorf("%v, want %v", l.Entries, want)
		}
		r.call(vers, 3, path(r.dir), &xdr.Void{})
		if r.call(vers, 2, &xdr.Void{}, l); len(l.Entries) != 1 {
			t.Errorf("after UMNT: %v", l.Entries)
		}
		r.call(vers, 4, &xdr.Void{}, &xdr.Void{})
		if r.call(vers, 2, &xdr.Void{}, l); len(l.Entries) != 0 {
			t.Errorf("after UMNTALL: %v", l.Entries)
		}
		e := &ExportList{}
		r.call(vers, 5, &xdr.Void{}, e)
		want := []ExportEntry{{Directory: r.dir}, {Directory: "/nowhere", Groups: []Group{"192.0.2.0/24", "192.0.2.9"}}}
		if !reflect.DeepEqual(e.Entries, want) {
			t.Errorf("%v, want %v", e.Entries, want)
		}
	}
}

func TestListIsBounded(t *testing.T) {
	var l list
	for i := range listMax + 10 {
		l.add(MountEntry{"h", strings.Repeat("x", i%1000) + string(rune('a'+i/1000))})
	}
	if n := len(l.all()); n != listMax {
		t.Errorf("%d entries", n)
	}
}

// Another implementation, generated from the RFC's own text, writes again what it read from ours.
func TestCodecsAgreeWithTheRFCsText(t *testing.T) {
	for what, c := range map[string]struct {
		v    xdr.Value
		read func(io.Reader) (io.WriterTo, error)
	}{
		"mountres3":    {&MntRes{FH: []byte("12345"), Flavors: []Flavor{1, 0}}, func(r io.Reader) (io.WriterTo, error) { v, _, err := peer.ReadMountres3(r); return v, err }},
		"mountres3 13": {&MntRes{Status: ErrAcces}, func(r io.Reader) (io.WriterTo, error) { v, _, err := peer.ReadMountres3(r); return v, err }},
		"mountlist": {&MountList{[]MountEntry{{"h", "/d"}, {"hh", "/dd"}}}, func(r io.Reader) (io.WriterTo, error) {
			v, _, err := peer.ReadMountlist(r)
			return writer(func(w io.Writer) (int64, error) { return peer.WriteMountlist(w, v) }), err
		}},
		"exports": {&ExportList{[]ExportEntry{{"/a", nil}, {"/b", []Group{"x", "yz"}}}}, func(r io.Reader) (io.WriterTo, error) {
			v, _, err := peer.ReadExports(r)
			return writer(func(w io.Writer) (int64, error) { return peer.WriteExports(w, v) }), err
		}},
	} {
		ours, err := xdr.Marshal(nil, c.v)
		if err != nil {
			t.Fatal(what, err)
		}
		var theirs bytes.Buffer
		p, err := c.read(bytes.NewReader(ours))
		if err == nil {
			_, err = p.WriteTo(&theirs)
		}
		if err != nil || !bytes.Equal(ours, theirs.Bytes()) {
			t.Errorf("%s: %v\nours   %x\ntheirs %x", what, err, ours, theirs.Bytes())
		}
		again := reflect.New(reflect.TypeOf(c.v).Elem()).Interface().(xdr.Value)
		if err := xdr.Unmarshal(ours, again); err != nil || !reflect.DeepEqual(again, c.v) {
			t.Errorf("%s: %v %+v, want %+v", what, err, again, c.v)
		}
	}
	if err := xdr.Unmarshal([]byte{0, 1, 0, 1}, path("")); !errors.Is(err, xdr.ErrTooLong) {
		t.Errorf("a path of 64 KiB: %v", err)
	}
}

type writer func(io.Writer) (int64, error)

func (f writer) WriteTo(w io.Writer) (int64, error) { return f(w) }

func FuzzCodec(g *testing.F) {
	f := fuzz.On(g)
	kinds := []func() xdr.Value{func() xdr.Value { return path("") }, func() xdr.Value { return &MntRes{} },
		func() xdr.Value { return &MountList{} }, func() xdr.Value { return &ExportList{} }}
	f.Add(uint8(0), []byte("\x00\x00\x00\x02/a\x00\x00"))
	f.Add(uint8(2), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(uint8(3), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		fresh := kinds[int(which)%len(kinds)]
		v, w := fresh(), fresh()
		if xdr.Unmarshal(b, v) != nil {
			return
		}
		once, err := xdr.Marshal(nil, v)
		if err != nil || len(once) > len(b) || xdr.Unmarshal(once, w) != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%v: %x from %x", err, once, b)
		}
	})
}
