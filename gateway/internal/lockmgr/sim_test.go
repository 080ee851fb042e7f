package lockmgr_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// failing is a store whose machine may stop at a commit: before it, or when it is on disk and nobody has heard.
type failing struct {
	*lockdb.Memory
	left  atomic.Int64 // commits until it stops
	lands bool

	mu      sync.Mutex     // guards the fields below
	synced  *lockdb.Memory // what a crash of the host leaves
	later   [][]lockdb.KV  // and may leave, as far as it goes
	stopped bool           // nothing is synced any more
}

func (s *failing) Commit(b []lockdb.KV) error {
	left := s.left.Add(-1)
	if left > 0 {
		return s.write(b)
	}
	if left == 0 && s.lands {
		s.write(b)
	}
	s.stop()
	return errors.New("the machine stopped")
}

func (s *failing) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

func (s *failing) write(b []lockdb.KV) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later = append(s.later, b)
	return s.Memory.Commit(b)
}

func (s *failing) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("the machine stopped")
	}
	for _, b := range s.later {
		s.synced.Commit(b)
	}
	s.later = nil
	return nil
}

// clone is a store with the same contents.
func clone(m *lockdb.Memory) *lockdb.Memory {
	c := lockdb.NewMemory()
	m.Each(func(k, v []byte) error { return c.Commit([]lockdb.KV{{Key: bytes.Clone(k), Value: v}}) })
	return c
}

// simAddress is where the NLM hosts are.
const simAddress = "192.0.2.1"

type cell struct {
	file  lock.Key
	owner lock.Owner
	at    uint64
}

var simFiles = [3]lock.Key{{FSID: 1, Ino: 1}, {FSID: 1, Ino: 2}, {FSID: 1, Ino: 3}}

// sim is a world of two NLM hosts, two local programs and two SMB clients (sim_smb_test.go), and what they have been told.
type sim struct {
	t       *testing.T
	rnd     *rand.Rand
	disk    *lockdb.Memory
	store   *failing
	vault   lockdb.Vault
	m       *lockmgr.Manager
	doors   map[lock.Door]*lockmgr.Seat
	mu      sync.Mutex // guards events: each door is told by a goroutine of its own
	events  []lock.Answer
	told    map[cell]bool // true: exclusive
	waiting map[uint64]lock.LockRequest
	ticket  uint64
	script  []func() string
	smb     simSMB
	lag     time.Duration // 0: nothing is told before it is synced
	boots   int           // of the host
}

func (s *sim) say(format string, args ...any) {
	s.script = append(s.script, func() string { return fmt.Sprintf(format, args...) })
}

