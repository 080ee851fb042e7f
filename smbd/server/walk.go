package server

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/smbd/ntstatus"
)

// Paths, [MS-SMB2] 2.2.13 and [MS-FSA] 2.1.5.1. Every path is resolved by openat2(2) with RESOLVE_BENEATH from the share's root, as the
// session's user: the kernel follows a symbolic link only as long as it stays beneath the root. The exact name comes first; only where it
// does not exist is the directory searched without regard to case.

// place is where a path leads: a file, or a name that is free in its directory.
type place struct {
	parent *os.File // O_PATH; nil for the root
	path   string   // beneath the root, names as on disk; "." for the root
	name   string
	file   *os.File // O_PATH; nil where nothing is there
}

func (p *place) close() {
	if p.parent != nil {
		p.parent.Close()
	}
	if p.file != nil {
		p.file.Close()
	}
}

// composed frees the place where what was found is composed of other characters than the name asked for: whoever opens it may mean the
// same, but whoever makes a name of his own shall have it, as on NTFS.
func (p *place) composed(asked []string) {
	if len(asked) == 0 || p.file == nil || foldCase(p.name) == foldCase(asked[0]) {
		return
	}
	p.file.Close()
	dir, _ := splitPath(p.path)
	p.file, p.name, p.path = nil, asked[0], join(dir, asked[0])
}

// components splits a client's path into names on disk, at backslashes and, as clients are used to, at slashes. The root has none. ".."
// takes the name before it away, and leads no further up than the root.
func components(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	parts := strings.Split(strings.ReplaceAll(path, "/", `\`), `\`)
	for i := slices.Index(parts, ".."); i >= 0; i = slices.Index(parts, "..") {
		if i == 0 {
			return nil, ntstatus.ObjectPathSyntaxBad
		}
		parts = slices.Delete(parts, i-1, i+1)
	}
	for i, c := range parts {
		d, ok := diskName(c)
		if !ok {
			return nil, ntstatus.ObjectNameInvalid
		}
		parts[i] = d
	}
	return parts, nil
}

// openBeneath opens rel beneath root with one openat2.
func openBeneath(root *os.File, rel string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	if rel == "" {
		rel = "."
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(int(root.Fd()), rel, &how)
		if err == nil {
			return os.NewFile(uintptr(fd), rel), nil
		}
		// A rename somewhere on the way makes the kernel unsure that the walk stayed beneath. openat2(2), EAGAIN.
		if err != unix.EINTR && (err != unix.EAGAIN || try > 50) {
			return nil, err
		}
	}
}

// find resolves a path beneath the root. It runs as the session's user.
func (v *volume) find(parts []string) (*place, error) {
	root := v.root
	if len(parts) == 0 {
		f, err := openBeneath(root, ".", unix.O_PATH)
		return &place{path: ".", name: "", file: f}, err
	}
	p := &place{path: strings.Join(parts, "/"), name: parts[len(parts)-1]}
	dir := strings.Join(parts[:len(parts)-1], "/")
	var err error
	if p.parent, err = openBeneath(root, dir, unix.O_PATH|unix.O_DIRECTORY); err == unix.ENOENT {
		if dir, err = v.findDir(parts[:len(parts)-1]); err == nil {
			p.path = dir + "/" + p.name
			p.parent, err = openBeneath(root, dir, unix.O_PATH|unix.O_DIRECTORY)
		}
	}
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, ntstatus.ObjectPathNotFound
	}
	if err != nil {
		return nil, err
	}
	if p.file, err = openBeneath(root, p.path, unix.O_PATH); err != unix.ENOENT {
		if err != nil {
			p.close()
			return nil, err
		}
		return p, nil
	}
	name, err := v.names.search(p.parent, p.name)
	if err == nil && name != "" {
		p.name, p.path = name, join(dir, name)
		if p.file, err = openBeneath(root, p.path, unix.O_PATH); err == unix.ENOENT {
			err = nil // gone meanwhile, or a symbolic link that leads nowhere
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// findDir walks directory by directory where the exact path does not exist.
func (v *volume) findDir(parts []string) (string, error) {
	dir := ""
	for _, name := range parts {
		f, err := openBeneath(v.root, join(dir, name), unix.O_PATH|unix.O_DIRECTORY)
		if err == unix.ENOENT {
			if name, err = v.searchIn(dir, name); err == nil && name == "" {
				err = unix.ENOENT
			}
		}
		if err != nil {
			return "", err
		}
		if f != nil {
			f.Close()
		}
		dir = join(dir, name)
	}
	return dir, nil
}

func (v *volume) searchIn(dir, name string) (string, error) {
	f, err := openBeneath(v.root, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return v.names.search(f, name)
}

func join(dir, name string) string {
	if dir == "" || dir == "." {
		return name
	}
	return dir + "/" + name
}

// where is the path beneath root that f has now, whoever renamed it; ok is false when it has none any more.
func where(root, f *os.File) (rel string, ok bool) {
	base, err := os.Readlink(procFD(root))
	if err != nil {
		return "", false
	}
	path, err := os.Readlink(procFD(f))
	if err != nil || strings.HasSuffix(path, " (deleted)") {
		return "", false
	}
	if path == base {
		return ".", true
	}
	return strings.CutPrefix(path, strings.TrimSuffix(base, "/")+"/")
}
