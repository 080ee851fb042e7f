package lockdb_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
)

// disk is a store on a host that may crash: what was not synced goes.
type disk struct {
	*lockdb.Memory // as the kernel has it

	mu     sync.Mutex // guards the fields below
	later  [][]lockdb.KV
	synced *lockdb.Memory
	syncs  int
	fail   error
}

func newDisk() *disk { return &disk{Memory: lockdb.NewMemory(), synced: lockdb.NewMemory()} }

func (d *disk) Commit(b []lockdb.KV) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.later = append(d.later, b)
	return d.Memory.Commit(b)
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	for _, b := range d.later {
		d.synced.Commit(b)
	}
	d.later = nil
	d.syncs++
	return nil
}

// state is how many syncs there were, and how many commits are unsynced.
func (d *disk) state() [2]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return [2]int{d.syncs, len(d.later)}
}

// failing makes every sync fail; nil: no more.
func (d *disk) failing(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

// crashed is what a crash of the host leaves: what was synced, and so many commits more.
func (d *disk) crashed(more int) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk()
	d.synced.Each(func(k, v []byte) error {
		kv := []lockdb.KV{{Key: append([]byte(nil), k...), Value: v}}
		after.synced.Commit(kv)
		return after.Memory.Commit(kv)
	})
	for _, b := range d.later[:more] {
		after.synced.Commit(b)
		after.Memory.Commit(b)
	}
	return after
}

// What is told is written, and it is synced within the lag, once for all that came meanwhile; who has locks at all is synced first.
func TestSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		v, _ := open(t, lockdb.Config{Store: d, Lag: lag, Boot: "1"})
		a, b := byteRange(1, 1), byteRange(1, 2)
		wait(t, v, v.Append(lockdb.Op{Range: &a}))
		if got := d.state(); got != [2]int{1, 1} {
			t.Errorf("a range was told with %v syncs and commits unsynced", got)
		}
		wait(t, v, v.Append(lockdb.Op{Range: &b}))
		time.Sleep(lag)
		synctest.Wait()
		if got := d.state(); got != [2]int{2, 0} {
			t.Errorf("after the lag: %v syncs and commits unsynced", got)
		}
		time.Sleep(time.Second)
		if got := d.state(); got != [2]int{2, 0} {
			t.Errorf("nothing was committed, and %v syncs and commits unsynced", got)
		}
		wait(t, v, v.Append(lockdb.Op{Host: &lockdb.Host{Name: "host1"}}))
		if got := d.state(); got != [2]int{3, 0} {
			t.Errorf("a host was told with %v syncs and commits unsynced", got)
		}
		wait(t, v, v.Append(lockdb.Op{Delete: true, Host: &lockdb.Host{Name: "host1"}}))
		if got := d.state(); got != [2]int{3, 1} {
			t.Errorf("a host that goes was told with %v syncs and commits unsynced", got)
		}
		if err := v.Close(); err != nil || d.state() != [2]int{4, 0} {
			t.Errorf("Close: %v, %v syncs and commits unsynced", err, d.state())
		}
		v, s := open(t, lockdb.Config{Store: d.crashed(0), Lag: lag, Boot: "2"})
		defer v.Close()
		if want := (lockdb.Start{Epoch: 2, Clean: true, NSM: 3, Ranges: []lockdb.Range{a, b}}); !reflect.DeepEqual(s, want) {
			t.Errorf("a clean stop, and a crash of the host\n got %+v\nwant %+v", s, want)
		}
	})
}

// With "always" nothing is told that is not synced, and a crash of the host tears nothing.
func TestAlways(t *testing.T) {
	d := newDisk()
	v, _ := open(t, lockdb.Config{Store: d, Boot: "1"})
	a := byteRange(1, 1)
	wait(t, v, v.Append(lockdb.Op{Range: &a}))
	if got := d.state(); got != [2]int{2, 0} {
		t.Errorf("a range was told with %v syncs and commits unsynced", got)
	}
	_, s := open(t, lockdb.Config{Store: d.crashed(0), Lag: lag, Boot: "2"})
	if want := (lockdb.Start{Epoch: 2, NSM: 3, Ranges: []lockdb.Range{a}}); !reflect.DeepEqual(s, want) {
		t.Errorf("\n got %+v\nwant %+v", s, want)
	}
}

// A background sync that fails is the end of granting, as a commit that fails is.
func TestSyncFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		v, _ := open(t, lockdb.Config{Store: d, Lag: lag})
		d.failing(errDisk)
		r := byteRange(1, 1)
		first := v.Append(lockdb.Op{Range: &r})
		wait(t, v, first)
		time.Sleep(lag)
		synctest.Wait()
		wait(t, v, first) // it was told
		if err := v.Wait(context.Background(), v.Append(lockdb.Op{Range: &r})); !errors.Is(err, errDisk) {
			t.Errorf("an append after the failure: %v", err)
		}
		d.failing(nil)
		if err := v.Close(); !errors.Is(err, errDisk) {
			t.Errorf("Close: %v", err)
		}
		v, s := open(t, lockdb.Config{Store: d, Lag: lag})
		if s.Clean {
			t.Error("a clean stop after a failure")
		}
		v.Close()
	})
}

