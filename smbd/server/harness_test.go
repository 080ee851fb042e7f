package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dittofs/gateway/accounts"
	"dittofs/gateway/config"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/smbd/auth"
	"dittofs/smbd/smb2"
)

// counter grants everything, remembers which files are delete pending, and lets a test put its own answer before any verb.
type counter struct {
	lock.Manager // what is not here is not asked

	mu      sync.Mutex
	opens   map[uint64]lock.OpenRequest
	pending map[lock.Key]bool
	changes []lock.Change
	acks    []lock.Ack
	cancels []uint64

	onOpen func(lock.OpenRequest) (lock.OpenResult, bool)
	onLock func(lock.LockRequest) (lock.Result, bool)
	onDo   func(lock.AccessRequest) (lock.Result, bool)
}

func newCounter() *counter {
	return &counter{opens: map[uint64]lock.OpenRequest{}, pending: map[lock.Key]bool{}}
}

func (c *counter) Open(_ context.Context, r lock.OpenRequest) (lock.OpenResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onOpen != nil {
		if res, ok := c.onOpen(r); ok {
			return res, nil
		}
	}
	if c.pending[r.Key] {
		return lock.OpenResult{Outcome: lock.DeletePending}, nil
	}
	c.opens[r.Open] = r
	return lock.OpenResult{Outcome: lock.Granted, Rights: r.Rights, Epoch: r.Epoch + 1}, nil
}

func (c *counter) Reconnect(context.Context, lock.ReconnectRequest) (lock.ReconnectResult, error) {
	return lock.ReconnectResult{Outcome: lock.Stale}, nil
}

func (c *counter) Close(_ context.Context, r lock.CloseRequest) (lock.CloseResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.opens[r.Open]
	if !ok {
		return lock.CloseResult{Outcome: lock.Stale}, nil
	}
	delete(c.opens, r.Open)
	if o.DeleteOnClose {
		c.pending[o.Key] = true
	}
	for _, other := range c.opens {
		if other.Key == o.Key {
			return lock.CloseResult{Outcome: lock.Granted}, nil
		}
	}
	res := lock.CloseResult{Outcome: lock.Granted, Delete: c.pending[o.Key]}
	delete(c.pending, o.Key)
	return res, nil
}

func (c *counter) Access(_ context.Context, r lock.AccessRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onDo != nil {
		if res, ok := c.onDo(r); ok {
			return res, nil
		}
	}
	if r.Op == lock.OpDelete {
		c.pending[c.opens[r.Open].Key] = true
	}
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Done(context.Context, uint64, bool) error { return nil }

func (c *counter) Lock(_ context.Context, r lock.LockRequest) (lock.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.onLock != nil {
		if res, ok := c.onLock(r); ok {
			return res, nil
		}
	}
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Unlock(context.Context, lock.LockRequest) (lock.Result, error) {
	return lock.Result{Outcome: lock.Granted}, nil
}

func (c *counter) Cancel(_ context.Context, ticket uint64) (lock.Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancels = append(c.cancels, ticket)
	return lock.Cancelled, nil
}

func (c *counter) Acknowledge(_ context.Context, a lock.Ack) (lock.Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, a)
	return lock.Granted, nil
}

func (c *counter) Disposition(_ context.Context, open uint64, pending bool) (lock.Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[c.opens[open].Key] = pending
	return lock.Granted, nil
}

func (c *counter) Changed(_ context.Context, ch lock.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes = append(c.changes, ch)
	return nil
}

// held is how many opens the counter knows.
func (c *counter) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.opens)
}

// users is one account, alice with the password "secret"; she is whoever runs the test.
type users struct{}

func (users) Lookup(name string) (auth.User, bool) {
	if name != "alice" && name != "ALICE" {
		return auth.User{}, false
	}
	return auth.User{Name: "alice", NTHash: accounts.NTHash("secret"), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}, true
}

// logbook keeps the log for the test to read.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(s))
}

// served is a Server on the loopback with one share, "share".
type served struct {
	*Server
	*counter
	dir  string
	addr string
	port string
	log  *logbook

	closed atomic.Int64 // connections that the server has closed
}

// listener counts the connections that are closed.
type listener struct {
	net.Listener
	closed *atomic.Int64
}

func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &counted{Conn: nc, closed: l.closed}, nil
}

type counted struct {
	net.Conn
	closed *atomic.Int64
	once   sync.Once
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.closed.Add(1) })
	return err
}

func serve(t testing.TB, change func(*config.Config)) *served {
	t.Helper()
	s := &served{counter: newCounter(), dir: t.TempDir(), log: &logbook{}}
	cfg := config.Default()
	cfg.State = t.TempDir()
	cfg.SMB.ServerName = "GATEWAY"
	cfg.Exports = []config.Export{{Path: s.dir, Name: "share", Comment: "a share"}}
	if change != nil {
		change(cfg)
	}
	if err := cfg.Check("test"); err != nil {
		t.Fatal(err)
	}
	s.Server = New(Config{Settings: cfg, Users: users{}, Log: slog.New(slog.NewTextHandler(s.log, nil))})
	locks := seat.New(s.counter)
	s.Join(locks)
	root, err := os.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetTree("share", root); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	_, s.port, _ = net.SplitHostPort(s.addr)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ctx, listener{l, &s.closed})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if n := s.held(); n != 0 {
			t.Errorf("%d opens are left at the counter", n)
		}
		if s.log.count("panic") != 0 {
			t.Errorf("a handler panicked:\n%s", s.log.b.String())
		}
	})
	return s
}

