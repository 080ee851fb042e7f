package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// What a connection may cost us. Implementation specific.
const (
	logonTime   = 10 * time.Second // until a session stands
	sendTime    = 60 * time.Second // until a response has left
	orderTime   = 20 * time.Millisecond
	maxSessions = 64
	maxBreaks   = 1024
	idleTime    = 60 * time.Second // without any session
)

// conn is a Connection, [MS-SMB2] 3.3.1.7.
type conn struct {
	s       *Server
	nc      net.Conn
	address string
	from    netip.Addr
	known   atomic.Bool // a session stood once
	log     *slog.Logger
	credits *credits
	flight  *flight
	send    sync.Mutex // held while a frame is written

	// Set by NEGOTIATE, before anything else is admitted.
	dialect      smb2.Dialect
	client       lock.GUID
	capabilities smb2.Capabilities // the client's
	ours         smb2.Capabilities
	clientMode   smb2.SecurityMode
	offered      []smb2.Dialect // for FSCTL_VALIDATE_NEGOTIATE_INFO
	cipher       seal.CipherID
	signing      seal.Algorithm
	preauth      seal.Preauth
	maxTransfer  uint32

	once   sync.Once   // the log line of a broken protocol
	breaks chan func() // notifications that wait to be sent
	async  atomic.Uint64

	mu       sync.Mutex // guards the fields below
	sessions map[uint64]*channel
	requests map[uint64]*request // that may be cancelled, by MessageId
	pending  map[uint64]*request // by AsyncId
}

// errProtocol ends a connection whose client does not speak SMB2.
type errProtocol string

func (e errProtocol) Error() string { return string(e) }

// serve reads frames until the client goes or breaks the protocol. When it returns, nothing of the connection is left.
func (c *conn) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	stop := context.AfterFunc(ctx, func() {
		c.nc.SetReadDeadline(time.Unix(1, 0))
		c.flight.end()
	})
	running.Add(1)
	go func() {
		defer running.Done()
		c.sendBreaks(ctx)
	}()

	err := c.read(ctx, &running)

	var protocol errProtocol
	switch {
	case ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed):
		c.log.Debug("connection closed")
	case errors.As(err, &protocol), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, smb2.ErrFrame), errors.Is(err, smb2.ErrTooLong):
		c.broke(err)
	default:
		c.log.Info("connection ended", "err", err)
	}
	stop()
	cancel()
	c.nc.Close()
	running.Wait()
	c.end(context.WithoutCancel(ctx))
}

// broke cuts off a client that broke the protocol, with one line for the administrator.
func (c *conn) broke(err error) {
	c.once.Do(func() { c.log.Warn("connection ended: bad message", "err", err) })
	c.nc.Close()
}

// end closes what the client left. [MS-SMB2] 3.3.7.1.
func (c *conn) end(ctx context.Context) {
	c.mu.Lock()
	all := slices.Collect(maps.Values(c.sessions))
	c.mu.Unlock()
	for _, h := range all {
		h.leave(ctx)
	}
}

func (c *conn) read(ctx context.Context, running *sync.WaitGroup) error {
	c.nc.SetReadDeadline(time.Now().Add(logonTime))
	r := bufio.NewReaderSize(c.nc, 64<<10)
	for {
		frame, err := smb2.ReadFrame(r, c.frameLimit(), nil)
		if err != nil {
			return err
		}
		ch, err := c.admit(ctx, frame)
		if err != nil {
			return err
		}
		if ch == nil {
			continue
		}
		if !c.flight.enter(ch.load) {
			return net.ErrClosed
		}
		running.Add(1)
		go func() {
			defer running.Done()
			ch.run()
		}()
		// Requests begin in the order of their arrival: each has the field until it is done, waits for others, or only moves data.
		if !ch.alone {
			select {
			case <-ch.moved:
				continue
			default:
			}
			t := time.NewTimer(orderTime)
			select {
			case <-ch.moved:
			case <-t.C:
			}
			t.Stop()
			continue
		}
		<-ch.moved
		if ch.fatal != nil {
			return ch.fatal
		}
	}
}

// frameLimit: who has not logged on sends NEGOTIATE and SESSION_SETUP only.
func (c *conn) frameLimit() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.sessions {
		if h.valid {
			return maxFrame
		}
	}
	return logonFrame
}

