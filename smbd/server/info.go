package server

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/smb2"
)

// info is what the file system knows about a file, in the terms of [MS-FSCC] 2.4.
type info struct {
	ino         uint64
	mode        uint32
	uid, gid    uint32
	links       uint32
	size, alloc uint64

	birth, access, write, change time.Time
	ctime                        export.Time // change is what a client set, where one did

	attributes smb2.FileAttributes
	given      bool // by a client
	marked     bool // READONLY by a client
}

func (i *info) isDir() bool     { return i.mode&unix.S_IFMT == unix.S_IFDIR }
func (i *info) isRegular() bool { return i.mode&unix.S_IFMT == unix.S_IFREG }

// statFile asks about an open file. name is what it is called, which decides whether it is hidden.
func statFile(f *os.File, name string) (*info, error) {
	a, err := export.Stat(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	i := fromAttr(&a)
	var buf [128]byte
	n, _ := export.GetXattr(int(f.Fd()), dosAttrib, buf[:])
	i.dos(buf[:max(n, 0)], name)
	i.readonly(f)
	return i, nil
}

// statNew is statFile for a file that was just made, which has no extended attributes of ours.
func statNew(f *os.File, name string) (*info, error) {
	a, err := export.Stat(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	i := fromAttr(&a)
	i.dos(nil, name)
	return i, nil
}

// statName asks about a name in a directory; a symbolic link is not followed.
func statName(dir *os.File, name string) (*info, error) {
	a, err := export.StatAt(int(dir.Fd()), name)
	if err != nil {
		return nil, err
	}
	i := fromAttr(&a)
	var buf [128]byte
	n, _ := unix.Lgetxattr(procFD(dir)+"/"+name, dosAttrib, buf[:])
	i.dos(buf[:max(n, 0)], name)
	if i.attributes&smb2.FileAttributeReadonly != 0 {
		if fd, err := export.OpenAt(int(dir.Fd()), name, unix.O_PATH, 0); err == nil {
			f := os.NewFile(uintptr(fd), name)
			i.readonly(f)
			f.Close()
		}
	}
	return i, nil
}

// readonly takes READONLY away where it is only a kept descriptor that lets nobody write.
func (i *info) readonly(f *os.File) {
	if i.attributes&smb2.FileAttributeReadonly == 0 || i.marked || kept(f, i) == nil {
		return
	}
	if i.attributes &^= smb2.FileAttributeReadonly; i.attributes == 0 {
		i.attributes = smb2.FileAttributeNormal
	}
}

func fromAttr(a *export.Attr) *info {
	i := &info{
		ino: a.Ino, mode: a.Mode, uid: a.UID, gid: a.GID, links: a.Nlink, size: a.Size, alloc: a.Used,
		access: a.Atime.Time(), write: a.Mtime.Time(), change: a.Ctime.Time(), birth: a.Btime.Time(), ctime: a.Ctime,
	}
	if a.Btime.Sec == 0 { // none is kept
		i.birth = i.write
		if i.change.Before(i.birth) {
			i.birth = i.change
		}
	}
	if i.isDir() {
		i.size, i.alloc = 0, 0
	}
	return i
}

// procFD is a path to an open file that needs no name: it serves the calls that have no form for an O_PATH descriptor.
func procFD(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
