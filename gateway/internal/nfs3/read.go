package nfs3

import (
	"context"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// READ, RFC 1813 §3.3.6.

// ReadArgs is READ3args.
type ReadArgs struct {
	File   FileHandle
	Offset uint64
	Count  uint32
}

// XDR lists the fields.
func (a *ReadArgs) XDR(x *xdr.Stream) {
	a.File.XDR(x)
	x.Uint64(&a.Offset)
	x.Uint32(&a.Count)
}

// ReadRes is READ3res.
type ReadRes struct {
	Status Status
	Attr   PostOpAttr
	Count  uint32
	EOF    bool
	Data   []byte

	tail bool // Data is sent by the RPC server, behind its length
}

// XDR lists the fields.
func (r *ReadRes) XDR(x *xdr.Stream) {
	xdr.Enum(x, &r.Status)
	if r.Attr.XDR(x); r.Status != OK {
		return
	}
	x.Uint32(&r.Count)
	x.Bool(&r.EOF)
	if r.tail {
		n := uint32(len(r.Data))
		x.Uint32(&n)
		return
	}
	x.Opaque(&r.Data, MaxIO)
}

func (r *ReadRes) status() Status { return r.Status }

// maxDatagram is what READ and WRITE move at most over UDP, so that call and reply fit a datagram.
const maxDatagram = 32 << 10

func maxIO(c *oncrpc.Call) uint32 {
	if c.UDP {
		return maxDatagram
	}
	return MaxIO
}

// lightIO is what READ and READDIRPLUS return without a place among the heavy calls.
const lightIO = 128 << 10

// quickIO is what READ and WRITE copy in turn, where it is in memory.
const quickIO = 64 << 10

func (s *Server) read(ctx context.Context, c *oncrpc.Call, a *ReadArgs) ReadRes {
	if c.Quick && a.Count > quickIO {
		return ReadRes{Status: errLater}
	}
	p, err := s.resolve(ctx, c, a.File)
	if err != nil {
		return ReadRes{Status: statusOf(err)}
	}
	defer p.Release()
	st, err := p.Stat()
	if err != nil {
		return ReadRes{Status: statusOf(err)}
	}
	// Who may execute a file may read it, because the client's kernel must. RFC 1813 §4.4.
	if err := p.mayIO(&st, unix.R_OK, unix.X_OK); err != nil {
		return ReadRes{Status: statusOf(err), Attr: postOp(&st, p.Key)}
	}
	count := min(a.Count, maxIO(c))
	if count > lightIO && !c.Heavy(ctx) {
		count = lightIO // a client asks on
	}
	if a.Offset > math.MaxInt64-MaxIO {
		return ReadRes{Status: ErrInval, Attr: postOp(&st, p.Key)}
	}
	if count == 0 {
		return s.readAdmitted(c, p, a.Offset, 0) // there is nothing to admit; to the counter, length 0 is to the end of file
	}
	done, err := s.admit(ctx, c, p, p.File, lock.OpRead, a.Offset, uint64(count))
	if err != nil {
		return ReadRes{Status: statusOf(err), Attr: postOpOf(p.File)}
	}
	defer done(false)
	return s.readAdmitted(c, p, a.Offset, count)
}

func (s *Server) readAdmitted(c *oncrpc.Call, p place, offset uint64, count uint32) ReadRes {
	// The size may have been settled only while caching rights were given back.
	st, err := p.Stat()
	if err != nil {
		return ReadRes{Status: statusOf(err)}
	}
	var b *loan
	n := 0
	if left := st.Size - min(offset, st.Size); left > 0 && count > 0 {
		b = buffer(int(min(uint64(count), left)))
		if n, err = readAt(p.File, b.data, offset, c.Quick); err != nil {
			b.release()
			return ReadRes{Status: statusOf(err), Attr: postOp(&st, p.Key)}
		}
		c.Tail = b.data[:n]
		c.Release = b.release
	}
	s.metrics.read.Add(float64(n))
	return ReadRes{Attr: postOp(&st, p.Key), Count: uint32(n), EOF: offset+uint64(n) >= st.Size, Data: c.Tail, tail: true}
}

// readAt reads until b is full or the file ends. cached: it is errLater where a disk would have to be asked.
func readAt(f *export.File, b []byte, offset uint64, cached bool) (n int, err error) {
	fd, err := f.Data(false)
	if err != nil {
		return 0, err
	}
	if cached && !f.InMemory() {
		n, err := unix.Preadv2(fd, [][]byte{b}, int64(offset), unix.RWF_NOWAIT)
		if err != nil || n < len(b) {
			return 0, errLater
		}
		return n, nil
	}
	for n < len(b) {
		m, err := unix.Pread(fd, b[n:], int64(offset)+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && n == 0:
			return 0, err
		case err != nil || m == 0:
			return n, nil
		}
		n += m
	}
	return n, nil
}

// loan is a buffer for READ.
type loan struct {
	data    []byte
	release func() // gives it back
}

// loans are of three sizes.
var loans = [...]struct {
	size int
	pool sync.Pool
}{{size: 16 << 10}, {size: lightIO}, {size: MaxIO}}

func buffer(n int) *loan {
	for i := range loans {
		c := &loans[i]
		if n > c.size {
			continue
		}
		l, ok := c.pool.Get().(*loan)
		if !ok {
			l = &loan{data: make([]byte, c.size)}
			l.release = func() { c.pool.Put(l) }
		}
		l.data = l.data[:n]
		return l
	}
	return &loan{data: make([]byte, n), release: func() {}}
}
