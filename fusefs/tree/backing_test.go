package tree

import (
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOpensShareBacking: the opens of an inode have one backing file, its readers one descriptor, and the next open finds both still there.
func TestOpensShareBacking(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.WriteFile(m.under("f"), []byte("data"), 0o644))
	type how struct {
		backing *backing
		fd      int
		shares  bool
	}
	open := func(flags int) (*os.File, how) {
		f, err := os.OpenFile(m.at("f"), flags, 0)
		must(t, err)
		m.opens.mu.RLock()
		defer m.opens.mu.RUnlock()
		var newest *file
		for _, o := range m.opens.files {
			if newest == nil || o.number > newest.number {
				newest = o
			}
		}
		newest.node.mu.Lock()
		defer newest.node.mu.Unlock()
		return f, how{newest.backing, newest.fd, newest.shares}
	}
	first, a := open(os.O_RDONLY)
	first.Close()
	second, b := open(os.O_RDONLY)
	third, c := open(os.O_RDWR)
	if a.backing == nil || a != b || c.backing != a.backing || !a.shares || c.shares {
		t.Errorf("first %+v, second %+v, for writing %+v", a, b, c)
	}
	if _, err := third.WriteAt([]byte("DA"), 0); err != nil {
		t.Error(err)
	}
	got := make([]byte, 4)
	if _, err := second.ReadAt(got, 0); err != nil || string(got) != "DAta" {
		t.Errorf("read %q, %v", got, err)
	}
	second.Close()
	third.Close()
}

// TestBackingsEnd: a backing file ends once, when it was idle for long enough, when the kernel forgets its node, or when they are too many.
func TestBackingsEnd(t *testing.T) {
	var ended []int32
	k := backings{unregister: func(id int32) { ended = append(ended, id) }, armed: true}
	always := func(*backing) bool { return true }
	idleOne := func(id int32) *node {
		n := &node{id: uint64(id), backing: &backing{id: id, fd: -1, last: time.Now()}}
		n.mu.Lock()
		k.add(n, n.backing)
		n.mu.Unlock()
		return n
	}
	used, forgotten, fresh := idleOne(1), idleOne(2), idleOne(3)
	used.backing.users = 1
	k.forgotten(used)
	k.forgotten(forgotten)
	k.expire() // none was idle for long
	if want := []int32{2}; !slices.Equal(ended, want) || len(k.line) != 1 || k.line[0].node != fresh {
		t.Fatalf("ended %v, in line %+v", ended, k.line)
	}
	k.judge(k.line[0], always)
	k.line = nil
	if want := []int32{2, 3}; !slices.Equal(ended, want) || fresh.backing != nil || used.backing == nil {
		t.Fatalf("ended %v", ended)
	}
	for i := range int32(pinsMax + 3) {
		idleOne(100 + i)
		k.makeRoom()
	}
	if want := []int32{2, 3, 100, 101, 102}; !slices.Equal(ended, want) || len(k.line) != pinsMax {
		t.Errorf("ended %v, in line %d", ended, len(k.line))
	}
	k.drop()
	if len(ended) != 2+pinsMax+3 || len(k.line) != 0 {
		t.Errorf("%d ended, in line %d", len(ended), len(k.line))
	}
}

// TestBorrowedOpen: an operation that borrows an open's descriptor has it to its end, though the open is closed meanwhile.
func TestBorrowedOpen(t *testing.T) {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	there := func() bool { _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); return err == nil }
	tr, n := &Tree{}, &node{}
	f := &file{uses: 1, node: n, fd: fd}
	n.files = map[*file]bool{f: true}
	borrowed := n.borrow()
	if borrowed != f {
		t.Fatalf("borrowed %v", borrowed)
	}
	tr.letGo(f)
	if !there() {
		t.Error("closed under an operation")
	}
	tr.letGo(borrowed)
	if there() || n.borrow() != nil {
		t.Error("left open")
	}
}