// A log that lost its end: to a crash of the host nothing but what was never synced, and to kill -9 nothing at all.
func TestShortened(t *testing.T) {
	d, dir := newDisk(), t.TempDir()
	v, _ := open(t, lockdb.Config{Dir: dir, Store: d, Lag: lag, Boot: "1"})
	wait(t, v, v.Append(lockdb.Op{Host: &lockdb.Host{Name: "host1"}}))
	d.failing(errDisk)
	early := d.crashed(0)
	for n := range 3 {
		r := byteRange(1, n)
		wait(t, v, v.Append(lockdb.Op{Range: &r}))
	}
	for _, c := range []struct {
		name    string
		store   *disk
		boot    string
		ranges  int
		torn    bool
		refused string
	}{
		{"as the kernel has it, on the same boot", d, "1", 3, false, ""},
		{"cut off, on the same boot", d.crashed(2), "1", 0, false, "it ends at commit 4, but commit 5 was acknowledged"},
		{"cut off, on another boot", d.crashed(2), "2", 2, true, ""},
		{"cut off where it was synced, on another boot", early, "2", 0, true, ""},
	} {
		to := t.TempDir()
		copyDir(t, dir, to)
		c.store.failing(nil)
		_, s, err := lockdb.Begin(lockdb.Config{Dir: to, Store: c.store, Lag: lag, Boot: c.boot})
		if c.refused != "" {
			if !errors.Is(err, lockdb.ErrDamaged) {
				t.Errorf("%s: %v, want %s", c.name, err, c.refused)
			}
			continue
		}
		if err != nil || len(s.Ranges) != c.ranges || s.Torn != c.torn || len(s.Hosts) != 1 {
			t.Errorf("%s: %v, %+v", c.name, err, s)
		}
	}
	// Before what was synced nothing may end, whatever happened.
	m := newDisk()
	if v, _, err := lockdb.Begin(lockdb.Config{Store: m, Lag: lag, Boot: "1"}); err != nil || v.Close() != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	copyDir(t, dir, to)
	if _, _, err := lockdb.Begin(lockdb.Config{Dir: to, Store: m, Lag: lag, Boot: "1"}); !errors.Is(err, lockdb.ErrDamaged) {
		t.Errorf("another database, on the same boot: %v", err)
	}
	to = t.TempDir()
	copyDir(t, dir, to)
	if _, _, err := lockdb.Begin(lockdb.Config{Dir: to, Store: newDisk(), Lag: lag, Boot: "2"}); !errors.Is(err, lockdb.ErrDamaged) {
		t.Errorf("nothing is left, on another boot: %v", err)
	}
}

// The engine's own log, cut back to where it was synced while the marks went on: a crash of the host.
func TestHostCrash(t *testing.T) {
	dir, synced, after := t.TempDir(), t.TempDir(), t.TempDir()
	s, err := badger.Open(filepath.Join(dir, "db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := open(t, lockdb.Config{Dir: dir, Store: s, Lag: time.Hour, Boot: "1"})
	a, b := byteRange(1, 1), byteRange(1, 2)
	v.Append(lockdb.Op{Range: &a})
	wait(t, v, v.Append(lockdb.Op{Host: &lockdb.Host{Name: "host1"}}))
	copyDir(t, filepath.Join(dir, "db"), filepath.Join(synced, "db"))
	wait(t, v, v.Append(lockdb.Op{Range: &b}, lockdb.Op{Delete: true, Range: &a}))
	copyDir(t, dir, after)
	copyDir(t, filepath.Join(synced, "db"), filepath.Join(after, "db"))
	for _, boot := range []string{"1", "2"} {
		to := t.TempDir()
		copyDir(t, after, to)
		s, err := badger.Open(filepath.Join(to, "db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		v, start, err := lockdb.Begin(lockdb.Config{Dir: to, Store: s, Lag: lag, Boot: boot})
		if boot == "1" {
			if !errors.Is(err, lockdb.ErrDamaged) {
				t.Errorf("on the same boot: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := (lockdb.Start{Epoch: 2, Torn: true, NSM: 3, Ranges: []lockdb.Range{a}, Hosts: []lockdb.Host{{Name: "host1"}}}); !reflect.DeepEqual(start, want) {
			t.Errorf("\n got %+v\nwant %+v", start, want)
		}
		v.Close()
	}
}
