// Package lockmgr is the counter: it keeps one lock.Table for each file, lets every door ask the law at it, and performs what the law says.
//
// How to read: manager.go has the files and the shape of every verb, verbs.go the verbs, seat.go a door's seat and its queue of events,
// grace.go the restart, hosts.go who is monitored, deadlock.go the wait-for graph, marks.go the quiet marks, eases.go reading and writing that
// asks nobody.
//
// Lock order: file.mu, then Manager.mu, then Seat.mu or Seat.qmu; shard.mu is taken by itself or under nothing. marks.mu comes after
// file.mu and before Seat.mu or Seat.qmu. deadlocks is taken before file.mu. No mutex is held while the vault is waited for or a sink is called.
package lockmgr

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/lock"
)

// Config is the settings of a Manager. Limits of 0 are none.
type Config struct {
	RangesPerFile   int
	RangesPerClient int
	Ranges          int
	WaitersPerFile  int
	Grace           time.Duration
	BreakTimeout    time.Duration // how long a break waits for its acknowledgement; 35 s where 0
	UnlinkOpen      string        // "deny" or "unix"
	BrlRead         string        // "deny" or "unix"
	// Resolve finds the file of a handle, for doors that cannot, and judges whether by, where it is not nil, may lock it. An outcome that
	// is not 0 refuses. named: for people the path too, where it is known.
	Resolve func(ctx context.Context, fh []byte, by *lock.Caller, named bool) (lock.Key, string, lock.Outcome)
	// Unlink removes the name of a file that was delete pending when its last open died with its door or client; path is the last known.
	Unlink func(k lock.Key, path string)
	// Expect names the seats that present what they hold after a restart; new requests wait for them, Muster at most (2 s where 0).
	Expect []string
	Muster time.Duration
}

// Manager is the counter.
type Manager struct {
	cfg     Config
	vault   lockdb.Vault
	log     *slog.Logger
	metrics *metrics
	denials *denials
	epoch   uint64

	shards [64]shard
	marks  marks
	going  going
	turn   atomic.Uint64
	seatN  atomic.Uint64
	verbs  sync.Pool // *lock.Verb, without effects

	musterOver chan struct{} // closed when new requests may be admitted
	ready      sync.Once

	deadlocks sync.Mutex // one search at a time
	waiting   atomic.Int64
	unclaimed atomic.Int64 // ranges that nobody has reclaimed yet, about

	mu        sync.Mutex // guards the fields below
	seats     map[uint64]*Seat
	expect    map[string]bool
	perClient map[lock.Client]int
	ranges    int
	leaseKeys map[leaseKey]lock.Key
	durables  map[uint64]lock.Key // by number
	hosts     map[string]*host
	graceEnds time.Time // zero: no grace
	// returning are, in the grace after a crash of the host that may have taken records, the NLM clients on record and their addresses: they may
	// have held more than is on record. Else nil.
	returning map[string]string
}

type leaseKey struct{ client, key lock.GUID }

// shard has the files whose keys fall into it, by the hash of the key: there are many, and a key is three times as long. Those of one hash
// hang on each other.
type shard struct {
	mu    sync.Mutex // guards the fields below, and each file's refs and next
	files map[uint64]*file
	free  []*file
}

// find is the file of k, whose hash is h, or nil.
func (s *shard) find(k lock.Key, h uint64) *file {
	f := s.files[h]
	for f != nil && f.t.Key != k {
		f = f.next
	}
	return f
}

// remove takes f, whose hash is h, out.
func (s *shard) remove(f *file, h uint64) {
	first := s.files[h]
	switch {
	case first == f && f.next == nil:
		delete(s.files, h)
	case first == f:
		s.files[h] = f.next
	default:
		for first.next != f {
			first = first.next
		}
		first.next = f.next
	}
	f.next = nil
}

// file is one table with its mutex.
type file struct {
	mu   sync.Mutex // guards the fields below
	t    lock.Table // its Verb is there while somebody asks
	seq  uint64     // the last that was appended to the vault for this file
	refs int32      // guarded by the shard's mu
	next *file      // of the same hash; guarded by the shard's mu
	// network: the file counts as one with opens of SMB or NLM.
	network bool
	// going: the file is delete pending, and Manager.going has it.
	going bool
	ease  *ease // nil: no open has asked for what could be at ease
}

