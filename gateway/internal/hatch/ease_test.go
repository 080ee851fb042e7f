package hatch_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// An SMB open writes again and again, others once, without asking while it is at ease; NLM clients lock ranges of the file. Nobody is ever told that it may
// write while a lock is held, through restarts of the gateway too, and most writes ask nobody.
func TestEase(t *testing.T) {
	dir, store := t.TempDir(), lockdb.NewMemory()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	_, stop := gatewayAt(t, dir, store, 0, "smbd", "lockd")
	defer func() { stop() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	come := func(door lock.Door, name string) *ipc.Client {
		c, err := ipc.Dial(ctx, filepath.Join(dir, name+".sock"), ipc.Options{Door: door, Name: name, Log: log, Eases: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Hangup)
		return c
	}
	smb, nlm := come(lock.SMB, "smbd"), come(lock.NLM, "lockd")
	key := lock.Key{FSID: 1, Ino: 7, Gen: 9}
	owner := lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}}
	open := func() (uint64, error) {
		n := smb.Number()
		r, err := smb.Open(ctx, lock.OpenRequest{Open: n, Key: key, Owner: owner, Access: lock.Read | lock.Write, Share: lock.ShareAll}, nil)
		if err == nil && r.Outcome != lock.Granted {
			t.Errorf("open: %+v", r)
		}
		return n, err
	}

	var (
		over              = make(chan struct{})
		wg                sync.WaitGroup
		mu                sync.Mutex // guards the fields below
		writing, locked   int
		writes, easy, got atomic.Int64
	)
	check := func() {
		if writing > 0 && locked > 0 {
			t.Error("a write under way beside a lock")
		}
	}
	running := func() bool {
		select {
		case <-over:
			return false
		default:
			return !t.Failed()
		}
	}
	for i := range 3 {
		wg.Go(func() {
			var n uint64
			for running() {
				var err error
				if n == 0 {
					if n, err = open(); err != nil {
						n = 0
						continue
					}
				}
				r, done, err := smb.Access(ctx, lock.AccessRequest{Key: key, Owner: owner, Open: n, Op: lock.OpWrite, Length: 10}, time.Second, nil)
				if err != nil {
					continue
				}
				if r.Outcome == lock.Granted {
					mu.Lock()
					writing++
					check()
					mu.Unlock()
					writes.Add(1)
					if r.Quiet {
						easy.Add(1)
					}
					mu.Lock()
					writing--
					mu.Unlock()
				}
				done(r.Outcome == lock.Granted)
				if i > 0 { // all but one open the file anew for each write
					smb.Close(ctx, lock.CloseRequest{Open: n})
					n = 0
				}
			}
		})
	}
	for i := range 2 {
		wg.Go(func() {
			who := lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host"}, PID: int32(i)}
			for running() {
				r := lock.LockRequest{Key: key, Owner: who, Offset: uint64(i) * 5, Length: 5, Exclusive: true, Try: true}
				res, err := nlm.Lock(ctx, r, nil)
				if err != nil || res.Outcome != lock.Granted {
					continue
				}
				mu.Lock()
				locked++
				check()
				mu.Unlock()
				got.Add(1)
				time.Sleep(time.Millisecond)
				mu.Lock()
				locked--
				mu.Unlock()
				nlm.Unlock(ctx, r)
				time.Sleep(3 * time.Millisecond)
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		stop()
		_, stop = gatewayAt(t, dir, store, 0, "smbd", "lockd")
	}
	time.Sleep(300 * time.Millisecond)
	close(over)
	wg.Wait()
	t.Logf("%d writes, %d of them without asking, %d locks", writes.Load(), easy.Load(), got.Load())
	if easy.Load() < writes.Load()/2 || easy.Load() < 100 || got.Load() < 20 {
		t.Errorf("%d writes, %d of them without asking, %d locks", writes.Load(), easy.Load(), got.Load())
	}
}

// The other doors hear of what is written at ease.
func TestEaseIsTold(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	_, stop := gatewayAt(t, dir, lockdb.NewMemory(), 0)
	defer stop()
	heard := make(chan lock.Change, 100)
	come := func(o ipc.Options) *ipc.Client {
		o.Log = log
		c, err := ipc.Dial(t.Context(), filepath.Join(dir, o.Name+".sock"), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Hangup)
		return c
	}
	smb := come(ipc.Options{Door: lock.SMB, Name: "smbd", Eases: true})
	come(ipc.Options{Door: lock.Local, Name: "fusefs", Sink: func(e lock.Event) {
		if e.Change != nil {
			heard <- *e.Change
		}
	}})
	key, owner, open := lock.Key{FSID: 1, Ino: 7, Gen: 9}, lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}}, smb.Number()
	if r, err := smb.Open(t.Context(), lock.OpenRequest{Open: open, Key: key, Owner: owner, Access: lock.Write, Share: lock.ShareAll}, nil); err != nil || r.Outcome != lock.Granted {
		t.Fatalf("open: %+v, %v", r, err)
	}
	r, done, err := smb.Access(t.Context(), lock.AccessRequest{Key: key, Owner: owner, Open: open, Op: lock.OpWrite, Length: 10}, time.Second, nil)
	if want := (lock.Result{Outcome: lock.Granted, Quiet: true}); err != nil || r != want {
		t.Fatalf("write: %+v, %v; want %+v", r, err, want)
	}
	done(true)
	select {
	case got := <-heard:
		if want := lock.OpWrite.Modified(key, lock.SMB); got != want {
			t.Errorf("heard %+v, want %+v", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody heard of what was written at ease")
	}
}
