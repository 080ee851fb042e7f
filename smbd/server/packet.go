package server

import (
	"sync"

	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// What stands around a message that is sent: before it the transport's header and a TRANSFORM_HEADER, so that it is sealed where it lies.
const (
	lead = smb2.FrameSize + seal.TransformSize
	tail = seal.TagSize
)

// sizes are the buffers that are kept for reuse: for small messages, and for data of up to 64 KiB, 1 MiB and 8 MiB.
var sizes = [...]int{1 << 10, 8 << 10, 68 << 10, 260 << 10, 1<<20 + 8<<10, 4<<20 + 8<<10, maxFrame + 8<<10}

var pools [len(sizes)]sync.Pool

// packet is a buffer from a pool. Who got it gives it back once, when nobody looks at it any more.
type packet struct {
	b    []byte
	size int // its pool; len(sizes): none
	msg  []byte
}

// newPacket returns a packet with a buffer of at least n bytes, whose contents are anything.
func newPacket(n int) *packet {
	for i, size := range sizes {
		if n <= size {
			p, _ := pools[i].Get().(*packet)
			if p == nil {
				p = &packet{b: make([]byte, size), size: i}
			}
			p.msg = nil
			return p
		}
	}
	return &packet{b: make([]byte, n), size: len(sizes)}
}

func (p *packet) free() {
	if p != nil && p.size < len(sizes) {
		pools[p.size].Put(p)
	}
}

// newResponse returns a packet whose message has n bytes.
func newResponse(n int) *packet {
	p := newPacket(lead + n + tail)
	p.msg = p.b[lead : lead+n : len(p.b)-tail]
	return p
}

// put makes msg the packet's message. It was appended to the one that the packet had, and may have grown out of its buffer.
func (p *packet) put(msg []byte) *packet {
	if len(msg) > 0 && &msg[0] == &p.b[lead] {
		p.msg = msg
		return p
	}
	defer p.free()
	return copied(msg)
}

// copied is a packet with a copy of a message.
func copied(msg []byte) *packet {
	p := newResponse(len(msg))
	copy(p.msg, msg)
	return p
}

// frame is what goes over the wire: the message, sealed if by is not nil.
func (p *packet) frame(by seal.Cipher) []byte {
	start, end := lead, lead+len(p.msg)
	if by != nil {
		start = smb2.FrameSize
		by.SealInPlace(p.b[start:end])
	}
	f := p.b[start-smb2.FrameSize : end]
	smb2.PutFrame(f)
	return f
}

// Append makes a packet the whole answer to a READ, whose data was read to where it leaves from.
func (p *packet) Append(b []byte) []byte { return append(b, p.msg[smb2.HeaderSize:]...) }

// grow gives a buffer back for a bigger one with the same beginning.
func (p *packet) grow(n, used int) *packet {
	q := newPacket(n)
	copy(q.b, p.b[:used])
	p.free()
	return q
}
