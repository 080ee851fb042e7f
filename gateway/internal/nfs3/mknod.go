package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// MKNOD, RFC 1813 §3.3.11.

// MknodArgs is MKNOD3args with its mknoddata3. Attr is there for devices, sockets and FIFOs, Spec for devices.
type MknodArgs struct {
	Where DirOpArgs
	Type  FileType
	Attr  SetAttr
	Spec  SpecData
}

// XDR lists the fields.
func (a *MknodArgs) XDR(x *xdr.Stream) {
	a.Where.XDR(x)
	xdr.Enum(x, &a.Type)
	switch a.Type {
	case Chr, Blk:
		a.Attr.XDR(x)
		a.Spec.XDR(x)
	case Sock, FIFO:
		a.Attr.XDR(x)
	}
}

func (s *Server) mknod(ctx context.Context, c *oncrpc.Call, a *MknodArgs) *CreateRes {
	kind, ok := map[FileType]uint32{Chr: unix.S_IFCHR, Blk: unix.S_IFBLK, Sock: unix.S_IFSOCK, FIFO: unix.S_IFIFO}[a.Type]
	if !ok {
		return &CreateRes{Status: ErrBadType}
	}
	attr, mode := a.Attr, uint32(0o600)
	if attr.Mode != nil {
		mode = uint32(*attr.Mode) & 0o7777
	}
	attr.Mode = nil
	return s.makeEntry(ctx, c, &a.Where, attr, false, func(dir int) error {
		return export.Mknod(dir, a.Where.Name, kind|mode, a.Spec.Major, a.Spec.Minor)
	})
}
