package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// PATHCONF, RFC 1813 §3.3.20.

// PathConfArgs is PATHCONF3args.
type PathConfArgs struct{ Object FileHandle }

// XDR lists the fields.
func (a *PathConfArgs) XDR(x *xdr.Stream) { a.Object.XDR(x) }

// PathConfRes is PATHCONF3res.
type PathConfRes struct {
	Status          Status
	Attr            PostOpAttr
	LinkMax         uint32
	NameMax         uint32
	NoTrunc         bool
	ChownRestricted bool
	CaseInsensitive bool
	CasePreserving  bool
}

// XDR lists the fields.
func (r *PathConfRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	x.Uint32(&r.LinkMax)
	x.Uint32(&r.NameMax)
	x.Bool(&r.NoTrunc)
	x.Bool(&r.ChownRestricted)
	x.Bool(&r.CaseInsensitive)
	x.Bool(&r.CasePreserving)
}

func (r *PathConfRes) status() Status { return r.Status }

// linkMax is how many names a file can have; statfs(2) does not tell.
var linkMax = map[uint32]uint32{unix.EXT4_SUPER_MAGIC: 65000, unix.XFS_SUPER_MAGIC: 1<<31 - 1, unix.BTRFS_SUPER_MAGIC: 65535, unix.TMPFS_MAGIC: 1<<31 - 1}

func (s *Server) pathconf(ctx context.Context, c *oncrpc.Call, a *PathConfArgs) *PathConfRes {
	p, err := s.resolve(ctx, c, a.Object)
	if err != nil {
		return &PathConfRes{Status: statusOf(err)}
	}
	defer p.Release()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(p.Fd(), &fs); err != nil {
		return &PathConfRes{Status: statusOf(err)}
	}
	links, ok := linkMax[uint32(fs.Type)]
	if !ok {
		links = 127 // _POSIX_LINK_MAX would be 8; what the C library assumes
	}
	return &PathConfRes{Attr: postOpOf(p.File), LinkMax: links, NameMax: min(uint32(fs.Namelen), export.NameMax), NoTrunc: true,
		ChownRestricted: true, CasePreserving: true}
}
