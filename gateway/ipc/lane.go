package ipc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"dittofs/gateway/ipc/lockpb"
)

// A lane is a connection beside the seat's own that carries one call at a time, for the verbs of every open, lock and operation: the caller
// writes its request and reads the answer itself, by blocking system calls, so that no goroutine wakes another. A lane belongs to the
// connection whose Hello gave the token, and ends with it. It is a SOCK_SEQPACKET socket; the first packet is the token, then
//
//	request: Verb, message of lock.proto
//	answer:  0, how many breaks the connection was sent before (8 bytes, big-endian), message of lock.proto, or a code of grpc/codes, text
//
// What finds no lane free, or is larger than LaneMax, goes by ttrpc; no order is promised between calls that are under way together.

// Verb is the first byte of a lane's request.
type Verb byte

const (
	VerbOpen Verb = iota + 1
	VerbClose
	VerbAccess
	VerbDone
	VerbLock
	VerbUnlock
	VerbTest
	VerbCancel
	VerbCancelLock
	VerbAcknowledge
	VerbDisposition
	VerbChanged
)

// String returns the verb's name in lock.proto.
func (v Verb) String() string {
	names := [...]string{"", "Open", "Close", "Access", "Done", "Lock", "Unlock", "Test", "Cancel", "CancelLock", "Acknowledge", "Disposition", "Changed"}
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("verb %d", byte(v))
}

// LaneMax is the longest packet, in bytes.
const LaneMax = 16 << 10

// LanePath is where the lanes of the hatch at path begin.
func LanePath(path string) string { return strings.TrimSuffix(path, ".sock") + ".lane.sock" }

// lanesMax bounds the lanes of one connection, and with them the threads that wait in a call.
const lanesMax = 32

// lanes are the lanes of one connection.
type lanes struct {
	mu    sync.Mutex // guards the fields below
	path  string     // "" before begin
	token []byte
	free  []*lane // the one used last is last
	all   map[*lane]bool
	ended bool
}

type lane struct {
	fd  int
	buf []byte
}

// begin lets lanes be opened. Before that everything goes by ttrpc: what a door presents ends with its context, what is asked by a lane
// only with the connection.
func (ls *lanes) begin(path string, token []byte) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.path, ls.token = path, token
}

// take returns a free lane, or nil.
func (ls *lanes) take() *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if n := len(ls.free); n > 0 {
		ln := ls.free[n-1]
		ls.free = ls.free[:n-1]
		return ln
	}
	if ls.ended || ls.path == "" || len(ls.all) >= lanesMax {
		return nil
	}
	fd, err := ls.dial()
	if err != nil {
		return nil
	}
	ln := &lane{fd, make([]byte, LaneMax)}
	if ls.all == nil {
		ls.all = map[*lane]bool{}
	}
	ls.all[ln] = true
	return ln
}

