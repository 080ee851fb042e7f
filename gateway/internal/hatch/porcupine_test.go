package hatch_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"dittofs/gateway/internal/hatch"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// asked is one call of one of eight clients: over cells from to to, one byte each.
type asked struct {
	verb      string // lock, wait, unlock, test
	who       int
	from, to  int
	exclusive bool
}

// held is who holds each of four bytes, and how: 0, 1 shared, 2 exclusive.
type heldBytes [8][4]uint8

func (a asked) free(s heldBytes) bool {
	for who := range s {
		for c := a.from; c <= a.to; c++ {
			if who != a.who && (s[who][c] == 2 || s[who][c] == 1 && a.exclusive) {
				return false
			}
		}
	}
	return true
}

func (a asked) set(s heldBytes, mode uint8) heldBytes {
	for c := a.from; c <= a.to; c++ {
		s[a.who][c] = mode
	}
	return s
}

var lawful = porcupine.Model{
	Init: func() any { return heldBytes{} },
	Step: func(state, input, output any) (bool, any) {
		s, a, out := state.(heldBytes), input.(asked), output.(lock.Outcome)
		mode := uint8(1)
		if a.exclusive {
			mode = 2
		}
		switch {
		case a.verb == "unlock":
			return out == lock.Granted, a.set(s, 0)
		case a.verb == "test":
			return a.free(s) == (out == lock.Granted), s
		case out == lock.Granted:
			return a.free(s), a.set(s, mode)
		case a.verb == "lock":
			return out == lock.Denied && !a.free(s), s
		}
		return out == lock.Cancelled || out == lock.Deadlock, s // who gave up has nothing
	},
}

// What eight clients of three doors are told through the sockets, all at once, is what one of them after the other could have been told.
// DITTOFS_HISTORIES is the number of histories, DITTOFS_SEED the first one's seed.
func TestHistoriesAreLinearizable(t *testing.T) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	v, start, err := lockdb.Begin(lockdb.Config{Dir: t.TempDir(), Store: lockdb.NewMemory(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	m := lockmgr.New(lockmgr.Config{}, start, v, quiet, nil)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { hatch.New(hatch.Config{Dir: dir, Counter: seats{m}, Log: quiet}).Serve(ctx); close(served) }()
	t.Cleanup(func() { cancel(); <-served; v.Close() })
	doors := map[lock.Door]*ipc.Client{}
	for name, door := range map[string]lock.Door{"lockd": lock.NLM, "fusefs": lock.Local, "smbd": lock.SMB} {
		if doors[door], err = ipc.Dial(ctx, filepath.Join(dir, name+".sock"), ipc.Options{Door: door, Name: name, Log: quiet, Eases: true}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(doors[door].Hangup)
	}
	first := number("DITTOFS_SEED", 1)
	for seed := first; seed < first+number("DITTOFS_HISTORIES", 200); seed++ {
		h := history(t, ctx, doors, uint64(seed))
		if res := porcupine.CheckOperationsTimeout(lawful, h, time.Minute); res != porcupine.Ok {
			for _, o := range h {
				t.Logf("%9d-%9d client %d %+v: %v", o.Call, o.Return, o.ClientId, o.Input, o.Output)
			}
			t.Fatalf("%v; again: DITTOFS_SEED=%d DITTOFS_HISTORIES=100 go test ./gateway/internal/hatch -run Linearizable", res, seed)
		}
	}
}

func history(t *testing.T, ctx context.Context, doors map[lock.Door]*ipc.Client, seed uint64) []porcupine.Operation {
	k := lock.Key{FSID: 9, Ino: seed, Gen: 1}
	began := time.Now()
	var mu sync.Mutex
	var all []porcupine.Operation
	var ends []func()
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(who)))
			door := []lock.Door{lock.NLM, lock.Local, lock.SMB}[who%3]
			c := doors[door]
			owner := lock.Owner{Client: lock.Client{Door: door}, Handle: uint64(who + 1)}
			var open uint64
			switch door {
			case lock.NLM:
				owner.Client.Name, owner.Handle, owner.OH = fmt.Sprint("host", who), 0, "oh"
			case lock.SMB:
				open = c.Number()
				owner.Client.GUID, owner.Handle = lock.GUID{byte(who)}, open
				if res, err := c.Open(ctx, lock.OpenRequest{Open: open, Key: k, Owner: owner, Access: lock.Read | lock.Write, Share: lock.ShareAll}, nil); err != nil || res.Outcome != lock.Granted {
					t.Error("open", res, err)
					return
				}
			}
			var mine [4]bool // SMB ranges stack and are freed exactly: one byte each, once
			for range 25 {
				a := asked{verb: []string{"lock", "wait", "unlock", "test"}[rnd.IntN(4)], who: who, from: rnd.IntN(4), exclusive: rnd.IntN(2) == 0}
				a.to = a.from
				if door != lock.SMB {
					a.to += rnd.IntN(4 - a.from)
				} else if mine[a.from] {
					a.verb = "unlock"
				} else if a.verb == "unlock" {
					a.verb = "lock"
				}
				r := lock.LockRequest{Key: k, Owner: owner, Open: open, Offset: uint64(a.from), Length: uint64(a.to - a.from + 1), Exclusive: a.exclusive}
				var res lock.Result
				var err error
				call := time.Since(began)
				switch a.verb {
				case "lock":
					res, err = c.Manager.Lock(ctx, r)
				case "wait":
					// Patience ends only once the wait has begun: of a question whose context ended nothing would be known.
					short, cancel := context.WithCancel(ctx)
					patience := time.Duration(rnd.IntN(2000)) * time.Microsecond
					res, err = c.Lock(short, r, func() { time.AfterFunc(patience, cancel) })
					cancel()
				case "unlock":
					res, err = c.Unlock(ctx, r)
				case "test":
					res, err = c.Test(ctx, r)
				}
				back := time.Since(began)
				if err != nil {
					t.Error(a, err)
					return
				}
				if door == lock.SMB && a.verb != "test" {
					mine[a.from] = a.verb != "unlock" && res.Outcome == lock.Granted
				}
				mu.Lock()
				all = append(all, porcupine.Operation{ClientId: who, Input: a, Call: call.Nanoseconds(), Output: res.Outcome, Return: back.Nanoseconds()})
				mu.Unlock()
			}
			if open != 0 { // its end frees ranges, so it comes after the history's
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, func() { c.Close(ctx, lock.CloseRequest{Open: open}) })
			}
		})
	}
	wg.Wait()
	for _, end := range ends {
		end()
	}
	return all
}
