package tree

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDirReplaced: a directory that another door replaces is not worked in any more, though the kernel still remembers it.
func TestDirReplaced(t *testing.T) {
	m := mountTree(t, false)
	must(t, os.Mkdir(m.under("d"), 0o755))
	must(t, os.WriteFile(m.at("d/old"), nil, 0o644))
	must(t, os.RemoveAll(m.under("d")))
	must(t, os.Mkdir(m.under("d"), 0o755))
	must(t, os.WriteFile(m.under("d/new"), []byte("new"), 0o644))
	b, err := os.ReadFile(m.at("d/new"))
	must(t, err)
	if string(b) != "new" {
		t.Errorf("read %q", b)
	}
}

// TestDirsAreFew: as many directories are open as there may be, whoever of them is in use, and none is left at the end.
func TestDirsAreFew(t *testing.T) {
	var d dirs
	var held []*workDir
	nodes := make([]node, 2*dirsMax)
	for i := range nodes {
		fd, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		w := d.add(&nodes[i], fd)
		if i%2 == 0 {
			held = append(held, w)
			continue
		}
		w.done()
	}
	if len(d.open) != dirsMax {
		t.Errorf("%d are kept", len(d.open))
	}
	d.drop()
	for _, w := range held {
		w.done()
		if _, err := unix.FcntlInt(uintptr(w.fd), unix.F_GETFD, 0); err != unix.EBADF {
			t.Error(fmt.Sprint("left open: ", err))
		}
	}
}