func (s *sim) boot() {
	s.store = &failing{Memory: s.disk, synced: clone(s.disk), lands: s.rnd.IntN(2) == 0}
	s.store.left.Store(1 << 30) // it does not stop before it is asked anything new
	v, start, err := lockdb.Begin(lockdb.Config{Store: s.store, Log: quiet, Lag: s.lag, Boot: fmt.Sprint(s.boots)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.vault, s.m = v, lockmgr.New(lockmgr.Config{Grace: time.Minute, Expect: []string{"smb"}}, start, v, quiet, nil)
	s.doors = map[lock.Door]*lockmgr.Seat{}
	for _, d := range []lock.Door{lock.SMB, lock.NLM, lock.Local, lock.NFS} {
		s.attach(d)
	}
}

func (s *sim) attach(d lock.Door) {
	s.doors[d] = s.m.Attach(d, d.String(), func(e lock.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case e.Answer != nil:
			s.events = append(s.events, *e.Answer)
		case e.Break != nil:
			s.smb.broken = append(s.smb.broken, *e.Break)
		}
	})
	if d == lock.SMB {
		s.present()
	}
	s.doors[d].Mustered()
}

// set notes what an owner was told.
func (s *sim) set(q lock.LockRequest, hold bool) {
	for at := q.Offset; at < q.Offset+q.Length; at++ {
		if delete(s.told, cell{q.Key, q.Owner, at}); !hold {
			continue
		}
		s.told[cell{q.Key, q.Owner, at}] = q.Exclusive
	}
}

func (s *sim) settle() {
	synctest.Wait()
	for _, a := range s.events {
		s.say("  told %d %v %v", a.Ticket, a.Outcome, a.Rights)
		if s.answered(a) {
			continue
		}
		if a.Outcome == lock.Granted {
			s.set(s.waiting[a.Ticket], true)
		}
		if a.Outcome != lock.Failed {
			delete(s.waiting, a.Ticket)
		}
	}
	s.events = nil
	s.breaks()
}

func (s *sim) end() {
	for _, d := range s.doors {
		d.Detach()
	}
	s.vault.Close()
	synctest.Wait()
	s.events = nil
}

// crash stops the machine and starts it again, or the host with all that ran on it. What was in flight may be on record or not, and its owner
// claims nothing there. With the host goes what was not synced, from some commit on.
func (s *sim) crash(inFlight ...lock.LockRequest) {
	host := s.rnd.IntN(3) == 0
	s.say("crash, of the host: %v", host)
	s.store.left.Store(int64(0))
	s.store.stop()
	s.end()
	if s.crashed(); host {
		s.boots++
		s.disk = s.store.synced
		for range s.rnd.IntN(len(s.store.later) + 1) {
			s.disk.Commit(s.store.later[0])
			s.store.later = s.store.later[1:]
		}
		n := s.smb.number
		s.smb = newSimSMB()
		s.smb.number = n
	}
	for _, q := range s.waiting {
		inFlight = append(inFlight, q)
	}
	for _, q := range inFlight {
		s.set(q, false)
	}
	clear(s.waiting)
	for c := range s.told {
		if c.owner.Client.Door == lock.Local {
			delete(s.told, c)
		}
	}
	s.boot()
	for c, exclusive := range s.told {
		res, err := s.doors[lock.NLM].Lock(ctx, lock.LockRequest{Key: c.file, Owner: c.owner, Offset: c.at, Length: 1, Exclusive: exclusive, Reclaim: true, Watch: simAddress})
		if err != nil || res.Outcome != lock.Granted {
			s.t.Errorf("%v lost byte %d: %v %v", c.owner, c.at, res.Outcome, err)
		}
	}
	s.m.EndGrace()
	if s.settle(); host {
		time.Sleep(2 * time.Minute) // what is left of durable opens waits for nobody
		s.settle()
	}
	s.store.left.Store(int64(1 + s.rnd.IntN(40)))
	s.check()
}

// check compares what is held with what was told.
func (s *sim) check() {
	is := map[cell]bool{}
	for _, f := range s.snapshot() {
		for _, r := range f.Ranges {
			for at := r.Offset; at < r.Offset+r.Length && r.Owner.Client.Door != lock.SMB; at++ {
				is[cell{f.Key, r.Owner, at}] = r.Exclusive
			}
		}
		s.checkSMB(&f)
	}
	if !maps.Equal(is, s.told) {
		s.t.Errorf("held %v\n told %v", is, s.told)
	}
	for a, exclusive := range s.told {
		for b := range s.told {
			if exclusive && a.at == b.at && a.file == b.file && a.owner != b.owner {
				s.t.Errorf("byte %d is granted to %v and %v", a.at, a.owner, b.owner)
			}
		}
	}
}

func (s *sim) request() lock.LockRequest {
	s.ticket++
	q := lock.LockRequest{Key: simFiles[s.rnd.IntN(len(simFiles))], Offset: uint64(s.rnd.IntN(5)), Exclusive: s.rnd.IntN(2) == 0, Ticket: s.ticket * uint64(s.rnd.IntN(2))}
	q.Length = 1 + uint64(s.rnd.IntN(3))
	who := s.rnd.IntN(4)
	if q.Owner = (lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: uint64(who + 1)}); who < 2 {
		q.Owner = lock.Owner{Client: lock.Client{Door: lock.NLM, Name: fmt.Sprint("host", who)}, OH: "oh"}
		q.Watch = simAddress
	}
	return q
}

