package check

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/xdr"
)

const (
	procReadDirPlus = 17
	filesPerDir     = 1000
)

// entry is entryplus3, of the attributes only fileid.
type entry struct {
	name   string
	ino    uint64
	cookie uint64
	fh     []byte
}

// list reads a part of a directory with READDIRPLUS.
func (n *nfs) list(dir []byte, cookie uint64) (entries []entry, eof bool) {
	n.t.Helper()
	x := n.call(progNFS, 3, procReadDirPlus, func(x *xdr.Stream) {
		var verf [8]byte
		count := uint32(64 << 10)
		x.Opaque(&dir, 64)
		x.Uint64(&cookie)
		x.Fixed(verf[:])
		x.Uint32(&count)
		x.Uint32(&count)
	})
	if st := uint32Of(x); st != nfsOK {
		n.t.Fatalf("READDIRPLUS: %d", st)
	}
	var attr [84]byte
	if uint32Of(x) == 1 {
		x.Fixed(attr[:])
	}
	x.Fixed(attr[:8])
	for uint32Of(x) == 1 {
		var e entry
		x.Uint64(&e.ino)
		x.String(&e.name, 255)
		x.Uint64(&e.cookie)
		if uint32Of(x) == 1 {
			x.Fixed(attr[:])
		}
		if ino := binary.BigEndian.Uint64(attr[52:]); ino != e.ino {
			n.t.Errorf("%q: fileid %d, its attributes say %d", e.name, e.ino, ino)
		}
		if uint32Of(x) == 1 {
			x.Opaque(&e.fh, 64)
			e.fh = bytes.Clone(e.fh)
		}
		entries = append(entries, e)
	}
	eof = uint32Of(x) == 1
	if x.Err() != nil {
		n.t.Fatal(x.Err())
	}
	return entries, eof
}

// manyName is the name of a file: every hundredth as long as a name can be, none of them UTF-8.
func manyName(i int) string {
	b := fmt.Appendf(nil, "%d \xff\xfe", i)
	for j := 1; i%100 == 0 && len(b) < 255; j++ {
		if c := byte(i + j*7); c != 0 && c != '/' {
			b = append(b, c)
		}
	}
	return string(b)
}

// Files as many as DITTOFS_MILLION says (20,000), in directories of a thousand: listed, looked up, and found again by their handles after
// the gateway was killed, in little memory.
func TestManyFiles(t *testing.T) {
	many := 20000
	if s := os.Getenv("DITTOFS_MILLION"); s != "" {
		many, _ = strconv.Atoi(s)
	}
	dir := tree(t)
	inos := make([]uint64, many)
	for i := range inos {
		d := filepath.Join(dir, strconv.Itoa(i/filesPerDir))
		if i%filesPerDir == 0 {
			os.Mkdir(d, 0o755)
		}
		fd, err := unix.Open(d+"/"+manyName(i), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		unix.Fstat(fd, &st)
		unix.Close(fd)
		inos[i] = st.Ino
	}
	g := up(t, dir)
	n := g.nfs(t, owner)
	handles := make([]byte, 0, many*40)
	ends := make([]int, many)
	list := func(d int, each func(i int, e *entry)) {
		seen := 0
		fh := n.must(strconv.Itoa(d))
		for cookie, eof := uint64(0), false; !eof; {
			var entries []entry
			entries, eof = n.list(fh, cookie)
			for k := range entries {
				e := &entries[k]
				if cookie = e.cookie; e.name == "." || e.name == ".." {
					continue
				}
				number, _, _ := strings.Cut(e.name, " ")
				i, err := strconv.Atoi(number)
				if err != nil || i/filesPerDir != d || e.name != manyName(i) || e.ino != inos[i] || len(e.fh) == 0 {
					t.Fatalf("in directory %d: %q, fileid %d, handle %x", d, e.name, e.ino, e.fh)
				}
				each(i, e)
				seen++
			}
		}
		if seen != filesPerDir {
			t.Fatalf("directory %d: %d names", d, seen)
		}
	}
	dirs, at := many/filesPerDir, make(map[int][]byte)
	began := time.Now()
	for d := range dirs {
		list(d, func(i int, e *entry) {
			handles = append(handles, e.fh...)
			ends[i] = len(handles)
			if i%(1+many/5000) == 0 {
				at[i] = e.fh
			}
		})
	}
	took := time.Since(began)
	check := func(when string) {
		t.Helper()
		for i, fh := range at {
			x := n.call(progNFS, 3, procGetAttr, func(x *xdr.Stream) { x.Opaque(&fh, 64) })
			var attr [84]byte
			st := uint32Of(x)
			if x.Fixed(attr[:]); st != nfsOK || binary.BigEndian.Uint64(attr[52:]) != inos[i] {
				t.Fatalf("%s: GETATTR of file %d: %d, fileid %d, want %d", when, i, st, binary.BigEndian.Uint64(attr[52:]), inos[i])
			}
		}
		for d := 0; d < dirs; d += 1 + dirs/20 {
			dfh := n.must(strconv.Itoa(d))
			for i := d * filesPerDir; i < (d+1)*filesPerDir; i += 37 {
				if fh, st := n.lookupIn(dfh, manyName(i)); st != nfsOK || !bytes.HasSuffix(handles[:ends[i]], fh) {
					t.Fatalf("%s: LOOKUP of file %d: %d, handle %x", when, i, st, fh)
				}
			}
			for range 3 { // the second time the gateway begins to keep the directory's places
				list(d, func(i int, e *entry) {
					if !bytes.HasSuffix(handles[:ends[i]], e.fh) {
						t.Fatalf("%s: READDIRPLUS of file %d: handle %x", when, i, e.fh)
					}
				})
			}
		}
	}
	check("at first")
	memory := func() (sum int) {
		for _, d := range []string{"gateway", "fusefs", "lockd", "statd", "smbd"} {
			sum += g.resident(t, d)
		}
		return sum >> 10
	}
	before := memory()
	g.killGateway(func() {})
	n = g.nfs(t, owner)
	check("after the gateway was killed")
	t.Logf("%d files listed in %v; the daemons have %d MiB, and %d after the gateway was killed", many, took.Round(time.Millisecond), before, memory())
	if m := max(before, memory()); m >= 300 {
		t.Errorf("the daemons have %d MiB", m)
	}

	// Cookies survive what happens to the names before them.
	fh, left := n.must("0"), map[string]bool{}
	for i := range filesPerDir {
		left[manyName(i)] = true
	}
	for cookie, eof := uint64(0), false; !eof; {
		var entries []entry
		entries, eof = n.list(fh, cookie)
		for _, e := range entries {
			if cookie = e.cookie; e.name == "." || e.name == ".." || strings.HasPrefix(e.name, "new") {
				continue
			}
			if !left[e.name] {
				t.Errorf("%q came twice", e.name)
			}
			delete(left, e.name)
			os.Remove(filepath.Join(dir, "0", e.name))
			os.WriteFile(filepath.Join(dir, "0", "new"+e.name[:3]), nil, 0o644)
		}
	}
	if len(left) > 0 {
		t.Errorf("%d names never came", len(left))
	}
}
