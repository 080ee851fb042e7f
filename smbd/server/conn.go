package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
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
	maxSessions = 64
	maxBreaks   = 1024
	idleTime    = 60 * time.Second // without any session
	readAhead   = 4 << 10
)

// conn is a Connection, [MS-SMB2] 3.3.1.7.
type conn struct {
	s          *Server
	nc         net.Conn
	address    string
	from       netip.Addr
	known      atomic.Bool // a session stood once
	number     uint64      // rises from one to the next
	log        *slog.Logger
	credits    *credits
	flight     *flight
	field      field
	in         *bufio.Reader   // whoever has the field reads
	raw        syscall.RawConn // nc's; nil: it has none
	unread     int             // bytes that count found there
	count      func(fd uintptr)
	over       chan error // why nobody reads any more
	notices    notices
	deliveries deliveries

	send    sync.Mutex // held while a frame is written
	limited time.Time  // when the time for that was set

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

	running sync.WaitGroup // chains that are worked on
	adrift  sync.WaitGroup // those that go on without the connection
	once    sync.Once      // the log line of a broken protocol
	async   atomic.Uint64

	mu       sync.Mutex // guards the fields below
	sessions map[uint64]*channel
	requests map[uint64]*request // being worked on, by MessageId
	pending  map[uint64]*request // by AsyncId
	ended    bool                // no request lives any more
}

// errProtocol ends a connection whose client does not speak SMB2.
type errProtocol string

func (e errProtocol) Error() string { return string(e) }

// serve reads frames until the client goes or breaks the protocol. When it returns, nothing of the connection is left.
func (c *conn) serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		c.nc.SetReadDeadline(time.Unix(1, 0))
		c.flight.end()
	})
	c.nc.SetReadDeadline(time.Now().Add(logonTime))
	go c.read(0)
	err := <-c.over

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
	lost := c.deliveries.end(c)
	c.nc.Close()
	c.field.end()
	c.stop()
	c.running.Wait()
	c.notices.end()
	c.end(context.WithoutCancel(ctx))
	for _, d := range lost {
		c.s.broken(d.b, func() {}, d.tried...)
	}
	c.adrift.Wait()
}

// broke cuts off a client that broke the protocol, with one line for the administrator.
func (c *conn) broke(err error) {
	c.once.Do(func() { c.log.Warn("connection ended: bad message", "err", err) })
	c.nc.Close()
}

// stop ends every request that cannot go on without the connection.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, r := range c.requests {
		if !c.castOff(r) {
			r.life.stop(context.Canceled)
		}
	}
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

// read serves frames for as long as it has the field. The error that ends the connection goes to serve.
func (c *conn) read(turn uint64) {
	for {
		ch, err := c.next()
		if err != nil {
			c.over <- err
			return
		}
		c.running.Add(1)
		ch.turn = turn
		c.field.begin(ch.alone)
		ch.run()
		fatal := ch.fatal
		ch.release()
		if !c.field.keep(turn) {
			return
		}
		if fatal != nil {
			c.over <- fatal
			return
		}
	}
}

// next reads what is to be worked on.
func (c *conn) next() (*chain, error) {
	for {
		in, err := readFrame(c.in, c.frameLimit())
		if err != nil {
			return nil, err
		}
		ch, err := c.admit(in)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			continue
		}
		if !c.flight.enter(ch.load) {
			return nil, net.ErrClosed
		}
		return ch, nil
	}
}

// waiting reports whether more has come from the client. Only who has the field asks.
func (c *conn) waiting() bool {
	if c.in.Buffered() > 0 {
		return true
	}
	if c.raw == nil {
		return false
	}
	c.unread = 0
	c.raw.Control(c.count)
	return c.unread > 0
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

// handle runs a request's handler. A panic is STATUS_INTERNAL_ERROR and a stack in the log.
func (c *conn) handle(ctx context.Context, r *request) (body reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("handler panicked", "command", r.Command, "panic", p, "stack", string(debug.Stack()))
			body, err = nil, ntstatus.InternalError
		}
	}()
	return commands[r.Command].handle(ctx, r)
}
