package nfs3

import (
	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/xdr"
)

// Limits, RFC 1813 §2.4. A name or path that is too long is an answer (NAMETOOLONG), so more is decoded than is allowed.
const (
	FHSize         = 64
	CookieVerfSize = 8
	CreateVerfSize = 8
	WriteVerfSize  = 8

	decodeName = 1 << 16

	// MaxIO is rtmax and wtmax.
	MaxIO = 1 << 20
)

// FileType is ftype3, RFC 1813 §2.6.
type FileType uint32

// File types.
const (
	Reg FileType = iota + 1
	Dir
	Blk
	Chr
	Lnk
	Sock
	FIFO
)

func typeOf(mode uint32) FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFBLK:
		return Blk
	case unix.S_IFCHR:
		return Chr
	case unix.S_IFLNK:
		return Lnk
	case unix.S_IFSOCK:
		return Sock
	case unix.S_IFIFO:
		return FIFO
	}
	return Reg
}

// FileHandle is nfs_fh3.
type FileHandle []byte

// XDR lists the fields.
func (h *FileHandle) XDR(x *xdr.Stream) { x.Opaque((*[]byte)(h), FHSize) }

// Time is nfstime3.
type Time struct{ Sec, Nsec uint32 }

// XDR lists the fields.
func (t *Time) XDR(x *xdr.Stream) {
	x.Uint32(&t.Sec)
	x.Uint32(&t.Nsec)
}

// timeOf is t within what the 32 bits hold, 1970 to 2106.
func timeOf(t export.Time) Time {
	switch {
	case t.Sec < 0:
		return Time{}
	case t.Sec > 1<<32-1:
		return Time{1<<32 - 1, 999999999}
	}
	return Time{uint32(t.Sec), t.Nsec}
}

// SpecData is specdata3: a device's major and minor number.
type SpecData struct{ Major, Minor uint32 }

// XDR lists the fields.
func (s *SpecData) XDR(x *xdr.Stream) {
	x.Uint32(&s.Major)
	x.Uint32(&s.Minor)
}

// Attr is fattr3, RFC 1813 §2.6.
type Attr struct {
	Type                FileType
	Mode                uint32
	Nlink               uint32
	UID, GID            uint32
	Size, Used          uint64
	Rdev                SpecData
	FSID, FileID        uint64
	Atime, Mtime, Ctime Time
}

// XDR lists the fields.
func (a *Attr) XDR(x *xdr.Stream) {
	xdr.Enum(x, &a.Type)
	x.Uint32(&a.Mode)
	x.Uint32(&a.Nlink)
	x.Uint32(&a.UID)
	x.Uint32(&a.GID)
	x.Uint64(&a.Size)
	x.Uint64(&a.Used)
	a.Rdev.XDR(x)
	x.Uint64(&a.FSID)
	x.Uint64(&a.FileID)
	a.Atime.XDR(x)
	a.Mtime.XDR(x)
	a.Ctime.XDR(x)
}

func attrOf(a *export.Attr, fsid uint64) Attr {
	return Attr{Type: typeOf(a.Mode), Mode: a.Mode & 0o7777, Nlink: a.Nlink, UID: a.UID, GID: a.GID, Size: a.Size, Used: a.Used,
		Rdev: SpecData{a.RdevMajor, a.RdevMinor}, FSID: fsid, FileID: a.Ino, Atime: timeOf(a.Atime), Mtime: timeOf(a.Mtime), Ctime: timeOf(a.Ctime)}
}

// PostOpAttr is post_op_attr.
type PostOpAttr struct {
	Follow bool
	Attr   Attr
}

// XDR lists the fields.
func (p *PostOpAttr) XDR(x *xdr.Stream) {
	if x.Bool(&p.Follow); p.Follow {
		p.Attr.XDR(x)
	}
}

func postOp(a *export.Attr, k lock.Key) PostOpAttr {
	return PostOpAttr{Follow: true, Attr: attrOf(a, k.FSID)}
}

// postOpOf reads the attributes now; they are left out where they cannot be read.
func postOpOf(f *export.File) PostOpAttr {
	a, err := f.Stat()
	if err != nil {
		return PostOpAttr{}
	}
	return postOp(&a, f.Key)
}

