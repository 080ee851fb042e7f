package nfs3

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/gateway/oncrpc"
)

// Config is what the server stands on.
type Config struct {
	Exports *export.Set
	Locks   *seat.Seat
	Going   func(lock.Key) bool // whether a file is delete pending; nil: none ever is
	Hold    time.Duration       // how long a call waits for caching rights to be given back
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Server answers NFS version 3.
type Server struct {
	exports  *export.Set
	locks    *seat.Seat
	going    func(lock.Key) bool
	hold     time.Duration
	log      *slog.Logger
	metrics  *metrics
	verifier atomic.Pointer[[WriteVerfSize]byte]
	names    names
}

// New returns a server with a new write verifier.
func New(c Config) *Server {
	s := &Server{exports: c.Exports, locks: c.Locks, hold: c.Hold, log: c.Log, metrics: newMetrics(c.Metrics)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.going = c.Going; s.going == nil {
		s.going = func(lock.Key) bool { return false }
	}
	s.newVerifier()
	return s
}

// newVerifier makes clients send again what they wrote unstable: at each start, and when the disk may have lost some. RFC 1813 §3.3.7.
func (s *Server) newVerifier() {
	var v [WriteVerfSize]byte
	rand.Read(v[:])
	s.verifier.Store(&v)
}

// place is a file, the user who came to it, and on what terms.
type place struct {
	*export.File
	cred  export.Cred
	terms *export.Terms
}

// resolve opens the file of a handle for the caller, who may come in there. Release it.
func (s *Server) resolve(ctx context.Context, c *oncrpc.Call, fh FileHandle) (place, error) {
	f, err := s.exports.Open(fh)
	if err != nil {
		return place{}, err
	}
	terms, err := f.Export().Admit(ctx, c.Remote)
	if err != nil {
		f.Release()
		return place{}, err
	}
	sec, known := "sys", c.Flavor == oncrpc.FlavorSys
	if c.Flavor == oncrpc.FlavorGSS {
		sec, known = c.Service.String(), c.Known
	}
	if !terms.Takes(sec) { // RFC 2623 §2.3.2; a client that came in by MNT knows the flavors
		f.Release()
		return place{}, ErrAcces
	}
	cred := export.Cred{UID: c.Sys.UID, GID: c.Sys.GID, Groups: c.Sys.GIDs}
	if sec == "sys" && known {
		if cred, err = s.exports.Groups.Whole(ctx, cred, c.Quick); err != nil {
			f.Release()
			return place{}, err
		}
	}
	return place{f, terms.As(cred, known), terms}, nil
}

// at is the place of another file of the same export.
func (p place) at(f *export.File) place { return place{f, p.cred, p.terms} }

// forChange is resolve for an operation that changes something, for which a disk must be waited for if there is one.
func (s *Server) forChange(ctx context.Context, c *oncrpc.Call, fh FileHandle) (place, error) {
	p, err := s.resolve(ctx, c, fh)
	switch {
	case err != nil:
	case c.Quick && !p.InMemory():
		err = errLater
	case p.terms.ReadOnly:
		err = ErrROFS
	default:
		return p, nil
	}
	if p.File != nil {
		p.Release()
	}
	return place{}, err
}

func noDone(bool) {}

// admit asks the counter. done is never nil.
func (s *Server) admit(ctx context.Context, c *oncrpc.Call, p place, f *export.File, op lock.Op, offset, length uint64) (done func(changed bool), err error) {
	owner := lock.Owner{Client: lock.Client{Door: lock.NFS, Name: s.names.of(c.Remote.Addr())}, PID: int32(p.cred.UID)}
	hold := s.hold
	if c.Quick {
		hold = 0
	}
	res, done, err := s.locks.Access(ctx, lock.AccessRequest{Key: f.Key, Owner: owner, Op: op, Offset: offset, Length: length}, hold, nil)
	if err != nil {
		s.log.Warn("the counter cannot be asked", "op", op, "err", err)
		return noDone, ErrJukebox
	}
	if c.Quick && res.Outcome == lock.TimedOut {
		return done, errLater
	}
	if st := outcomeOf(op, res.Outcome); st != OK {
		return done, st
	}
	return done, nil
}

// tell tells the other doors what happened to a name.
func (s *Server) tell(ctx context.Context, ch lock.Change) {
	ch.By = lock.NFS
	if err := s.locks.Changed(context.WithoutCancel(ctx), ch); err != nil {
		s.log.Warn("the other doors cannot be told", "action", ch.Action, "err", err)
	}
}

// mayIO asks for one of the given modes of access to a file's data. Its owner may always read and write, as an open that was made
// before the mode changed could. RFC 1813 §4.4.
func (p place) mayIO(a *export.Attr, modes ...uint32) (err error) {
	if !a.IsRegular() {
		return ErrInval
	}
	if p.cred.UID == a.UID {
		return nil
	}
	for _, m := range modes {
		if err = p.May(p.cred, m, a); err == nil {
			return nil
		}
	}
	return err
}

// asUser runs f, which changes a file's data through the superuser's descriptor, as the user only where the kernel then does more:
// it takes the set-uid and set-gid bits away.
func (p place) asUser(a *export.Attr, f func() error) error {
	if a.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return f()
	}
	return export.As(p.cred, f)
}

// durable makes the file and its attributes durable, unless the client's terms are asynchronous.
func (p place) durable(a *export.Attr) error {
	if p.terms.Async {
		return nil
	}
	return p.Sync(a)
}

// names keeps the printed form of the addresses that come.
type names struct {
	mu   sync.RWMutex // guards of
	byIP map[netip.Addr]string
}

func (n *names) of(a netip.Addr) string {
	n.mu.RLock()
	s, ok := n.byIP[a]
	n.mu.RUnlock()
	if ok {
		return s
	}
	s = a.Unmap().String()
	n.mu.Lock()
	if n.byIP == nil || len(n.byIP) >= 4096 {
		n.byIP = map[netip.Addr]string{}
	}
	n.byIP[a] = s
	n.mu.Unlock()
	return s
}