// New returns the counter over what the last run left. Run must be called.
func New(cfg Config, start lockdb.Start, v lockdb.Vault, log *slog.Logger, reg prometheus.Registerer) *Manager {
	if cfg.BreakTimeout == 0 {
		cfg.BreakTimeout = 35 * time.Second
	}
	if cfg.Muster == 0 {
		cfg.Muster = 2 * time.Second
	}
	m := &Manager{cfg: cfg, vault: v, log: log, epoch: start.Epoch, musterOver: make(chan struct{}),
		seats: map[uint64]*Seat{}, expect: map[string]bool{}, perClient: map[lock.Client]int{}, leaseKeys: map[leaseKey]lock.Key{}, durables: map[uint64]lock.Key{}, hosts: map[string]*host{}}
	rules := lock.Rules{UnlinkUnix: cfg.UnlinkOpen == "unix", ReadUnix: cfg.BrlRead == "unix", RangesPerFile: cfg.RangesPerFile, WaitersPerFile: cfg.WaitersPerFile, Full: m.full}
	m.verbs.New = func() any { return &lock.Verb{Rules: rules} }
	for i := range m.shards {
		m.shards[i].files = map[uint64]*file{}
	}
	m.metrics, m.denials = newMetrics(m, reg), newDenials()
	m.restore(start)
	return m
}

// Epoch is this run's number.
func (m *Manager) Epoch() uint64 { return m.epoch }

func hashOf(k lock.Key) uint64 { return (k.Ino ^ k.FSID ^ uint64(k.Gen)<<17) * 0x9e3779b97f4a7c15 }

func (m *Manager) shard(h uint64) *shard { return &m.shards[h>>58] }

// pin finds or makes the file of k and keeps it until unpin.
func (m *Manager) pin(k lock.Key) *file {
	h := hashOf(k)
	s := m.shard(h)
	s.mu.Lock()
	f := s.find(k, h)
	if f == nil {
		if n := len(s.free); n > 0 {
			f, s.free = s.free[n-1], s.free[:n-1]
		} else {
			f = &file{}
		}
		f.t.Reset(k)
		f.next, s.files[h] = s.files[h], f
	}
	f.refs++
	s.mu.Unlock()
	return f
}

// file pins the file of k and locks it. leave lets it go again.
func (m *Manager) file(k lock.Key) *file {
	f := m.pin(k)
	f.mu.Lock()
	v := m.verbs.Get().(*lock.Verb)
	v.At, v.Turn = time.Now(), m.turn.Add(1)
	f.t.Verb = v
	return f
}

// performed takes back what the file's table needed while it was asked. f is locked.
func (m *Manager) performed(f *file) {
	v := f.t.Verb
	if f.t.Verb = nil; cap(v.Effects) > 64 {
		v.Effects = nil
	}
	clear(v.Effects)
	v.Effects = v.Effects[:0]
	m.verbs.Put(v)
}

// unpin ends a use of f; the last one of an empty table ends the table.
func (m *Manager) unpin(f *file) {
	h := hashOf(f.t.Key)
	s := m.shard(h)
	s.mu.Lock()
	if f.refs--; f.refs == 0 && f.t.Empty() {
		s.remove(f, h)
		f.ease = nil
		if f.seq = 0; len(s.free) < 64 {
			s.free = append(s.free, f)
		}
	}
	s.mu.Unlock()
}

// leave performs what the verb left in f.t.Effects, unlocks f, and waits until everything that was decided about the file is durable. An
// error means that the vault refuses: what was decided must not be told.
func (m *Manager) leave(ctx context.Context, f *file) error {
	m.perform(f)
	seq, waits := f.seq, len(f.t.Effects) > 0 && f.t.Waiting() > 0 && m.waiting.Load() > 1
	m.performed(f)
	f.mu.Unlock()
	var err error
	if seq != 0 {
		// What is on its way to the disk arrives whether or not the caller still wants it.
		err = m.vault.Wait(context.WithoutCancel(ctx), seq)
	}
	m.unpin(f)
	if waits {
		m.breakDeadlocks()
	}
	return err
}

// perform appends records to the vault in the order decided, queues events behind them, and sets clocks. f is locked.
func (m *Manager) perform(f *file) {
	if n := f.t.Network(); n != f.network {
		f.network = n
		m.marks.count(f.t.Key, n)
	}
	if p := f.t.DeletePending(); p != f.going {
		f.going = p
		m.going.set(f.t.Key, p)
	}
	if len(f.t.Effects) == 0 {
		return
	}
	var ops []lockdb.Op
	for i := range f.t.Effects {
		if op, ok := record(&f.t, &f.t.Effects[i]); ok {
			ops = append(ops, op)
		}
	}
	if len(ops) > 0 {
		f.seq = m.vault.Append(ops...)
	}
	k := f.t.Key
	for i := range f.t.Effects {
		switch e := &f.t.Effects[i]; e.Kind {
		case lock.Tell:
			m.tell(e.Seat, e.Event, f.seq)
		case lock.CountRanges:
			m.count(e.Client, e.N)
			if e.N < 0 {
				m.metrics.hold[doorOf(e.Client.Door)].Observe(e.After.Seconds())
			}
		case lock.BreakOver:
			m.metrics.broken[e.End].Observe(e.After.Seconds())
		case lock.AwaitAck:
			lease, stage, sent := e.Lease, e.Stage, f.t.At
			time.AfterFunc(m.cfg.BreakTimeout, func() { m.ackTimeout(k, lease, stage, sent) })
		case lock.AwaitClient:
			id, spell := e.ID, e.Spell
			time.AfterFunc(e.After, func() { m.later(k, func(t *lock.Table) { t.ClientTimeout(id, spell) }) })
		case lock.PutOpen:
			m.mu.Lock()
			m.durables[e.Open.Request.Open] = k
			m.mu.Unlock()
		case lock.DropOpen:
			m.mu.Lock()
			if n := e.Open.Request.Open; m.durables[n] == k {
				delete(m.durables, n)
			}
			m.mu.Unlock()
		case lock.Unlink:
			if m.cfg.Unlink != nil {
				go m.cfg.Unlink(k, f.t.Path)
			}
		case lock.LeaseGone:
			if f.t.KeyUsed(e.Client.GUID, e.LeaseKey) {
				continue // by a new lease, which the same verb granted
			}
			m.mu.Lock()
			if lk := (leaseKey{e.Client.GUID, e.LeaseKey}); m.leaseKeys[lk] == k {
				delete(m.leaseKeys, lk)
			}
			m.mu.Unlock()
		}
	}
}

