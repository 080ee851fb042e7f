package hatch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"dittofs/gateway/ipc"
)

// A ttrpc frame: 10 bytes of header, big-endian: length without the header, stream, type, flags. The only types that a client of ours
// sends are requests; each opens a stream, with an odd number higher than any before.
const (
	headerLen   = 10
	typeRequest = 1
	frameMax    = 256 << 10
)

// guard passes a connection's frames on to ttrpc only when they are whole and well formed, because ttrpc answers wrong ones and goes on,
// and for some it neither ends nor goes on. The first wrong frame ends the connection. Memory grows with bytes received.
type guard struct {
	net.Conn
	in     *bufio.Reader
	frame  bytes.Buffer // the frame that is being passed on
	last   uint32       // stream
	reject func(error)  // told once why
	closed func()       // told at Close
}

func newGuard(c net.Conn, reject func(error), closed func()) *guard {
	return &guard{Conn: c, in: bufio.NewReader(c), reject: reject, closed: closed}
}

func (g *guard) Read(b []byte) (int, error) {
	if g.frame.Len() == 0 {
		if err := g.next(); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, unix.ECONNRESET) {
				g.reject(err)
			}
			return 0, io.EOF // the one error at which ttrpc is sure to end
		}
	}
	return g.frame.Read(b)
}

// next reads one frame.
func (g *guard) next() error {
	g.frame.Reset()
	if err := g.fill(headerLen); err != nil {
		return err
	}
	header := g.frame.Bytes()
	length, stream := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])
	switch {
	case header[8] != typeRequest:
		return fmt.Errorf("frame of type %d", header[8])
	case length > frameMax:
		return fmt.Errorf("frame of %d bytes", length)
	case stream%2 != 1 || stream <= g.last:
		return fmt.Errorf("stream %d after %d", stream, g.last)
	}
	g.last = stream
	if err := g.fill(int(length)); err != nil {
		return err
	}
	return checkRequest(g.frame.Bytes()[headerLen:])
}

// fill adds n bytes to the frame.
func (g *guard) fill(n int) error {
	for n > 0 {
		b, err := g.in.Peek(min(n, g.in.Size()))
		g.frame.Write(b)
		g.in.Discard(len(b))
		n -= len(b)
		if errors.Is(err, io.EOF) && g.frame.Len() > 0 {
			return fmt.Errorf("frame cut off after %d bytes", g.frame.Len())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRequest walks ttrpc's Request message: service = 1 and method = 2 are strings, payload = 3 a message, timeout = 4 a number.
// Metadata, 5, is not used here.
func checkRequest(b []byte) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("request: %w", protowire.ParseError(n))
		}
		b = b[n:]
		switch {
		case num <= 3 && typ == protowire.BytesType, num == 4 && typ == protowire.VarintType:
		default:
			return fmt.Errorf("request: field %d of type %d", num, typ)
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return fmt.Errorf("request: %w", protowire.ParseError(n))
		}
		if num < 3 {
			if s, _ := protowire.ConsumeBytes(b); !utf8.Valid(s) {
				return errors.New("request: a name is not UTF-8")
			}
		}
		if num == 3 {
			payload, _ := protowire.ConsumeBytes(b)
			if err := checkMessage(payload); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

func checkMessage(b []byte) error {
	for len(b) > 0 {
		_, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return fmt.Errorf("payload: %w", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return nil
}

// Write gives up on a daemon that does not read.
func (g *guard) Write(b []byte) (int, error) {
	g.Conn.SetWriteDeadline(time.Now().Add(ipc.Deadline))
	return g.Conn.Write(b)
}

func (g *guard) Close() error {
	err := g.Conn.Close()
	g.closed()
	return err
}
