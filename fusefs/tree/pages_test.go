package tree

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident reports whether the first page of f is in the page cache of the mount.
func resident(t *testing.T, f *os.File) bool {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(b)
	var in [1]byte
	_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), 1, uintptr(unsafe.Pointer(&in[0])))
	if e != 0 {
		t.Fatal(e)
	}
	return in[0]&1 != 0
}

// Where the daemon moves the data, an open keeps the pages of the one before, unless the file was changed beneath the mount meanwhile and
// nobody said so.
func TestOpenKeepsPages(t *testing.T) {
	m := mountTree(t, true)
	write := func(data string) {
		must(t, os.WriteFile(m.under("f"), []byte(data), 0o644))
		waitFor(t, "the clock to go on", func() bool {
			st, err := os.Stat(m.under("f"))
			must(t, err)
			return time.Since(st.ModTime()) > tick
		})
	}
	open := func() (kept bool, data string) {
		f, err := os.Open(m.at("f"))
		must(t, err)
		defer f.Close()
		kept = resident(t, f)
		b := make([]byte, 8)
		n, err := f.Read(b)
		must(t, err)
		return kept, string(b[:n])
	}
	type seen struct {
		kept bool
		data string
	}
	var got [6]seen
	write("one")
	for i := range got {
		if i == 3 {
			write("two")
		}
		got[i].kept, got[i].data = open()
	}
	if want := [6]seen{{false, "one"}, {true, "one"}, {true, "one"}, {false, "two"}, {true, "two"}, {true, "two"}}; got != want {
		t.Errorf("opens saw\n%v, want\n%v", got, want)
	}
}

// A version of this very moment may be that of the next change too; no version is none that can be kept.
func TestKeeps(t *testing.T) {
	at := func(age time.Duration) version {
		ts := unix.NsecToTimespec(time.Now().Add(-age).UnixNano())
		return version{size: 1, ctime: unix.StatxTimestamp{Sec: ts.Sec, Nsec: uint32(ts.Nsec)}}
	}
	old, young := at(time.Hour), at(0)
	var n node
	var got []bool
	for _, v := range []version{{}, old, old, young, young, old, old, {}, {}} {
		got = append(got, n.keeps(v))
	}
	if want := []bool{false, false, true, false, false, false, true, false, false}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

// The kernel reads ahead as far as one request goes.
func TestReadAhead(t *testing.T) {
	m := mountTree(t, true)
	mounts, err := readMounts()
	must(t, err)
	b, err := os.ReadFile("/sys/class/bdi/" + mounts.at(m.dir).dev + "/read_ahead_kb")
	must(t, err)
	if got, want := string(b), fmt.Sprintln(maxIO>>10); got != want {
		t.Errorf("read_ahead_kb %q, want %q", got, want)
	}
}
