package tree

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// When fusefs is killed, descriptors and maps that pass through go on to read and write the files beneath: the kernel asks nobody
// (fs/fuse/passthrough.c). So they stay opens at the counter, under the next fusefs, until their programs end or close them. proc(5)
// says who they are.

// orphan is a file of a killed mount that programs have open.
type orphan struct {
	path  string // from the root of the mount
	ino   uint64
	pid   uint32 // one of the programs
	flags uint32 // O_RDONLY, or O_RDWR where somebody may write
}

// orphansOf finds the orphans of the dead mounts, by inode number.
func orphansOf(dead []mount) map[uint64]orphan {
	all := map[uint64]orphan{}
	if len(dead) == 0 {
		return all
	}
	add := func(o orphan) {
		if had, ok := all[o.ino]; ok {
			o.flags |= had.flags
		}
		all[o.ino] = o
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		pid, _ := strconv.ParseUint(filepath.Base(p), 10, 32)
		infos, _ := os.ReadDir(filepath.Join(p, "fdinfo"))
		for _, e := range infos {
			path, _ := os.Readlink(filepath.Join(p, "fd", e.Name()))
			if !strings.HasPrefix(path, "/") { // an epoll tells nothing before whoever changes it is done
				continue
			}
			b, err := os.ReadFile(filepath.Join(p, "fdinfo", e.Name()))
			if err != nil {
				continue
			}
			if o, id := parseFD(string(b)); o.ino != 0 && isOne(dead, func(m *mount) bool { return m.id == id }) {
				o.path = path
				o.pid = uint32(pid)
				add(o)
			}
		}
		maps, _ := os.ReadFile(filepath.Join(p, "maps"))
		for line := range strings.Lines(string(maps)) {
			if o, dev := parseMap(line); o.ino != 0 && isOne(dead, func(m *mount) bool { return m.dev == dev }) {
				o.pid = uint32(pid)
				add(o)
			}
		}
	}
	return all
}

func isOne(dead []mount, is func(*mount) bool) bool {
	for i := range dead {
		if is(&dead[i]) {
			return true
		}
	}
	return false
}

// parseFD reads /proc/PID/fdinfo/FD; the flags are octal.
func parseFD(s string) (o orphan, mnt string) {
	for line := range strings.Lines(s) {
		key, v, _ := strings.Cut(line, ":")
		v = strings.TrimSpace(v)
		switch key {
		case "flags":
			if n, err := strconv.ParseUint(v, 8, 64); err == nil && n&unix.O_ACCMODE != unix.O_RDONLY && n&unix.O_PATH == 0 {
				o.flags = unix.O_RDWR
			}
		case "mnt_id":
			mnt = v
		case "ino":
			o.ino, _ = strconv.ParseUint(v, 10, 64)
		}
	}
	return o, mnt
}

// parseMap reads a line of /proc/PID/maps: addresses, permissions, offset, device in hexadecimal, inode, path. dev is the device as
// mountinfo has it.
func parseMap(line string) (o orphan, dev string) {
	f := strings.Fields(line)
	if len(f) < 6 || len(f[1]) != 4 {
		return orphan{}, ""
	}
	var major, minor uint32
	if n, err := fmt.Sscanf(f[3], "%x:%x", &major, &minor); n != 2 || err != nil {
		return orphan{}, ""
	}
	o.ino, _ = strconv.ParseUint(f[4], 10, 64)
	_, path, _ := strings.Cut(line, "/")
	o.path = "/" + strings.TrimSuffix(path, "\n")
	if f[1][1] == 'w' && f[1][3] == 's' {
		o.flags = unix.O_RDWR
	}
	return o, fmt.Sprintf("%d:%d", major, minor)
}

// orphanTime is how often the orphans' programs are looked at.
const orphanTime = 2 * time.Second

// keepOrphans opens the orphans at the counter, and closes them when their programs have.
func (t *Tree) keepOrphans(dead []mount) {
	all := orphansOf(dead)
	if len(all) == 0 {
		return
	}
	t.log.Warn("programs go on with files of the killed mount", "export", t.name, "files", len(all))
	t.post.spawn(func(ctx context.Context) {
		kept := map[uint64]*file{}
		for ino, o := range all {
			if f := t.keepOrphan(ctx, o); f != nil {
				kept[ino] = f
			}
		}
		for len(kept) > 0 {
			select {
			case <-ctx.Done(): // with this daemon's end all opens end
			case <-time.After(orphanTime):
			}
			still := map[uint64]orphan{}
			if ctx.Err() == nil {
				still = orphansOf(dead)
			}
			for ino, f := range kept {
				if _, is := still[ino]; !is {
					delete(kept, ino)
					t.changed(f)
					t.leave(f)
					t.drop(f)
				}
			}
		}
	})
}

// keepOrphan opens o at the counter.
func (t *Tree) keepOrphan(ctx context.Context, o orphan) *file {
	f, c, err := t.findOrphan(o)
	if err != nil {
		t.log.Warn("open of a killed mount not kept", "export", t.name, "path", o.path, "pid", o.pid, "err", err)
		return nil
	}
	if st := t.admitOpen(ctx.Done(), c, f, o.flags); !st.Ok() {
		t.log.Warn("a program has a file open beside what another client was granted while fusefs was away",
			"export", t.name, "path", o.path, "pid", o.pid, "err", st)
		t.drop(f)
		return nil
	}
	t.log.Info("open of a killed mount kept", "export", t.name, "path", o.path, "pid", o.pid, "writes", f.writes)
	return f
}

// findOrphan reaches o's file by its name, if that is still its name.
func (t *Tree) findOrphan(o orphan) (*file, *fuse.Caller, error) {
	at, name, err := t.parent(strings.TrimPrefix(o.path, "/"))
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(at)
	fd, err := child(at, name)
	if err != nil {
		return nil, nil, err
	}
	e, err := t.identify(fd)
	if err == nil && (e.st.Ino != o.ino || e.kind() != unix.S_IFREG) {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	n := &node{key: e.key, kind: unix.S_IFREG, handle: e.handle}
	if d, err := t.identify(at); err == nil {
		n.place(d.key, name)
	}
	c := &fuse.Caller{Pid: o.pid}
	f := t.newFile(c, n, fd, o.flags)
	f.seen = versionOf(&e.st)
	return f, c, nil
}
