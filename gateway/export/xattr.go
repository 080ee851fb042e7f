package export

import "golang.org/x/sys/unix"

// GetXattr reads an extended attribute of the file behind fd, which may be O_PATH, into b and returns its length; with an empty b only that.
func GetXattr(fd int, name string, b []byte) (int, error) {
	return unix.Getxattr(procPath(fd), name, b)
}

// SetXattr sets an extended attribute; flags are XATTR_CREATE and XATTR_REPLACE.
func SetXattr(fd int, name string, b []byte, flags int) error {
	return unix.Setxattr(procPath(fd), name, b, flags)
}
