package lockmgr_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
)

// crowd is a door with blocking calls, whose client answers every break at once.
func crowd(m *lockmgr.Manager, door lock.Door, name string) (*seat.Seat, *lockmgr.Seat) {
	s := seat.New(nil)
	breaks := make(chan lock.Ack, 10000)
	raw := m.Attach(door, name, func(e lock.Event) {
		switch {
		case e.Answer != nil:
			s.Deliver(*e.Answer)
		case e.Break != nil && e.Break.AckRequired:
			select {
			case breaks <- lock.Ack{Client: e.Break.Client, LeaseKey: e.Break.LeaseKey, Keep: e.Break.To}:
			default:
			}
		}
	})
	s.Manager = raw
	go func() {
		for a := range breaks {
			raw.Acknowledge(ctx, a)
		}
	}()
	return s, raw
}

// Many clients of all doors on few files, with doors that die in between: nothing is granted against the law, everybody gets an answer, and
// when all have gone nothing is left.
func TestCrowd(t *testing.T) {
	m, v, _ := begin(t, t.TempDir(), memory(t), lockmgr.Config{WaitersPerFile: 100, BreakTimeout: time.Second})
	defer v.Close()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var excl [3][4]sync.Mutex // what an exclusive lock protects
	for w := range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			door := []lock.Door{lock.NLM, lock.SMB, lock.Local, lock.NFS}[w%4]
			s, raw := crowd(m, door, door.String())
			raw.Mustered()
			defer func() { raw.Detach() }()
			for i := 0; i < 250; i++ {
				at := rnd.IntN(len(excl))
				k := lock.Key{FSID: 1, Ino: uint64(at + 1)}
				c, cancel := context.WithTimeout(ctx, time.Duration(1+rnd.IntN(20))*time.Millisecond)
				owner := lock.Owner{Client: lock.Client{Door: door}, Handle: uint64(w), PID: int32(w)}
				switch door {
				case lock.NLM:
					owner.Client.Name = "host"
				case lock.SMB:
					owner.Client.GUID = lock.GUID{byte(w)}
				}
				if door == lock.NFS {
					_, done, _ := s.Access(c, lock.AccessRequest{Key: k, Owner: owner, Op: lock.Op(1 + rnd.IntN(7)), Length: 5}, 5*time.Millisecond, nil)
					done(true)
					cancel()
					continue
				}
				var open uint64
				if door != lock.NLM {
					open = s.Number()
					r := lock.OpenRequest{Open: open, Key: k, Owner: owner, Access: lock.Read | lock.Access(rnd.IntN(2))<<1, Share: lock.ShareAll}
					if door == lock.SMB {
						owner.Handle = open
						r.Owner, r.Kind, r.Rights, r.LeaseKey = owner, lock.LeaseV2, lock.Rights(rnd.IntN(8)), lock.GUID{byte(w), byte(at)}
					}
					if res, err := s.Open(c, r, nil); err != nil || res.Outcome != lock.Granted {
						cancel()
						continue
					}
				}
				b := rnd.IntN(4)
				q := lock.LockRequest{Key: k, Owner: owner, Open: open, Offset: uint64(b), Length: 1, Exclusive: true, Watch: "192.0.2.1"}
				if door == lock.SMB {
					q.Owner = owner
				}
				if res, err := s.Lock(c, q, nil); err == nil && res.Outcome == lock.Granted {
					if !excl[at][b].TryLock() {
						t.Error("one byte is held exclusively twice")
					} else {
						time.Sleep(time.Duration(rnd.IntN(200)) * time.Microsecond)
						excl[at][b].Unlock()
					}
					s.Unlock(ctx, q)
				}
				cancel()
				if open != 0 {
					s.Close(ctx, lock.CloseRequest{Open: open})
				}
				if rnd.IntN(50) == 0 {
					raw.Detach()
					s, raw = crowd(m, door, door.String())
					raw.Mustered()
				}
			}
		}()
	}
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, f := range m.List(lock.Filter{}).Files {
				exclusive(t, f)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	wg.Wait()
	close(stop)
	<-watch
	for _, f := range m.List(lock.Filter{}).Files {
		t.Errorf("left behind: %+v", f)
	}
}

// exclusive checks a file at one moment: an exclusive range overlaps nobody else's, and W is the only lease beside opens of its own key.
func exclusive(t *testing.T, f lock.FileState) {
	for i, a := range f.Ranges {
		for _, b := range f.Ranges[i+1:] {
			if a.Owner.Ident() != b.Owner.Ident() && (a.Exclusive || b.Exclusive) && a.Offset < b.Offset+b.Length && b.Offset < a.Offset+a.Length {
				t.Errorf("%+v beside %+v", a, b)
			}
		}
	}
	for i, a := range f.Leases {
		for j, b := range f.Leases {
			if i != j && a.Rights&lock.W != 0 && b.Rights != 0 {
				t.Errorf("lease %+v beside %+v", a, b)
			}
		}
	}
}

func BenchmarkAccessQuiet(b *testing.B) { benchmarkAccess(b, func(*lockmgr.Seat) {}) }

func BenchmarkAccessBesideOpens(b *testing.B) {
	benchmarkAccess(b, func(s *lockmgr.Seat) {
		for i := range uint64(3) {
			s.Open(ctx, lock.OpenRequest{Open: i + 1, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: i}, Access: lock.Read, Share: lock.ShareAll})
		}
	})
}

func benchmarkAccess(b *testing.B, before func(*lockmgr.Seat)) {
	m, v, _ := begin(b, b.TempDir(), memory(b), lockmgr.Config{})
	defer v.Close()
	before(m.Attach(lock.Local, "fusefs", nil))
	s := m.Attach(lock.NFS, "nfs", nil)
	r := lock.AccessRequest{Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.NFS, Name: "192.0.2.1"}}, Op: lock.OpRead, Length: 4096}
	b.ReportAllocs()
	for b.Loop() {
		r.ID++
		if res, err := s.Access(ctx, r); err != nil || res.Outcome != lock.Granted {
			b.Fatal(res, err)
		}
		s.Done(ctx, r.ID, false)
	}
}

func BenchmarkLockUnlock(b *testing.B) {
	m, v, _ := begin(b, b.TempDir(), memory(b), lockmgr.Config{})
	defer v.Close()
	s := m.Attach(lock.NLM, "lockd", nil)
	b.ReportAllocs()
	for b.Loop() {
		if res, err := s.Lock(ctx, nlm("one", 1, 0, 10)); err != nil || res.Outcome != lock.Granted {
			b.Fatal(res, err)
		}
		s.Unlock(ctx, nlm("one", 1, 0, 10))
	}
}
