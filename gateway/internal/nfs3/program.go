package nfs3

import (
	"context"
	"sync"

	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// Program is NFS_PROGRAM, NFS_V3, RFC 1813 §3. What must not run twice for one call is marked: a repeated GUARDED CREATE or REMOVE would
// report a failure of what succeeded.
func Program(s *Server) *oncrpc.Program {
	return &oncrpc.Program{Name: "nfs3", Number: 100003, Version: 3, Procs: []oncrpc.Proc{
		0: oncrpc.Handle("NULL", func(context.Context, *oncrpc.Call, *xdr.Void) (*xdr.Void, error) { return &xdr.Void{}, nil }),

		1:  hot(s, "GETATTR", quick, s.getattr),
		2:  proc(s, "SETATTR", once|quick, s.setattr),
		3:  hot(s, "LOOKUP", quick, s.lookup),
		4:  hot(s, "ACCESS", quick, s.access),
		5:  proc(s, "READLINK", often, s.readlink),
		6:  hot(s, "READ", quick, s.read),
		7:  hot(s, "WRITE", once|quick, s.write),
		8:  proc(s, "CREATE", once|quick, s.create),
		9:  proc(s, "MKDIR", once|quick, s.mkdir),
		10: proc(s, "SYMLINK", once, s.symlink),
		11: proc(s, "MKNOD", once, s.mknod),
		12: proc(s, "REMOVE", once|quick, s.remove),
		13: proc(s, "RMDIR", once|quick, s.rmdir),
		14: proc(s, "RENAME", once, s.rename),
		15: proc(s, "LINK", once, s.link),
		16: proc(s, "READDIR", often, s.readdir),
		17: hot(s, "READDIRPLUS", often, s.readdirplus),
		18: proc(s, "FSSTAT", quick, s.fsstat),
		19: proc(s, "FSINFO", quick, s.fsinfo),
		20: proc(s, "PATHCONF", quick, s.pathconf),
		21: proc(s, "COMMIT", quick, s.commit),
	}}
}

// repeat is how a procedure may run.
type repeat uint8

const (
	often repeat = 0
	quick repeat = 1 << iota // in turn; it is errLater where it would have to wait
	once                     // not twice for one call
)

// result is any procedure's result: a union over its status.
type result interface {
	xdr.Value
	status() Status
}

// hot is proc for what is called most: f fills a result that is used again, as are the arguments, so that a call costs no memory.
func hot[A, R any, PA interface {
	*A
	xdr.Value
}, PR interface {
	*R
	result
}](s *Server, name string, r repeat, f func(context.Context, *oncrpc.Call, *A) R) oncrpc.Proc {
	type pair struct {
		args A
		res  R
	}
	count := s.metrics.counter(name)
	pairs := sync.Pool{New: func() any { return new(pair) }}
	return oncrpc.Proc{Name: name, Once: r&once != 0, Quick: r&quick != 0, Call: func(ctx context.Context, c *oncrpc.Call, args, out *xdr.Stream) error {
		p := pairs.Get().(*pair)
		defer func() {
			*p = pair{}
			pairs.Put(p)
		}()
		PA(&p.args).XDR(args)
		if args.End() != nil {
			return oncrpc.ErrGarbage
		}
		p.res = f(ctx, c, &p.args)
		if PR(&p.res).status() == errLater {
			return oncrpc.ErrLater
		}
		count(PR(&p.res).status())
		PR(&p.res).XDR(out)
		return out.Err()
	}}
}

// proc makes a procedure of a handler and counts its answers by status.
func proc[A, R any, PA interface {
	*A
	xdr.Value
}, PR interface {
	*R
	result
}](s *Server, name string, r repeat, f func(context.Context, *oncrpc.Call, *A) PR) oncrpc.Proc {
	count := s.metrics.counter(name)
	p := oncrpc.Handle[A, R, PA, PR](name, func(ctx context.Context, c *oncrpc.Call, a *A) (*R, error) {
		r := f(ctx, c, a)
		if r.status() == errLater {
			return nil, oncrpc.ErrLater
		}
		count(r.status())
		return (*R)(r), nil
	})
	p.Once, p.Quick = r&once != 0, r&quick != 0
	return p
}
