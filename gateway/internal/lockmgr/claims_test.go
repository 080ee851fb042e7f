package lockmgr_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

func shared(r lock.LockRequest) lock.LockRequest { r.Exclusive = false; return r }

// Two processes of one client hold the same shared range, and both reclaim it, whoever comes first.
func TestEachProcessReclaimsItsOwn(t *testing.T) {
	for _, order := range [][2]int32{{1, 2}, {2, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			d := newDisk(t)
			a := d.boot(t, lockmgr.Config{})
			s := a.seat(lock.NLM, "lockd")
			s.lock(shared(nlm("one", 1, 0, 10)))
			s.lock(shared(nlm("one", 2, 0, 10)))
			a.crash()
			b := d.boot(t, lockmgr.Config{})
			s = b.seat(lock.NLM, "lockd")
			o1 := s.lock(reclaim(shared(nlm("one", order[0], 0, 10))))
			o2 := s.lock(reclaim(shared(nlm("one", order[1], 0, 10))))
			n, _ := b.held()
			if o1 != lock.Granted || o2 != lock.Granted || n != 2 {
				t.Errorf("reclaims: %v %v, held %d; want both granted, 2 held", o1, o2, n)
			}
		})
	}
}

// A reclaim that is confirmed while grace ends stays held.
func TestReclaimWhileGraceEnds(t *testing.T) {
	lost := 0
	for round := 0; round < 3 && lost == 0; round++ {
		d := newDisk(t)
		a := d.boot(t, lockmgr.Config{})
		s := a.seat(lock.NLM, "lockd")
		const files = 500
		req := func(i int) lock.LockRequest { r := nlm("one", 1, 0, 10); r.Key.Ino = uint64(1000 + i); return r }
		var wg sync.WaitGroup
		for w := range 50 {
			wg.Go(func() {
				for i := w; i < files; i += 50 {
					s.Lock(ctx, req(i))
				}
			})
		}
		wg.Wait()
		a.crash()
		b := d.boot(t, lockmgr.Config{})
		s = b.seat(lock.NLM, "lockd")
		var granted [files]bool
		start := make(chan struct{})
		for w := range 4 {
			wg.Go(func() {
				<-start
				for i := w; i < files; i += 4 {
					res, _ := s.Lock(ctx, reclaim(req(i)))
					granted[i] = res.Outcome == lock.Granted
				}
			})
		}
		wg.Go(func() { <-start; b.EndGrace() })
		close(start)
		wg.Wait()
		for i := range files {
			r := req(i)
			r.Owner.PID = 99
			res, _ := s.Test(ctx, r)
			if granted[i] && res.Outcome == lock.Granted {
				lost++
			}
		}
		b.crash()
	}
	if lost > 0 {
		t.Errorf("%d reclaims were granted and are not held", lost)
	}
}

// flaky is a vault that refuses from a moment on.
type flaky struct {
	lockdb.Vault
	n   atomic.Uint64
	bad atomic.Bool
}

func (f *flaky) Append(...lockdb.Op) uint64 { return f.n.Add(1) }

func (f *flaky) Wait(context.Context, uint64) error {
	if f.bad.Load() {
		return errors.New("full")
	}
	return nil
}

func (f *flaky) Close() error { return nil }

// An upgrade that the vault refuses leaves what was held before.
func TestRefusedUpgradeKeepsTheLock(t *testing.T) {
	v := &flaky{}
	m := lockmgr.New(lockmgr.Config{}, lockdb.Start{Epoch: 1}, v, quiet, nil)
	s := m.Attach(lock.NLM, "lockd", nil)
	l := m.Attach(lock.Local, "fusefs", nil)
	s.Lock(ctx, shared(nlm("one", 1, 0, 10)))
	v.bad.Store(true)
	res, _ := s.Lock(ctx, nlm("one", 1, 0, 10))
	res2, _ := l.Lock(ctx, lock.LockRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}, Length: 10, Exclusive: true})
	if res.Outcome != lock.Failed || res2.Outcome == lock.Granted {
		t.Errorf("upgrade: %v; a local exclusive lock over the shared one held before: %v", res.Outcome, res2.Outcome)
	}
}

// Who waited does not pass the client's limit when the line moves.
func TestLimitCountsInTheLine(t *testing.T) {
	a := newDisk(t).boot(t, lockmgr.Config{RangesPerClient: 2})
	s := a.seat(lock.NLM, "lockd")
	l := a.seat(lock.Local, "fusefs")
	q := lock.LockRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}, Length: 1000, Exclusive: true}
	l.lock(q)
	for i := range 5 {
		r := nlm("one", int32(i), uint64(i*20), 10)
		r.Ticket = uint64(i + 1)
		a.want("waits", s.lock(r), lock.Blocked)
	}
	l.Unlock(ctx, q)
	n, _ := a.held()
	if n > 2 {
		t.Errorf("%d ranges of one client, limit 2", n)
	}
}

