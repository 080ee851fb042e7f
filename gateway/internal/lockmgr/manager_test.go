package lockmgr_test

import (
	"io"
	"log/slog"
	"testing"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/locktest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func memory(t testing.TB) *lockdb.Memory { return lockdb.NewMemory() }

// begin opens the vault in dir on store, and a counter over it.
func begin(t testing.TB, dir string, store lockdb.Store, cfg lockmgr.Config) (*lockmgr.Manager, lockdb.Vault, lockdb.Start) {
	t.Helper()
	v, start, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: store, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return lockmgr.New(cfg, start, v, quiet, nil), v, start
}

func TestLaw(t *testing.T) {
	locktest.Run(t, func(t *testing.T, s locktest.Settings) locktest.Attach {
		m, v, _ := begin(t, t.TempDir(), memory(t), lockmgr.Config{UnlinkOpen: s.UnlinkOpen, BrlRead: s.BrlRead, RangesPerFile: s.RangesPerFile, WaitersPerFile: s.WaitersPerFile})
		t.Cleanup(func() { v.Close() })
		return func(door lock.Door, name string, sink func(lock.Event)) (lock.Manager, func()) {
			seat := m.Attach(door, name, sink)
			seat.Mustered()
			return seat, seat.Detach
		}
	})
}

// Files whose keys have one hash are files of their own, whichever comes and goes first.
func TestKeysOfOneHash(t *testing.T) {
	keys := []lock.Key{{FSID: 1, Ino: 6}, {FSID: 6, Ino: 1}, {FSID: 3, Ino: 4}}
	for first := range keys {
		m, v, _ := begin(t, t.TempDir(), memory(t), lockmgr.Config{})
		s := m.Attach(lock.NLM, "lockd", nil)
		ask := func(k lock.Key, host string) lock.LockRequest {
			return lock.LockRequest{Key: k, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: host}}, Length: 10, Exclusive: true, Try: true}
		}
		expect := func(what string, got lock.Outcome, err error, want lock.Outcome) {
			t.Helper()
			if err != nil || got != want {
				t.Fatalf("%s: %v, %v, want %v", what, got, err, want)
			}
		}
		for _, k := range keys {
			res, err := s.Lock(t.Context(), ask(k, "a"))
			expect("lock", res.Outcome, err, lock.Granted)
		}
		for i := range keys {
			k := keys[(first+i)%len(keys)]
			res, err := s.Lock(t.Context(), ask(k, "b"))
			expect("another's lock", res.Outcome, err, lock.Denied)
			res, err = s.Unlock(t.Context(), ask(k, "a"))
			expect("unlock", res.Outcome, err, lock.Granted)
			snap, err := s.List(t.Context(), lock.Filter{})
			if err != nil || len(snap.Files) != len(keys)-1-i {
				t.Fatalf("%d files are listed after %d unlocks: %v", len(snap.Files), i+1, err)
			}
		}
		v.Close()
	}
}
