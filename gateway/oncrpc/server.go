package oncrpc

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"dittofs/gateway/xdr"
)

// Config is what a server may be told; zero values select the defaults.
type Config struct {
	Log         *slog.Logger
	Metrics     prometheus.Registerer
	MaxRecord   int           // bytes of one record; 1 MiB + 64 KiB
	MaxInFlight int           // calls that run at once for one connection, or one UDP socket; 64 and 256
	MaxConns    int           // 1,024; never more than half of the process's descriptors
	IdleTimeout time.Duration // a connection without calls is closed; 6 minutes
	CacheSize   int           // finished calls in the duplicate request cache; 4,096
	Security    Security      // RPCSEC_GSS; nil: refused
}

// Server answers calls to its programs.
type Server struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	programs map[uint32][]*Program // by number
	procs    map[*Program][]procMetrics
	cache    *cache
	pool     sync.Pool // of *exchange
	conns    chan struct{}
	places   *places
	quiet    quiet
}

// NewServer returns a server of programs.
func NewServer(cfg Config, programs ...*Program) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&cfg.MaxRecord, DefaultMaxRecord)
	set(&cfg.MaxConns, 1024)
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil {
		cfg.MaxConns = int(min(uint64(cfg.MaxConns), max(16, r.Cur/2)))
	}
	set(&cfg.CacheSize, 4096)
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = 6 * time.Minute
	}
	s := &Server{cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Metrics), programs: map[uint32][]*Program{},
		procs: map[*Program][]procMetrics{}, cache: newCache(cfg.CacheSize), conns: make(chan struct{}, cfg.MaxConns), places: newPlaces()}
	s.pool.New = func() any { return &exchange{server: s} }
	for _, p := range programs {
		s.programs[p.Number] = append(s.programs[p.Number], p)
		ms := make([]procMetrics, len(p.Procs))
		for i, proc := range p.Procs {
			if proc.Call != nil {
				ms[i] = procMetrics{ok: s.metrics.calls.WithLabelValues(p.Name, proc.Name, Success.String()),
					seconds: s.metrics.seconds.WithLabelValues(p.Name, proc.Name)}
			}
		}
		s.procs[p] = ms
	}
	return s
}

// exchange is one call and its reply. It is reused.
type exchange struct {
	Call
	server *Server
	later  bool // it was not quick
	header callHeader
	record record
	args   xdr.Stream
	res    xdr.Stream
	out    []byte // four bytes for the record mark, then the reply
	vec    [3][]byte
	seal   Protector // of a call that came with RPCSEC_GSS
	oob    []byte    // UDP: the control message that sends the reply from where the call went
}

func (s *Server) exchange() *exchange {
	x := s.pool.Get().(*exchange)
	x.record.reset()
	return x
}

// free ends the exchange: only now may what the record holds, or the tail, go.
func (x *exchange) free() {
	if x.Release != nil {
		x.Release()
	}
	x.lighten()
	x.Call = Call{}
	x.header, x.args, x.res, x.vec, x.seal = callHeader{}, xdr.Stream{}, xdr.Stream{}, [3][]byte{}, nil
	x.record.free()
	if cap(x.out) > 2*midRecord {
		x.out = nil
	}
	x.server.pool.Put(x)
}

// credentials remembers the last credential of a connection, which most calls repeat.
type credentials struct {
	raw []byte
	sys AuthSys
}

func (k *credentials) sysOf(body []byte) (AuthSys, error) {
	if k.raw != nil && string(k.raw) == string(body) {
		return k.sys, nil
	}
	var sys AuthSys
	if err := xdr.Unmarshal(body, &sys); err != nil {
		return sys, err
	}
	k.raw, k.sys = append([]byte{}, body...), sys
	return sys, nil
}

// admit reads the call's header and finds its procedure. ready: it is to run. Otherwise the reply that refuses it stands in x.out. An
// error means that the record is no call.
func (x *exchange) admit(known *credentials) (ready bool, err error) {
	s := x.server
	x.args = xdr.Decoder(x.record.data)
	if err := x.header.parse(&x.args); err != nil {
		return false, err
	}
	h := &x.header
	x.XID, x.Procedure, x.Flavor = h.XID, h.Proc, h.Cred.Flavor
	x.out = append(x.out[:0], 0, 0, 0, 0)
	if h.RPC != rpcVersion {
		x.out = appendRPCMismatch(x.out, h.XID)
		return false, nil
	}
	versions := s.programs[h.Program]
	if len(versions) == 0 {
		x.out = appendAccepted(x.out, h.XID, ProgUnavail)
		return false, nil
	}
	low, high := versions[0].Version, versions[0].Version
	for _, p := range versions {
		low, high = min(low, p.Version), max(high, p.Version)
		if p.Version == h.Version {
			x.Program = p
		}
	}
	switch {
	case x.Program == nil:
		x.out = appendWords(appendAccepted(x.out, h.XID, ProgMismatch), low, high)
		return false, nil
	case h.Proc >= uint32(len(x.Program.Procs)) || x.Program.Procs[h.Proc].Call == nil:
		x.out = appendAccepted(x.out, h.XID, ProcUnavail)
		return false, nil
	}
	switch {
	case h.Cred.Flavor == FlavorSys:
		x.Sys, err = known.sysOf(h.Cred.Body)
		if err != nil && h.Proc != 0 {
			x.out = appendAuthError(x.out, h.XID, AuthBadCred)
			return false, nil
		}
	case h.Cred.Flavor == FlavorGSS && s.cfg.Security != nil: // opened when it runs
	case h.Cred.Flavor != FlavorNone && h.Proc != 0: // procedure 0 takes any flavor, RFC 5531 §12.1
		x.out = appendAuthError(x.out, h.XID, AuthRejectedCred)
		return false, nil
	}
	return true, nil
}