// admit turns a frame into the requests that it holds. [MS-SMB2] 3.3.5.2. A nil chain without error needs no answer.
func (c *conn) admit(ctx context.Context, frame []byte) (*chain, error) {
	var sealed *session
	if seal.IsTransform(frame) {
		id, ok := seal.TransformSession(frame)
		if !ok {
			return nil, errProtocol("a TRANSFORM_HEADER that ends early")
		}
		// [MS-SMB2] 3.3.5.2.1.1: whoever cannot be deciphered is cut off.
		h, valid := c.channel(id)
		if !valid || h.s.cipher == nil {
			return nil, errProtocol(fmt.Sprintf("encrypted for session %#x, which has no key", id))
		}
		sealed = h.s
		plain, err := sealed.cipher.Open(make([]byte, 0, len(frame)), frame)
		if err != nil {
			return nil, errProtocol(err.Error())
		}
		frame = plain
	}
	if smb2.Is(frame, smb2.ProtocolSMB1) {
		return nil, c.negotiateSMB1(frame, sealed)
	}
	parts, err := smb2.Split(frame)
	if err != nil {
		return nil, errProtocol(err.Error())
	}
	ch := &chain{c: c, sealed: sealed, moved: make(chan struct{}), load: load{bytes: uint64(len(frame))}}
	for i, msg := range parts {
		r := &request{chain: ch, msg: msg}
		if err := r.Header.Parse(msg); err != nil {
			return nil, errProtocol(err.Error())
		}
		if r.Flags&smb2.FlagServerToRedir != 0 {
			return nil, errProtocol("a response from a client")
		}
		if i == 0 && r.Flags&smb2.FlagRelatedOperations != 0 {
			ch.orphan = true
		}
		if r.Command == smb2.Cancel {
			c.cancel(r)
			continue
		}
		charge := uint16(1)
		if c.ours&smb2.CapLargeMTU != 0 {
			charge = r.CreditCharge
		}
		// [MS-SMB2] 3.3.5.2.3: an id outside the window, or a second time, ends the connection.
		if !c.credits.take(r.MessageID, charge) {
			return nil, errProtocol(fmt.Sprintf("message id %d is not in the window", r.MessageID))
		}
		if c.dialect == 0 && r.Command != smb2.Negotiate {
			return nil, errProtocol("a request before NEGOTIATE")
		}
		ch.requests = append(ch.requests, r)
		ch.load.credits += int(max(charge, 1))
		if r.Command != smb2.Write && r.Command != smb2.SetInfo {
			ch.load.bytes += min(payload(r.Command, msg), largeTransfer)
		}
		ch.alone = ch.alone || r.Command == smb2.Negotiate || r.Command == smb2.SessionSetup
	}
	if len(ch.requests) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	for _, r := range ch.requests {
		r.ctx(ctx)
		c.requests[r.MessageID] = r
	}
	c.mu.Unlock()
	return ch, nil
}

// cancel is CANCEL, [MS-SMB2] 3.3.5.16: it names a request and gets no answer of its own.
func (c *conn) cancel(r *request) {
	if h, valid := c.channel(r.SessionID); valid && r.chain.sealed == nil && h.signer != nil && r.Flags&smb2.FlagSigned != 0 && !h.signer.Verify(r.msg) {
		return
	}
	c.mu.Lock()
	q := c.requests[r.MessageID]
	if r.Flags&smb2.FlagAsyncCommand != 0 {
		q = c.pending[r.AsyncID]
	}
	c.mu.Unlock()
	if q != nil && q.SessionID == r.SessionID {
		q.stop(ntstatus.Cancelled)
	}
}

// forget ends a request.
func (c *conn) forget(r *request) {
	c.mu.Lock()
	if c.requests[r.MessageID] == r {
		delete(c.requests, r.MessageID)
	}
	delete(c.pending, r.asyncID)
	c.mu.Unlock()
	r.stop(nil)
}

// write sends one frame, encrypted if by is not nil. A client that does not read is cut off.
func (c *conn) write(msg []byte, by *session) error {
	if by != nil && by.cipher != nil {
		msg = by.cipher.Seal(make([]byte, 0, len(msg)+seal.TransformSize+16), msg)
	}
	n := len(msg)
	head := []byte{0, byte(n >> 16), byte(n >> 8), byte(n)}
	c.send.Lock()
	defer c.send.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(sendTime))
	bufs := net.Buffers{head, msg}
	_, err := bufs.WriteTo(c.nc)
	if err != nil {
		c.nc.Close()
	}
	return err
}

// sendBreaks sends notifications one after the other, so that nobody at the counter waits for a slow client.
func (c *conn) sendBreaks(ctx context.Context) {
	for {
		select {
		case f := <-c.breaks:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// notify queues a notification. A client that lets too many pile up is cut off.
func (c *conn) notify(f func()) {
	select {
	case c.breaks <- f:
	default:
		c.log.Warn("connection ended: notifications pile up")
		c.nc.Close()
	}
}

// guard turns a panic into STATUS_INTERNAL_ERROR and a stack in the log.
func (c *conn) guard(r *request, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("handler panicked", "command", r.Command, "panic", p, "stack", string(debug.Stack()))
			err = ntstatus.InternalError
		}
	}()
	return f()
}
