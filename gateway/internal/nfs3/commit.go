package nfs3

import (
	"context"

	"golang.org/x/sys/unix"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// COMMIT, RFC 1813 §3.3.21.

// CommitArgs is COMMIT3args.
type CommitArgs struct {
	File   FileHandle
	Offset uint64
	Count  uint32
}

// XDR lists the fields.
func (a *CommitArgs) XDR(x *xdr.Stream) {
	a.File.XDR(x)
	x.Uint64(&a.Offset)
	x.Uint32(&a.Count)
}

// CommitRes is COMMIT3res.
type CommitRes struct {
	Status   Status
	Wcc      WccData
	Verifier [WriteVerfSize]byte
}

// XDR lists the fields.
func (r *CommitRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Wcc.XDR(x); r.Status == OK {
		x.Fixed(r.Verifier[:])
	}
}

func (r *CommitRes) status() Status { return r.Status }

// commit makes durable what was written before. It asks for no permission: who wrote may since have lost it, and nothing changes.
func (s *Server) commit(ctx context.Context, c *oncrpc.Call, a *CommitArgs) *CommitRes {
	p, err := s.forChange(ctx, c, a.File)
	if err != nil {
		return &CommitRes{Status: statusOf(err)}
	}
	defer p.Release()
	before, err := p.Stat()
	if err != nil {
		return &CommitRes{Status: statusOf(err)}
	}
	// Read before the sync: a sync that fails meanwhile, anywhere, must reach this client as a new verifier next time.
	res := &CommitRes{Verifier: *s.verifier.Load(), Wcc: WccData{Before: preOp(&before)}}
	if !before.IsRegular() {
		res.Status = ErrInval
	} else if !p.terms.Async {
		res.Status = statusOf(s.syncData(p))
	}
	res.Wcc.After = postOpOf(p.File)
	return res
}

func (s *Server) syncData(p place) error {
	fd, err := p.Data(true)
	if err != nil {
		return err
	}
	if err := unix.Fsync(fd); err != nil {
		s.newVerifier()
		return err
	}
	return nil
}
