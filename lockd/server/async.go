package server

import (
	"context"
	"slices"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
	"dittofs/lockd/nlm"
)

// The asynchronous forms, XNFS chapter 10: the _MSG call has an empty reply, and its result travels back as the matching _RES call.

// maxSending bounds the _RES calls under way; a client that misses one asks again.
const maxSending = 256

// unheard makes a function of the synchronous form one that does not care when its result is out.
func unheard[A, R any](f func(ctx context.Context, p peer, a *A) *R) func(ctx context.Context, p peer, a *A) (*R, func()) {
	return func(ctx context.Context, p peer, a *A) (*R, func()) { return f(ctx, p, a), nil }
}

// message makes a _MSG procedure of f, whose result is sent by the procedure number res.
func message[A, R any, PA messagePointer[A], PR messagePointer[R]](s *Server, name string, v nlm.Version, res uint32,
	f func(ctx context.Context, p peer, a *A) (*R, func())) oncrpc.Proc {
	return callProc[A, nlm.Void, PA](name, v, func(ctx context.Context, c *oncrpc.Call, a *A) *nlm.Void {
		p := peerOf(c, v)
		p.async = true
		r, sent := f(ctx, p, a)
		PR(r).SetVersion(v)
		b, err := xdr.Marshal(nil, PR(r)) // now: the cookie lies in the call's record
		if err == nil && s.startSending() {
			s.later(func(ctx context.Context) {
				defer s.stopSending()
				s.send(ctx, p, res, b)
				if sent != nil {
					sent()
				}
			})
		}
		return &nlm.Void{}
	})
}

func (s *Server) startSending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending >= maxSending {
		return false
	}
	s.sending++
	return true
}

func (s *Server) stopSending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending--
}

// ready is a message that was encoded before.
type ready []byte

func (r ready) XDR(x *xdr.Stream) { *x = xdr.Encoder(slices.Concat(x.Bytes(), r)) }

// send calls the client's lock manager with a result. The empty reply of that call is not waited for longer than one try.
func (s *Server) send(ctx context.Context, p peer, proc uint32, b []byte) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Try)
	defer cancel()
	c, err := s.dial(ctx, p)
	if err == nil {
		defer c.Close()
		err = c.Call(ctx, nlm.Program, uint32(p.version), proc, root, ready(b), &xdr.Void{})
	}
	if err != nil {
		s.log.Debug("result not sent", "to", p.addr, "proc", proc, "err", err)
	}
}

// unasked takes a _RES that nobody here waits for: we send no _MSG but GRANTED_MSG.
func unasked(name string) oncrpc.Proc {
	return oncrpc.Proc{Name: name, Call: func(ctx context.Context, c *oncrpc.Call, args, res *xdr.Stream) error { return nil }}
}
