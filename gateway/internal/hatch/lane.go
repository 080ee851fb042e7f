package hatch

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"dittofs/gateway/ipc"
)

// The gateway's side of ipc's lanes. Who reads at one blocks its thread, so that an answer costs two system calls and wakes nobody else.

// laneVerbs are the verbs that come by a lane.
var laneVerbs = [...]func(v *visit, ctx context.Context, in, out []byte) ([]byte, error){
	ipc.VerbOpen:        on((*visit).Open),
	ipc.VerbClose:       on((*visit).Close),
	ipc.VerbAccess:      on((*visit).Access),
	ipc.VerbDone:        on((*visit).Done),
	ipc.VerbLock:        on((*visit).Lock),
	ipc.VerbUnlock:      on((*visit).Unlock),
	ipc.VerbTest:        on((*visit).Test),
	ipc.VerbCancel:      on((*visit).Cancel),
	ipc.VerbCancelLock:  on((*visit).CancelLock),
	ipc.VerbAcknowledge: on((*visit).Acknowledge),
	ipc.VerbDisposition: on((*visit).Disposition),
	ipc.VerbChanged:     on((*visit).Changed),
}

// on reads a verb's message from in and appends its answer's to out.
func on[A any, PA interface {
	*A
	proto.Message
}, B proto.Message](verb func(*visit, context.Context, PA) (B, error)) func(*visit, context.Context, []byte, []byte) ([]byte, error) {
	return func(v *visit, ctx context.Context, in, out []byte) ([]byte, error) {
		a := PA(new(A))
		if err := proto.Unmarshal(in, a); err != nil {
			v.reject(err)
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		b, err := verb(v, ctx, a)
		if err != nil {
			return nil, err
		}
		return proto.MarshalOptions{}.MarshalAppend(out, b)
	}
}

// openLanes lets lanes come, and returns their token.
func (v *visit) openLanes() []byte {
	v.house.mu.Lock()
	defer v.house.mu.Unlock()
	v.token = make([]byte, 16)
	rand.Read(v.token)
	return v.token
}

// closeLanes ends them, and what waits in them.
func (v *visit) closeLanes() {
	v.house.mu.Lock()
	defer v.house.mu.Unlock()
	v.token = nil
	for f, cancel := range v.lanes {
		hangup(f)
		cancel()
	}
}

// lanesMax bounds the lanes of one visit: twice what a Client opens.
const lanesMax = 64

// seatOf finds the visit whose token a lane brings, and counts the lane in.
func (h *House) seatOf(hatch string, token []byte, f *os.File, cancel func()) *visit {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.visits[hatch]
	if v == nil || v.token == nil || subtle.ConstantTimeCompare(v.token, token) != 1 || len(v.lanes) >= lanesMax {
		return nil
	}
	v.lanes[f] = cancel
	return v
}

// lane serves one lane to its end.
func (h *House) lane(ctx context.Context, hatch string, c *net.UnixConn) {
	defer c.Close()
	if _, err := ipc.Peer(c); err != nil {
		h.Log.Warn("lane stays closed", "hatch", hatch, "err", err)
		return
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	in, out := make([]byte, ipc.LaneMax+1), make([]byte, 0, 512)
	c.SetReadDeadline(time.Now().Add(ipc.Deadline))
	n, err := c.Read(in)
	if err != nil {
		return
	}
	f, err := blocking(c)
	if err != nil {
		h.Log.Warn("lane stays closed", "hatch", hatch, "err", err)
		return
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { hangup(f) })()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := h.seatOf(hatch, in[:n], f, cancel)
	if v == nil {
		h.Log.Warn("lane stays closed", "hatch", hatch, "err", "its token is nobody's")
		return
	}
	defer func() {
		h.mu.Lock()
		delete(v.lanes, f)
		h.mu.Unlock()
	}()
	for {
		if n, err = f.Read(in); err != nil {
			return
		}
		if out, err = v.answer(ctx, in[:n], out[:0]); err != nil {
			v.reject(err)
			return
		}
		if _, err = f.Write(out); err != nil {
			return
		}
	}
}

// blocking takes the socket of c out of the runtime's poller. c is closed.
func blocking(c *net.UnixConn) (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	cerr := raw.Control(func(s uintptr) {
		if err = unix.SetNonblock(int(s), false); err == nil {
			fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if err = errors.Join(cerr, err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "lane"), c.Close()
}

// hangup ends a lane; whoever reads there finds its end.
func hangup(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}

// answer appends the answer to one request to out. An error is the end of the connection.
func (v *visit) answer(ctx context.Context, in, out []byte) ([]byte, error) {
	if len(in) == 0 || len(in) > ipc.LaneMax || int(in[0]) >= len(laneVerbs) || laneVerbs[in[0]] == nil {
		return nil, status.Errorf(codes.InvalidArgument, "a lane's request of %d bytes", len(in))
	}
	b, err := v.safely(ctx, in, append(out, make([]byte, 1+8)...))
	if err == nil && len(b) > ipc.LaneMax {
		err = status.Errorf(codes.ResourceExhausted, "an answer of %d bytes", len(b))
	}
	if err != nil {
		s, ok := status.FromError(err)
		if !ok {
			s = status.FromContextError(err)
		}
		return append(append(out[:0], byte(s.Code())), s.Message()...), nil
	}
	b[0] = byte(codes.OK)
	binary.BigEndian.PutUint64(b[1:], v.breaks())
	return b, nil
}

// breaks counts those that the seat was ever told, or is being told.
func (v *visit) breaks() uint64 {
	s, rise, err := v.sit()
	if err != nil {
		return 0
	}
	defer rise()
	return s.Breaks()
}

func (v *visit) safely(ctx context.Context, in, out []byte) (b []byte, err error) {
	defer v.rescue("/dittofs.ipc.Counter/"+ipc.Verb(in[0]).String(), &err)
	return laneVerbs[in[0]](v, ctx, in[1:], out)
}
