package hatch

import (
	"context"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dittofs/gateway/ipc"
	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// visit is one connection at a hatch.
//
//	come ──Hello──▶ seated ──end of the connection──▶ left
//	  └──────────────────────────────────────────────▶ left
type visit struct {
	house *House
	hatch string
	pid   int32
	uid   uint32
	log   *slog.Logger
	out   *outbox
	end   func() // closes the connection

	once sync.Once    // one log line for wrong bytes
	gate sync.RWMutex // held for reading around verbs; guards seat and left
	seat Seat
	left bool

	debts debts

	events bool   // guarded by house.mu, as are the fields below
	token  []byte // opens a lane; nil before Hello and after the end
	lanes  map[*os.File]context.CancelFunc
	since  time.Time
	doors  map[string]string
	// sessions are smbd's; they end with it.
	sessions map[uint64]ipc.Session
}

// visit serves one connection to its end.
func (h *House) visit(ctx context.Context, hatch string, c *net.UnixConn) {
	cred, err := ipc.Peer(c)
	if err != nil {
		h.Log.Warn("hatch stays closed", "hatch", hatch, "err", err)
		c.Close()
		return
	}
	v := &visit{house: h, hatch: hatch, pid: cred.Pid, uid: cred.Uid, log: h.Log.With("hatch", hatch, "pid", cred.Pid), out: newOutbox(),
		end: func() { c.Close() }, lanes: map[*os.File]context.CancelFunc{}, sessions: map[uint64]ipc.Session{}}
	ended := make(chan struct{})
	g := newGuard(c, v.reject, sync.OnceFunc(func() { close(ended) }))
	srv, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(v.dispatch))
	if err != nil {
		c.Close()
		return
	}
	if hatch == "admin" {
		lockpb.RegisterAdminService(srv, (*admin)(v))
	} else {
		lockpb.RegisterCounterService(srv, v)
	}
	var serving sync.WaitGroup
	l := &single{conn: g, closed: make(chan struct{})}
	serving.Go(func() { srv.Serve(ctx, l) })
	select {
	case <-ended:
	case <-ctx.Done():
		c.Close()
		<-ended
	}
	v.closeLanes() // leave waits for what was asked by them
	v.leave(ctx.Err() != nil)
	srv.Close()
	serving.Wait()
}

// reject ends the connection for wrong bytes.
func (v *visit) reject(err error) {
	v.once.Do(func() { v.log.Warn("connection ended", "err", err) })
	v.end()
}

// dispatch is around every unary request.
func (v *visit) dispatch(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (resp any, err error) {
	defer v.rescue(info.FullMethod, &err)
	return method(ctx, func(m any) error {
		err := unmarshal(m)
		if err != nil {
			v.reject(err)
		}
		return err
	})
}

// rescue turns a panic into an error with a stack in the log.
func (v *visit) rescue(method string, err *error) {
	if p := recover(); p != nil {
		v.log.Error("panic", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = status.Errorf(codes.Internal, "%s: the gateway contradicts itself", method)
	}
}

// Hello takes the seat. Of two processes at one hatch the first stays.
func (v *visit) Hello(ctx context.Context, r *lockpb.HelloRequest) (*lockpb.HelloReply, error) {
	door := Doors[v.hatch]
	switch {
	case ctx.Err() != nil: // what is presented to it would be lost
		return nil, status.Error(codes.Unavailable, "the gateway stops")
	case r.Version != ipc.Version:
		return nil, status.Errorf(codes.FailedPrecondition, "the gateway speaks version %d, not %d", ipc.Version, r.Version)
	case r.Name != v.hatch, r.Door != 0 && lock.Door(r.Door) != door:
		return nil, status.Errorf(codes.FailedPrecondition, "%s by %v is at %s's hatch", r.Name, lock.Door(r.Door), v.hatch)
	}
	v.gate.Lock()
	defer v.gate.Unlock()
	if v.left || v.seat != nil {
		return nil, status.Error(codes.FailedPrecondition, "Hello comes once, and first")
	}
	if pid, taken := v.house.enter(v); taken {
		return nil, status.Errorf(codes.Unavailable, "process %d stands at %s's hatch", pid, v.hatch)
	}
	v.seat = v.house.Counter.Attach(door, v.hatch, v.tell)
	if r.Borrows && (door == lock.Local || door == lock.SMB) {
		v.seat.Borrow()
	}
	v.log.Info("daemon came")
	return &lockpb.HelloReply{Version: ipc.Version, Epoch: v.house.Counter.Epoch(), Token: v.openLanes()}, nil
}

// tell puts an event into the outbox; a daemon that does not fetch its events loses its seat.
func (v *visit) tell(e lock.Event) {
	if e.Mark != nil && !e.Mark.Lent && e.Mark.Open == 0 {
		v.owes(e.Mark.Marks)
	}
	if !v.out.put(e) {
		v.once.Do(func() { v.log.Error("daemon does not fetch its events", "waiting", outboxMax) })
		v.end()
	}
}

// leave gives the seat back, after the last verb that was asked from it. While the gateway stops its doors live on: none may be granted
// anything because another's connection ended a moment earlier.
func (v *visit) leave(stopping bool) {
	v.gate.Lock()
	defer v.gate.Unlock()
	v.left = true
	v.out.close()
	v.closeLanes()
	if v.seat == nil {
		return
	}
	if stopping {
		v.house.mu.Lock()
		v.house.left = append(v.house.left, v.seat)
		v.house.mu.Unlock()
	} else {
		v.seat.Detach()
	}
	v.seat = nil
	v.house.leave(v)
	v.log.Info("daemon left")
}

func (h *House) enter(v *visit) (pid int32, taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.visits[v.hatch]; o != nil {
		return o.pid, true
	}
	h.visits[v.hatch] = v
	v.since = time.Now()
	return 0, false
}

func (h *House) leave(v *visit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.visits[v.hatch] == v {
		delete(h.visits, v.hatch)
	}
}

// single is a listener of one connection: ttrpc tells a service nothing about the connection that a request came by, so each has a server.
type single struct {
	conn   net.Conn
	closed chan struct{}
	once   sync.Once
}

func (s *single) Accept() (net.Conn, error) {
	if c := s.conn; c != nil {
		s.conn = nil
		return c, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *single) Addr() net.Addr { return &net.UnixAddr{} }
