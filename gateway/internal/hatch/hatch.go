package hatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// Counter is the lock manager as the hatches see it.
type Counter interface {
	Attach(door lock.Door, name string, sink func(lock.Event)) Seat
	Epoch() uint64
	GraceLeft() time.Duration
	EndGrace()
	NSMState() int32
	Hosts() []lockdb.Host
	Notified(name, address string, state int32) (freed bool)
	// Revoke takes away what f selects, or only says what it would, and returns it.
	Revoke(f lock.Filter, dry bool) lock.Snapshot
	// Denials are the latest requests that were refused, the latest last.
	Denials(f lock.Filter) []lock.Denial
	// Dismiss ends what an NFS host or an SMB client holds, and returns how much it was.
	Dismiss(c lock.Client) (held int)
}

// Seat is one door's seat at it.
type Seat interface {
	lock.Manager
	Detach()
	Mustered()
	Borrow()
	Returned(ctx context.Context, marks []uint32) error
	// Rested says that an open asks again.
	Rested(open uint64)
	// Breaks counts the breaks that the seat was ever told, those on their way included.
	Breaks() uint64
}

// Doors says whose hatches there are, and by which door each daemon comes.
var Doors = map[string]lock.Door{"fusefs": lock.Local, "lockd": lock.NLM, "statd": lock.NLM, "smbd": lock.SMB}

// Config is what the hatches need.
type Config struct {
	Dir     string      // of the sockets; must exist
	Mode    fs.FileMode // of the sockets; 0: 0600
	Counter Counter
	Trees   *ipc.Trees
	Log     *slog.Logger
	Version string // the program's, for people
	// Patience is how long a daemon may take to hand over its books, 5 s where 0. Then it loses its seat, and what it holds with it; it
	// presents that again when it comes back.
	Patience time.Duration
	// Find names the file at an absolute path, for the admin command; nil: none.
	Find func(path string) (lock.Key, error)
}

// House is the gateway's side of all hatches.
type House struct {
	Config
	started time.Time

	mu     sync.Mutex // guards the fields below
	doors  map[string]string
	visits map[string]*visit // by hatch: the connection that has said Hello
	left   []Seat            // whose connections ended because the gateway stops
}

// New returns the hatches, closed.
func New(c Config) *House {
	if c.Mode == 0 {
		c.Mode = 0o600
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Patience == 0 {
		c.Patience = 5 * time.Second
	}
	if c.Trees == nil {
		c.Trees = ipc.NewTrees(nil)
	}
	return &House{Config: c, started: time.Now(), doors: map[string]string{}, visits: map[string]*visit{}}
}

// Set says what the gateway itself serves: "nfs", "mount", "metrics" → HOST:PORT.
func (h *House) Set(doors map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doors = maps.Clone(doors)
}

// Serve opens all hatches and serves them until ctx ends; then it closes them.
func (h *House) Serve(ctx context.Context) error {
	var closers []io.Closer
	defer func() {
		for _, c := range closers {
			c.Close()
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	var starts []func()
	for _, name := range append(slices.Sorted(maps.Keys(Doors)), "admin") {
		l, err := h.listen("unix", name)
		if err != nil {
			return err
		}
		closers = append(closers, l)
		starts = append(starts, func() { g.Go(func() error { return h.serve(ctx, name, l, h.visit) }) })
	}
	for name := range Doors {
		l, err := h.listen("unixpacket", name+".lane")
		if err != nil {
			return err
		}
		closers = append(closers, l)
		starts = append(starts, func() { g.Go(func() error { return h.serve(ctx, name, l, h.lane) }) })
	}
	l, err := h.listen("unixpacket", "trees")
	if err != nil {
		return err
	}
	closers = append(closers, l)
	starts = append(starts, func() {
		g.Go(func() error {
			return ipc.ServeTrees(ctx, l, h.Trees, func(err error) { h.Log.Warn("trees connection ended", "err", err) })
		})
	})
	for _, start := range starts {
		start()
	}
	err = g.Wait()
	h.mu.Lock()
	left := h.left
	h.left = nil
	h.mu.Unlock()
	for _, s := range left {
		s.Detach()
	}
	return err
}

// listen opens one socket. A socket that a killed gateway left is replaced, one that somebody answers at is not.
func (h *House) listen(network, name string) (*net.UnixListener, error) {
	path := filepath.Join(h.Dir, name+".sock")
	if c, err := net.DialTimeout(network, path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("hatch: %s: another gateway serves it", path)
	} else if errors.Is(err, unix.ECONNREFUSED) {
		os.Remove(path)
	}
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		return nil, fmt.Errorf("hatch: %w", err)
	}
	// Between bind and chmod the umask decides; who connects then is still asked for credentials.
	if err := os.Chmod(path, h.Mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("hatch: %w", err)
	}
	return l, nil
}

// serve accepts at one hatch until ctx ends, and waits for its connections.
func (h *House) serve(ctx context.Context, name string, l *net.UnixListener, conn func(context.Context, string, *net.UnixConn)) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.AcceptUnix()
		switch {
		case err == nil:
			conns.Go(func() { conn(ctx, name, c) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ECONNABORTED):
			h.Log.Error("hatch cannot accept", "hatch", name, "err", err)
			time.Sleep(100 * time.Millisecond)
		default:
			return fmt.Errorf("hatch: %s: %w", name, err)
		}
	}
}

// Status tells how the gateway is.
func (h *House) Status() ipc.Status {
	s := ipc.Status{Version: h.Version, Epoch: h.Counter.Epoch(), Started: h.started, Grace: h.Counter.GraceLeft(), Trees: h.Trees.List()}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Daemons = append(s.Daemons, ipc.Daemon{Name: "gateway", PID: int32(os.Getpid()), Since: h.started, Doors: maps.Clone(h.doors)})
	for _, name := range slices.Sorted(maps.Keys(Doors)) {
		d := ipc.Daemon{Name: name}
		if v := h.visits[name]; v != nil {
			d.PID, d.Since, d.Doors = v.pid, v.since, maps.Clone(v.doors)
		}
		s.Daemons = append(s.Daemons, d)
	}
	return s
}

// Sessions lists the SMB sessions, in the order in which they began.
func (h *House) Sessions() []ipc.Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []ipc.Session
	for _, v := range h.visits {
		all = slices.AppendSeq(all, maps.Values(v.sessions))
	}
	slices.SortFunc(all, func(a, b ipc.Session) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return int(min(max(int64(a.ID)-int64(b.ID), -1), 1))
	})
	return all
}