// peer speaks SMB2 message by message. Its session is made in the server, so that nothing is signed.
type peer struct {
	t    testing.TB
	nc   net.Conn
	id   uint64 // the next MessageId
	got  uint64 // credits
	h    smb2.Header
	conn *conn // the server's side
	s    *served
}

// dial connects and negotiates one dialect.
func (s *served) dial(t testing.TB, d smb2.Dialect) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, nc: nc, s: s}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	q := &smb2.NegotiateRequest{SecurityMode: smb2.SigningEnabled, ClientGUID: [16]byte{1, 2, 3}, Dialects: []smb2.Dialect{d}}
	if d == smb2.Dialect311 {
		q.Contexts.Preauth = &smb2.PreauthIntegrityCapabilities{HashAlgorithms: []smb2.HashAlgorithm{smb2.SHA512}, Salt: make([]byte, 32)}
	}
	var a smb2.NegotiateResponse
	p.do(smb2.Negotiate, q, &a)
	if a.Dialect != d {
		t.Fatalf("dialect %v, want %v", a.Dialect, d)
	}
	s.Server.mu.Lock()
	for c := range s.conns {
		if c.nc.RemoteAddr().String() == nc.LocalAddr().String() {
			p.conn = c
		}
	}
	s.Server.mu.Unlock()
	return p
}

// logon makes a session for alice, and connects to the share.
func (p *peer) logon() *peer {
	p.t.Helper()
	h, err := p.conn.newSession()
	if err != nil {
		p.t.Fatal(err)
	}
	alice, _ := users{}.Lookup("alice")
	h.s.identity.Store(newIdentity(alice, false))
	h.s.valid.Store(true)
	h.stand()
	p.nc.SetDeadline(time.Now().Add(30 * time.Second))
	p.h.SessionID = h.s.id
	var a smb2.TreeConnectResponse
	p.h.TreeID = p.do(smb2.TreeConnect, &smb2.TreeConnectRequest{Path: `\\gateway\SHARE`}, &a).TreeID
	return p
}

type body interface {
	Append([]byte) []byte
}

type answer interface{ Parse([]byte) error }

// message builds one request.
func (p *peer) message(cmd smb2.Command, q body, flags smb2.Flags) []byte {
	h := p.h
	h.Command, h.MessageID, h.Credits, h.CreditCharge, h.Flags = cmd, p.id, 64, 1, flags
	p.id++
	return q.Append(h.Append(nil))
}

func (p *peer) send(msg []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(append(smb2.AppendFrame(nil, len(msg)), msg...)); err != nil {
		p.t.Fatal(err)
	}
}

// receive reads one frame, which is one message.
func (p *peer) receive() (h smb2.Header, msg []byte) {
	p.t.Helper()
	msg, err := smb2.ReadFrame(p.nc, smb2.MaxFrame, nil)
	if err != nil {
		p.t.Fatalf("receive: %v\n%s", err, p.s.log.b.String())
	}
	if err := h.Parse(msg); err != nil {
		p.t.Fatal(err)
	}
	p.got += uint64(h.Credits)
	return h, msg
}

// ask sends a request and reads its answer.
func (p *peer) ask(cmd smb2.Command, q body) (smb2.Header, []byte) {
	p.t.Helper()
	p.send(p.message(cmd, q, 0))
	return p.receive()
}

// do is ask for a request that must succeed.
func (p *peer) do(cmd smb2.Command, q body, a answer) smb2.Header {
	p.t.Helper()
	h, msg := p.ask(cmd, q)
	if h.Status != 0 {
		p.t.Fatalf("%v: %v", cmd, h.Status)
	}
	if err := a.Parse(msg); err != nil {
		p.t.Fatalf("%v: %v", cmd, err)
	}
	return h
}

// fails asks for what must fail with a status.
func (p *peer) fails(want fmt.Stringer, cmd smb2.Command, q body) {
	p.t.Helper()
	if h, _ := p.ask(cmd, q); h.Status.String() != want.String() {
		p.t.Errorf("%v: %v, want %v", cmd, h.Status, want)
	}
}

// gone waits for the server to close the connection.
func (p *peer) gone() {
	p.t.Helper()
	p.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	var b [1]byte
	for {
		if _, err := p.nc.Read(b[:]); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				p.t.Error("the connection is still there")
			}
			return
		}
	}
}

// opening is a CREATE of a file with the rights to do everything.
func opening(name string, d smb2.CreateDisposition) *smb2.CreateRequest {
	return &smb2.CreateRequest{ImpersonationLevel: smb2.Impersonation, DesiredAccess: smb2.FileAllAccess, CreateDisposition: d, Name: name,
		ShareAccess: smb2.FileShareRead | smb2.FileShareWrite | smb2.FileShareDelete}
}
