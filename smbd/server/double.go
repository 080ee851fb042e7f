package server

import (
	"errors"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/appledouble"
	"dittofs/smbd/ntstatus"
)

// double is the AppleDouble file beside a file, on shares that serve Macs: "._" and its name, where macOS keeps what a file system has no room for, and
// Netatalk and Samba the resource fork. Here it has the resource fork too, which may be longer than an extended attribute. Else it is only read: what
// macOS left in it shows as the streams that it would be, until one of them is written. Its own mode says who may open it; it has its file's.
type double struct {
	file *os.File
}

// openDouble opens the AppleDouble file beside a name; nil: there is none. It runs as the user.
func openDouble(dir *os.File, name string, flags int) (*double, error) {
	if dir == nil || strings.HasPrefix(name, appledouble.Prefix) {
		return nil, nil
	}
	place, err := export.OpenAt(int(dir.Fd()), appledouble.Prefix+name, unix.O_PATH, 0)
	if err == unix.ENOENT || err == unix.ENAMETOOLONG {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(place)
	if a, err := export.Stat(place); err != nil || a.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, err
	}
	fd, err := export.Reopen(place, flags)
	if err != nil {
		return nil, err
	}
	d := &double{os.NewFile(uintptr(fd), appledouble.Prefix+name)}
	if _, err := d.head(); err != nil {
		d.close()
		if errors.Is(err, appledouble.ErrFormat) {
			err = nil
		}
		return nil, err
	}
	return d, nil
}

// makeDouble makes the AppleDouble file beside a file. It runs as the user.
func makeDouble(dir *os.File, name string, file *os.File) (*double, error) {
	fd, err := export.OpenAt(int(dir.Fd()), appledouble.Prefix+name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	d := &double{os.NewFile(uintptr(fd), appledouble.Prefix+name)}
	if err = d.follow(file); err == nil {
		err = d.setHead(appledouble.New())
	}
	if err != nil {
		d.close()
		export.Unlink(int(dir.Fd()), appledouble.Prefix+name)
		return nil, err
	}
	return d, nil
}

func (d *double) close() {
	if d != nil {
		d.file.Close()
	}
}

// follow gives d the mode of its file, or its access control list.
func (d *double) follow(file *os.File) error {
	a, err := export.Stat(int(file.Fd()))
	if err != nil {
		return err
	}
	fd, mode := int(d.file.Fd()), a.Mode&0o666
	switch acl, err := export.ReadXattr(int(file.Fd()), export.AccessACL); {
	case err == nil && len(acl) > 0:
		return export.SetXattr(fd, export.AccessACL, acl, 0)
	case err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP:
		return err
	}
	if err := export.RemoveXattr(fd, export.AccessACL); err != nil && err != unix.ENODATA && err != unix.EOPNOTSUPP {
		return err
	}
	return export.Change(fd, &export.Changes{Mode: &mode})
}

func (d *double) head() (*appledouble.File, error) {
	var b [appledouble.HeadMax]byte
	n, err := pread(int(d.file.Fd()), b[:], 0)
	if err != nil {
		return nil, err
	}
	a, err := export.Stat(int(d.file.Fd()))
	if err != nil {
		return nil, err
	}
	return appledouble.Parse(b[:n], a.Size)
}

func (d *double) setHead(h *appledouble.File) error {
	_, err := pwrite(int(d.file.Fd()), h.Append(nil), 0)
	return err
}

// notes are the streams in d besides the fork: what the Finder keeps, and attributes, whose names may have characters that no stream's has.
func (d *double) notes() (list []appledouble.Attribute) {
	if d == nil {
		return nil
	}
	h, err := d.head()
	if err != nil || h.Finder.Length == 0 {
		return nil
	}
	b := make([]byte, h.Finder.End())
	if n, err := pread(int(d.file.Fd()), b, 0); err != nil || n < len(b) {
		return nil
	}
	info := newAfpInfo()
	copy(info[16:48], b[h.Finder.Offset:])
	if !h.Taken && !emptyAfpInfo(info) {
		list = append(list, appledouble.Attribute{Name: afpInfo, Value: info})
	}
	all, _ := h.Attributes(b)
	for _, a := range all {
		if name, ok := diskStream(wireName(a.Name)); ok && len(a.Value) > 0 {
			list = append(list, appledouble.Attribute{Name: name, Value: a.Value})
		}
	}
	return list
}

// take leaves nothing in d but the fork: the rest becomes attributes of its file, where they are not there already. It runs as the user.
func (d *double) take(file *os.File) error {
	h, err := d.head()
	if err != nil || h.Bare() {
		return err
	}
	for _, n := range d.notes() {
		if err := writeStream(file, n.Name, n.Value, unix.XATTR_CREATE); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	h.Strip()
	if err := d.setHead(h); err != nil {
		return err
	}
	return export.Truncate(int(d.file.Fd()), h.Fork.End())
}

// takeFork moves a resource fork that is an attribute into d. It runs as the user.
func (d *double) takeFork(file *os.File) error {
	b, err := readStream(file, afpResource)
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return nil
	}
	if err == nil && d.size() == 0 {
		_, err = d.writeAt(b, 0)
	}
	if err != nil {
		return err
	}
	return export.RemoveXattr(int(file.Fd()), export.StreamAttribute(afpResource))
}

// size is how long the fork is.
func (d *double) size() uint64 {
	if d == nil {
		return 0
	}
	h, err := d.head()
	if err != nil {
		return 0
	}
	return uint64(h.Fork.Length)
}

func (d *double) readAt(b []byte, offset int64) (int, error) {
	h, err := d.head()
	if err != nil || offset >= int64(h.Fork.Length) {
		return 0, err
	}
	return pread(int(d.file.Fd()), b[:min(int64(len(b)), int64(h.Fork.Length)-offset)], int64(h.Fork.Offset)+offset)
}

// writeAt writes the bytes first and then how many there are. The caller lets nobody else write.
func (d *double) writeAt(b []byte, offset int64) (int, error) {
	h, err := d.growing(uint64(offset) + uint64(len(b)))
	if err != nil {
		return 0, err
	}
	n, err := pwrite(int(d.file.Fd()), b, int64(h.Fork.Offset)+offset)
	if end := offset + int64(n); err == nil && end > int64(h.Fork.Length) {
		h.Fork.Length = uint32(end)
		err = d.setHead(h)
	}
	return n, err
}

func (d *double) truncate(size uint64) error {
	h, err := d.growing(size)
	if err != nil {
		return err
	}
	h.Fork.Length = uint32(size)
	if err := export.Truncate(int(d.file.Fd()), h.Fork.End()); err != nil {
		return err
	}
	return d.setHead(h)
}

// growing is the head of a file whose fork may come to have size bytes: the fork is the last in it, and lengths have 32 bits.
func (d *double) growing(size uint64) (*appledouble.File, error) {
	h, err := d.head()
	switch {
	case err != nil:
		return nil, err
	case !h.Bare():
		return nil, ntstatus.AccessDenied // another door has written it anew
	case uint64(h.Fork.Offset)+size > math.MaxUint32:
		return nil, ntstatus.DiskFull
	}
	return h, nil
}
