package check

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exerciserEnv makes this program one of the exercised file's users: "SEED SECONDS FILE MODEL".
const exerciserEnv = "DITTOFS_EXERCISER"

// sizeMost is the largest that the exercised file grows.
const sizeMost = 300_000

// Three processes do what comes to their minds with one file on the mount: read and write in every way, through maps that live long,
// cut and punch it, rename it, with fcntl locks on the mount taking turns. The same is done to a file elsewhere, and every byte that is
// read is compared. DITTOFS_EXERCISE is how many seconds, DITTOFS_SEED the seed.
func TestFileExerciser(t *testing.T) {
	bothWays(t, exerciseFile)
}

func exerciseFile(t *testing.T, way ...string) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	seed, seconds := number("DITTOFS_SEED", int(time.Now().Unix()%100000)), number("DITTOFS_EXERCISE", 4)
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "")
	write(t, filepath.Join(dir, "turn"), "")
	g := up(t, dir, way...)
	model := filepath.Join("/run", "exercised")
	write(t, model, "")
	var users []*exec.Cmd
	var out [3]bytes.Buffer
	for i := range out {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), inside+"=1", fmt.Sprintf("%s=%d %d %s %s", exerciserEnv, seed*10+i, seconds, dir, model))
		cmd.Stdout, cmd.Stderr = &out[i], &out[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		users = append(users, cmd)
	}
	for i, cmd := range users {
		if err := cmd.Wait(); err != nil {
			t.Errorf("user %d of seed %d: %v\n%s", i, seed, err, out[i].String())
		} else {
			t.Logf("user %d: %s", i, strings.TrimSpace(out[i].String()))
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	want, _ := os.ReadFile(model)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("seed %d: at the end %d bytes, %v; want %d", seed, len(got), err, len(want))
	}
	g.Stop()
	if got, _ := os.ReadFile(filepath.Join(dir, "f")); !bytes.Equal(got, want) {
		t.Errorf("seed %d: beneath the mount the file is another", seed)
	}
}

// exerciser is one user of the file.
type exerciser struct {
	rnd   *rand.Rand
	dir   string
	fds   []int // O_RDWR, O_RDWR|O_APPEND, O_RDONLY
	model int
	turn  int
	maps  []mapping
	did   []string
}

type mapping struct {
	mem []byte
	off int64
}

// exercise is the program's life as a user.
func exercise(what string) {
	var seed uint64
	var seconds int
	x := &exerciser{}
	var model string
	if _, err := fmt.Sscan(what, &seed, &seconds, &x.dir, &model); err != nil {
		panic(err)
	}
	x.rnd = rand.New(rand.NewPCG(seed, 1))
	x.model = mustOpen(model, unix.O_RDWR)
	x.turn = mustOpen(filepath.Join(x.dir, "turn"), unix.O_RDWR)
	n := 0
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); n++ {
		l := unix.Flock_t{Type: unix.F_WRLCK}
		if err := unix.FcntlFlock(uintptr(x.turn), unix.F_SETLKW, &l); err != nil {
			x.fail("F_SETLKW: %v", err)
		}
		for range 1 + x.rnd.IntN(8) {
			x.step()
		}
		l.Type = unix.F_UNLCK
		if err := unix.FcntlFlock(uintptr(x.turn), unix.F_SETLK, &l); err != nil {
			x.fail("unlock: %v", err)
		}
	}
	fmt.Println(n, "turns")
}

func mustOpen(path string, flags int) int {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		fmt.Println(path, err)
		os.Exit(1)
	}
	return fd
}

func (x *exerciser) fail(format string, a ...any) {
	fmt.Printf(format+"\n", a...)
	for _, line := range x.did[max(0, len(x.did)-30):] {
		fmt.Println("  ", line)
	}
	os.Exit(1)
}

func (x *exerciser) must(what string, err error) {
	if err != nil {
		x.fail("%s: %v", what, err)
	}
}

func (x *exerciser) say(format string, a ...any) { x.did = append(x.did, fmt.Sprintf(format, a...)) }

func (x *exerciser) size() int64 {
	var st unix.Stat_t
	x.must("fstat", unix.Fstat(x.model, &st))
	return st.Size
}

// part is a random range within most bytes.
func (x *exerciser) part(most int64) (off int64, n int) {
	if most <= 0 {
		return 0, 0
	}
	off = x.rnd.Int64N(most)
	n = int(min(most-off, 1+x.rnd.Int64N(20_000)))
	return off, n
}

func (x *exerciser) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(x.rnd.Uint32())
	}
	return b
}

// compare holds what was read at off against the model.
func (x *exerciser) compare(how string, off int64, got []byte) {
	want := make([]byte, len(got))
	n, err := unix.Pread(x.model, want, off)
	x.must("model", err)
	if want = want[:n]; !bytes.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		x.fail("%s %d+%d: %d bytes, want %d; they differ at %d", how, off, len(got), len(got), len(want), off+int64(i))
	}
}

func (x *exerciser) put(b []byte, off int64) {
	_, err := unix.Pwrite(x.model, b, off)
	x.must("model", err)
}

