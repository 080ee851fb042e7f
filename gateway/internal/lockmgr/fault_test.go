package lockmgr_test

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// faulty is a store one of whose commits fails, and it may have happened or not.
type faulty struct {
	*lockdb.Memory
	at, n    int
	err      error
	happened bool
}

func (s *faulty) Commit(batch []lockdb.KV) error {
	s.n++
	if s.n != s.at {
		return s.Memory.Commit(batch)
	}
	if s.happened {
		s.Memory.Commit(batch)
	}
	return s.err
}

func (s *faulty) Each(fn func(key, value []byte) error) error {
	if s.at == -1 {
		return s.err
	}
	return s.Memory.Each(fn)
}

func (s *faulty) Close() error {
	if s.at == -2 {
		return s.err
	}
	return nil
}

var faults = []error{syscall.ENOSPC, syscall.EIO, context.DeadlineExceeded, io.ErrUnexpectedEOF}

// An error at any call of the store ends in refusals: what was granted is on disk, and after the error nothing durable is granted, at once or to who waits.
func TestStoreFails(t *testing.T) {
	for _, fault := range faults {
		for _, happened := range []bool{false, true} {
			for at := 1; ; at++ {
				s := &faulty{Memory: lockdb.NewMemory(), at: at, err: fault, happened: happened}
				if !storeFails(t, fmt.Sprintf("%v at commit %d, happened: %v", fault, at, happened), s) {
					if at < 8 {
						t.Fatalf("only %d commits", at)
					}
					break
				}
			}
		}
		for _, at := range []int{-1, -2} {
			s := &faulty{Memory: lockdb.NewMemory(), at: at, err: fault}
			v, _, err := lockdb.Begin(lockdb.Config{Store: s, Log: quiet})
			if at == -1 && err == nil {
				t.Errorf("%v while reading: it opens", fault)
			}
			if at == -2 && v.Close() == nil {
				t.Errorf("%v while closing: nobody is told", fault)
			}
		}
	}
}

// storeFails lets two hosts and an SMB client lock, wait and open; failed reports whether the fault came.
func storeFails(t *testing.T, name string, s *faulty) (failed bool) {
	v, start, err := lockdb.Begin(lockdb.Config{Store: s, Log: quiet})
	if err != nil {
		if s.at != 1 {
			t.Errorf("%s: %v", name, err)
		}
		return true
	}
	m := lockmgr.New(lockmgr.Config{}, start, v, quiet, nil)
	answers := make(chan lock.Answer, 10)
	door := m.Attach(lock.NLM, "lockd", func(e lock.Event) {
		if e.Answer != nil {
			answers <- *e.Answer
		}
	})
	smb := m.Attach(lock.SMB, "smbd", nil)
	smb.Mustered()

	told := map[string]bool{} // what is granted by what was said
	sure := true              // nothing that frees was refused
	got := func(what string, out lock.Outcome) {
		t.Helper()
		switch {
		case out == lock.Failed:
			failed = true
		case out != lock.Granted:
			t.Errorf("%s: %s: %v", name, what, out)
		case failed:
			t.Errorf("%s: %s is granted after the failure", name, what)
		default:
			told[what] = true
		}
	}
	lockIt := func(what string, r lock.LockRequest) {
		t.Helper()
		res, err := door.Lock(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		got(what, res.Outcome)
	}
	lockIt("one 0", nlm("one", 1, 0, 10))
	lockIt("two 100", nlm("two", 1, 100, 10))
	waiting := nlm("two", 1, 0, 10)
	waiting.Ticket = 7
	res, _ := door.Lock(ctx, waiting)
	if res.Outcome == lock.Blocked {
		if res, _ := door.Unlock(ctx, nlm("one", 1, 0, 10)); res.Outcome == lock.Granted {
			delete(told, "one 0")
		} else {
			sure = false
			delete(told, "one 0") // freed or not
		}
		select {
		case a := <-answers:
			if !sure {
				failed = true
			}
			got("two 0", a.Outcome)
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: who waited was never answered", name)
		}
	} else {
		got("two 0", res.Outcome)
	}
	owner := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Session: 1, Handle: 3}
	o, err := smb.Open(ctx, lock.OpenRequest{Open: 3, Key: lock.Key{FSID: 1, Ino: 77}, Owner: owner, Access: lock.Read, Share: lock.ShareAll,
		Kind: lock.LeaseV2, Rights: lock.R | lock.H, LeaseKey: lock.GUID{4}, Durable: time.Minute, CreateGuid: lock.GUID{9}})
	if err != nil {
		t.Fatal(err)
	}
	got("open 3", o.Outcome)
	lockIt("three 300", nlm("three", 1, 300, 10))
	lockIt("one 200", nlm("one", 1, 200, 10))

	// What is held is what was said.
	held := map[string]bool{}
	for _, f := range m.List(lock.Filter{}).Files {
		for _, r := range f.Ranges {
			held[fmt.Sprintf("%s %d", r.Owner.Client.Name, r.Offset)] = true
		}
		for range f.Opens {
			held["open 3"] = true
		}
	}
	if fmt.Sprint(held) != fmt.Sprint(told) {
		t.Errorf("%s: told %v, held %v", name, told, held)
	}

	// A crash: everything that was said is on record. Where the failed commit did happen, it may hold more.
	s.at = 0
	_, start, err = lockdb.Begin(lockdb.Config{Store: s, Log: quiet})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	disk := map[string]bool{}
	for _, r := range start.Ranges {
		disk[fmt.Sprintf("%s %d", r.Owner.Client.Name, r.Offset)] = true
	}
	for range start.Opens {
		disk["open 3"] = true
	}
	for what := range told {
		if !disk[what] {
			t.Errorf("%s: %s was granted and is not on disk: %v", name, what, disk)
		}
	}
	if !failed && fmt.Sprint(disk) != fmt.Sprint(told) {
		t.Errorf("%s: told %v, on disk %v", name, told, disk)
	}
	return failed
}
