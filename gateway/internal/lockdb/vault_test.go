package lockdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
	"dittofs/gateway/lock"
)

// An engine opens its store again and again, as restarts do.
type engine func(t testing.TB) func() lockdb.Store

var engines = map[string]engine{
	"memory": func(testing.TB) func() lockdb.Store {
		m := lockdb.NewMemory()
		return func() lockdb.Store { return m }
	},
	"badger": func(t testing.TB) func() lockdb.Store {
		dir := filepath.Join(t.TempDir(), "db")
		return func() lockdb.Store {
			s, err := badger.Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	},
}

func open(t testing.TB, cfg lockdb.Config) (lockdb.Vault, lockdb.Start) {
	t.Helper()
	v, s, err := lockdb.Begin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v, s
}

func wait(t testing.TB, v lockdb.Vault, seq uint64) {
	t.Helper()
	if err := v.Wait(context.Background(), seq); err != nil {
		t.Fatal(err)
	}
}

// byteRange is range n of client i.
func byteRange(i, n int) lockdb.Range {
	return lockdb.Range{Key: lock.Key{FSID: 1, Ino: uint64(i)}, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: fmt.Sprint("host", i)}, PID: 1},
		Offset: uint64(n) * 10, Length: 10, Exclusive: true, Path: "p", Since: time.Unix(int64(n), 0).UTC()}
}

// The conformance of an engine: what was waited for is there after a restart, and nothing else.
func TestVault(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			reopen, dir := e(t), t.TempDir()
			v, s := open(t, lockdb.Config{Dir: dir, Store: reopen()})
			if !reflect.DeepEqual(s, lockdb.Start{Epoch: 1, Clean: true, NSM: 1}) {
				t.Errorf("first start: %+v", s)
			}
			a, b := byteRange(1, 1), byteRange(1, 2)
			o := lockdb.Open{Request: lock.OpenRequest{Open: 9, Key: a.Key, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}}, Private: []byte("x")}, Epoch: 4}
			h := lockdb.Host{Name: "host1", Address: "10.0.0.1", State: 5}
			v.Append(lockdb.Op{Range: &a}, lockdb.Op{Range: &b}, lockdb.Op{Open: &o})
			o.Epoch = 5
			v.Append(lockdb.Op{Open: &o}, lockdb.Op{Host: &h}, lockdb.Op{Delete: true, Range: &b})
			wait(t, v, v.Append(lockdb.Op{Delete: true, Host: &lockdb.Host{Name: "nobody"}}))
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			if err := v.Close(); err != nil {
				t.Errorf("closing twice: %v", err)
			}
			if err := v.Wait(context.Background(), v.Append(lockdb.Op{Host: &h})); !errors.Is(err, lockdb.ErrClosed) {
				t.Errorf("append after Close: %v", err)
			}

			v, s = open(t, lockdb.Config{Dir: dir, Store: reopen()})
			want := lockdb.Start{Epoch: 2, Clean: true, NSM: 3, Ranges: []lockdb.Range{a}, Opens: []lockdb.Open{o}, Hosts: []lockdb.Host{h}}
			if !reflect.DeepEqual(s, want) {
				t.Errorf("second start\n got %+v\nwant %+v", s, want)
			}
			var ops []lockdb.Op
			for n := range 3000 { // more than a batch
				r := byteRange(2, n)
				ops = append(ops, lockdb.Op{Range: &r})
			}
			wait(t, v, v.Append(ops...))
			for i := range ops {
				ops[i].Delete = true
			}
			wait(t, v, v.Append(ops...))
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			v, s = open(t, lockdb.Config{Dir: dir, Store: reopen()})
			want.Epoch, want.NSM = 3, 5
			if !reflect.DeepEqual(s, want) {
				t.Errorf("third start: %d ranges, %+v", len(s.Ranges), s)
			}
			v.Close()
		})
	}
}