// A cycle of waiters over NLM, SMB and local is found when it closes, and who closes it is the victim.
func TestDeadlocksOverManyOwners(t *testing.T) {
	for n := 2; n <= 16; n++ {
		a := newDisk(t).boot(t, lockmgr.Config{})
		doors := []*door{a.seat(lock.NLM, "lockd"), a.seat(lock.SMB, "smbd"), a.seat(lock.Local, "fusefs")}
		for _, d := range doors {
			d.Mustered()
		}
		req := func(who, at int) (*door, lock.LockRequest) {
			d := doors[who%3]
			r := lock.LockRequest{Key: lock.Key{FSID: 1, Ino: uint64(at + 1)}, Length: 10, Exclusive: true, Ticket: uint64(1 + who*100 + at)}
			switch who % 3 {
			case 0:
				r.Owner = lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "h"}, PID: int32(who), OH: "x"}
			case 1:
				r.Open = uint64(1 + who*100 + at)
				r.Owner = lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{byte(who + 1)}}, Handle: uint64(who + 1)}
				d.Open(ctx, lock.OpenRequest{Open: r.Open, Key: r.Key, Owner: r.Owner, Access: lock.Read | lock.Write, Share: lock.ShareAll})
			default:
				r.Owner = lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: uint64(who + 1), PID: int32(who)}
			}
			return d, r
		}
		for i := range n {
			d, r := req(i, i)
			a.want("holds", d.lock(r), lock.Granted)
		}
		for i := range n - 1 {
			d, r := req(i, i+1)
			a.want(fmt.Sprintf("cycle of %d: %d waits", n, i), d.lock(r), lock.Blocked)
		}
		d, r := req(n-1, 0)
		a.want(fmt.Sprintf("cycle of %d closes", n), d.lock(r), lock.Deadlock)
	}
}

// An open that is closed while it waits never comes to be.
func TestCloseWhileWaiting(t *testing.T) {
	a := newDisk(t).boot(t, lockmgr.Config{})
	s := a.seat(lock.SMB, "smbd")
	s.Mustered()
	o := func(c byte, n, ticket uint64) lock.OpenRequest {
		return lock.OpenRequest{Open: n, Ticket: ticket, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{c}}, Handle: n}, Access: lock.Read, Share: lock.ShareAll,
			Kind: lock.LeaseV2, LeaseKey: lock.GUID{c}, Rights: 7}
	}
	s.Open(ctx, o(1, 1, 0))
	res, _ := s.Open(ctx, o(2, 2, 9))
	a.want("waits", res.Outcome, lock.Blocked)
	c, _ := s.Close(ctx, lock.CloseRequest{Open: 2})
	s.Acknowledge(ctx, lock.Ack{Client: lock.GUID{1}, LeaseKey: lock.GUID{1}, Keep: 3})
	again, _ := s.Close(ctx, lock.CloseRequest{Open: 2})
	opens := len(a.List(lock.Filter{}).Files[0].Opens)
	if opens != 1 {
		t.Errorf("close while waiting: %v; later close: %v; opens on the file: %d, want 1", c.Outcome, again.Outcome, opens)
	}
}

// An open whose lease key's own disconnected open gives way to it begins the lease anew: the key stays bound to the file.
func TestLeaseKeyBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, start, err := lockdb.Begin(lockdb.Config{Store: memory(t), Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		s := lockmgr.New(lockmgr.Config{}, start, v, quiet, nil).Attach(lock.SMB, "smbd", nil)
		defer s.Detach()
		open := func(n uint64, client byte, kind lock.CacheKind, share lock.Share) lock.OpenRequest {
			return lock.OpenRequest{Open: n, Ticket: n, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{client}}, Handle: n},
				Access: lock.Read | lock.Write, Share: share, Kind: kind, LeaseKey: lock.GUID{1}, Rights: lock.R | lock.W | lock.H, Durable: time.Minute}
		}
		s.Open(ctx, open(1, 1, lock.LeaseV2, lock.ShareAll))
		if res, _ := s.Close(ctx, lock.CloseRequest{Open: 1, Keep: true}); !res.Kept {
			t.Fatalf("%+v", res)
		}
		if res, _ := s.Open(ctx, open(2, 1, lock.LeaseV2, lock.ShareRead)); res.Outcome != lock.Granted {
			t.Fatalf("%+v", res)
		}
		s.Open(ctx, open(3, 2, lock.NoCache, lock.ShareAll))
		if out, _ := s.Acknowledge(ctx, lock.Ack{Client: lock.GUID{1}, LeaseKey: lock.GUID{1}, Keep: lock.R | lock.W}); out != lock.Granted {
			t.Errorf("the acknowledgement is %v", out)
		}
	})
}
