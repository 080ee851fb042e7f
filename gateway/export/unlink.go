package export

import (
	"path"

	"golang.org/x/sys/unix"

	"dittofs/gateway/lock"
)

// UnlinkKey removes the name that lies at rel beneath one of the exports, as long as it is k's. dir is the directory that it was in. It
// serves who is no user: the one who asked for the removal was judged then, and is gone.
func (s *Set) UnlinkKey(k lock.Key, rel string, before func(dir lock.Key) (done func(changed bool))) (dir lock.Key, isDir bool, err error) {
	err = ErrAway
	for _, e := range s.Exports() {
		root, rerr := e.Root()
		if rerr != nil {
			continue
		}
		if root.Key.FSID == k.FSID {
			if dir, isDir, err = unlinkAt(root.fd, k, rel, before); err == nil {
				root.Release()
				return dir, isDir, nil
			}
		}
		root.Release()
	}
	return dir, isDir, err
}

func unlinkAt(root int, k lock.Key, rel string, before func(lock.Key) func(bool)) (dir lock.Key, isDir bool, err error) {
	in, name := path.Split(rel)
	parent, err := OpenBeneath(root, path.Clean(in), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return dir, false, err
	}
	defer unix.Close(parent)
	if dir, err = KeyOf(parent); err != nil {
		return dir, false, err
	}
	done := before(dir)
	defer func() { done(err == nil) }()
	fd, err := OpenAt(parent, name, unix.O_PATH, 0)
	if err != nil {
		return dir, false, err
	}
	defer unix.Close(fd)
	switch is, err := KeyOf(fd); {
	case err != nil:
		return dir, false, err
	case is != k:
		return dir, false, unix.ENOENT // the name is another file's by now
	}
	a, err := Stat(fd)
	if err != nil {
		return dir, false, err
	}
	if a.IsDir() {
		return dir, true, Rmdir(parent, name)
	}
	return dir, false, Unlink(parent, name)
}
