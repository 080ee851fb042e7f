package oncrpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	recordTimeout = time.Minute // for the rest of a record once it has begun, and for a client to take a reply
	drain         = 5 * time.Second
)

// ServeTCP answers the connections of l, a TCP or Unix listener, until ctx ends; then it waits a little for the calls that run.
// It closes l.
func (s *Server) ServeTCP(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors, or the peer was gone before it was accepted: the others go on.
			s.log.Warn("accept", "listener", l.Addr(), "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		select {
		case s.conns <- struct{}{}:
		default:
			if s.quiet.allow(addrPort(nc.RemoteAddr()).Addr()) {
				s.log.Warn("too many connections", "from", nc.RemoteAddr(), "limit", s.cfg.MaxConns)
			}
			nc.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-s.conns }()
			s.metrics.connections.Inc()
			defer s.metrics.connections.Dec()
			s.serveConn(ctx, nc)
		})
	}
}

// conn is one connection. Its calls run in parallel, but for the quick ones.
type conn struct {
	net.Conn
	server *Server
	calls  atomic.Int32
	out    replies
}

func (s *Server) serveConn(ctx context.Context, nc net.Conn) {
	c := &conn{Conn: nc, server: s, out: replies{conn: nc}}
	defer nc.Close()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		nc.SetReadDeadline(time.Unix(1, 0)) // no more calls; those that run may end
		time.AfterFunc(drain, func() { cancel(); nc.Close() })
	})
	defer stop()
	var wg sync.WaitGroup
	err := c.read(ctx, running, &wg)
	if ctx.Err() == nil {
		// A caller that went away neither grants nor forces anything.
		cancel()
		if err != io.EOF && err != errIdle {
			s.metrics.bad.Inc()
			s.log.Warn("connection closed", "from", nc.RemoteAddr(), "listener", nc.LocalAddr(), "err", err)
		}
	}
	wg.Wait()
}

var errIdle = errors.New("oncrpc: idle")

// read takes calls off the connection until it ends, is idle too long, or sends what is no call.
func (c *conn) read(ctx, running context.Context, wg *sync.WaitGroup) error {
	s := c.server
	limit := s.cfg.MaxInFlight
	if limit <= 0 {
		limit = 64
	}
	slots, heavy := make(chan struct{}, limit), make(chan struct{}, heavyEach)
	remote, local := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	in := newInput(c.Conn)
	defer in.free()
	var known credentials
	for {
		if err := c.await(ctx, in); err != nil {
			return err
		}
		x := s.exchange()
		if !whole(in) {
			c.out.flush()
			c.SetReadDeadline(time.Now().Add(recordTimeout))
		}
		err := x.record.read(in, s.cfg.MaxRecord)
		if err != nil {
			x.free()
			return err
		}
		x.Remote, x.Local, x.places, x.beside = remote, local, s.places, heavy
		if x.record.big != nil {
			c.out.flush()
			x.carries(ctx)
		}
		ready, err := x.admit(&known)
		if err != nil {
			x.free()
			return err
		}
		send, done := !ready, !ready
		if ready {
			send, done = x.quick(running)
		}
		if done {
			if send {
				c.out.put(x)
			}
			x.free()
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			c.out.flush()
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				x.free()
				return ctx.Err()
			}
		}
		c.calls.Add(1)
		wg.Go(func() {
			defer func() { c.calls.Add(-1); <-slots }()
			defer x.free()
			if x.run(running) {
				c.out.send(x)
			}
		})
	}
}

// whole reports whether a record of one fragment has arrived, so that reading it does not block.
func whole(in *input) bool {
	b := in.have
	if len(b) < 4 {
		return false
	}
	m := binary.BigEndian.Uint32(b)
	return m&lastFragment != 0 && len(b)-4 >= int(m&^lastFragment)
}

// await waits for the first byte of a record. io.EOF is a client that ended properly, errIdle one that has been silent too long.
func (c *conn) await(ctx context.Context, in *input) error {
	for {
		if len(in.have) == 0 {
			c.out.flush()
			c.SetReadDeadline(time.Now().Add(c.server.cfg.IdleTimeout))
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		err := in.await()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && c.calls.Load() > 0:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errIdle
		case errors.Is(err, net.ErrClosed), isReset(err):
			return io.EOF
		}
		return err
	}
}

// addrPort is a's address, or zero for a Unix socket.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
