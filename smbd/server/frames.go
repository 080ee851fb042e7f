package server

import (
	"bufio"
	"errors"
	"io"
	"time"

	"dittofs/smbd/smb2"
)

// Frames of the transport, [MS-SMB2] 2.1, in and out.

// steps are how much memory a frame gets before as much has arrived.
const firstStep, secondStep = 64 << 10, 1 << 20

// readFrame reads one message. Its memory grows as bytes arrive.
func readFrame(r *bufio.Reader, limit uint32) (*packet, error) {
	head, err := r.Peek(smb2.FrameSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n, err := smb2.FrameLength(head, limit)
	if err != nil {
		return nil, err
	}
	r.Discard(smb2.FrameSize)
	p := newPacket(min(n, firstStep) + tail)
	for have := 0; have < n; {
		want := min(n, firstStep)
		switch {
		case have >= secondStep:
			want = n
		case have >= firstStep:
			want = min(n, secondStep)
		}
		if want+tail > len(p.b) {
			p = p.grow(want+tail, have)
		}
		m, err := io.ReadFull(r, p.b[have:want])
		have += m
		if err != nil {
			p.free()
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	p.msg = p.b[:n]
	return p, nil
}

// write sends one message, encrypted if by is not nil, and frees it. A client that does not read is cut off.
func (c *conn) write(p *packet, by *session) error {
	defer p.free()
	var frame []byte
	if by != nil && by.cipher != nil {
		frame = p.frame(by.cipher)
	} else {
		frame = p.frame(nil)
	}
	c.send.Lock()
	defer c.send.Unlock()
	if now := time.Now(); now.Sub(c.limited) > sendTime/4 {
		c.limited = now
		c.nc.SetWriteDeadline(now.Add(sendTime))
	}
	_, err := c.nc.Write(frame)
	if err != nil {
		c.nc.Close()
	}
	return err
}
