package tree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	subtype = "dittofs"
	fsType  = "fuse." + subtype
)

// source is the first column of mount(8).
func source(name string) string { return subtype + ":" + name }

// errDevice is a kernel without FUSE.
var errDevice = errors.New("/dev/fuse is not there: load the module (modprobe fuse) or give it to this container")

func checkDevice() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return errDevice
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// ground is a directory before it is mounted over: its real path, its clone, and its mount's flags.
type ground struct {
	path  string
	clone int      // from open_tree(2); closing it dissolves the clone
	root  *os.File // the clone's root
	flags int64
	dead  []mount // killed mounts that were here
}

// prepare takes a clone of the directory at path, after removing dead mounts of ours from it. A mount may look alive for settle after
// its daemon was killed.
func prepare(ctx context.Context, path string, settle time.Duration) (*ground, error) {
	real, dead, err := clear(ctx, path, settle)
	if err != nil {
		return nil, err
	}
	g := &ground{path: real, clone: -1, dead: dead}
	if g.clone, err = unix.OpenTree(unix.AT_FDCWD, real, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("%s: open_tree: %w", path, err)
	}
	// An O_PATH descriptor does not serve open_by_handle_at(2).
	fd, err := unix.Openat(g.clone, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		g.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g.root = os.NewFile(uintptr(fd), real)
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		g.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g.flags = int64(st.Flags)
	return g, nil
}

func (g *ground) close() {
	if g.root != nil {
		g.root.Close()
	}
	if g.clone >= 0 {
		unix.Close(g.clone)
	}
}

// clear removes what a killed fusefs left over path, however often it was killed, and returns path without symbolic links.
func clear(ctx context.Context, path string, settle time.Duration) (real string, dead []mount, err error) {
	deadline := time.Now().Add(settle)
	for {
		if real, err = resolve(path); err != nil {
			return "", nil, plain(path, err)
		}
		mounts, err := readMounts()
		if err != nil {
			return "", nil, err
		}
		top := mounts.at(real)
		if top == nil || top.fsType != fsType {
			return real, dead, isDirectory(path, real)
		}
		var st unix.Statfs_t
		switch err := unix.Statfs(real, &st); {
		case err == unix.ENOTCONN || err == unix.ECONNABORTED:
			if err := unix.Unmount(real, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
				return "", nil, fmt.Errorf("%s: a dead mount cannot be removed: %w", path, err)
			}
			dead = append(dead, *top)
		case time.Now().After(deadline):
			return "", nil, fmt.Errorf("%s: another dittofs-fusefs has mounted it (%s)", path, top.source)
		default: // its process may just be ending
			select {
			case <-ctx.Done():
				return "", nil, ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// resolve is path without symbolic links, also where it leads to a dead mount, of which nothing can be asked.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
		return real, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	to, err := os.Readlink(path)
	switch {
	case err != nil:
		return filepath.Join(dir, filepath.Base(path)), nil // the mount itself
	case filepath.IsAbs(to):
		return resolve(to)
	}
	return resolve(filepath.Join(dir, to))
}

func isDirectory(path, real string) error {
	st, err := os.Stat(real)
	if err != nil {
		return plain(path, err)
	}
	if !st.IsDir() {
		return fmt.Errorf("%s: %w", path, unix.ENOTDIR)
	}
	return nil
}

// plain is err about path, without the name of a system call.
func plain(path string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// unmount takes the mount away; if programs are in it, it vanishes from the path and ends with them.
func unmount(path string) error {
	err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	if err == unix.EBUSY {
		err = unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	return err
}

// mount is a line of /proc/self/mountinfo, proc(5).
type mount struct {
	id, dev, point, fsType, source string
}

type mounts []mount

func readMounts() (mounts, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var m mounts
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if one, ok := parseMount(s.Text()); ok {
			m = append(m, one)
		}
	}
	return m, s.Err()
}

// parseMount takes a line apart: the mount's number, its parent's, device, root, mount point, options, optional fields, " - ", type, source, options.
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	f, g := strings.Fields(before), strings.Fields(after)
	if !ok || len(f) < 6 || len(g) < 2 {
		return mount{}, false
	}
	return mount{id: f[0], dev: f[2], point: unescape(f[4]), fsType: g[0], source: unescape(g[1])}, true
}

// unescape undoes the kernel's \040 for a space.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1], '3') && isOctal(s[i+2], '7') && isOctal(s[i+3], '7') {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c, most byte) bool { return '0' <= c && c <= most }

// at is the mount that one meets at path: the last one made there.
func (m mounts) at(path string) *mount {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i].point == path {
			return &m[i]
		}
	}
	return nil
}

// below are the mount points inside path.
func (m mounts) below(path string) (points []string) {
	for i := range m {
		if inside(path, m[i].point) {
			points = append(points, m[i].point)
		}
	}
	return points
}

// inside tells whether p lies in dir, and is not dir itself.
func inside(dir, p string) bool {
	return p != dir && strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
