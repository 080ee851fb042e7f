package oncrpc

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// input reads a connection through a buffer that it has only while something lies in it: ten thousand silent clients have none.
type input struct {
	conn net.Conn
	raw  syscall.RawConn // nil: the connection cannot be waited for without a buffer
	buf  *[smallRecord]byte
	have []byte // of buf, not yet read

	err  error
	fill func(fd uintptr) bool
}

var inputs = sync.Pool{New: func() any { return new([smallRecord]byte) }}

func newInput(c net.Conn) *input {
	in := &input{conn: c}
	if s, ok := c.(syscall.Conn); ok {
		in.raw, _ = s.SyscallConn()
	}
	in.fill = in.fillNow
	return in
}

// await waits until there is something to be read, unless something lies in the buffer.
func (in *input) await() error {
	if len(in.have) > 0 {
		return nil
	}
	if in.raw == nil {
		in.take()
		n, err := in.conn.Read(in.buf[:])
		in.have = in.buf[:n]
		if n > 0 {
			return nil
		}
		return err
	}
	if err := in.raw.Read(in.fill); err != nil {
		return err
	}
	return in.err
}

// fillNow reads what is there, and reports whether that was anything or the end.
func (in *input) fillNow(fd uintptr) bool {
	in.take()
	n, err := syscall.Read(int(fd), in.buf[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), in.buf[:])
	}
	switch {
	case err == syscall.EAGAIN:
		in.free()
		return false
	case err != nil:
		in.err = err
	case n == 0:
		in.err = io.EOF
	default:
		in.have, in.err = in.buf[:n], nil
	}
	return true
}

// Read copies what lies in the buffer; a large piece of a record goes where it belongs at once.
func (in *input) Read(b []byte) (int, error) {
	if len(in.have) == 0 {
		if len(b) >= smallRecord {
			return in.conn.Read(b)
		}
		if err := in.await(); err != nil {
			return 0, err
		}
	}
	n := copy(b, in.have)
	if in.have = in.have[n:]; len(in.have) == 0 {
		in.have = nil
	}
	return n, nil
}

func (in *input) take() {
	if in.buf == nil {
		in.buf = inputs.Get().(*[smallRecord]byte)
	}
}

// free gives the buffer back.
func (in *input) free() {
	if in.buf != nil {
		inputs.Put(in.buf)
	}
	in.buf, in.have = nil, nil
}