// Many appenders: everything that was waited for is there, and the order of one key's ops is the order of its appends.
func TestTogether(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			reopen, dir := e(t), t.TempDir()
			v, _ := open(t, lockdb.Config{Dir: dir, Store: reopen()})
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					for n := range 40 {
						r := byteRange(i, n%5)
						r.Since = time.Unix(int64(n), 0).UTC()
						wait(t, v, v.Append(lockdb.Op{Range: &r, Delete: n%7 == 6}))
					}
				})
			}
			wg.Wait()
			v.Close()
			v, s := open(t, lockdb.Config{Dir: dir, Store: reopen()})
			defer v.Close()
			var want []lockdb.Range
			for i := range 16 {
				last := map[int]lockdb.Range{}
				for n := range 40 {
					r := byteRange(i, n%5)
					r.Since = time.Unix(int64(n), 0).UTC()
					last[n%5] = r
					if n%7 == 6 {
						delete(last, n%5)
					}
				}
				for k := range 5 {
					if r, there := last[k]; there {
						want = append(want, r)
					}
				}
			}
			if !reflect.DeepEqual(s.Ranges, want) {
				t.Errorf("got %d ranges, want %d", len(s.Ranges), len(want))
			}
		})
	}
}

// A crash leaves no clean-stop mark.
func TestCrash(t *testing.T) {
	m, dir := lockdb.NewMemory(), t.TempDir()
	v, _ := open(t, lockdb.Config{Dir: dir, Store: m})
	r := byteRange(1, 1)
	wait(t, v, v.Append(lockdb.Op{Range: &r}))
	_, s := open(t, lockdb.Config{Dir: dir, Store: m})
	if want := (lockdb.Start{Epoch: 2, NSM: 3, Ranges: []lockdb.Range{r}}); !reflect.DeepEqual(s, want) {
		t.Errorf("\n got %+v\nwant %+v", s, want)
	}
}

// broken is a store that works for so many commits.
type broken struct {
	*lockdb.Memory
	left    int
	commits int
}

var errDisk = errors.New("no space left on device")

func (b *broken) Commit(batch []lockdb.KV) error {
	b.commits++
	if b.left--; b.left < 0 {
		return errDisk
	}
	return b.Memory.Commit(batch)
}

// The first error stays: nothing is accepted afterwards, and no clean-stop mark is written.
func TestFailure(t *testing.T) {
	b := &broken{Memory: lockdb.NewMemory(), left: 2}
	v, _ := open(t, lockdb.Config{Store: b})
	r1, r2, r3 := byteRange(1, 1), byteRange(1, 2), byteRange(1, 3)
	first := v.Append(lockdb.Op{Range: &r1})
	wait(t, v, first)
	second := v.Append(lockdb.Op{Range: &r2})
	if err := v.Wait(context.Background(), second); !errors.Is(err, errDisk) {
		t.Errorf("the append that failed: %v", err)
	}
	b.left = 100
	if err := v.Wait(context.Background(), v.Append(lockdb.Op{Range: &r3})); !errors.Is(err, errDisk) {
		t.Errorf("an append after the failure: %v", err)
	}
	wait(t, v, first)
	commits := b.commits
	if err := v.Close(); !errors.Is(err, errDisk) {
		t.Errorf("Close: %v", err)
	}
	if b.commits != commits {
		t.Error("something was committed after the failure")
	}
	b.left = 100
	_, s := open(t, lockdb.Config{Store: b})
	if s.Clean || !reflect.DeepEqual(s.Ranges, []lockdb.Range{r1}) {
		t.Errorf("after the failure: %+v", s)
	}
	if _, _, err := lockdb.Begin(lockdb.Config{Store: &broken{Memory: lockdb.NewMemory()}}); !errors.Is(err, errDisk) {
		t.Errorf("a store that takes nothing opens: %v", err)
	}
}

// slow holds each commit back until it is let go.
type slow struct {
	*lockdb.Memory
	gate chan struct{}
	size []int
}

func (s *slow) Commit(batch []lockdb.KV) error {
	<-s.gate
	s.size = append(s.size, len(batch))
	return s.Memory.Commit(batch)
}

