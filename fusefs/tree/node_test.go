package tree

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// Nodes that the kernel forgets leave nothing behind, and the maps shrink with them.
func TestNodesShrink(t *testing.T) {
	n := nodes{byID: map[uint64]*node{}, byKey: map[lock.Key]*node{}, next: rootID}
	for i := range uint64(2 * shrinkFrom) {
		n.learn(entry{key: lock.Key{Ino: i}})
	}
	for i := range uint64(2*shrinkFrom - 100) {
		n.forget(rootID+1+i, 1)
	}
	if len(n.byID) != 100 || len(n.byKey) != 100 || n.peak > shrinkFrom {
		t.Errorf("%d and %d nodes, maps of %d", len(n.byID), len(n.byKey), n.peak)
	}
	if n.find(lock.Key{Ino: 2*shrinkFrom - 1}) == nil {
		t.Error("a node that is in use is gone")
	}
}

// A node that the kernel remembers costs at most 400 bytes of heap, which is 600 with what the collector leaves lying about.
func TestNodesAreSmall(t *testing.T) {
	const count = 100_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	n := nodes{byID: map[uint64]*node{}, byKey: map[lock.Key]*node{}, next: rootID}
	before := heap()
	for i := range uint64(count) {
		n.learn(entry{key: lock.Key{Ino: i}, handle: unix.NewFileHandle(1, make([]byte, 8))}).place(lock.Key{Ino: 1}, fmt.Sprint("a-name-of-", i))
	}
	if each := (heap() - before) / count; each > 400 {
		t.Errorf("%d bytes a node", each)
	} else {
		t.Logf("%d bytes a node", each)
	}
	runtime.KeepAlive(&n)
}
