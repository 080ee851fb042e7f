package ipc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/ipc/lockpb"
)

type registry struct {
	*Trees
	path    string
	changes chan []TreeStatus
	reports chan error
}

func serveRegistry(t *testing.T, path string) (r registry, stop func()) {
	t.Helper()
	r = registry{path: path, changes: make(chan []TreeStatus, 10), reports: make(chan error, 10)}
	r.Trees = NewTrees(func() { r.changes <- r.List() })
	l, err := ListenTrees(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ServeTrees(ctx, l, r.Trees, func(err error) { r.reports <- err }) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return r, stop
}

func dirs(t *testing.T, n int) (trees []Tree) {
	for i := range n {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("tree", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, Tree{Name: fmt.Sprint("tree", i), Path: dir, Root: os.NewFile(uintptr(fd), dir)})
	}
	t.Cleanup(func() { CloseTrees(trees) })
	return trees
}

func inode(t *testing.T, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func descriptors(t *testing.T) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

// Descriptors travel from the offerer through the gateway to a taker who came first; when the offerer goes, they count as unmounted, and
// a gateway that restarts is offered them again.
func TestTreesTravel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trees.sock")
	r, stop := serveRegistry(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	type taken struct {
		trees []Tree
		err   error
	}
	early := make(chan taken)
	go func() {
		trees, err := TakeTrees(ctx, path)
		early <- taken{trees, err}
	}()
	offered := dirs(t, 2*packetTree+1)
	offering, withdraw := context.WithCancel(ctx)
	defer withdraw()
	if err := OfferTrees(offering, path, offered); err != nil {
		t.Fatal(err)
	}
	got := <-early
	if got.err != nil || len(got.trees) != len(offered) {
		t.Fatalf("%d trees, %v", len(got.trees), got.err)
	}
	for i, tr := range got.trees {
		if tr.Name != offered[i].Name || tr.Path != offered[i].Path || inode(t, tr.Root) != inode(t, offered[i].Root) {
			t.Errorf("got %+v, want %+v", tr, offered[i])
		}
		if flags, _ := unix.FcntlInt(tr.Root.Fd(), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s is not close-on-exec", tr.Path)
		}
	}
	CloseTrees(got.trees)

	stop()
	r, _ = serveRegistry(t, path)
	if states := <-r.changes; len(states) != len(offered) || !states[0].Mounted {
		t.Errorf("a gateway that restarted has %+v", states)
	}
	withdraw()
	if states := <-r.changes; len(states) != len(offered) || states[0].Mounted || r.Mounted() {
		t.Errorf("after the offerer went: %+v", states)
	}
	short, end := context.WithCancel(ctx)
	end()
	if trees, err := r.Take(short); err == nil {
		t.Errorf("took %+v though nobody stands for them", trees)
	}
}

func TestSecondOffererIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trees.sock")
	r, _ := serveRegistry(t, path)
	first, withdraw := context.WithCancel(t.Context())
	defer withdraw()
	if err := OfferTrees(first, path, dirs(t, 1)); err != nil {
		t.Fatal(err)
	}
	// The same process may offer more.
	if err := OfferTrees(t.Context(), path, dirs(t, 2)); err != nil {
		t.Fatal(err)
	}
	withdraw()
	err := r.offered(nil, int32(os.Getpid()+1), nil)
	want := fmt.Sprintf("process %d offers the trees already", os.Getpid())
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if got := r.List(); len(got) != 2 || !got[0].Mounted {
		t.Errorf("%+v", got)
	}
}

// A tree that cannot be mounted is told with its reason, has no descriptor and is given to nobody; the reason outlives who told it.
func TestRefusedTree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trees.sock")
	r, _ := serveRegistry(t, path)
	one := dirs(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := OfferTrees(ctx, path, []Tree{{Name: "gone", Path: "/gone", Refused: "no such file"}, one}); err != nil {
		t.Fatal(err)
	}
	want := []TreeStatus{{Name: "gone", Path: "/gone", Refused: "no such file"}, {Name: one.Name, Path: one.Path, Mounted: true}}
	if got := <-r.changes; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	trees, err := TakeTrees(ctx, path)
	if err != nil || len(trees) != 1 || trees[0].Path != one.Path || inode(t, trees[0].Root) != inode(t, one.Root) {
		t.Errorf("taken: %+v, %v", trees, err)
	}
	CloseTrees(trees)
	cancel()
	want[1].Mounted = false
	if got := <-r.changes; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A packet that is wrong ends its connection, and none of its descriptors stays open.
func TestWrongPackets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trees.sock")
	r, _ := serveRegistry(t, path)
	tree := dirs(t, 1)[0]
	fd := int(tree.Root.Fd())
	one := func(change func(*lockpb.TreePacket)) []byte {
		p := &lockpb.TreePacket{Version: Version, Kind: lockpb.TreePacket_OFFER, Trees: []*lockpb.TreeState{{Name: []byte("a"), Path: []byte("/a")}}}
		change(p)
		b, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := descriptors(t)
	for _, c := range []struct {
		packet []byte
		fds    int
		want   string
	}{
		{[]byte("\xff\xff"), 1, "proto"},
		{one(func(p *lockpb.TreePacket) {}), 0, "1 trees with 0 descriptors"},
		{one(func(p *lockpb.TreePacket) {}), 2, "1 trees with 2 descriptors"},
		{one(func(p *lockpb.TreePacket) {}), 100, "descriptors"},
		{one(func(p *lockpb.TreePacket) { p.Version = 9 }), 1, "version 9"},
		{one(func(p *lockpb.TreePacket) { p.Kind = lockpb.TreePacket_TREES }), 1, "kind TREES"},
		{one(func(p *lockpb.TreePacket) { p.Trees[0].Path = []byte("a") }), 1, "tree path"},
		{one(func(p *lockpb.TreePacket) { p.Trees[0].Path = []byte("/a/../b") }), 1, "tree path"},
		{one(func(p *lockpb.TreePacket) { p.Trees[0].Name = []byte("a/b") }), 1, "tree name"},
		{one(func(p *lockpb.TreePacket) { p.Trees[0].Name = nil }), 1, "tree name"},
		{one(func(p *lockpb.TreePacket) { p.Refusal = strings.Repeat("x", packetMax) }), 0, "more than"},
	} {
		c1, err := dialPacket(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var fds []int
		for range c.fds {
			fds = append(fds, fd)
		}
		c1.SetWriteBuffer(1 << 20)
		if _, _, err := c1.WriteMsgUnix(c.packet, unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
		if err := <-r.reports; !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		c1.Close()
	}
	// The connections' own descriptors close a moment after the report.
	for end := time.Now().Add(5 * time.Second); descriptors(t) > before; {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors, %d before", descriptors(t), before)
		}
		if c, err := net.Dial("unixpacket", path); err == nil {
			c.Close()
		}
	}
}

func TestPeers(t *testing.T) {
	for _, c := range []struct {
		uid   uint32
		own   int
		admit bool
	}{{0, 0, true}, {0, 99, true}, {99, 99, true}, {98, 99, false}, {99, 0, false}, {1<<32 - 1, -1, false}} {
		if err := admit(&unix.Ucred{Pid: 1, Uid: c.uid}, c.own); (err == nil) != c.admit {
			t.Errorf("uid %d at uid %d: %v", c.uid, c.own, err)
		}
	}
}

func FuzzTreePacket(g *testing.F) {
	f := fuzz.On(g)
	b, _ := proto.Marshal(&lockpb.TreePacket{Version: Version, Kind: lockpb.TreePacket_OFFER, Trees: []*lockpb.TreeState{{Name: []byte("a"), Path: []byte("/a")}}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePacket(b)
		if err != nil || checkTrees(p, lockpb.TreePacket_OFFER, 1, 0) != nil {
			return
		}
		if got := string(p.Trees[0].Path); !reflect.DeepEqual(got, filepath.Clean(got)) || !filepath.IsAbs(got) {
			t.Errorf("path %q", got)
		}
	})
}