// quick runs an admitted call in turn. done: it is answered, or to be dropped; else it must run on its own.
func (x *exchange) quick(ctx context.Context) (send, done bool) {
	if !x.Program.Procs[x.Procedure].Quick || x.Flavor == FlavorGSS {
		return false, false
	}
	args := x.args
	x.Quick, x.later = true, false
	if send = x.run(ctx); x.later {
		x.args, x.Quick = args, false
		return false, false
	}
	return send, true
}

// run answers an admitted call, and reports whether x.out is to be sent.
func (x *exchange) run(ctx context.Context) (send bool) {
	s := x.server
	proc := &x.Program.Procs[x.Procedure]
	if x.Flavor == FlavorGSS && s.cfg.Security != nil {
		if run, send := x.secure(); !run {
			return send
		}
		defer func() { send = send && x.protect(true) }()
	}
	var key cacheKey
	if proc.Once {
		key = keyOf(&x.Call, x.args.Bytes())
		reply, fresh := s.cache.begin(key, time.Now())
		if !fresh {
			s.metrics.duplicates.Inc()
			x.out = append(x.out[:4], reply...)
			return reply != nil
		}
	}
	began := time.Now()
	stat, send := x.call(ctx, proc)
	if x.later && x.Quick {
		if proc.Once {
			s.cache.forget(key)
		}
		return false
	}
	took := time.Since(began)
	m := &s.procs[x.Program][x.Procedure]
	m.seconds.Observe(took.Seconds())
	if stat == Success {
		m.ok.Inc()
	} else {
		s.metrics.calls.WithLabelValues(x.Program.Name, proc.Name, stat.String()).Inc()
	}
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.Debug("call", "program", x.Program.Name, "proc", proc.Name, "xid", x.XID, "from", x.Remote, "uid", x.Sys.UID,
			"result", stat.String(), "bytes", len(x.out)+len(x.Tail), "took", took)
	}
	if proc.Once {
		if send && stat == Success && x.Tail == nil {
			s.cache.finish(key, x.out[4:], time.Now())
		} else {
			s.cache.forget(key)
		}
	}
	return send
}

// call runs the handler. A panic in it is SYSTEM_ERR to the caller and a stack in the log.
func (x *exchange) call(ctx context.Context, proc *Proc) (stat AcceptStat, send bool) {
	defer func() {
		if p := recover(); p != nil {
			x.server.log.Error("panic", "program", x.Program.Name, "proc", proc.Name, "from", x.Remote, "panic", p, "stack", string(debug.Stack()))
			stat, send = x.refuse(SystemErr), true
		}
	}()
	x.res = xdr.Encoder(appendAccepted(x.out[:4], x.XID, Success))
	err := proc.Call(ctx, &x.Call, &x.args, &x.res)
	x.out = x.res.Bytes()
	switch {
	case err == nil:
		return Success, true
	case x.Quick && errors.Is(err, ErrLater):
		x.later = true
		return Success, false
	case errors.Is(err, ErrNoReply):
		return Success, false
	case errors.Is(err, ErrGarbage):
		return x.refuse(GarbageArgs), true
	case errors.Is(err, ErrTooWeak):
		x.Tail = nil
		x.out = appendAuthError(x.out[:4], x.XID, AuthTooWeak)
		return SystemErr, true
	}
	if ctx.Err() == nil {
		x.server.log.Error("call failed", "program", x.Program.Name, "proc", proc.Name, "from", x.Remote, "err", err)
	}
	return x.refuse(SystemErr), true
}

func (x *exchange) refuse(stat AcceptStat) AcceptStat {
	x.Tail = nil
	x.out = appendAccepted(x.out[:4], x.XID, stat)
	return stat
}

// quiet lets one log line a minute through for each host, so that a stream of bad datagrams does not fill the disk.
type quiet struct {
	mu   sync.Mutex // guards last
	last map[netip.Addr]time.Time
}

func (q *quiet) allow(host netip.Addr) bool {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if t, ok := q.last[host]; ok && now.Sub(t) < time.Minute {
		return false
	}
	if q.last == nil || len(q.last) > 1000 {
		q.last = map[netip.Addr]time.Time{}
	}
	q.last[host] = now
	return true
}