func (s *sim) run() {
	if s.rnd.IntN(3) > 0 {
		s.lag = 40 * time.Millisecond
	}
	s.boot()
	s.store.left.Store(int64(1 + s.rnd.IntN(40)))
	var post []lock.LockRequest // on its way: arrives late, in any order, and sometimes twice
	for range 60 {
		s.smb.fresh = false
		if s.rnd.IntN(2) == 0 {
			s.stepSMB()
			s.settle()
			if s.store.left.Load() <= 0 {
				s.crash()
			} else {
				s.check()
			}
			if s.t.Failed() {
				break
			}
			continue
		}
		for len(post) < 3 {
			post = append(post, s.request())
		}
		i := s.rnd.IntN(len(post))
		q := post[i]
		if s.rnd.IntN(8) > 0 || q.Ticket != 0 {
			post = append(post[:i], post[i+1:]...)
		}
		door := s.doors[q.Owner.Client.Door]
		var out lock.Outcome
		switch s.rnd.IntN(16) {
		case 0:
			s.crash()
			continue
		case 1:
			s.say("the local door dies")
			s.doors[lock.Local].Detach()
			for c := range s.told {
				if c.owner.Client.Door == lock.Local {
					delete(s.told, c)
				}
			}
			for n, w := range s.waiting {
				if w.Owner.Client.Door == lock.Local {
					delete(s.waiting, n)
				}
			}
			s.attach(lock.Local)
		case 2, 3, 4, 5, 6:
			res, _ := door.Unlock(ctx, q)
			if out = res.Outcome; out == lock.Granted {
				s.set(q, false)
			}
			s.say("unlock %v on %d %d+%d: %v", q.Owner, q.Key.Ino, q.Offset, q.Length, out)
		case 7:
			for n := range s.waiting {
				door := s.doors[s.waiting[n].Owner.Client.Door]
				if out, _ := door.Cancel(ctx, n); out == lock.Cancelled {
					s.say("cancel %d", n)
					delete(s.waiting, n)
				}
				break
			}
			out = lock.Granted
		default:
			if q.Ticket != 0 {
				s.waiting[q.Ticket] = q
			}
			res, _ := door.Lock(ctx, q)
			out = res.Outcome
			s.say("lock %v on %d %d+%d exclusive %v ticket %d: %v", q.Owner, q.Key.Ino, q.Offset, q.Length, q.Exclusive, q.Ticket, out)
			if out != lock.Blocked {
				delete(s.waiting, q.Ticket)
			}
			if out == lock.Granted {
				s.set(q, true)
			}
		}
		s.settle()
		if s.store.left.Load() <= 0 {
			s.crash(q)
			continue
		}
		s.check()
		if s.t.Failed() {
			break
		}
	}
	s.end()
}

// Machines that stop at any commit, doors that die, requests that come late, twice and out of order: nobody is told of two conflicting
// grants, nothing that was told is lost, and nothing is held that was not told. DITTOFS_SEEDS is the number of seeds, DITTOFS_SEED the first.
func TestSimulation(t *testing.T) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	first := number("DITTOFS_SEED", 1)
	for seed := first; seed < first+number("DITTOFS_SEEDS", 10000); seed++ {
		synctest.Test(t, func(t *testing.T) {
			s := &sim{t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 7)), disk: memory(t), told: map[cell]bool{}, waiting: map[uint64]lock.LockRequest{}, smb: newSimSMB()}
			s.run()
			if t.Failed() {
				for _, line := range s.script {
					t.Log(line())
				}
				t.Fatalf("again: DITTOFS_SEED=%d DITTOFS_SEEDS=1 go test ./gateway/internal/lockmgr -run Simulation", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
}
