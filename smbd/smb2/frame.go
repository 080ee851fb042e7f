package smb2

import (
	"errors"
	"io"

	"dittofs/smbd/wire"
)

// Direct TCP transport, [MS-SMB2] 2.1: a zero byte, then the length in 24 bits, big-endian.

// FrameSize is the length of the transport's header.
const FrameSize = 4

// MaxFrame is the longest message that the transport can carry.
const MaxFrame = 1<<24 - 1

// Faults of a frame.
var (
	ErrFrame   = errors.New("smb2: not a direct TCP frame")
	ErrTooLong = errors.New("smb2: frame over its limit")
)

// growth is how much memory a frame takes before bytes have arrived.
const growth = 64 << 10

// ReadFrame reads one message of at most limit bytes into buf, which it enlarges only as bytes arrive, and returns the message.
// io.EOF means that the peer closed between two messages, io.ErrUnexpectedEOF that it closed within one.
func ReadFrame(r io.Reader, limit uint32, buf []byte) ([]byte, error) {
	var head [FrameSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n, err := FrameLength(head[:], limit)
	if err != nil {
		return nil, err
	}
	buf = buf[:0]
	for len(buf) < n {
		want := min(n, max(cap(buf), growth))
		if len(buf) == want {
			want = min(n, 2*want)
		}
		if want > cap(buf) {
			buf = append(make([]byte, 0, want), buf...)
		}
		m, err := io.ReadFull(r, buf[len(buf):want])
		buf = buf[:len(buf)+m]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// FrameLength is the length that the transport's header gives, which may be limit at most.
func FrameLength(head []byte, limit uint32) (int, error) {
	if head[0] != 0 {
		return 0, ErrFrame
	}
	n := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	if uint32(n) > limit {
		return 0, ErrTooLong
	}
	return n, nil
}

// AppendFrame appends the transport's header for n bytes.
func AppendFrame(b []byte, n int) []byte { return append(b, 0, byte(n>>16), byte(n>>8), byte(n)) }

// PutFrame overwrites the first 4 bytes of b, kept free for it, with the transport's header for the rest of b.
func PutFrame(b []byte) {
	n := len(b) - FrameSize
	b[0], b[1], b[2], b[3] = 0, byte(n>>16), byte(n>>8), byte(n)
}

// ErrCompound says that the NextCommand fields of a compound do not lead through it.
var ErrCompound = errors.New("smb2: compound chain")

// Split cuts a compound into its messages, [MS-SMB2] 3.3.5.2.7: each begins on 8 bytes, and all but the last keep their padding,
// which their signature covers. Only the headers are looked at.
func Split(msg []byte) ([][]byte, error) {
	var list [][]byte
	for {
		first, rest, err := First(msg)
		if err != nil {
			return nil, err
		}
		if list = append(list, first); rest == nil {
			return list, nil
		}
		msg = rest
	}
}

// First cuts the first message off a compound; of the last one the rest is nil.
func First(msg []byte) (first, rest []byte, err error) {
	if len(msg) < HeaderSize || !Is(msg, ProtocolSMB2) {
		return nil, nil, ErrProtocol
	}
	c := wire.Reader(msg)
	c.Skip(OffsetNextCommand)
	next := uint64(c.Uint32())
	if next == 0 {
		return msg, nil, nil
	}
	if next%8 != 0 || next < HeaderSize || next > uint64(len(msg)) {
		return nil, nil, ErrCompound
	}
	return msg[:next:next], msg[next:], nil
}