// PreOpAttr is pre_op_attr with its wcc_attr.
type PreOpAttr struct {
	Follow       bool
	Size         uint64
	Mtime, Ctime Time
}

// XDR lists the fields.
func (p *PreOpAttr) XDR(x *xdr.Stream) {
	if x.Bool(&p.Follow); p.Follow {
		x.Uint64(&p.Size)
		p.Mtime.XDR(x)
		p.Ctime.XDR(x)
	}
}

func preOp(a *export.Attr) PreOpAttr {
	return PreOpAttr{Follow: true, Size: a.Size, Mtime: timeOf(a.Mtime), Ctime: timeOf(a.Ctime)}
}

// WccData is wcc_data: attributes before and after.
type WccData struct {
	Before PreOpAttr
	After  PostOpAttr
}

// XDR lists the fields.
func (w *WccData) XDR(x *xdr.Stream) {
	w.Before.XDR(x)
	w.After.XDR(x)
}

// PostOpFH is post_op_fh3.
type PostOpFH struct {
	Follow bool
	FH     FileHandle
}

// XDR lists the fields.
func (p *PostOpFH) XDR(x *xdr.Stream) {
	if x.Bool(&p.Follow); p.Follow {
		p.FH.XDR(x)
	}
}

// DirOpArgs is diropargs3.
type DirOpArgs struct {
	Dir  FileHandle
	Name string
}

// XDR lists the fields.
func (d *DirOpArgs) XDR(x *xdr.Stream) {
	d.Dir.XDR(x)
	x.String(&d.Name, decodeName)
}

// TimeHow is time_how.
type TimeHow uint32

// How a time is set.
const (
	DontChange TimeHow = iota
	SetToServerTime
	SetToClientTime
)

// SetTime is set_atime and set_mtime.
type SetTime struct {
	How  TimeHow
	Time Time
}

// XDR lists the fields.
func (t *SetTime) XDR(x *xdr.Stream) {
	if xdr.Enum(x, &t.How); t.How == SetToClientTime {
		t.Time.XDR(x)
	} else if t.How > SetToClientTime {
		x.Fail(xdr.ErrValue)
	}
}

// Uint32 and Uint64 are values of sattr3 that may be set: set_mode3, set_uid3, set_gid3 and set_size3.
type (
	Uint32 uint32
	Uint64 uint64
)

// XDR moves the value.
func (v *Uint32) XDR(x *xdr.Stream) { x.Uint32((*uint32)(v)) }

// XDR moves the value.
func (v *Uint64) XDR(x *xdr.Stream) { x.Uint64((*uint64)(v)) }

// SetAttr is sattr3, RFC 1813 §2.6.
type SetAttr struct {
	Mode         *Uint32
	UID, GID     *Uint32
	Size         *Uint64
	Atime, Mtime SetTime
}

// XDR lists the fields.
func (s *SetAttr) XDR(x *xdr.Stream) {
	xdr.Optional(x, &s.Mode)
	xdr.Optional(x, &s.UID)
	xdr.Optional(x, &s.GID)
	xdr.Optional(x, &s.Size)
	s.Atime.XDR(x)
	s.Mtime.XDR(x)
}

// changes is s without the size, for export.Change. 2^32-1 is no user's number: chown(2) would take it for "leave it".
func (s *SetAttr) changes() (*export.Changes, error) {
	c := &export.Changes{Mode: (*uint32)(s.Mode), UID: (*uint32)(s.UID), GID: (*uint32)(s.GID), Atime: s.Atime.set(), Mtime: s.Mtime.set()}
	for _, id := range []*Uint32{s.UID, s.GID} {
		if id != nil && *id == 1<<32-1 {
			return nil, ErrInval
		}
	}
	for _, t := range []SetTime{s.Atime, s.Mtime} {
		if t.How == SetToClientTime && t.Time.Nsec > 999999999 {
			return nil, ErrInval
		}
	}
	return c, nil
}

func (t SetTime) set() export.SetTime {
	return export.SetTime{Set: t.How != DontChange, Now: t.How == SetToServerTime, To: export.Time{Sec: int64(t.Time.Sec), Nsec: t.Time.Nsec}}
}