func (x *exerciser) step() {
	for len(x.fds) < 3 {
		x.fds = append(x.fds, mustOpen(filepath.Join(x.dir, "f"), []int{unix.O_RDWR, unix.O_RDWR | unix.O_APPEND, unix.O_RDONLY}[len(x.fds)]))
	}
	size := x.size()
	off, n := x.part(sizeMost)
	switch op := x.rnd.IntN(16); op {
	case 0, 1:
		b := x.bytes(n)
		x.say("pwrite %d+%d", off, n)
		_, err := unix.Pwrite(x.fds[0], b, off)
		x.must("pwrite", err)
		x.put(b, off)
	case 2:
		if size > sizeMost {
			return
		}
		b := x.bytes(n)
		x.say("append %d at %d", n, size)
		_, err := unix.Write(x.fds[1], b)
		x.must("append", err)
		x.put(b, size)
	case 3:
		to := x.rnd.Int64N(sizeMost)
		x.say("truncate %d", to)
		if x.rnd.IntN(2) == 0 {
			x.must("ftruncate", unix.Ftruncate(x.fds[0], to))
		} else {
			x.must("truncate", unix.Truncate(filepath.Join(x.dir, "f"), to))
		}
		x.must("model", unix.Ftruncate(x.model, to))
	case 4:
		off, n := x.part(size)
		if n == 0 {
			return
		}
		mode := uint32(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE)
		if x.rnd.IntN(2) == 0 {
			mode = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
		}
		x.say("fallocate %#x %d+%d", mode, off, n)
		x.must("fallocate", unix.Fallocate(x.fds[0], mode, off, int64(n)))
		x.put(make([]byte, n), off)
	case 5:
		if n == 0 {
			return
		}
		x.say("reserve %d+%d", off, n)
		x.must("fallocate", unix.Fallocate(x.fds[0], 0, off, int64(n)))
		if off+int64(n) > size {
			x.must("model", unix.Ftruncate(x.model, off+int64(n)))
		}
	case 6:
		from, n := x.part(size)
		if n == 0 || from < off+int64(n) && off < from+int64(n) {
			return
		}
		x.say("copy_file_range %d+%d to %d", from, n, off)
		b := make([]byte, n)
		unix.Pread(x.model, b, from)
		for done := 0; done < n; {
			i, o := from+int64(done), off+int64(done)
			m, err := unix.CopyFileRange(x.fds[0], &i, x.fds[0], &o, n-done, 0)
			x.must("copy_file_range", err)
			if m == 0 {
				x.fail("copy_file_range ended after %d of %d", done, n)
			}
			done += m
		}
		x.put(b, off)
	case 7:
		x.newMap(size)
	case 8, 9:
		x.useMap(size)
	case 10:
		x.holes(size)
	case 11:
		i := x.rnd.IntN(3)
		x.say("reopen")
		unix.Close(x.fds[i])
		x.fds = append(x.fds[:i], append([]int{mustOpen(filepath.Join(x.dir, "f"), []int{unix.O_RDWR, unix.O_RDWR | unix.O_APPEND, unix.O_RDONLY}[i])}, x.fds[i+1:]...)...)
	case 12:
		x.say("rename")
		x.must("rename", unix.Rename(filepath.Join(x.dir, "f"), filepath.Join(x.dir, "g")))
		x.must("rename", unix.Rename(filepath.Join(x.dir, "g"), filepath.Join(x.dir, "f")))
	case 13:
		x.say("fsync, stat")
		x.must("fsync", unix.Fsync(x.fds[0]))
		var st unix.Stat_t
		x.must("stat", unix.Stat(filepath.Join(x.dir, "f"), &st))
		if st.Size != size {
			x.fail("stat(2) says %d bytes, want %d", st.Size, size)
		}
	default:
		b := make([]byte, n)
		x.say("pread %d+%d", off, n)
		m, err := unix.Pread(x.fds[2], b, off)
		x.must("pread", err)
		if want := max(0, min(int64(n), size-off)); int64(m) != want {
			x.fail("pread %d+%d of %d: %d bytes, want %d", off, n, size, m, want)
		}
		x.compare("pread", off, b[:m])
	}
}

const page = 4096

func (x *exerciser) newMap(size int64) {
	if len(x.maps) == 4 {
		x.must("munmap", unix.Munmap(x.maps[0].mem))
		x.maps = x.maps[1:]
	}
	off, n := x.part(size)
	if off &^= page - 1; n == 0 {
		return
	}
	x.say("mmap %d+%d", off, n)
	mem, err := unix.Mmap(x.fds[0], off, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	x.must("mmap", err)
	x.maps = append(x.maps, mapping{mem, off})
}

// useMap reads and writes through a map that may be old, as far as the file now reaches.
func (x *exerciser) useMap(size int64) {
	if len(x.maps) == 0 {
		return
	}
	m := x.maps[x.rnd.IntN(len(x.maps))]
	there := min(int64(len(m.mem)), size-m.off)
	off, n := x.part(there)
	if n == 0 {
		return
	}
	x.say("map %d+%d", m.off+off, n)
	x.compare("map", m.off+off, m.mem[off:off+int64(n)])
	if x.rnd.IntN(2) == 0 {
		b := x.bytes(n)
		x.say("write by map %d+%d", m.off+off, n)
		copy(m.mem[off:], b)
		x.put(b, m.off+off)
	}
	if x.rnd.IntN(4) == 0 {
		x.must("msync", unix.Msync(m.mem, unix.MS_SYNC))
	}
}

// holes checks that what is said to be a hole is zero.
func (x *exerciser) holes(size int64) {
	x.say("holes")
	for at := int64(0); at < size; {
		hole, err := unix.Seek(x.fds[2], at, unix.SEEK_HOLE)
		x.must("SEEK_HOLE", err)
		data, err := unix.Seek(x.fds[2], hole, unix.SEEK_DATA)
		if err == unix.ENXIO {
			data, err = size, nil
		}
		x.must("SEEK_DATA", err)
		x.compare("hole", hole, make([]byte, data-hole))
		at = max(data, hole)
	}
}
