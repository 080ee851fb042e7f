package export

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// GetXattr reads an extended attribute of the file behind fd, which may be O_PATH, into b and returns its length; with an empty b only that.
func GetXattr(fd int, name string, b []byte) (int, error) {
	n, err := unix.Fgetxattr(fd, name, b)
	if err == unix.EBADF { // O_PATH
		n, err = unix.Getxattr(procPath(fd), name, b)
	}
	return n, err
}

// SetXattr sets an extended attribute; flags are XATTR_CREATE and XATTR_REPLACE.
func SetXattr(fd int, name string, b []byte, flags int) error {
	return unix.Setxattr(procPath(fd), name, b, flags)
}

// RemoveXattr removes an extended attribute.
func RemoveXattr(fd int, name string) error { return unix.Removexattr(procPath(fd), name) }

// ReadXattr returns the whole value of an extended attribute.
func ReadXattr(fd int, name string) ([]byte, error) {
	return whole(func(b []byte) (int, error) { return unix.Getxattr(procPath(fd), name, b) })
}

// ListXattr returns the names of the extended attributes.
func ListXattr(fd int) (names []string, err error) {
	b, err := whole(func(b []byte) (int, error) { return unix.Listxattr(procPath(fd), b) })
	for err == nil && len(b) > 0 {
		name, rest, _ := bytes.Cut(b, []byte{0})
		names, b = append(names, string(name)), rest
	}
	return names, err
}

// whole asks for a length and then for the bytes, again while they grow between.
func whole(get func(b []byte) (int, error)) ([]byte, error) {
	for {
		n, err := get(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		b := make([]byte, n)
		if n, err = get(b); err != unix.ERANGE {
			return b[:max(n, 0)], err
		}
	}
}
