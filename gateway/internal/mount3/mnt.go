package mount3

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// MNT, RFC 1813 §5.2.1.

// Status is mountstat3.
type Status uint32

// Statuses.
const (
	OK             Status = 0
	ErrPerm        Status = 1
	ErrNoEnt       Status = 2
	ErrIO          Status = 5
	ErrAcces       Status = 13
	ErrNotDir      Status = 20
	ErrInval       Status = 22
	ErrNameTooLong Status = 63
	ErrNotSupp     Status = 10004
	ErrServerFault Status = 10006
)

// DirPath is dirpath.
type DirPath string

// XDR moves the path.
func (p *DirPath) XDR(x *xdr.Stream) { x.String((*string)(p), decodePath) }

// MntRes is mountres3 with its mountres3_ok.
type MntRes struct {
	Status  Status
	FH      []byte
	Flavors []Flavor
}

// Flavor is an authentication flavor.
type Flavor uint32

// XDR moves the number.
func (f *Flavor) XDR(x *xdr.Stream) { xdr.Enum(x, f) }

// XDR lists the fields.
func (r *MntRes) XDR(x *xdr.Stream) {
	if xdr.Enum(x, &r.Status); r.Status == OK {
		x.Opaque(&r.FH, export.HandleMax)
		xdr.Array(x, &r.Flavors, 16)
	}
}

// mnt gives the handle of an export, by its absolute path, or of a directory beneath it.
func (s *Server) mnt(ctx context.Context, c *oncrpc.Call, p *DirPath) (*MntRes, error) {
	fh, flavors, err := s.enter(ctx, c, string(*p))
	if err != nil {
		s.log.Warn("mount refused", "client", c.Remote, "path", string(*p), "err", err)
		return &MntRes{Status: statusOf(err)}, nil
	}
	s.mounts.add(entry(c, *p))
	s.log.Info("mount granted", "client", c.Remote, "path", string(*p))
	return &MntRes{FH: fh, Flavors: flavors}, nil
}

// flavorNumbers are the pseudo flavors of RFC 2623 §2.1 beside AUTH_SYS, with which AUTH_NONE, the anonymous, come along.
var flavorNumbers = map[string][]Flavor{"sys": {oncrpc.FlavorSys, oncrpc.FlavorNone}, "krb5": {390003}, "krb5i": {390004}, "krb5p": {390005}}

func (s *Server) enter(ctx context.Context, c *oncrpc.Call, path string) (fh []byte, flavors []Flavor, err error) {
	if len(path) > pathLen {
		return nil, nil, unix.ENAMETOOLONG
	}
	e, rest := s.exports.ByPath(path)
	if e == nil {
		return nil, nil, unix.ENOENT
	}
	terms, err := e.Admit(ctx, c.Remote)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	f, err := e.Await(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer f.Release()
	if rest != "" {
		sub, err := f.Walk(export.Root, rest)
		if err != nil {
			return nil, nil, err
		}
		defer sub.Release()
		f = sub
	}
	a, err := f.Stat()
	if err == nil && !a.IsDir() {
		err = unix.ENOTDIR
	}
	for _, sec := range terms.Sec {
		flavors = append(flavors, flavorNumbers[sec]...)
	}
	return f.FH(), flavors, err
}

func statusOf(err error) Status {
	switch {
	case errors.Is(err, export.ErrRefused), errors.Is(err, unix.EACCES):
		return ErrAcces
	// A symbolic link on the way is not followed, and a way out is no way.
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV), errors.Is(err, export.ErrStale):
		return ErrNoEnt
	case errors.Is(err, unix.ENOTDIR):
		return ErrNotDir
	case errors.Is(err, unix.EINVAL):
		return ErrInval
	case errors.Is(err, unix.ENAMETOOLONG):
		return ErrNameTooLong
	case errors.Is(err, unix.EIO):
		return ErrIO
	}
	return ErrServerFault
}
