package mount3

import (
	"context"
	"log/slog"
	"time"

	"dittofs/gateway/export"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// Config is what the server stands on.
type Config struct {
	Exports *export.Set
	Log     *slog.Logger
	Wait    time.Duration // how long MNT waits for a tree that is away: it knows no JUKEBOX; 5 s
}

// Server answers MOUNT.
type Server struct {
	exports *export.Set
	log     *slog.Logger
	wait    time.Duration
	mounts  list
}

// New returns a server that nobody has mounted from.
func New(c Config) *Server {
	s := &Server{exports: c.Exports, log: c.Log, wait: c.Wait}
	if s.wait <= 0 {
		s.wait = 5 * time.Second
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Limits, RFC 1813 Appendix I.3. A path that is too long is an answer, so more is decoded than is allowed.
const (
	pathLen    = 1024
	nameLen    = 255
	decodePath = 1 << 16
)

// Programs are MOUNT_PROGRAM in versions 3 and 1.
func Programs(s *Server) []*oncrpc.Program {
	return []*oncrpc.Program{
		{Name: "mount3", Number: 100005, Version: 3, Procs: s.procs(oncrpc.Handle("MNT", s.mnt))},
		{Name: "mount1", Number: 100005, Version: 1, Procs: s.procs(oncrpc.Proc{Name: "MNT"})},
	}
}

func (s *Server) procs(mnt oncrpc.Proc) []oncrpc.Proc {
	return []oncrpc.Proc{
		0: oncrpc.Handle("NULL", func(context.Context, *oncrpc.Call, *xdr.Void) (*xdr.Void, error) { return &xdr.Void{}, nil }),
		1: mnt,
		2: oncrpc.Handle("DUMP", s.dump),
		3: oncrpc.Handle("UMNT", s.umnt),
		4: oncrpc.Handle("UMNTALL", s.umntall),
		5: oncrpc.Handle("EXPORT", s.export),
	}
}

// each moves a linked list: a flag before each entry, and one that tells that no more follow. RFC 4506 §4.19.
func each[T any, P interface {
	*T
	xdr.Value
}](x *xdr.Stream, v *[]T) {
	if x.Decoding() {
		*v = nil
	}
	for i := 0; ; i++ {
		more := i < len(*v)
		if x.Bool(&more); !more || x.Err() != nil {
			return
		}
		if x.Decoding() {
			*v = append(*v, *new(T))
		}
		P(&(*v)[i]).XDR(x)
	}
}
