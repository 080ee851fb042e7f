package nfs3

import (
	"context"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// READDIR, RFC 1813 §3.3.16.

// ReadDirArgs is READDIR3args.
type ReadDirArgs struct {
	Dir        FileHandle
	Cookie     uint64
	CookieVerf [CookieVerfSize]byte
	Count      uint32
}

// XDR lists the fields.
func (a *ReadDirArgs) XDR(x *xdr.Stream) {
	a.Dir.XDR(x)
	x.Uint64(&a.Cookie)
	x.Fixed(a.CookieVerf[:])
	x.Uint32(&a.Count)
}

// Entry is entry3.
type Entry struct {
	FileID uint64
	Name   string
	Cookie uint64
}

// XDR lists the fields, but for the list's flag.
func (e *Entry) XDR(x *xdr.Stream) {
	x.Uint64(&e.FileID)
	x.String(&e.Name, decodeName)
	x.Uint64(&e.Cookie)
}

// ReadDirRes is READDIR3res with its dirlist3.
type ReadDirRes struct {
	Status     Status
	Attr       PostOpAttr
	CookieVerf [CookieVerfSize]byte
	Entries    []Entry
	EOF        bool
}

// XDR lists the fields.
func (r *ReadDirRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	x.Fixed(r.CookieVerf[:])
	list(x, &r.Entries)
	x.Bool(&r.EOF)
}

func (r *ReadDirRes) status() Status { return r.Status }

// list moves a linked list: a flag before each entry, and one that tells that no more follow. RFC 4506 §4.19.
func list[T any, P interface {
	*T
	xdr.Value
}](x *xdr.Stream, v *[]T) {
	if !x.Decoding() {
		more := true
		for i := range *v {
			x.Bool(&more)
			P(&(*v)[i]).XDR(x)
		}
		more = false
		x.Bool(&more)
		return
	}
	*v = nil
	for {
		var more bool
		if x.Bool(&more); !more || x.Err() != nil {
			return
		}
		var e T
		if P(&e).XDR(x); x.Err() == nil {
			*v = append(*v, e)
		}
	}
}

const (
	attrLen     = 84
	postAttrLen = 4 + attrLen
	// dirHead is READDIR3resok without entries: attributes, verifier, the list's end, eof.
	dirHead = postAttrLen + CookieVerfSize + 4 + 4
)

// entryLen is what an entry3 of this name takes, with its flag.
func entryLen(name int) int { return 4 + 8 + 4 + (name+3)&^3 + 8 }

func (s *Server) readdir(ctx context.Context, c *oncrpc.Call, a *ReadDirArgs) *ReadDirRes {
	p, err := s.resolve(ctx, c, a.Dir)
	if err != nil {
		return &ReadDirRes{Status: statusOf(err)}
	}
	defer p.Release()
	res := &ReadDirRes{}
	left := int(min(a.Count, maxIO(c))) - dirHead
	res.EOF, err = p.entries(a.Cookie, func(e *export.Entry) bool {
		if left -= entryLen(len(e.Name)); left < 0 {
			return false
		}
		res.Entries = append(res.Entries, Entry{p.fileID(e), string(e.Name), e.Cookie})
		return true
	})
	if err == nil && !res.EOF && len(res.Entries) == 0 {
		err = ErrTooSmall
	}
	res.Status, res.Attr = statusOf(err), postOpOf(p.File)
	return res
}

// direntBuffers hold what getdents64(2) returns.
var direntBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// entries shows the directory's entries behind cookie to each, until it refuses one, and reports whether it saw all. Cookies are the
// file system's own and good for ever, so that the verifier has nothing to tell.
func (p place) entries(cookie uint64, each func(*export.Entry) bool) (eof bool, err error) {
	st, err := p.Stat()
	switch {
	case err != nil:
		return false, err
	case !st.IsDir():
		return false, ErrNotDir
	case cookie > math.MaxInt64:
		return false, ErrBadCookie
	}
	if err := p.May(p.cred, unix.R_OK, &st); err != nil {
		return false, err
	}
	// A descriptor of its own, because its offset moves.
	fd, err := export.OpenAt(p.Fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	b := direntBuffers.Get().(*[32 << 10]byte)
	defer direntBuffers.Put(b)
	d, err := export.ReadDir(fd, cookie, b[:])
	if err == unix.EINVAL {
		return false, ErrBadCookie
	}
	if err != nil {
		return false, err
	}
	var e export.Entry
	for {
		more, err := d.Next(&e)
		if err != nil || !more {
			return err == nil, err
		}
		if !each(&e) {
			return false, nil
		}
	}
}

// fileID is the entry's, but that the root's parent is the root.
func (p place) fileID(e *export.Entry) uint64 {
	if p.IsRoot() && string(e.Name) == ".." {
		return p.Key.Ino
	}
	return e.Ino
}
