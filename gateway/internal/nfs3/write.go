package nfs3

import (
	"context"
	"math"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// WRITE, RFC 1813 §3.3.7.

// StableHow is stable_how.
type StableHow uint32

// How durable a write is.
const (
	Unstable StableHow = iota
	DataSync
	FileSync
)

// WriteArgs is WRITE3args.
type WriteArgs struct {
	File   FileHandle
	Offset uint64
	Count  uint32
	Stable StableHow
	Data   []byte
}

// XDR lists the fields.
func (a *WriteArgs) XDR(x *xdr.Stream) {
	a.File.XDR(x)
	x.Uint64(&a.Offset)
	x.Uint32(&a.Count)
	xdr.Enum(x, &a.Stable)
	x.Opaque(&a.Data, math.MaxUint32) // the record's own limit is smaller
}

// WriteRes is WRITE3res.
type WriteRes struct {
	Status    Status
	Wcc       WccData
	Count     uint32
	Committed StableHow
	Verifier  [WriteVerfSize]byte
}

// XDR lists the fields.
func (r *WriteRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Wcc.XDR(x); r.Status == OK {
		x.Uint32(&r.Count)
		xdr.Enum(x, &r.Committed)
		x.Fixed(r.Verifier[:])
	}
}

func (r *WriteRes) status() Status { return r.Status }

func (s *Server) write(ctx context.Context, c *oncrpc.Call, a *WriteArgs) WriteRes {
	if c.Quick && len(a.Data) > quickIO {
		return WriteRes{Status: errLater}
	}
	p, err := s.forChange(ctx, c, a.File)
	if err != nil {
		return WriteRes{Status: statusOf(err)}
	}
	defer p.Release()
	res := WriteRes{Verifier: *s.verifier.Load()}
	if err := s.writeAt(ctx, c, p, a, &res); err != nil {
		res.Status = statusOf(err)
		if !res.Wcc.After.Follow {
			res.Wcc.After = postOpOf(p.File)
		}
	}
	return res
}

func (s *Server) writeAt(ctx context.Context, c *oncrpc.Call, p place, a *WriteArgs, res *WriteRes) error {
	st, err := p.Stat()
	if err != nil {
		return err
	}
	if err := p.mayIO(&st, unix.W_OK); err != nil {
		return err
	}
	if st.Flags&unix.STATX_ATTR_IMMUTABLE != 0 {
		return ErrAcces
	}
	if int64(a.Count) > int64(len(a.Data)) || a.Stable > FileSync {
		return ErrInval
	}
	// The server may write less than it was asked to.
	data := a.Data[:min(a.Count, maxIO(c))]
	if a.Offset > math.MaxInt64 || int64(a.Offset) > math.MaxInt64-int64(len(data)) {
		return ErrFBig
	}
	if len(data) == 0 {
		res.Wcc.Before, res.Wcc.After, res.Committed = preOp(&st), postOp(&st, p.Key), a.Stable
		return nil // there is nothing to admit; to the counter, length 0 is to the end of file
	}
	done, err := s.admit(ctx, c, p, p.File, lock.OpWrite, a.Offset, uint64(len(data)))
	if err != nil {
		return err
	}
	changed := false
	defer func() { done(changed) }()
	fd, err := p.Data(true)
	if err != nil {
		return err
	}
	if err := p.writeLocked(fd, &st, data, a.Offset, res); err != nil {
		return err
	}
	changed = res.Count > 0
	s.metrics.written.Add(float64(res.Count))
	res.Committed, err = s.commitTo(p, fd, a.Stable)
	return err
}

// writeLocked writes between the attributes before and after.
func (p place) writeLocked(fd int, st *export.Attr, data []byte, offset uint64, res *WriteRes) error {
	p.Lock()
	defer p.Unlock()
	before, err := p.Stat()
	if err != nil {
		return err
	}
	res.Wcc.Before = preOp(&before)
	n := 0
	err = p.asUser(st, func() (err error) {
		n, err = writeAll(fd, data, offset)
		return err
	})
	if after, e := p.Stat(); e == nil {
		res.Wcc.After = postOp(&after, p.Key)
	}
	res.Count = uint32(n)
	return err
}

// writeAll writes b. What was written before an error counts; the error comes again with the rest.
func writeAll(fd int, b []byte, offset uint64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pwrite(fd, b[n:], int64(offset)+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && n > 0:
			return n, nil
		case err != nil:
			return 0, err
		case m == 0:
			return n, unix.EIO
		}
		n += m
	}
	return n, nil
}

// commitTo makes a write as durable as was asked and tells how durable it is: a server may commit more than it was asked for, but must
// not claim it. An asynchronous export claims it all the same; that is what its administrator chose.
func (s *Server) commitTo(p place, fd int, how StableHow) (StableHow, error) {
	if how == Unstable {
		return Unstable, nil
	}
	if p.terms.Async {
		return how, nil
	}
	sync := unix.Fsync
	if how == DataSync {
		sync = unix.Fdatasync // with what is needed to find the data again
	}
	if err := sync(fd); err != nil {
		s.newVerifier()
		return Unstable, err
	}
	return how, nil
}
