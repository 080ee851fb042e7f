package nfs3

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
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
}

// XDR lists the fields.
func (r *ReadDirPlusRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	x.Fixed(r.CookieVerf[:])
	list(x, &r.Entries)
	x.Bool(&r.EOF)
}

func (r *ReadDirPlusRes) status() Status { return r.Status }

func (s *Server) readdirplus(ctx context.Context, c *oncrpc.Call, a *ReadDirPlusArgs) *ReadDirPlusRes {
	p, err := s.resolve(ctx, c, a.Dir)
	if err != nil {
		return &ReadDirPlusRes{Status: statusOf(err)}
	}
	defer p.Release()
	// Attributes and handles of the entries need the right to search; without it the names come alone.
	st, err := p.Stat()
	if err != nil {
		return &ReadDirPlusRes{Status: statusOf(err)}
	}
	mask, err := p.Allowed(p.cred, &st)
	if err != nil {
		return &ReadDirPlusRes{Status: statusOf(err), Attr: postOp(&st, p.Key)}
	}
	search := mask&unix.X_OK != 0

	res := &ReadDirPlusRes{}
	var handles []byte // of all entries, one behind the other
	left, names := int(min(a.MaxCount, maxIO(c)))-dirHead, int(min(a.DirCount, MaxIO))
	res.EOF, err = p.entries(a.Cookie, func(e *export.Entry) bool {
		plus := EntryPlus{Entry: Entry{p.fileID(e), string(e.Name), e.Cookie}}
		if search {
			handles = p.describe(&plus, e.Ino, handles)
		}
		n := entryLen(len(e.Name))
		names -= n
		left -= n + plus.len()
		if left < 0 || names < 0 && len(res.Entries) > 0 {
			return false
		}
		if len(res.Entries) == cap(res.Entries) {
			// As many again as came, but no more than what is left holds.
			res.Entries = slices.Grow(res.Entries, min(len(res.Entries)+64, left/(entryLen(1)+plus.len())+1))
			handles = slices.Grow(handles, (cap(res.Entries)-len(res.Entries))*len(plus.Object.FH))
		}
		res.Entries = append(res.Entries, plus)
		return true
	})
	if err == nil && !res.EOF && len(res.Entries) == 0 {
		err = ErrTooSmall
	}
	res.Status, res.Attr = statusOf(err), postOpOf(p.File)
	return res
}

// describe adds attributes and handle, which it puts behind handles; an entry that just went has none.
func (p place) describe(e *EntryPlus, ino uint64, handles []byte) []byte {
	fh, a, err := p.Peek(e.Name, ino, handles)
	if err != nil || a.Nlink == 0 {
		return handles
	}
	e.FileID = a.Ino
	e.Attr = postOp(&a, p.Key)
	e.Object = PostOpFH{Follow: true, FH: fh[len(handles):len(fh):len(fh)]}
	return fh
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