// What comes while a sync is under way shares the next one; and a wait ends with its context.
func TestGroupCommit(t *testing.T) {
	s := &slow{Memory: lockdb.NewMemory(), gate: make(chan struct{}, 10)}
	s.gate <- struct{}{}
	v, _ := open(t, lockdb.Config{Store: s})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var last uint64
	for n := range 100 {
		r := byteRange(1, n)
		seq := v.Append(lockdb.Op{Range: &r})
		if seq != last+1 && n > 0 {
			t.Errorf("append %d after %d", seq, last)
		}
		last = seq
	}
	if err := v.Wait(ctx, last); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait whose context ended: %v", err)
	}
	for range 3 {
		s.gate <- struct{}{}
	}
	wait(t, v, last)
	v.Close()
	if n := len(s.size); n > 4 {
		t.Errorf("%d commits for 100 appends: %v", n, s.size)
	}
}

// Damage shows: records that are missing or changed, and a database that ends early.
func TestDamage(t *testing.T) {
	key := func(m *lockdb.Memory, kind byte) (k, v []byte) {
		m.Each(func(key, value []byte) error {
			if key[0] == kind {
				k, v = slices.Clone(key), slices.Clone(value)
			}
			return nil
		})
		return k, v
	}
	for _, c := range []struct {
		name   string
		damage func(m, old *lockdb.Memory)
		want   string
		left   int // ranges that are salvaged
	}{
		{"a record is missing", func(m, _ *lockdb.Memory) {
			k, _ := key(m, 'r')
			m.Commit([]lockdb.KV{{Key: k}})
		}, "the lock database is damaged: it holds 3 records and should hold 4", 2},
		{"an old record came back", func(m, old *lockdb.Memory) {
			k, v := key(old, 'h')
			m.Commit([]lockdb.KV{{Key: k, Value: v}})
		}, "its records are not those of commit 4", 3},
		{"a byte changed", func(m, _ *lockdb.Memory) {
			k, v := key(m, 'r')
			v[len(v)-1] ^= 1
			m.Commit([]lockdb.KV{{Key: k, Value: v}})
		}, "the lock database is damaged: the checksum is wrong", 2},
		{"a record stands under another key", func(m, _ *lockdb.Memory) {
			k, v := key(m, 'r')
			k[3] ^= 1
			m.Commit([]lockdb.KV{{Key: k, Value: v}})
		}, "the checksum is wrong", 3},
		{"the meta record is gone", func(m, _ *lockdb.Memory) { m.Commit([]lockdb.KV{{Key: []byte("m")}}) },
			"the lock database is damaged: 4 records and no meta record", 3},
		{"a stranger's record", func(m, _ *lockdb.Memory) { m.Commit([]lockdb.KV{{Key: []byte("zz"), Value: []byte("?")}}) },
			`a key of unknown kind 'z'`, 3},
		{"a newer program's record", func(m, _ *lockdb.Memory) {
			k, v := key(m, 'h')
			v[0] = 2
			m.Commit([]lockdb.KV{{Key: k, Value: v}})
		}, "the checksum is wrong", 3},
		{"an older state of everything", func(m, old *lockdb.Memory) {
			var all []lockdb.KV
			m.Each(func(k, _ []byte) error { all = append(all, lockdb.KV{Key: k}); return nil })
			m.Commit(all)
			old.Each(func(k, v []byte) error { return m.Commit([]lockdb.KV{{Key: k, Value: v}}) })
		}, "it ends at commit 3, but commit 4 was acknowledged", 2},
		{"nothing is left", func(m, _ *lockdb.Memory) {
			var all []lockdb.KV
			m.Each(func(k, _ []byte) error { all = append(all, lockdb.KV{Key: k}); return nil })
			m.Commit(all)
		}, "it ends at commit 0, but commit 4 was acknowledged", 0},
	} {
		m, dir := lockdb.NewMemory(), t.TempDir()
		v, _ := open(t, lockdb.Config{Dir: dir, Store: m})
		r1, r2, r3, h := byteRange(1, 1), byteRange(1, 2), byteRange(1, 3), lockdb.Host{Name: "host1", State: 1}
		v.Append(lockdb.Op{Range: &r1})
		wait(t, v, v.Append(lockdb.Op{Range: &r2}, lockdb.Op{Host: &h}))
		old := lockdb.NewMemory()
		m.Each(func(k, v []byte) error { return old.Commit([]lockdb.KV{{Key: k, Value: v}}) })
		h.State = 3
		wait(t, v, v.Append(lockdb.Op{Range: &r3}, lockdb.Op{Host: &h}))
		v.Close()
		c.damage(m, old)

		_, _, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: m})
		if !errors.Is(err, lockdb.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
		left, damage, err := lockdb.Salvage(lockdb.Config{Dir: dir, Store: m})
		if err != nil || len(damage) == 0 || left.Clean || len(left.Ranges) != c.left || left.Seq < 4 || left.Epoch < 1 || left.NSM < 1 {
			t.Errorf("%s: salvaged: %v, %v, %+v", c.name, err, damage, left)
			continue
		}
		m = lockdb.NewMemory()
		if err := lockdb.Write(lockdb.Config{Dir: dir, Store: m}, left); err != nil {
			t.Errorf("%s: written: %v", c.name, err)
			continue
		}
		v, s, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: m})
		if err != nil || s.Clean || len(s.Ranges) != c.left || s.Epoch < 2 || s.NSM < 3 {
			t.Errorf("%s: recovered: %v, %+v", c.name, err, s)
			continue
		}
		v.Close()
		v, s, err = lockdb.Begin(lockdb.Config{Dir: dir, Store: m})
		if err != nil || !s.Clean || len(s.Ranges) != c.left {
			t.Errorf("%s: after the recovery: %v, %+v", c.name, err, s)
			continue
		}
		v.Close()
	}
}

