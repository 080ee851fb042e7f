package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// FSSTAT, RFC 1813 §3.3.18.

// FSStatArgs is FSSTAT3args.
type FSStatArgs struct{ Root FileHandle }

// XDR lists the fields.
func (a *FSStatArgs) XDR(x *xdr.Stream) { a.Root.XDR(x) }

// FSStatRes is FSSTAT3res.
type FSStatRes struct {
	Status                            Status
	Attr                              PostOpAttr
	TotalBytes, FreeBytes, AvailBytes uint64
	TotalFiles, FreeFiles, AvailFiles uint64
	Invarsec                          uint32
}

// XDR lists the fields.
func (r *FSStatRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	for _, v := range []*uint64{&r.TotalBytes, &r.FreeBytes, &r.AvailBytes, &r.TotalFiles, &r.FreeFiles, &r.AvailFiles} {
		x.Uint64(v)
	}
	x.Uint32(&r.Invarsec)
}

func (r *FSStatRes) status() Status { return r.Status }

func (s *Server) fsstat(ctx context.Context, c *oncrpc.Call, a *FSStatArgs) *FSStatRes {
	p, err := s.resolve(ctx, c, a.Root)
	if err != nil {
		return &FSStatRes{Status: statusOf(err)}
	}
	defer p.Release()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(p.Fd(), &fs); err != nil {
		return &FSStatRes{Status: statusOf(err)}
	}
	unit := uint64(fs.Frsize)
	if unit == 0 {
		unit = uint64(fs.Bsize)
	}
	return &FSStatRes{Attr: postOpOf(p.File), TotalBytes: fs.Blocks * unit, FreeBytes: fs.Bfree * unit, AvailBytes: fs.Bavail * unit,
		TotalFiles: fs.Files, FreeFiles: fs.Ffree, AvailFiles: fs.Ffree}
}
