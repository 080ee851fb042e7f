package lockmgr_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
)

// BenchmarkTable measures the counter over the engine that it runs with, and prints one line for each figure: `make bench-lock`. The state lies under BENCH_DIR,
// which should be a real file system.
func BenchmarkTable(b *testing.B) {
	for b.Loop() {
		row("what", "figure", "aim")
		for _, callers := range []int{1, 8, 64} {
			row(fmt.Sprintf("LOCK+UNLOCK pairs/s, durable, %d callers", callers), rate(b, lock.NLM, callers), map[int]string{64: "15,000 grants/s"}[callers])
		}
		for _, callers := range []int{1, 8, 64} {
			row(fmt.Sprintf("LOCK+UNLOCK pairs/s, not durable, %d callers", callers), rate(b, lock.Local, callers), "100,000")
		}
		for _, door := range []lock.Door{lock.Local, lock.NLM} {
			p50, p99 := handOff(b, door, 16)
			row(fmt.Sprintf("hand-off between 16 %v callers, p50", door), p50, "")
			row(fmt.Sprintf("hand-off between 16 %v callers, p99", door), p99, "")
		}
		row("bytes per lock, 1,000,000 on 1,000 files", perLock(b, 1000), "600")
		row("bytes per lock, 1,000,000 on as many files", perLock(b, 1_000_000), "600")
		for _, n := range []int{100_000, 1_000_000} {
			row(fmt.Sprintf("restart with %d locks on record", n), restart(b, n).Round(time.Millisecond), map[int]string{100_000: "2 s"}[n])
		}
	}
}

func row(what string, figure any, aim string) {
	fmt.Fprintf(os.Stderr, "%-50v %14v  %s\n", what, figure, aim)
}

func benchDir(b *testing.B) string {
	dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "lockmgr-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func onDisk(b *testing.B, dir string) (*lockmgr.Manager, lockdb.Vault, lockdb.Start) {
	s, err := badger.Open(filepath.Join(dir, "locks"), nil)
	if err != nil {
		b.Fatal(err)
	}
	return begin(b, dir, s, lockmgr.Config{})
}

func callerOf(door lock.Door, n int) lock.Owner {
	o := lock.Owner{Client: lock.Client{Door: door}, Handle: uint64(n), PID: int32(n)}
	if door == lock.NLM {
		o.Client.Name, o.Handle = fmt.Sprintf("host-%d.example", n%16), 0
		o.OH = fmt.Sprintf("%d@host-%d.example", n, n%16)
	}
	return o
}

// rate is LOCK and UNLOCK of a range by each caller on a file of its own, for a second.
func rate(b *testing.B, door lock.Door, callers int) int {
	m, v, _ := onDisk(b, benchDir(b))
	defer v.Close()
	s := m.Attach(door, door.String(), nil)
	var pairs atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for n := range callers {
		wg.Go(func() {
			r := lock.LockRequest{Key: lock.Key{FSID: 1, Ino: uint64(n + 1)}, Owner: callerOf(door, n), Length: 10, Exclusive: true}
			for time.Since(began) < time.Second {
				if res, err := s.Lock(ctx, r); err != nil || res.Outcome != lock.Granted {
					b.Error(res, err)
					return
				}
				s.Unlock(ctx, r)
				pairs.Add(1)
			}
		})
	}
	wg.Wait()
	return int(float64(pairs.Load()) / time.Since(began).Seconds())
}

// handOff is the time from the holder's UNLOCK to the next one's answer, with everybody in one line.
func handOff(b *testing.B, door lock.Door, callers int) (p50, p99 time.Duration) {
	m, v, _ := onDisk(b, benchDir(b))
	defer v.Close()
	s := seat.New(nil)
	s.Manager = m.Attach(door, door.String(), func(e lock.Event) {
		if e.Answer != nil {
			s.Deliver(*e.Answer)
		}
	})
	var freed time.Time // under the lock itself
	var took []time.Duration
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			r := lock.LockRequest{Key: lock.Key{FSID: 1, Ino: 1}, Owner: callerOf(door, n), Length: 10, Exclusive: true}
			for range 2000 / callers {
				if res, err := s.Lock(ctx, r, nil); err != nil || res.Outcome != lock.Granted {
					b.Error(res, err)
					return
				}
				if !freed.IsZero() {
					took = append(took, time.Since(freed))
				}
				freed = time.Now()
				s.Unlock(ctx, r)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond)
}

// perLock is what a lock costs in memory, the vault's ledger included and the engine's own buffers not.
func perLock(b *testing.B, files int) int {
	const locks = 1_000_000
	m, v, _ := begin(b, benchDir(b), nowhere{}, lockmgr.Config{})
	defer v.Close()
	before := heap()
	fill(m, locks, files)
	used := heap() - before
	runtime.KeepAlive(m)
	return int(used / locks)
}

func fill(m *lockmgr.Manager, locks, files int) {
	s := m.Attach(lock.NLM, "lockd", nil)
	var wg sync.WaitGroup
	const callers = 256
	for c := range callers {
		wg.Go(func() {
			for n := c; n < locks; n += callers {
				s.Lock(ctx, lock.LockRequest{Key: lock.Key{FSID: 1, Ino: uint64(n%files + 1)}, Path: fmt.Sprintf("home/user-%d/file", n%files),
					Owner: callerOf(lock.NLM, n%1024), Offset: uint64(n/files) * 20, Length: 10, Exclusive: true})
			}
		})
	}
	wg.Wait()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// nowhere is a store that keeps nothing.
type nowhere struct{}

func (nowhere) Commit([]lockdb.KV) error                 { return nil }
func (nowhere) Sync() error                              { return nil }
func (nowhere) Each(func(key, value []byte) error) error { return nil }
func (nowhere) Close() error                             { return nil }

func listing(dir string) string {
	names, _ := filepath.Glob(filepath.Join(dir, "locks", "*"))
	return fmt.Sprint(names)
}

// restart is how long it takes until a counter over n locks could admit, after a crash.
func restart(b *testing.B, n int) time.Duration {
	dir := benchDir(b)
	s, err := badger.Open(filepath.Join(dir, "locks"), nil)
	if err != nil {
		b.Fatal(err)
	}
	v, _, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: s, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	var seq uint64
	for i := range n {
		seq = v.Append(lockdb.Op{Range: &lockdb.Range{Key: lock.Key{FSID: 1, Ino: uint64(i/100 + 1)}, Owner: callerOf(lock.NLM, i%1024), Offset: uint64(i%100) * 20, Length: 10,
			Exclusive: true, Path: fmt.Sprintf("home/user-%d/file", i/100), Since: time.Now()}})
		if i%10_000 == 0 {
			v.Wait(ctx, seq)
		}
	}
	if err := v.Wait(ctx, seq); err != nil {
		b.Fatal(err)
	}
	// What a crash leaves: the files as they are, the log included. The engine's lock on the directory goes with the copy.
	crashed, before := benchDir(b), listing(dir)
	for os.CopyFS(crashed, os.DirFS(dir)) != nil || listing(dir) != before { // the engine was still turning logs into tables
		crashed, before = benchDir(b), listing(dir)
	}
	v.Close()
	runtime.GC()
	began := time.Now()
	m, v, start := onDisk(b, crashed)
	took := time.Since(began)
	if len(start.Ranges) != n {
		b.Fatal(len(start.Ranges))
	}
	runtime.KeepAlive(m)
	v.Close()
	return took
}