// dial does not wait: a hatch whose line of callers is full is busy.
func (ls *lanes) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	limit := unix.NsecToTimeval(int64(Deadline))
	err = errors.Join(unix.Connect(fd, &unix.SockaddrUnix{Name: ls.path}), unix.SetNonblock(fd, false),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	if err == nil {
		_, err = unix.Write(fd, ls.token)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

func (ls *lanes) put(ln *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.ended {
		ls.close(ln)
		return
	}
	ls.free = append(ls.free, ln)
}

// drop gives up a lane after a failed call.
func (ls *lanes) drop(ln *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.close(ln)
}

func (ls *lanes) close(ln *lane) {
	delete(ls.all, ln)
	unix.Close(ln.fd)
}

// end ends all lanes; calls that are under way fail.
func (ls *lanes) end() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.ended = true
	for _, ln := range ls.free {
		ls.close(ln)
	}
	ls.free = nil
	for ln := range ls.all {
		unix.Shutdown(ln.fd, unix.SHUT_RDWR) // its caller closes it
	}
}

// call asks by a lane. sent says that it did: else the request has not left.
func (ls *lanes) call(v Verb, r, res proto.Message) (sent bool, breaks uint64, err error) {
	ln := ls.take()
	if ln == nil {
		return false, 0, nil
	}
	b, err := proto.MarshalOptions{}.MarshalAppend(append(ln.buf[:0], byte(v)), r)
	if err != nil || len(b) > LaneMax {
		ls.put(ln)
		return false, 0, nil
	}
	n, err := ln.exchange(b)
	if err != nil {
		ls.drop(ln)
		return true, 0, err
	}
	defer ls.put(ln)
	b = ln.buf[:n]
	if code := codes.Code(b[0]); code != codes.OK {
		return true, 0, status.Error(code, string(b[1:]))
	}
	if len(b) < 9 {
		return true, 0, io.ErrUnexpectedEOF
	}
	return true, binary.BigEndian.Uint64(b[1:]), proto.Unmarshal(b[9:], res)
}

// exchange sends b and receives the answer into the lane's buffer. An answer that does not come within Deadline is
// context.DeadlineExceeded.
func (ln *lane) exchange(b []byte) (n int, err error) {
	for _, f := range []func() (int, error){
		func() (int, error) { return unix.Write(ln.fd, b) },
		func() (int, error) { return unix.Read(ln.fd, ln.buf[:LaneMax]) },
	} {
		for n, err = f(); errors.Is(err, unix.EINTR); n, err = f() {
		}
		switch {
		case errors.Is(err, unix.EAGAIN):
			return 0, context.DeadlineExceeded
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
	}
	return n, nil
}

// until is a context with a deadline whose timer starts only for who waits for it: a call by a lane has a limit of its own.
type until struct {
	context.Context
	limit  time.Time
	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc // nil: there is no timer
	breaks uint64             // the counter had sent so many before it answered
}

func (u *until) start() context.Context {
	u.once.Do(func() { u.timed, u.cancel = context.WithDeadline(u.Context, u.limit) })
	return u.timed
}

func (u *until) Deadline() (time.Time, bool) { return u.limit, true }
func (u *until) Done() <-chan struct{}       { return u.start().Done() }
func (u *until) Err() error                  { return u.start().Err() }

// over ends the timer. Nobody else uses u any more.
func (u *until) over() {
	if u.cancel != nil {
		u.cancel()
	}
}

// post is the counter's verbs: the frequent ones by a lane where one is free, all others by ttrpc.
type post struct {
	lockpb.CounterClient
	lanes *lanes
}

func by[A proto.Message, B any, PB interface {
	*B
	proto.Message
}](ctx context.Context, p post, v Verb, r A, otherwise func(lockpb.CounterClient, context.Context, A) (PB, error)) (PB, error) {
	res := PB(new(B))
	sent, breaks, err := p.lanes.call(v, r, res)
	if !sent {
		return otherwise(p.CounterClient, ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if u, ok := ctx.(*until); ok {
		u.breaks = breaks
	}
	return res, nil
}

func (p post) Open(ctx context.Context, r *lockpb.OpenRequest) (*lockpb.OpenResult, error) {
	return by(ctx, p, VerbOpen, r, lockpb.CounterClient.Open)
}

func (p post) Close(ctx context.Context, r *lockpb.CloseRequest) (*lockpb.CloseResult, error) {
	return by(ctx, p, VerbClose, r, lockpb.CounterClient.Close)
}

func (p post) Access(ctx context.Context, r *lockpb.AccessRequest) (*lockpb.Result, error) {
	return by(ctx, p, VerbAccess, r, lockpb.CounterClient.Access)
}

func (p post) Done(ctx context.Context, r *lockpb.DoneRequest) (*lockpb.Empty, error) {
	return by(ctx, p, VerbDone, r, lockpb.CounterClient.Done)
}

func (p post) Lock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Result, error) {
	return by(ctx, p, VerbLock, r, lockpb.CounterClient.Lock)
}

func (p post) Unlock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Result, error) {
	return by(ctx, p, VerbUnlock, r, lockpb.CounterClient.Unlock)
}

func (p post) Test(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Result, error) {
	return by(ctx, p, VerbTest, r, lockpb.CounterClient.Test)
}

func (p post) Cancel(ctx context.Context, r *lockpb.Ticket) (*lockpb.Verdict, error) {
	return by(ctx, p, VerbCancel, r, lockpb.CounterClient.Cancel)
}

func (p post) CancelLock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.Verdict, error) {
	return by(ctx, p, VerbCancelLock, r, lockpb.CounterClient.CancelLock)
}

func (p post) Acknowledge(ctx context.Context, r *lockpb.Ack) (*lockpb.Verdict, error) {
	return by(ctx, p, VerbAcknowledge, r, lockpb.CounterClient.Acknowledge)
}

func (p post) Disposition(ctx context.Context, r *lockpb.DispositionRequest) (*lockpb.Verdict, error) {
	return by(ctx, p, VerbDisposition, r, lockpb.CounterClient.Disposition)
}

func (p post) Changed(ctx context.Context, r *lockpb.Change) (*lockpb.Empty, error) {
	return by(ctx, p, VerbChanged, r, lockpb.CounterClient.Changed)
}
