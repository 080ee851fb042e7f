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