func TestHighWaterFile(t *testing.T) {
	m, dir := lockdb.NewMemory(), t.TempDir()
	path := filepath.Join(dir, lockdb.HighWaterFile)
	for range 3 {
		v, _ := open(t, lockdb.Config{Dir: dir, Store: m})
		for n := range 200 { // more than between two syncs
			r := byteRange(1, n)
			wait(t, v, v.Append(lockdb.Op{Range: &r}))
		}
		v.Close()
	}
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != 4096+16 {
		t.Fatal(len(whole), err)
	}
	try := func(name string, b []byte, want error) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		v, _, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: m})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err == nil {
			v.Close()
		}
	}
	flip := func(at ...int) []byte {
		b := slices.Clone(whole)
		for _, i := range at {
			b[i] ^= 1
		}
		return b
	}
	try("one slot torn", flip(6), nil)
	try("the other slot torn", flip(4096+6), nil)
	try("both slots torn", flip(6, 4096+6), lockdb.ErrDamaged)
	try("empty", nil, lockdb.ErrDamaged)
	if c, damage, err := lockdb.Salvage(lockdb.Config{Dir: dir, Store: m}); err != nil || len(damage) != 1 || len(c.Ranges) != 200 {
		t.Error(err, damage)
	}
	os.Remove(path)
	v, s := open(t, lockdb.Config{Dir: dir, Store: m})
	if len(s.Ranges) != 200 {
		t.Error("without a file nothing is refused")
	}
	v.Close()
	if _, _, err := lockdb.Begin(lockdb.Config{Dir: filepath.Join(dir, "none"), Store: m}); err == nil {
		t.Error("a directory that isn't there is accepted")
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v, _ := open(b, lockdb.Config{Dir: b.TempDir(), Store: engines["badger"](b)()})
			defer v.Close()
			var wg sync.WaitGroup
			work := make(chan int)
			for i := range n {
				wg.Go(func() {
					for k := range work {
						r := byteRange(i, k%10)
						wait(b, v, v.Append(lockdb.Op{Range: &r, Delete: k%2 == 1}))
					}
				})
			}
			b.ReportAllocs()
			for k := 0; b.Loop(); k++ {
				work <- k
			}
			close(work)
			wg.Wait()
		})
	}
}
