package oncrpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"dittofs/gateway/xdr"
)

// Cred is the credential of a call: the zero value is AUTH_NONE, Sys makes it AUTH_SYS.
type Cred struct{ Sys *AuthSys }

func (c Cred) auth() (opaqueAuth, error) {
	if c.Sys == nil {
		return opaqueAuth{Flavor: FlavorNone}, nil
	}
	b, err := xdr.Marshal(nil, c.Sys)
	return opaqueAuth{Flavor: FlavorSys, Body: b}, err
}

// Client calls the programs at one address, one call at a time.
type Client struct {
	conn net.Conn
	udp  bool

	mu  sync.Mutex // held during a call
	xid uint32
	buf []byte
}

// Dial connects to addr over "tcp", "udp" or "unix".
func Dial(ctx context.Context, network, addr string) (*Client, error) {
	return DialFrom(ctx, network, addr, netip.Addr{})
}

// DialFrom connects like Dial, from a local address where one is given.
func DialFrom(ctx context.Context, network, addr string, from netip.Addr) (*Client, error) {
	var d net.Dialer
	switch {
	case !from.IsValid():
	case network == "udp":
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	case network == "tcp":
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	nc, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return NewClient(nc), nil
}

// NewClient calls over a connection that exists.
func NewClient(nc net.Conn) *Client {
	_, udp := nc.(*net.UDPConn)
	return &Client{conn: nc, udp: udp, xid: rand.Uint32()}
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// RemoteAddr is the address that is called.
func (c *Client) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Retransmits reports whether a call that took so long was sent more than once: only over UDP.
func (c *Client) Retransmits(took time.Duration) bool { return c.udp && took >= firstRetransmit }

// LocalAddr is the address that calls leave from.
func (c *Client) LocalAddr() netip.AddrPort { return addrPort(c.conn.LocalAddr()) }

// Retransmission over UDP: the first after a second, then after twice the time.
const (
	firstRetransmit = time.Second
	lastRetransmit  = 8 * time.Second
	callTimeout     = 30 * time.Second // where ctx has no deadline
)

// Call makes one call and fills res, which keeps nothing of the reply's buffer only if it copies. A refusal is a *Refused. Where ctx
// has no deadline the call ends after 30 seconds.
func (c *Client) Call(ctx context.Context, prog, vers, proc uint32, cred Cred, args, res xdr.Value) error {
	err := c.call(ctx, prog, vers, proc, cred, args, res)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)) {
		err = ctx.Err()
	}
	return fmt.Errorf("rpc %d.%d.%d at %s: %w", prog, vers, proc, c.conn.RemoteAddr(), err)
}

func (c *Client) call(ctx context.Context, prog, vers, proc uint32, cred Cred, args, res xdr.Value) error {
	auth, err := cred.auth()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.xid++
	head := callHeader{XID: c.xid, RPC: rpcVersion, Program: prog, Version: vers, Proc: proc, Cred: auth}
	out, err := xdr.Marshal(appendCall(append(c.buf[:0], 0, 0, 0, 0), &head), args)
	if err != nil {
		return err
	}
	c.buf = out

	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(callTimeout)
	}
	c.conn.SetDeadline(end)
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if c.udp {
		return c.overUDP(ctx, out[4:], end, res)
	}
	markRecord(out, len(out)-4)
	if _, err := c.conn.Write(out); err != nil {
		return err
	}
	var rec record
	defer rec.free()
	for {
		if err := rec.read(c.conn, DefaultMaxRecord); err != nil {
			return err
		}
		if done, err := c.take(append([]byte(nil), rec.data...), res); done {
			return err
		}
	}
}

func (c *Client) overUDP(ctx context.Context, out []byte, end time.Time, res xdr.Value) error {
	wait := firstRetransmit
	in := make([]byte, maxDatagram)
	for {
		if _, err := c.conn.Write(out); err != nil {
			return err
		}
		next := time.Now().Add(wait)
		if next.After(end) {
			next = end
		}
		c.conn.SetReadDeadline(next)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for {
			n, err := c.conn.Read(in)
			if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end) && ctx.Err() == nil {
				break
			}
			if err != nil {
				return err
			}
			if done, err := c.take(in[:n], res); done {
				return err
			}
		}
		wait = min(2*wait, lastRetransmit)
	}
}

// take looks at one reply. One with another xid answers an earlier call, and is passed over.
func (c *Client) take(b []byte, res xdr.Value) (done bool, err error) {
	x := xdr.Decoder(b)
	xid, err := parseReply(&x)
	switch {
	case err == errNotReply:
		return !c.udp, err // anybody can send a datagram
	case xid != c.xid:
		return false, nil
	case err != nil:
		return true, err
	}
	res.XDR(&x)
	return true, x.End()
}
