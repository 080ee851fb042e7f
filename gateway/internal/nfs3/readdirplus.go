package nfs3

import (
	"context"
	"unsafe"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// READDIRPLUS, RFC 1813 §3.3.17.

// ReadDirPlusArgs is READDIRPLUS3args.
type ReadDirPlusArgs struct {
	Dir        FileHandle
	Cookie     uint64
	CookieVerf [CookieVerfSize]byte
	DirCount   uint32
	MaxCount   uint32
}

// XDR lists the fields.
func (a *ReadDirPlusArgs) XDR(x *xdr.Stream) {
	a.Dir.XDR(x)
	x.Uint64(&a.Cookie)
	x.Fixed(a.CookieVerf[:])
	x.Uint32(&a.DirCount)
	x.Uint32(&a.MaxCount)
}

// EntryPlus is entryplus3.
type EntryPlus struct {
	Entry
	Attr   PostOpAttr
	Object PostOpFH
}

// XDR lists the fields, but for the list's flag.
func (e *EntryPlus) XDR(x *xdr.Stream) {
	e.Entry.XDR(x)
	e.Attr.XDR(x)
	e.Object.XDR(x)
}

// ReadDirPlusRes is READDIRPLUS3res with its dirlistplus3.
type ReadDirPlusRes struct {
	Status     Status
	Attr       PostOpAttr
	CookieVerf [CookieVerfSize]byte
	Entries    []EntryPlus
	EOF        bool

	tail bool // Entries and EOF are sent by the RPC server
}

// XDR lists the fields.
func (r *ReadDirPlusRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	if x.Fixed(r.CookieVerf[:]); r.tail {
		return
	}
	list(x, &r.Entries)
	x.Bool(&r.EOF)
}

func (r *ReadDirPlusRes) status() Status { return r.Status }

func (s *Server) readdirplus(ctx context.Context, c *oncrpc.Call, a *ReadDirPlusArgs) ReadDirPlusRes {
	p, err := s.resolve(ctx, c, a.Dir)
	if err != nil {
		return ReadDirPlusRes{Status: statusOf(err)}
	}
	defer p.Release()
	// Attributes and handles of the entries need the right to search; without it the names come alone.
	st, err := p.Stat()
	if err != nil {
		return ReadDirPlusRes{Status: statusOf(err)}
	}
	mask, err := p.Allowed(p.cred, &st)
	if err != nil {
		return ReadDirPlusRes{Status: statusOf(err), Attr: postOp(&st, p.Key)}
	}
	b, max := buffer(smallList), min(a.MaxCount, maxIO(c))
	if max > lightIO && !c.Heavy(ctx) {
		max = lightIO
	}
	err = p.listPlus(a, &st, mask&unix.X_OK != 0, int(max), &b)
	if err != nil {
		b.release()
		return ReadDirPlusRes{Status: statusOf(err), Attr: postOpOf(p.File)}
	}
	c.Tail, c.Release = b.data, b.release
	return ReadDirPlusRes{Attr: postOpOf(p.File), tail: true}
}

// smallList is where a list of entries begins; a longer one moves to a larger buffer.
const smallList = 16 << 10

// listPlus encodes entries of the directory, the list's end and eof into b, as many as the arguments and max let in.
func (p place) listPlus(a *ReadDirPlusArgs, st *export.Attr, search bool, max int, b **loan) error {
	l := p.List(st, a.Cookie == 0)
	defer l.End()
	x := xdr.Encoder((*b).data[:0])
	left, names, more := max-dirHead, int(min(a.DirCount, MaxIO)), true
	eof, err := p.entries(a.Cookie, func(e *export.Entry) bool {
		// The name is encoded before the directory is read on.
		plus := EntryPlus{Entry: Entry{p.fileID(e), unsafe.String(unsafe.SliceData(e.Name), len(e.Name)), e.Cookie}}
		if search {
			plus.describe(l, p.Key, e.Ino)
		}
		n := entryLen(len(e.Name))
		names -= n
		left -= n + plus.len()
		if left < 0 || names < 0 && len(x.Bytes()) > 0 {
			return false
		}
		if used, size := len(x.Bytes()), cap((*b).data); used+n+plus.len()+2*4 > size {
			larger := buffer(size + 1)
			copy(larger.data, x.Bytes())
			(*b).release()
			*b, x = larger, xdr.Encoder(larger.data[:used])
		}
		x.Bool(&more)
		plus.XDR(&x)
		return true
	})
	if err == nil && !eof && len(x.Bytes()) == 0 {
		err = ErrTooSmall
	}
	more = false
	x.Bool(&more)
	x.Bool(&eof)
	(*b).data = x.Bytes()
	return err
}

// describe adds attributes and handle; an entry that just went has none.
func (e *EntryPlus) describe(l *export.Listing, dir lock.Key, ino uint64) {
	var a export.Attr
	fh, err := l.Peek(e.Name, ino, &a)
	if err != nil || a.Nlink == 0 {
		return
	}
	e.FileID = a.Ino
	e.Attr = postOp(&a, dir)
	e.Object = PostOpFH{Follow: true, FH: fh}
}

// len is what attributes and handle take.
func (e *EntryPlus) len() int {
	n := 4 + 4
	if e.Attr.Follow {
		n += attrLen
	}
	if e.Object.Follow {
		n += 4 + (len(e.Object.FH)+3)&^3
	}
	return n
}