// record is the vault's operation for an effect.
func record(t *lock.Table, e *lock.Effect) (op lockdb.Op, ok bool) {
	switch e.Kind {
	case lock.PutRange, lock.DropRange:
		r := e.Range
		return lockdb.Op{Delete: e.Kind == lock.DropRange, Range: &lockdb.Range{Key: t.Key, Owner: r.Owner, Open: r.Open, Offset: r.Offset, Length: r.Length,
			Exclusive: r.Exclusive, Path: t.Path, User: r.User, Since: r.Since}}, true
	case lock.PutOpen, lock.DropOpen:
		return lockdb.Op{Delete: e.Kind == lock.DropOpen, Open: &lockdb.Open{Request: e.Open.Request, Rights: e.Open.Rights, Epoch: e.Open.Epoch, Pending: e.Open.Pending, Since: e.Open.Since}}, true
	}
	return op, false
}

// later asks the law something on the manager's own account: a clock ran out, a client died.
func (m *Manager) later(k lock.Key, verb func(t *lock.Table)) {
	f := m.file(k)
	verb(&f.t)
	if err := m.leave(context.Background(), f); err != nil {
		m.log.Error("lock database refuses", "file", k, "err", err)
	}
}

func (m *Manager) ackTimeout(k lock.Key, lease, stage uint64, sent time.Time) {
	m.later(k, func(t *lock.Table) {
		if t.AckTimeout(lease, stage) {
			m.log.Warn("lease break not acknowledged: forced", "file", k, "path", t.Path, "took", time.Since(sent))
		}
	})
}

func (m *Manager) count(c lock.Client, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ranges += n
	if m.perClient[c] += n; m.perClient[c] <= 0 {
		delete(m.perClient, c)
	}
	if h := m.hosts[c.Name]; c.Door == lock.NLM && h != nil {
		h.used = time.Now()
	}
}

// full reports whether c has as many ranges as it may, with so many more for it and for all.
func (m *Manager) full(c lock.Client, client, all int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg.Ranges > 0 && m.ranges+all >= m.cfg.Ranges || m.cfg.RangesPerClient > 0 && m.perClient[c]+client >= m.cfg.RangesPerClient
}

// keys are the files that have state.
func (m *Manager) keys() []lock.Key {
	var list []lock.Key
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for _, f := range s.files {
			for ; f != nil; f = f.next {
				list = append(list, f.t.Key)
			}
		}
		s.mu.Unlock()
	}
	return list
}

// knows reports whether a file has state.
func (m *Manager) knows(k lock.Key) bool {
	h := hashOf(k)
	s := m.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(k, h) != nil
}

// everyFile asks the law something at each file that has state.
func (m *Manager) everyFile(verb func(t *lock.Table)) {
	for _, k := range m.keys() {
		m.later(k, verb)
	}
}

// look reads each file that has state; the law is not asked.
func (m *Manager) look(read func(t *lock.Table)) {
	for _, k := range m.keys() {
		m.lookAt(k, read)
	}
}

// lookAt is look at one file.
func (m *Manager) lookAt(k lock.Key, read func(t *lock.Table)) {
	f := m.file(k)
	read(&f.t)
	m.performed(f)
	f.mu.Unlock()
	m.unpin(f)
}

// Run ends the muster and the grace period in time, and forgets hosts that have held nothing for long, until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	muster := time.AfterFunc(m.cfg.Muster, m.endMuster)
	defer muster.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			m.mu.Lock()
			over := !m.graceEnds.IsZero() && now.After(m.graceEnds)
			m.mu.Unlock()
			if over {
				m.EndGrace()
			}
			m.forgetIdleHosts(now)
		}
	}
}
