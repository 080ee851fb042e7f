package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// call is one call to be made.
type call struct {
	prog, proc uint32
	args       func(x *xdr.Stream)
}

func version(prog uint32) uint32 {
	if prog == progNLM {
		return 4
	}
	return 3
}

// pipe is a connection with several calls under way. RFC 5531.
type pipe struct {
	net.Conn
	in   *bufio.Reader
	out  xdr.Stream
	xid  uint32
	buf  []byte
	cred []byte
}

// user is as whom everything is done.
const user = 1000

func dial(addr string) (*pipe, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	cred, err := xdr.Marshal(nil, &oncrpc.AuthSys{MachineName: "bench", UID: user, GID: user})
	return &pipe{Conn: c, in: bufio.NewReaderSize(c, 256<<10), xid: rand.Uint32() &^ 0xff, cred: cred}, err
}

// put encodes a call for a slot, whose number is the low byte of its xid.
func (p *pipe) put(slot int, c call) {
	x := &p.out
	at := len(x.Bytes())
	p.xid += 0x100
	for _, v := range []uint32{0, p.xid | uint32(slot), 0, 2, c.prog, version(c.prog), c.proc, oncrpc.FlavorSys} {
		x.Uint32(&v)
	}
	x.Opaque(&p.cred, 400)
	var none uint64
	x.Uint64(&none)
	c.args(x)
	b := x.Bytes()[at:]
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)|1<<31)
}

func (p *pipe) flush() error {
	b := p.out.Bytes()
	if len(b) == 0 {
		return nil
	}
	_, err := p.Write(b)
	p.out = xdr.Encoder(b[:0])
	return err
}

// get reads a reply. Its results lie in a buffer that the next one uses again.
func (p *pipe) get() (slot int, res xdr.Stream, err error) {
	p.buf = p.buf[:0]
	for last := false; !last; {
		var h [4]byte
		if _, err := io.ReadFull(p.in, h[:]); err != nil {
			return 0, res, err
		}
		n := int(binary.BigEndian.Uint32(h[:]) &^ (1 << 31))
		last = h[0]&0x80 != 0
		at := len(p.buf)
		if at+n > cap(p.buf) {
			p.buf = append(make([]byte, 0, 2*(at+n)), p.buf...)
		}
		p.buf = p.buf[:at+n]
		if _, err := io.ReadFull(p.in, p.buf[at:]); err != nil {
			return 0, res, err
		}
	}
	x := xdr.Decoder(p.buf)
	var xid, kind, stat, flavor, accept uint32
	var verf []byte
	for _, v := range []*uint32{&xid, &kind, &stat, &flavor} {
		x.Uint32(v)
	}
	x.Opaque(&verf, 400)
	x.Uint32(&accept)
	if x.Err() != nil || kind != 1 || stat != 0 || accept != 0 {
		return 0, x, fmt.Errorf("reply %d %d %d: %v", kind, stat, accept, x.Err())
	}
	return int(xid & 0xff), x, nil
}

// one makes a call and waits for it.
func (p *pipe) one(c call) (*xdr.Stream, error) {
	p.SetDeadline(time.Now().Add(time.Minute))
	p.put(0, c)
	if err := p.flush(); err != nil {
		return nil, err
	}
	_, x, err := p.get()
	if err == nil {
		err = good(c.prog, &x)
	}
	return &x, err
}

// good looks at the status that results begin with.
func good(prog uint32, x *xdr.Stream) error {
	var st uint32
	if prog == progNLM {
		var cookie []byte
		x.Opaque(&cookie, 1024)
	}
	if x.Uint32(&st); x.Err() != nil {
		return x.Err()
	}
	if st != 0 {
		return fmt.Errorf("status %d", st)
	}
	return nil
}

// slot is one caller of many.
type slot struct {
	m      *mounted
	number int // over all connections
	step   int // how many calls it has made
	units  int
	rnd    *rand.Rand
	fh     []byte
	cookie uint64
	verf   [8]byte
	last   call
}

// drive keeps depth calls under way until the time is over.
func (p *pipe) drive(o *operation, slots []*slot, until time.Time) error {
	p.SetDeadline(until.Add(time.Minute))
	for i, k := range slots {
		k.last = o.next(k, nil)
		p.put(i, k.last)
	}
	for under := len(slots); under > 0; {
		if p.in.Buffered() < 4 {
			if err := p.flush(); err != nil {
				return err
			}
		}
		i, x, err := p.get()
		if err != nil {
			return err
		}
		k := slots[i]
		if err := good(k.last.prog, &x); err != nil {
			return err
		}
		k.step++
		next := o.next(k, &x)
		whole := o.calls >= 0 && k.step%max(o.calls, 1) == 0 || o.calls < 0 && k.cookie == 0
		if whole && time.Now().After(until) {
			under--
			continue
		}
		k.last = next
		p.put(i, next)
	}
	return p.flush()
}
