package export

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Entry is one name of a directory. Name is valid until the next read.
type Entry struct {
	Name   []byte
	Ino    uint64
	Cookie uint64 // d_off: where the entry after this one is found
	Type   uint8  // DT_*; DT_UNKNOWN where the file system does not tell
}

// DirReader reads the names of a directory, "." and ".." too, by getdents64(2).
type DirReader struct {
	fd  int
	buf []byte
	at  []byte
}

// ReadDir returns a reader on fd, a directory open for reading, that begins behind cookie (0: at the beginning). fd stays the caller's,
// and its file offset moves. buf, of 4 KiB or more, is where the kernel puts the names; nil: the reader takes its own.
func ReadDir(fd int, cookie uint64, buf []byte) (*DirReader, error) {
	if buf == nil {
		buf = make([]byte, 32<<10)
	}
	if _, err := unix.Seek(fd, int64(cookie), unix.SEEK_SET); err != nil {
		return nil, err
	}
	return &DirReader{fd: fd, buf: buf}, nil
}

// Next returns the next entry, or false at the end.
func (d *DirReader) Next(e *Entry) (bool, error) {
	for {
		if len(d.at) == 0 {
			n, err := unix.Getdents(d.fd, d.buf)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return false, err
			}
			d.at = d.buf[:n]
		}
		// struct linux_dirent64: d_ino 8, d_off 8, d_reclen 2, d_type 1, d_name. getdents64(2).
		const fixed = 19
		if len(d.at) < fixed {
			return false, unix.EIO
		}
		n := int(binary.NativeEndian.Uint16(d.at[16:]))
		if n <= fixed || n > len(d.at) {
			return false, unix.EIO
		}
		e.Ino, e.Cookie, e.Type = binary.NativeEndian.Uint64(d.at), binary.NativeEndian.Uint64(d.at[8:]), d.at[18]
		name := d.at[fixed:n]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		d.at = d.at[n:]
		if e.Ino == 0 && len(name) == 0 {
			continue
		}
		e.Name = name
		return true, nil
	}
}
